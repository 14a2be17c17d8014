"""retention: which day, which sites, and a clock that is not believed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trackflowd import retention as module
from trackflowd.errors import ControlError
from trackflowd.registry import Registry
from trackflowd.retention import Retention
from trackflowd.state import DAY_MS, State
from trackflowd.tombstones import Tombstones

NOW = 20_000 * DAY_MS + 5


class Daemon:
    """What of the supervisor is used; the flusher finds what it is told to."""

    def __init__(self, path: Path) -> None:
        self.state = State(path)
        self.registry, self.tombstones = Registry(self.state), Tombstones(self.state, path)
        self.found: Any = {}
        self.asked: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.crew = self
        self.runner = SimpleNamespace(add=self.add, all=lambda: self.tasks)
        self.now, self.mono = NOW, 0.0
        self.office = self.fresh()

    def fresh(self) -> Retention:
        return Retention(self, lambda: self.now)  # type: ignore[arg-type]

    async def ask_flusher(self, name: str, timeout: float, **args: Any) -> Any:
        assert name == "erase_due"
        self.asked.append(args)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def add(self, kind: str, args: dict[str, Any]) -> dict[str, Any]:
        task = {"id": len(self.tasks) + 1, "kind": kind, "args": args, "state": "running", "ended_ms": None}
        self.tasks.insert(0, task)
        return task

    def minute(self) -> None:
        """A minute passes, and what is due is done."""
        self.mono += module.EVERY
        if self.office.due(self.mono):
            asyncio.run(self.office.run())


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    made: list[Daemon] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made[0].mono if made else 0.0))
    made.append(Daemon(tmp_path))
    return made[0]


def test_without_a_limit_the_store_is_not_asked(daemon: Daemon) -> None:
    daemon.registry.add("a", {}, NOW)
    daemon.minute()
    daemon.minute()
    assert (daemon.asked, daemon.tasks) == ([], [])


def test_once_a_day_what_is_due_has_a_tombstone_and_a_task(daemon: Daemon) -> None:
    daemon.registry.add("a", {"retention_days": 30}, NOW)
    daemon.registry.add("b", {}, NOW)
    daemon.found = {"a": NOW - 30 * DAY_MS}
    daemon.minute()
    assert daemon.asked == [{"until": {"a": NOW - 30 * DAY_MS, "b": None}, "others": None, "most": module.SITES}]
    (kept,) = daemon.tombstones.all()
    assert (kept.tombstone.what.site, kept.tombstone.until_ms, kept.task) == ("a", NOW - 30 * DAY_MS, 1)
    assert kept.retention
    assert daemon.tasks[0]["args"] == {"until": daemon.found}
    daemon.tasks[0].update(state="done", ended_ms=NOW)
    daemon.minute()
    assert len(daemon.asked) == 1
    daemon.now += DAY_MS
    daemon.found = {"a": NOW - 29 * DAY_MS}
    daemon.minute()
    assert [(one.tombstone.until_ms, one.task) for one in daemon.tombstones.all()] == [(NOW - 29 * DAY_MS, 2)]


def test_a_site_that_is_changed_is_looked_at_at_once(daemon: Daemon) -> None:
    daemon.minute()
    daemon.registry.change("*", {"retention_days": 1}, NOW)
    assert daemon.office.due(daemon.mono + 1)
    asyncio.run(daemon.office.run())
    assert daemon.asked[0]["others"] == NOW - DAY_MS
    assert not daemon.office.due(daemon.mono + 2)


def test_more_than_a_task_takes_is_the_next_ones(daemon: Daemon) -> None:
    daemon.registry.change("*", {"retention_days": 1}, NOW)
    daemon.found = {f"s{n}": NOW for n in range(module.SITES)}
    daemon.minute()
    daemon.minute()
    assert len(daemon.tasks) == 1, "one is at it"
    daemon.tasks[0].update(state="done", ended_ms=NOW)
    daemon.found = {"last": NOW}
    daemon.minute()
    assert len(daemon.tasks) == 2


def test_a_task_that_failed_is_not_followed_by_another_for_a_day(daemon: Daemon) -> None:
    daemon.registry.change("*", {"retention_days": 1}, NOW)
    daemon.found = {f"s{n}": NOW for n in range(module.SITES)}
    daemon.minute()
    daemon.tasks[0].update(state="failed", ended_ms=NOW)
    daemon.minute()
    assert len(daemon.tasks) == 1
    daemon.now += DAY_MS
    daemon.minute()
    assert len(daemon.tasks) == 2


def test_a_flusher_that_does_not_answer_is_asked_again(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    daemon.registry.change("*", {"retention_days": 1}, NOW)
    daemon.found = ControlError("the flusher is being restarted")
    daemon.minute()
    assert "tried again: the flusher is being restarted" in caplog.text
    daemon.found = {}
    daemon.minute()
    daemon.minute()
    assert len(daemon.asked) == 2


def test_a_clock_far_ahead_of_the_last_day_is_believed_after_a_day_of_running(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.registry.change("*", {"retention_days": 1}, NOW)
    daemon.minute()
    daemon.now += 32 * DAY_MS
    daemon.office = daemon.fresh()
    for _ in range(3):
        daemon.minute()
    assert len(daemon.asked) == 1
    assert caplog.text.count("32 days have passed") == 1
    daemon.mono += module.DAY
    daemon.minute()
    assert len(daemon.asked) == 2
    daemon.now += DAY_MS
    daemon.minute()
    assert len(daemon.asked) == 3


def test_while_a_task_is_at_it_the_next_look_is_soon(daemon: Daemon) -> None:
    daemon.registry.change("*", {"retention_days": 1}, NOW)
    daemon.found = {"a": NOW}
    daemon.minute()
    daemon.registry.change("*", {"retention_days": 2}, NOW)
    asyncio.run(daemon.office.run())
    assert len(daemon.tasks) == 1
    daemon.tasks[0].update(state="done", ended_ms=NOW)
    assert daemon.office.due(daemon.mono + module.SOON)
    asyncio.run(daemon.office.run())
    assert len(daemon.tasks) == 2
