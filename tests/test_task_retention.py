"""The long job ``retention``: site after site, from every checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from trackflowd import config, job
from trackflowd.job import Job
from trackflowd.task_retention import retain
from trackflowd.tasks import Task

UNTIL = {"b": 7, "a": 5}


class Flusher:
    """Two months of events of each site, of which a piece is ten."""

    def __init__(self) -> None:
        self.left = {(site, month): 15 for site in UNTIL for month in ("202511", "202512")}
        self.asked: list[str] = []

    async def ask(self, name: str, timeout: float, /, **args: Any) -> Any:
        site = args.get("what", {}).get("site", "")
        self.asked.append(f"{name.removeprefix('erase_')} {site}".strip())
        if name not in ("erase_load", "erase_sweep"):
            assert args["until_ms"] == UNTIL[site]
        if name == "erase_plan":
            months = {month: rows for (owner, month), rows in self.left.items() if owner == site and rows}
            return {"months": months, "batches": ["aa"], "files": [], "unread": 1}
        if name == "erase_batch":
            return 4
        if name == "erase_piece":
            place = site, str(args["month"])
            gone = min(self.left[place], 10)
            self.left[place] -= gone
            return {"next": args["at"] + 1 if self.left[place] else None, "rows": gone}
        return 6 if name == "erase_sweep" else 1


def run(flusher: Flusher, checkpoint: Any = None) -> tuple[Mapping[str, Any], list[Any]]:
    """The job's result, and the checkpoints that reached the disk."""
    kept: list[Any] = []
    task = Task(1, "retention", {"until": UNTIL}, 0, checkpoint=checkpoint)
    one = Job(task, task.args, config.load(None, (), {}), flusher.ask, lambda task: kept.append(task.checkpoint))
    return asyncio.run(retain(one)), kept


def test_sites_are_cleared_one_after_another_and_the_store_is_swept_once() -> None:
    flusher = Flusher()
    result, _ = run(flusher)
    assert result == {"sites": 2, "events": 60, "waiting": 8, "files": 0, "unread": 2, "swept": 6}
    each = ["plan", "batch", *["piece"] * 4, "plan"]
    assert flusher.asked == ["load", *(f"{what} a" for what in each), *(f"{what} b" for what in each), "sweep"]
    assert set(flusher.left.values()) == {0}


def test_from_any_checkpoint_it_goes_on_with_the_same_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SAVE_EVERY", 0.0)
    result, kept = run(Flusher())
    assert len(kept) == 12
    for checkpoint in kept:
        assert run(Flusher(), checkpoint)[0] == result
