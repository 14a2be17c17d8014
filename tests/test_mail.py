"""mail: what a child says is acted on, and what makes no sense is passed over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.supervised import Running, play


@pytest.mark.parametrize(
    "message",
    [{}, {"type": 7}, {"type": "event", "rows": 7}, {"type": "event", "rows": [7]}, {"type": "refused", "rows": 7}],
    ids=str,
)
def test_what_makes_no_sense_is_passed_over(message: dict[str, Any], tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        [child, *_] = running.supervisor.crew.children("worker")
        running.supervisor.mail.received(child, message)

    play(tmp_path, story)


def test_refusals_come_into_the_book(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        [child, *_] = running.supervisor.crew.children("worker")
        running.supervisor.mail.received(child, {"type": "refused", "rows": [["a", "bot", 3]]})
        now_ms = time.time_ns() // 1_000_000
        assert running.supervisor.refusals.answer(now_ms, now_ms + 1)["totals"]["left_out"] == 3

    play(tmp_path, story)
