"""bench.migrate: its verdict. (A small move under traffic with kills is in tests/process/test_migrate.py.)"""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.migrate import _column, kept, lines
from trackflowd.event import FIELDS
from trackflowd.migrate.chunks import MAX_ROWS
from trackflowd.sink.base import Batch
from trackflowd.sink.native_block import encode
from trackflowd.sink.pg_rows import stage

RESULT = {
    "equal": True,
    "rows": 1000,
    "seconds": 2.0,
    "movers": 3,
    "held_ms": 800,
    "source_bytes": 2**21,
    "target_bytes": 2**20,
}
WELL = dict.fromkeys(("lost", "doubled", "altered", "unknown"), 0) | {"sent": 10, "acked": 10, "stored": 10}


def found(**changed: Any) -> dict[str, Any]:
    return {
        "events": 1000,
        "old_events_there": 1000,
        "kills": ["copy", "verify"],
        "state": "done",
        "error": None,
        "settled": True,
        "result": RESULT,
        "findings": WELL,
        **changed,
    }


def test_a_move_that_kept_everything_is_said_to_have() -> None:
    assert kept(found())
    assert lines(found())[-1] == "kept"


@pytest.mark.parametrize(
    "changed",
    [
        {"old_events_there": 999},
        {"findings": {**WELL, "lost": 1}},
        {"findings": {**WELL, "doubled": 1}},
        {"findings": {**WELL, "altered": 1}},
        {"result": {**RESULT, "equal": False}},
        {"settled": False},
        {"state": "failed", "result": None, "error": {"text": "no", "hint": ""}},
    ],
)
def test_one_that_did_not_is_not(changed: dict[str, Any]) -> None:
    assert not kept(found(**changed))
    assert lines(found(**changed))[-1] != "kept"


def test_made_events_are_what_both_stores_take() -> None:
    columns = {field.name: _column(field, 50, random.Random(1)) for field in FIELDS}
    columns["_batch"] = (1,) * 50
    batch = Batch(1, 1, 202611, 50, columns)
    assert len(stage(batch).facts([[1] * MAX_ROWS] * 7)) == 50
    assert encode(batch)
