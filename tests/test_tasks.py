from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trackflowd.errors import DataDirError
from trackflowd.state import State
from trackflowd.tasks import KEEP, MAX_HISTORY, MAX_TEXT, Progress, Table, Task, TaskState


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(State(tmp_path))


def full(number: int) -> Task:
    return Task(
        id=number,
        kind="replay",
        args={"since_ms": 5, "dry_run": True},
        created_ms=100,
        state=TaskState.FAILED,
        started_ms=200,
        ended_ms=300,
        cancel=True,
        progress=Progress(3, 9, "batches", "größe"),
        checkpoint={"last": "ab", "list": [1, 2]},
        history=[(100, "asked for"), (200, "begins")],
        result={"rows": 7},
        error="no",
        hint="try",
    )


def ended(table: Table, number: int) -> None:
    for _ in range(number):
        task = table.add("replay", {}, 1)
        task.state = TaskState.DONE
        table.save(task)


def test_a_task_comes_back_as_it_was_saved_and_after_a_restart(tmp_path: Path) -> None:
    state = State(tmp_path)
    table = Table(state)
    task = full(table.add("replay", {}, 100).id)
    table.save(task)
    assert table.load(task.id) == task
    state.close()
    assert Table(State(tmp_path)).load(task.id) == task


def test_a_new_task_is_pending_and_on_the_disk(table: Table) -> None:
    task = table.add("replay", {"since_ms": 5}, 100)
    assert (task.id, task.state, task.checkpoint) == (1, TaskState.PENDING, None)
    assert table.load(1) == task
    assert table.load(2) is None


def test_the_unfinished_are_the_pending_and_the_running_oldest_first(table: Table) -> None:
    for state in TaskState:
        task = table.add("replay", {}, 1)
        task.state = state
        table.save(task)
    assert [task.state for task in table.unfinished()] == [TaskState.PENDING, TaskState.RUNNING]
    assert [task.id for task in table.all()] == [6, 5, 4, 3, 2, 1]
    assert [state for state in TaskState if not state.ended] == [TaskState.PENDING, TaskState.RUNNING]


def test_the_newest_ended_tasks_stay_and_every_one_that_has_not_ended(table: Table) -> None:
    table.add("replay", {}, 1)
    ended(table, KEEP + 3)
    table.add("replay", {}, 1)
    table.trim()
    found = [task.id for task in table.all()]
    assert found == [KEEP + 5, *range(KEEP + 4, 4, -1), 1]
    table.trim()
    assert len(table.all()) == KEEP + 2


def test_a_number_is_never_given_twice(table: Table) -> None:
    ended(table, KEEP + 1)
    table.trim()
    assert table.add("replay", {}, 1).id == KEEP + 2


def test_a_history_is_bounded_and_so_is_each_text_of_it() -> None:
    task = Task(1, "replay", {}, 1)
    for number in range(MAX_HISTORY + 10):
        task.note(number, "x" * 10_000)
    assert [at_ms for at_ms, _ in task.history] == list(range(10, MAX_HISTORY + 10))
    assert {len(text) for _, text in task.history} == {MAX_TEXT}


def test_what_people_and_scripts_get_is_json(table: Table) -> None:
    whole: dict[str, Any] = json.loads(json.dumps(full(7).whole()))
    assert whole["error"] == {"text": "no", "hint": "try"}
    assert whole["history"] == [{"at_ms": 100, "text": "asked for"}, {"at_ms": 200, "text": "begins"}]
    assert whole["progress"] == {"done": 3, "total": 9, "unit": "batches", "text": "größe"}
    assert set(whole) - set(full(7).brief()) == {"history", "checkpoint"}
    assert table.add("replay", {}, 1).brief()["error"] is None


def test_a_state_nobody_knows_cannot_be_written(tmp_path: Path) -> None:
    state = State(tmp_path)
    Table(state).add("replay", {}, 1)
    with pytest.raises(DataDirError, match="CHECK"):
        state.execute("UPDATE tasks SET state = 'asleep'")


@pytest.mark.parametrize("damage", ["history = 'no JSON'", "history = '[1]'", """progress = '{"x": 1}'"""])
def test_a_damaged_row_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    state = State(tmp_path)
    Table(state).add("replay", {}, 1)
    state.execute(f"UPDATE tasks SET {damage}")
    with pytest.raises(DataDirError, match="task 1 cannot be read") as caught:
        Table(state).all()
    state.execute(caught.value.hint.split("'")[1])
    assert Table(state).all() == []
