"""trackflowd.proto.refusals: the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from trackflowd.counters import REFUSALS
from trackflowd.proto.refusals import STATUS, TABLE, Code, refused

PROTOCOL = Path(__file__).parent.parent / "docs" / "protocol.md"


def test_every_code_can_be_counted_and_every_counter_has_a_code() -> None:
    assert tuple(code.name for code in TABLE) == REFUSALS
    assert len(STATUS) == len(TABLE)


@pytest.mark.parametrize("code", TABLE, ids=lambda code: code.name)
def test_every_code_is_documented_with_its_status(code: Code) -> None:
    name, status, scope, when = code
    assert f"| `{name}` | {status} | {scope} | {when} |" in PROTOCOL.read_text()


def test_a_refusal_has_its_codes_status() -> None:
    refusal = refused("bad_json", "why")
    assert (refusal.status, refusal.code, str(refusal)) == (400, "bad_json", "why")
    with pytest.raises(KeyError):
        refused("nonsense", "why")
