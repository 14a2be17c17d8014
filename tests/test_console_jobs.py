"""console.jobs: the long jobs, one of them in detail; cancelled and resumed."""

from __future__ import annotations

import time
from typing import Any

from tests.console_values import Answers, attr_of, desk, screen
from tests.task_values import at, task
from trackflowd.console.desk import Console

TASKS = [
    task(12, "running", progress=at(3, 5, "waits for the store"), ended_ms=None),
    task(9, "failed", error={"text": "no such table", "hint": "migrate"}),
    task(7),
]


def one(id: int) -> dict[str, Any]:
    return next(found for found in TASKS if found["id"] == id)


def jobs(**values: Any) -> tuple[Console, Answers]:
    answers = Answers(**{"tasks": TASKS, "task": one, **values})
    console = desk(answers, tab="tasks")
    console.tick(time.monotonic())
    answers.settle()
    return console, answers


def test_the_newest_is_selected_and_shown_with_progress_and_history() -> None:
    console, _ = jobs()
    shown = "\n".join(screen(console))
    for text in ("12  replay", "running", "3 of 5 batches", "60%", "waits for the store", "history", "begins"):
        assert text in shown, text
    assert attr_of(console.draw(80, 24), "running") == "select"


def test_a_container_of_a_stack_is_shown_by_its_name_and_phase() -> None:
    row = task(1_000_001, "running", kind="container", args={"stack": "s", "name": "clickhouse"}, phase="healthy")
    console, _ = jobs(tasks=[row, task(7)], task=lambda id: row)
    assert "1000001  container clickhouse  healthy" in "\n".join(screen(console))


def test_another_is_selected_by_keys_or_by_a_click() -> None:
    console, answers = jobs()
    console.press("down")
    answers.settle()
    assert "no such table" in "\n".join(screen(console)) and "migrate" in "\n".join(screen(console))
    console.click("task 7")
    answers.settle()
    assert "─ replay" in "\n".join(screen(console)) and answers.asked[-1] == ("task", {"id": 7})


def test_a_task_is_cancelled_after_a_question() -> None:
    console, answers = jobs(task_cancel=TASKS[0])
    console.press("c")
    assert "Cancel task 12, replay?" in "\n".join(screen(console))
    assert ("task_cancel", {"id": 12}) not in answers.asked
    console.press("y")
    answers.settle()
    assert ("task_cancel", {"id": 12}) in answers.asked
    assert "task 12 ends after its present step" in "\n".join(screen(console))


def test_what_cannot_be_resumed_says_why() -> None:
    console, answers = jobs(task_resume=("task_state", "task 12 is running", "wait"))
    console.press("r")
    console.press("y")
    answers.settle()
    shown = "\n".join(screen(console))
    assert "Task 12: not done" in shown and "task 12 is running" in shown


def test_it_looks_again_after_a_second_while_it_is_shown() -> None:
    console, answers = jobs()
    before = len(answers.asked)
    console.tick(time.monotonic())
    assert len(answers.asked) == before
    console.tick(time.monotonic() + 2)
    assert answers.asked[before:] == [("tasks", {})]


def test_no_tasks_say_what_would_be_here() -> None:
    console, answers = jobs(tasks=[])
    assert "no tasks" in "\n".join(screen(console))
    console.press("c")
    assert "there is no task" in "\n".join(screen(console))
    assert not console.tab.waits and len(answers.asked) == 1


def test_of_many_the_selected_one_is_on_the_screen() -> None:
    many = [task(n) for n in range(60, 0, -1)]
    console, answers = jobs(tasks=many, task=lambda id: task(id))
    console.press("end")
    answers.settle()
    shown = screen(console)
    assert any(line.split()[:2] == ["1", "replay"] for line in shown)
    assert len(shown) == 24
