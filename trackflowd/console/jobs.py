"""The tab Tasks: the long jobs, one of them with progress and history; ended, and taken up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trackflowd import cli_tasks
from trackflowd.cli_text import Style, count, duration
from trackflowd.console.charts import gauge
from trackflowd.console.dialog import Question, refused
from trackflowd.console.lines import Line, Segment, pad, table, title, wrap
from trackflowd.console.tab import WHEEL, Answer, Desk, Key, Tab
from trackflowd.errors import TrackflowError

Task = Mapping[str, Any]

#: Seconds between two looks.
EVERY = 1.0
_PLAIN = Style(False)
_LABEL = 12  # columns of the labels of ``cli_tasks.lines``
_STATE = {
    "done": "good",
    "healthy": "good",
    "failed": "bad",
    "interrupted": "bad",
    "cancelled": "odd",
    "running": "bold",
}
_UNDER_WAY = ("pending", "running")


class Tasks(Tab):
    """See above."""

    name = "Tasks"
    keys = (
        Key("up", "↑ ↓", "select", "select a task"),
        Key("c", "c", "cancel", "have the selected task end after its present step"),
        Key("r", "r", "resume", "have the selected task go on where it was"),
    )

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._tasks: Sequence[Task] | None = None
        self._one: Task | None = None
        self._selected: int | None = None
        self._error: TrackflowError | None = None
        self._asking = False
        self._due = 0.0

    def show(self) -> None:
        self._due = 0.0

    def tick(self, now: float) -> bool:
        if not self._asking and now >= self._due and self.desk.know.told is None:
            self._asking = True
            self._due = now + EVERY
            self.desk.ask("tasks", self._take)
        return False

    def _take(self, answer: Answer) -> None:
        self._asking = False
        self._error = answer.error
        if answer.error is not None:
            return
        self._tasks = answer.value or ()
        numbers = [task["id"] for task in self._tasks]
        if self._selected not in numbers:
            self._selected = numbers[0] if numbers else None
        if self._selected is not None:
            self.desk.ask("task", self._take_one, id=self._selected)

    def _take_one(self, answer: Answer) -> None:
        if answer.error is None:
            self._one = answer.value

    @property
    def waits(self) -> bool:
        return self._error is None and (self._tasks is None or (bool(self._tasks) and self._one is None))

    # --------------------------------------------------------------------- keys

    def press(self, key: str) -> bool:
        by = {"up": -1, "down": 1, "page up": -10, "page down": 10, "home": -1000, "end": 1000, "wheel up": -WHEEL,
              "wheel down": WHEEL}.get(key)  # fmt: skip
        if by is not None:
            self._move(by)
        elif key in ("c", "r"):
            self._change("cancel" if key == "c" else "resume")
        else:
            return False
        return True

    def click(self, does: str) -> None:
        self._select(int(does.removeprefix("task ")))

    def _move(self, by: int) -> None:
        numbers = [task["id"] for task in self._tasks or ()]
        if numbers:
            at = numbers.index(self._selected) if self._selected in numbers else 0
            self._select(numbers[min(max(at + by, 0), len(numbers) - 1)])

    def _select(self, number: int) -> None:
        if number != self._selected:
            self._selected = number
            self._one = None
            self.desk.ask("task", self._take_one, id=number)

    def _change(self, verb: str) -> None:
        task = self._task()
        if task is None:
            self.desk.say("there is no task to do that to", "odd")
            return
        number = task["id"]
        text = {
            "cancel": "It ends after its present step, and can be resumed later.",
            "resume": "It goes on from its last checkpoint.",
        }[verb]

        def then(answer: Answer) -> None:
            if answer.error is not None:
                self.desk.open(refused(f"Task {number}: not done", answer.error))
            else:
                ends = verb == "cancel"
                self.desk.say(f"task {number} {'ends after its present step' if ends else 'goes on'}", "good")
            self._due = 0.0

        self.desk.open(
            Question(f"{verb.capitalize()} task {number}, {task['kind']}?", text, verb.capitalize(),
                     lambda: self.desk.act(f"task_{verb}", then, id=number))
        )  # fmt: skip

    def _task(self) -> Task | None:
        return next((task for task in self._tasks or () if task["id"] == self._selected), None)

    # ------------------------------------------------------------------ drawing

    def draw(self, columns: int, rows: int, now: float) -> list[Line]:
        if self._error is not None:
            return [*wrap(self._error.text, columns, "bad"), *wrap(self._error.hint, columns, "dim")]
        if self._tasks is None:
            return [[Segment("asking …", "dim")]]
        if not self._tasks:
            about = "no tasks: replays (Y), erasures and moves to another store are listed here once there are any"
            return [[Segment("Tasks", "title")], [], *wrap(about, columns, "dim")]
        upper = min(len(self._tasks) + 2, max(rows // 2, 5))
        drawn = [title("Tasks", columns, f"{len(self._tasks)}, newest first"), *self._list(columns, upper - 1, now), []]
        return [*drawn, *self._details(columns, now)][:rows]

    def _list(self, columns: int, rows: int, now: float) -> list[Line]:
        tasks = self._tasks or ()
        at = next((index for index, task in enumerate(tasks) if task["id"] == self._selected), 0)
        first = max(min(at - (rows - 1) // 2, len(tasks) - (rows - 1)), 0)
        shown = tasks[first : first + rows - 1]
        head = ("id", "kind", "state", "asked for", "took", "progress")
        head_line, *lines = table([_row(task, now) for task in shown], head, (0,), columns, 5)
        drawn: list[Line] = [head_line]
        for task, line in zip(shown, lines, strict=True):
            attr = "select" if task["id"] == self._selected else ""
            drawn.append([piece._replace(attr=attr or piece.attr, does=f"task {task['id']}") for piece in line])
        return drawn

    def _details(self, columns: int, now: float) -> list[Line]:
        task = self._one
        if task is None or task["id"] != self._selected:
            return [title("Task", columns)]
        drawn: list[Line] = [title(f"Task {task['id']}", columns, str(task["kind"]))]
        progress = task["progress"]
        if task["state"] in _UNDER_WAY and progress["total"]:
            share = min(progress["done"] / progress["total"], 1.0)
            wide = max(min(columns - _LABEL - 8, 60), 8)
            drawn.append([Segment(" " * _LABEL), *gauge(share, wide, "chart"), Segment(f" {share:.0%}", "bold")])
        for line in cli_tasks.lines(task, _PLAIN)[1:]:
            label, text = line[:_LABEL], line[_LABEL:]
            for number, row in enumerate(wrap(text, columns - _LABEL)):
                drawn.append([Segment(label if not number else " " * _LABEL, "dim"), *row])
        return drawn


def _row(task: Task, now: float) -> list[Segment]:
    state = "ending" if task["cancelling"] else str(task.get("phase") or task["state"])
    progress = task["progress"]
    told = f"{count(progress['done'])} of {count(progress['total'])} {progress['unit']}" if progress["total"] else ""
    began, ended = task["started_ms"], task["ended_ms"]
    took = duration(max((ended or now * 1000) - began, 0) / 1000) if began else "-"
    said = ": ".join(part for part in (told, str(progress["text"] or "")) if part)
    return [
        Segment(str(task["id"])),
        Segment(cli_tasks.kind_text(task), "name"),
        Segment(state, _STATE.get(state, "odd")),
        Segment(cli_tasks.moment(task["created_ms"])),
        Segment(pad(took, 9)),
        Segment(said or str((task["error"] or {}).get("text") or "")),
    ]
