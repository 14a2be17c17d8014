"""stack.book: one task a container, on disk, held by one command at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trackflowd import config
from trackflowd.errors import ControlError, StackError
from trackflowd.stack import book
from trackflowd.stack.book import Book
from trackflowd.stack.phase import Phase, Verdict
from trackflowd.state import State
from trackflowd.taskrunner import Runner
from trackflowd.tasks import Table, TaskState


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (Phase.PULLING, TaskState.RUNNING),
        (Phase.STARTING, TaskState.RUNNING),
        (Phase.HEALTHY, TaskState.RUNNING),
        (Phase.FAILED, TaskState.FAILED),
        (Phase.STOPPED, TaskState.DONE),
    ],
)
def test_a_phase_is_a_state_of_the_task_and_outlives_the_book(tmp_path: Path, phase: Phase, state: TaskState) -> None:
    with Book(tmp_path, "s") as records:
        made = records.record("one", "image")
        assert (made.phase, made.task.state) == (Phase.PENDING, TaskState.PENDING)
        assert made.become(Verdict(phase, "why", "do"), 5)
        records.save(made)
    with Book(tmp_path, "s") as records:
        (kept,) = records.records()
        assert (kept.name, kept.phase, kept.task.state) == ("one", phase, state)
        assert kept.task.history[-1] == (5, f"{phase}: why")
        assert (kept.task.error, kept.task.hint) == (("why", "do") if phase is Phase.FAILED else ("", ""))
        assert (kept.task.ended_ms is not None) == state.ended


def test_the_same_verdict_again_changes_nothing(tmp_path: Path) -> None:
    with Book(tmp_path, "s") as records:
        made = records.record("one", "image")
        made.become(Verdict(Phase.FAILED, "why", "do"), 5)
        assert not made.become(Verdict(Phase.FAILED), 6)
        assert made.task.error == "why"
        made.become(Verdict(Phase.HEALTHY, "healthy"), 7)
        assert (made.task.error, made.task.history[-1]) == ("", (7, "healthy"))


def test_a_container_has_one_record_of_its_stack(tmp_path: Path) -> None:
    with Book(tmp_path, "s") as records:
        first = records.record("one", "image").task.id
        again = records.record("one", "another")
        assert (again.task.id, again.task.args["image"]) == (first, "another")
        records.record("two", "image")
    with Book(tmp_path, "t") as other:
        assert other.records() == []
        assert other.record("one", "image").task.id != first
    assert [row["args"]["stack"] for row in book.read(tmp_path)] == ["t", "s", "s"]


def test_two_commands_do_not_hold_it_at_once_and_who_looks_may(tmp_path: Path) -> None:
    with Book(tmp_path, "s") as records:
        records.record("one", "image")
        with pytest.raises(StackError, match="another `trackflow stack` is at work"):
            Book(tmp_path, "s")
        assert [row["phase"] for row in book.read(tmp_path)] == ["pending"]
    with Book(tmp_path, "s"):
        pass


def test_nothing_is_read_where_nothing_was_written(tmp_path: Path) -> None:
    assert book.read(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


async def nobody(name: str, timeout: float, /, **args: Any) -> Any:
    raise AssertionError("no flusher here")


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """The daemon's own tasks, one of which waits, in the data directory the stack belongs to."""
    state = State(tmp_path)
    Table(state).add("of a later version", {}, 1)
    made = Runner(Table(state), {}, nobody, config.load(None, [f"daemon.data_dir={tmp_path}"], {}))
    made.start()
    yield made
    made.stop()
    state.close()


def test_a_daemon_lists_containers_beside_its_own_tasks_and_leaves_them_alone(tmp_path: Path, runner: Runner) -> None:
    with Book(book.place(tmp_path), "s") as records:
        made = records.record("clickhouse", "image")
        made.become(Verdict(Phase.HEALTHY, "healthy"), 5)
        records.save(made)
        container, own = runner.all()  # also while a command holds them
    assert (own["id"], container["id"]) == (1, book.FIRST)
    assert (container["kind"], container["phase"], container["state"]) == ("container", "healthy", "running")
    assert runner.one(book.FIRST)["history"][-1] == {"at_ms": 5, "text": "healthy"}
    for refused in (runner.cancel, runner.resume):
        with pytest.raises(ControlError, match="is a container of the stack"):
            refused(book.FIRST)
    with pytest.raises(ControlError, match="there is no task"):
        runner.one(book.FIRST + 1)


def test_a_stack_that_cannot_be_read_hides_no_task(
    tmp_path: Path, runner: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    book.place(tmp_path).mkdir()
    (book.place(tmp_path) / "state.sqlite").write_bytes(b"no database" * 1000)
    assert [task["id"] for task in runner.all()] == [1]
    assert "containers of the stack are not listed" in caplog.text
