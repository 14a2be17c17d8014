"""Commands about events, under a supervisor that runs (its flusher is a fake)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.supervised import Running, play
from trackflowd import commands_events, tombstones
from trackflowd.errors import ControlError, QueryError
from trackflowd.selection import Selection
from trackflowd.tasks import TaskState

ALICE = {"user": "alice"}


def call(running: Running, name: str) -> Any:
    return running.commands.handlers()[name]


async def ended(running: Running, number: int) -> dict[str, Any]:
    one = running.supervisor.runner.one
    await running.until(lambda: TaskState(one(number)["state"]).ended)
    return one(number)


def test_an_erasure_is_a_tombstone_and_then_a_task(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        task = await call(running, "erase")(ALICE)
        (tombstone,) = tombstones.load(tmp_path / "data")
        assert (tombstone.what, tombstone.number) == (Selection(user="alice"), 1)
        assert task["args"] == {"what": ALICE, "until_ms": tombstone.until_ms, "tombstone": 1}
        value = await ended(running, task["id"])
        assert value["result"] == {"events": 0, "waiting": 0, "files": 0, "unread": 2, "swept": 0}
        (one,) = await call(running, "erasures")()
        assert one == {
            "number": 1,
            "what": ALICE,
            "until_ms": tombstone.until_ms,
            "task": task["id"],
            "state": "done",
            "retention": False,
        }

    play(tmp_path, story)
    assert len(tombstones.load(tmp_path / "data")) == 1


def test_an_erasure_that_cannot_begin_leaves_no_tombstone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.taskrunner.MAX_WAITING", 0)

    async def story(running: Running) -> None:
        await running.ready()
        with pytest.raises(ControlError, match="wait for their turn"):
            await call(running, "erase")(ALICE)
        assert tombstones.load(tmp_path / "data") == []

    play(tmp_path, story)


@pytest.mark.parametrize("what", [{}, {"user": ""}])
def test_everything_there_is_is_never_meant(tmp_path: Path, what: dict[str, Any]) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        for name in ("erase", "erase_count"):
            with pytest.raises(ControlError, match="every event there is"):
                await call(running, name)(what)
        with pytest.raises(QueryError, match="not selected by"):
            await call(running, "erase")({"drop": "table"})
        assert tombstones.load(tmp_path / "data") == []

    play(tmp_path, story)


def test_a_tombstone_a_kill_left_without_a_task_gets_one_at_the_next_start(tmp_path: Path) -> None:
    async def before(running: Running) -> None:
        await running.ready()
        running.supervisor.tombstones.add(Selection(user="alice"), 5)

    async def after(running: Running) -> None:
        await running.ready()
        (one,) = await call(running, "erasures")()
        assert (await ended(running, one["task"]))["args"] == {"what": ALICE, "until_ms": 5, "tombstone": 1}

    async def later(running: Running) -> None:
        await running.ready()
        assert len(await running.commands.tasks()) == 1

    for story in (before, after, later):
        play(tmp_path, story)


def test_what_an_erasure_would_meet_is_counted(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        found = await call(running, "erase_count")(ALICE)
        assert found == {"events": 0, "waiting": 0, "files": 0, "unread": 2}
        assert await running.commands.tasks() == []

    play(tmp_path, story)


def test_an_erasure_is_forgotten_when_it_is_over_and_only_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        with pytest.raises(ControlError, match="there is no erasure 7"):
            await call(running, "erasure_forget")(7)
        task = await call(running, "erase")(ALICE)
        await ended(running, task["id"])
        with monkeypatch.context() as patch:
            patch.setattr(commands_events.EventCommands, "_state", lambda self, task: "running")
            with pytest.raises(ControlError, match="under way"):
                await call(running, "erasure_forget")(1)
        assert await call(running, "erasure_forget")(1) == {"forgotten": 1}
        assert tombstones.load(tmp_path / "data") == []

    play(tmp_path, story)


def test_events_are_asked_of_the_flusher_and_corrections_too(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        said = await call(running, "events")(ALICE, 10, "", True)
        assert said == {"what": ALICE, "limit": 10, "after": "", "newest": True}
        with pytest.raises(QueryError, match="16 digits"):
            await call(running, "events")({"visitor": "x"}, 10, "", True)
        said = await call(running, "event_correct")("id", "s", {"a": "b"}, ["c"])
        assert said == {"id": "id", "site": "s", "put": {"a": "b"}, "drop": ["c"]}
        with pytest.raises(ControlError, match="nothing to put"):
            await call(running, "event_correct")("id", "s", None, ())

    play(tmp_path, story)


def test_the_log_has_no_ids_of_people(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        await call(running, "erase")({"user": "alice", "site": "shop"})

    play(tmp_path, story)
    assert "erasure 1 is asked for: site shop, a user" in caplog.text
    assert "alice" not in caplog.text
