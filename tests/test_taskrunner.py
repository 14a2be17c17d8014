from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from trackflowd import config, taskrunner
from trackflowd.errors import ControlError, QueryError
from trackflowd.job import Job, Kind
from trackflowd.proto.command_table import Arg
from trackflowd.proto.control import BadRequest
from trackflowd.state import State
from trackflowd.taskkinds import KINDS
from trackflowd.taskrunner import MAX_WAITING, Runner
from trackflowd.tasks import Table, TaskState

STEPS = (Arg("steps", "number", "how many", 3),)


class Stage:
    """A runner on a data directory, with two kinds that walk: step by step, each when the test says so."""

    def __init__(self, directory: Path) -> None:
        self.state = State(directory)
        self.table = Table(self.state)
        self.steps: list[tuple[str, int]] = []
        self.gate = asyncio.Event()
        self.weight = ""  # makes a checkpoint as large as a test needs it
        walk = Kind("walk", "goes on after a kill", STEPS, True, self.body)
        jump = Kind("jump", "does not", STEPS, False, self.body)
        fail = Kind("fail", "fails", (Arg("bug", "flag", "in its own way", False),), True, self.fails)
        self.kinds = {kind.name: kind for kind in (walk, jump, fail)}
        self.runner = Runner(self.table, self.kinds, self.ask, config.load(None, (), {}))

    async def ask(self, name: str, timeout: float, /, **args: Any) -> Any:
        await self.gate.wait()
        return args

    async def body(self, job: Job) -> Mapping[str, Any]:
        total = job.args["steps"]
        for number in range(job.checkpoint[0] if job.checkpoint else 0, total):
            await job.ask_flusher("step", 60.0, number=number)
            self.steps.append((job._task.kind, number))
            job.progress(number + 1, total, "steps")
            job.save([number + 1, self.weight])
            await asyncio.sleep(0)
        return {"steps": total}

    async def fails(self, job: Job) -> Mapping[str, Any]:
        if job.args["bug"]:
            raise KeyError("x")
        raise QueryError("not allowed")

    async def until(self, good: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not good():
                await asyncio.sleep(0.001)

    async def ended(self, number: int) -> dict[str, Any]:
        await self.until(lambda: TaskState(self.runner.one(number)["state"]).ended)
        return self.runner.one(number)

    def history(self, number: int) -> list[str]:
        return [event["text"] for event in self.runner.one(number)["history"]]

    def stop(self) -> None:
        self.runner.stop()
        self.state.close()


def play(directory: Path, story: Callable[[Stage], Awaitable[None]]) -> None:
    """A daemon's life as far as the runner sees it."""

    async def whole() -> None:
        stage = Stage(directory)
        stage.runner.start()
        try:
            await story(stage)
        finally:
            stage.stop()

    asyncio.run(whole())


def leave(directory: Path, kind: str, cancel: bool = False) -> int:
    """A task as a killed daemon leaves it: running, one step done."""
    state = State(directory)
    task = Table(state).add(kind, {"steps": 3}, 1)
    task.state, task.started_ms, task.checkpoint, task.cancel = TaskState.RUNNING, 2, [1, ""], cancel
    Table(state).save(task)
    state.close()
    return task.id


def test_a_task_is_done_step_by_step_and_says_so(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.gate.set()
        asked = stage.runner.add("walk", {"steps": 2})
        assert (asked["id"], asked["state"], asked["known"]) == (1, "running", True)
        done = await stage.ended(1)
        assert (done["state"], done["result"], done["progress"]["done"]) == ("done", {"steps": 2}, 2)
        assert stage.history(1) == ["asked for", "begins", "done"]
        assert done["created_ms"] <= done["started_ms"] <= done["ended_ms"]
        assert stage.runner.all()[0] == {key: done[key] for key in done if key not in ("history", "checkpoint")}

    play(tmp_path, story)


def test_of_one_kind_one_runs_at_a_time_and_kinds_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        first, second, other = (stage.runner.add(kind, {})["id"] for kind in ("walk", "walk", "jump"))
        assert [stage.runner.one(number)["state"] for number in (first, second, other)] == [
            "running", "pending", "running",
        ]  # fmt: skip
        stage.gate.set()
        for number in (first, second, other):
            await stage.ended(number)
        assert [number for kind, number in stage.steps if kind == "walk"] == [0, 1, 2, 0, 1, 2]
        assert stage.runner.one(first)["ended_ms"] <= stage.runner.one(second)["started_ms"]

    play(tmp_path, story)


def test_one_that_ran_when_the_daemon_ended_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    number = leave(tmp_path, "walk")

    async def story(stage: Stage) -> None:
        stage.gate.set()
        done = await stage.ended(number)
        assert done["state"] == "done"
        assert stage.steps == [("walk", 1), ("walk", 2)]
        texts = ["taken up again: the daemon had ended under it", "goes on from its checkpoint", "done"]
        assert stage.history(number) == texts
        assert done["started_ms"] == 2

    play(tmp_path, story)


def test_one_that_cannot_go_on_is_marked_and_says_what_to_do(tmp_path: Path) -> None:
    number = leave(tmp_path, "jump")

    async def story(stage: Stage) -> None:
        value = stage.runner.one(number)
        assert value["state"] == "interrupted"
        assert value["error"]["hint"] == "start the jump again"
        with pytest.raises(ControlError, match="cannot go on"):
            stage.runner.resume(number)
        assert stage.steps == []

    play(tmp_path, story)


def test_one_that_was_asked_to_end_does_not_go_on_after_a_kill(tmp_path: Path) -> None:
    number = leave(tmp_path, "walk", cancel=True)

    async def story(stage: Stage) -> None:
        assert stage.runner.one(number)["state"] == "cancelled"

    play(tmp_path, story)


def test_a_stop_leaves_it_running_and_the_next_start_goes_on(tmp_path: Path) -> None:
    async def before(stage: Stage) -> None:
        stage.runner.add("walk", {})
        stage.runner.add("walk", {})
        await asyncio.sleep(0)
        stage.runner.stop()
        with pytest.raises(ControlError, match="stopping"):
            stage.runner.add("walk", {})
        with pytest.raises(ControlError, match="stopping"):
            stage.runner.cancel(1)

    async def after(stage: Stage) -> None:
        assert [task["state"] for task in stage.runner.all()] == ["pending", "running"]
        stage.gate.set()
        for number in (1, 2):
            assert (await stage.ended(number))["state"] == "done"
        assert stage.history(1)[2] == "the daemon stops; its next start goes on from here"
        assert "the daemon stops" not in str(stage.history(2))

    play(tmp_path, before)
    play(tmp_path, after)


def test_a_kind_of_a_later_version_is_shown_and_left_alone(tmp_path: Path) -> None:
    number = leave(tmp_path, "teleport")
    state = State(tmp_path)
    before = state.execute("SELECT * FROM tasks")
    state.close()

    async def story(stage: Stage) -> None:
        for value in (stage.runner.one(number), stage.runner.all()[0]):
            assert (value["kind"], value["state"], value["known"]) == ("teleport", "running", False)
        for act in (stage.runner.cancel, stage.runner.resume):
            with pytest.raises(ControlError, match="does not know") as caught:
                act(number)
            assert caught.value.code == "unknown_kind"
        assert stage.state.execute("SELECT * FROM tasks") == before

    play(tmp_path, story)


def test_one_that_waits_is_cancelled_at_once_and_never_begins(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.runner.add("walk", {})
        assert stage.runner.cancel(stage.runner.add("walk", {"steps": 9})["id"])["state"] == "cancelled"
        stage.gate.set()
        await stage.ended(1)
        assert len(stage.steps) == 3

    play(tmp_path, story)


def test_one_that_runs_ends_after_its_step_and_can_go_on(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.runner.add("walk", {})
        await asyncio.sleep(0)  # it asks, and waits for the answer
        asked = stage.runner.cancel(1)
        assert (asked["state"], asked["cancelling"]) == ("running", True)
        assert stage.runner.cancel(1)["cancelling"]  # twice is no mistake
        stage.gate.set()
        ended = await stage.ended(1)
        assert (ended["state"], ended["cancelling"], stage.steps) == ("cancelled", False, [("walk", 0)])
        with pytest.raises(ControlError, match="has ended"):
            stage.runner.cancel(1)
        assert stage.runner.resume(1)["state"] == "running"
        assert (await stage.ended(1))["state"] == "done"
        assert [number for _, number in stage.steps] == [0, 1, 2]
        assert stage.history(1)[2:] == [
            "asked to end", "cancelled", "resumed by hand", "goes on from its checkpoint", "done",
        ]  # fmt: skip
        with pytest.raises(ControlError, match="is done"):
            stage.runner.resume(1)

    play(tmp_path, story)


def test_one_that_is_cancelled_before_its_first_breath_does_nothing(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.gate.set()
        stage.runner.add("walk", {})
        stage.runner.cancel(1)
        assert (await stage.ended(1))["state"] == "cancelled"
        assert stage.steps == []

    play(tmp_path, story)


def test_one_that_runs_cannot_be_resumed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.runner.add("walk", {})
        with pytest.raises(ControlError, match="has not ended: it is running"):
            stage.runner.resume(1)

    play(tmp_path, story)


@pytest.mark.parametrize(("bug", "text"), [(False, "not allowed"), (True, "KeyError: 'x'")])
def test_one_that_fails_says_why_and_the_next_begins(tmp_path: Path, bug: bool, text: str) -> None:
    async def story(stage: Stage) -> None:
        for _ in range(2):
            stage.runner.add("fail", {"bug": bug})
        for number in (1, 2):
            value = await stage.ended(number)
            assert (value["state"], value["error"]["text"]) == ("failed", text)
            assert value["error"]["hint"]
        assert stage.history(1)[-1] == f"failed: {text}"
        stage.runner.resume(1)
        assert (await stage.ended(1))["state"] == "failed"

    play(tmp_path, story)


def test_arguments_are_those_of_the_kind(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for args in ({"steps": "three"}, {"x": 1}):
            with pytest.raises(BadRequest, match="walk"):
                stage.runner.add("walk", args)
        assert stage.runner.all() == []

    play(tmp_path, story)


def test_arguments_another_version_wrote_fail_the_task_and_not_the_daemon(tmp_path: Path) -> None:
    state = State(tmp_path)
    Table(state).add("walk", {"pace": 1}, 1)
    state.close()

    async def story(stage: Stage) -> None:
        value = await stage.ended(1)
        assert (value["state"], value["error"]["text"]) == ("failed", "walk takes no argument 'pace'")

    play(tmp_path, story)


def test_too_many_that_wait_are_refused(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for _ in range(MAX_WAITING + 1):
            stage.runner.add("walk", {})
        with pytest.raises(ControlError, match="wait for their turn") as caught:
            stage.runner.add("walk", {})
        assert caught.value.code == "too_many_tasks"

    play(tmp_path, story)


def test_there_is_none_of_that_number(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for act in (stage.runner.one, stage.runner.cancel, stage.runner.resume):
            with pytest.raises(ControlError, match="no task 7"):
                act(7)

    play(tmp_path, story)


def test_a_full_disk_is_logged_once_and_the_task_goes_on_and_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(taskrunner, "RETRY_EVERY", 0.001)

    async def story(stage: Stage) -> None:
        stage.runner.add("walk", {})
        stage.state.execute("PRAGMA max_page_count = 1")  # SQLite's own way to a full disk; never below what is used
        stage.weight = "x" * 100_000
        stage.gate.set()
        assert (await stage.ended(1))["state"] == "done"
        await stage.until(lambda: stage.runner._retrying)  # and again, while it is full
        kept = stage.table.load(1)
        assert kept and kept.state is TaskState.RUNNING
        stage.state.execute("PRAGMA max_page_count = 1000000")
        await stage.until(lambda: (now := stage.table.load(1)) and now.state is TaskState.DONE)
        assert not stage.runner._held

    with caplog.at_level(logging.INFO):
        play(tmp_path, story)
    assert sum("is not written" in record.message for record in caplog.records) == 1
    assert sum("is written again" in record.message for record in caplog.records) == 1


def test_a_task_that_cannot_be_written_down_does_not_begin(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.state.execute("PRAGMA query_only = ON")
        with pytest.raises(Exception, match="readonly"):
            stage.runner.add("walk", {})
        assert stage.runner.all() == [] and not stage.runner._held

    play(tmp_path, story)


def test_a_table_that_cannot_be_read_keeps_nobody_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    number = leave(tmp_path, "walk")
    state = State(tmp_path)
    state.execute("UPDATE tasks SET history = 'no JSON'")
    state.close()

    async def story(stage: Stage) -> None:
        stage.gate.set()
        assert (await stage.ended(stage.runner.add("walk", {})["id"]))["id"] == number + 1

    play(tmp_path, story)
    assert "long jobs are not taken up" in caplog.text


def test_every_kind_there_is_can_be_shown_and_found_by_its_name() -> None:
    assert set(KINDS) == {"replay", "migrate", "erase", "retention", "restore"}
    for name, kind in KINDS.items():
        assert kind.name == name and kind.help and all(arg.help for arg in kind.args)
