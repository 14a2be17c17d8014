"""The long job ``erase``: every step of a flusher that answers as told, and from every checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from trackflowd import config, job
from trackflowd.errors import ControlError
from trackflowd.job import Job
from trackflowd.task_erase import FILES, WALKS, erase, survey
from trackflowd.tasks import Task

WHAT = {"user": "alice"}


class Flusher:
    """Events by month, of which a piece is ten; batches and files that wait."""

    def __init__(self, months: dict[str, int] | None = None, files: int = 0) -> None:
        self.months = {"202511": 25, "202512": 3} if months is None else months
        self.files = [f"rows-{n}.segment" for n in range(files)]
        self.moved = 0
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def ask(self, name: str, timeout: float, /, **args: Any) -> Any:
        self.asked.append((name, args))
        if name not in ("erase_load", "erase_sweep"):
            assert (args["what"], args["until_ms"]) == (WHAT, 5)
        if name == "erase_plan":
            months = {month: rows for month, rows in self.months.items() if rows}
            return {"months": months, "batches": ["aa", "bb"], "files": self.files, "unread": 1}
        if name == "erase_batch":
            return 4
        if name == "erase_files":
            assert len(args["names"]) <= FILES
            return len(args["names"]) // 2
        if name == "erase_piece":
            return self.piece(str(args["month"]), args["at"])
        return 6 if name == "erase_sweep" else 1

    def piece(self, month: str, at: int) -> Mapping[str, Any]:
        gone = min(self.months[month] - self.moved, 10)
        self.months[month] -= gone
        over = self.months[month] == self.moved
        self.moved = max(self.moved - 1, 0) if over else self.moved
        return {"next": None if over else at + 1, "rows": gone}

    def names(self) -> list[str]:
        return [name.removeprefix("erase_") for name, _ in self.asked]


def run(flusher: Flusher, checkpoint: Any = None) -> tuple[Mapping[str, Any], list[Any]]:
    """The job's result, and the checkpoints that reached the disk."""
    kept: list[Any] = []
    task = Task(1, "erase", {"what": WHAT, "until_ms": 5, "tombstone": 2}, 0, checkpoint=checkpoint)
    cfg = config.load(None, (), {})
    one = Job(task, task.args, cfg, flusher.ask, lambda task: kept.append(task.checkpoint))
    return asyncio.run(erase(one)), kept


def test_the_tombstone_is_known_first_then_all_is_counted_deleted_and_swept() -> None:
    flusher = Flusher(files=FILES + 20)
    result, _ = run(flusher)
    assert result == {"events": 28, "waiting": 8, "files": (FILES + 20) // 2, "unread": 1, "swept": 6}
    assert flusher.names() == [
        "load", "plan", "batch", "batch", "files", "files", *["piece"] * 4, "plan", "sweep",
    ]  # fmt: skip
    assert flusher.months == {"202511": 0, "202512": 0}
    assert [args["delete"] for name, args in flusher.asked if name == "erase_files"] == [True, True]


def test_from_any_checkpoint_it_goes_on_with_the_same_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SAVE_EVERY", 0.0)
    result, kept = run(Flusher())
    assert len(kept) == 5
    for checkpoint in kept:
        flusher = Flusher(dict(checkpoint["months"]))
        again, _ = run(flusher, {**checkpoint, "months": dict(checkpoint["months"])})
        assert again == result
        assert flusher.names()[:2] != ["load", "plan"] or not checkpoint["months"]
        assert not any(flusher.months.values())


def test_what_a_correction_moved_out_of_the_way_is_met_by_the_next_walk() -> None:
    flusher = Flusher({"202511": 25})
    flusher.moved = 1
    result, _ = run(flusher)
    assert flusher.months == {"202511": 0}
    assert flusher.names().count("plan") == 3
    assert result["events"] == 25


def test_what_comes_back_for_ever_is_an_error() -> None:
    flusher = Flusher({"202511": 25})
    flusher.moved = WALKS + 5
    with pytest.raises(ControlError, match=f"still in the store after {WALKS} walks"):
        run(flusher)


def test_nothing_to_erase_is_done_at_once() -> None:
    flusher = Flusher({})
    assert run(flusher)[0]["events"] == 0
    assert "piece" not in flusher.names()


def test_a_survey_deletes_nothing() -> None:
    flusher = Flusher(files=4)
    tally = asyncio.run(survey(flusher.ask, WHAT, 5, delete=False))
    assert (tally.events, tally.waiting, tally.files) == (28, 8, 2)
    assert [args["delete"] for name, args in flusher.asked if name == "erase_files"] == [False]
    assert "piece" not in flusher.names()
