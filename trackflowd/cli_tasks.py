"""``trackflow tasks``: the long jobs of the daemon, looked at, followed, ended, taken up again."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, bar, clean, count, duration, fit, pad, say, table, to_json
from trackflowd.cli_tools import data_dir
from trackflowd.client import Client
from trackflowd.errors import ControlError
from trackflowd.stack import book

TaskDict = Mapping[str, Any]

#: Seconds between two looks at a task that is followed.
LOOK_EVERY = 0.25
_BAR = 24
_LABEL = 12  # columns of the labels at the left
#: States of a task that has not ended.
UNDER_WAY = ("pending", "running")
#: Exit code of who left a task running by Ctrl-C.
LEFT = 130


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    tasks = commands.group(
        "tasks",
        "the long jobs of the daemon: replays, erasures, restores, moves to another store",
        "trackflow tasks list\ntrackflow tasks show 7 --watch\ntrackflow tasks cancel 7",
    )
    listed = tasks.add(
        "list", "the long jobs, newest first", _list, "trackflow tasks list\ntrackflow tasks list --json"
    )
    show = tasks.add(
        "show",
        "everything of one long job: arguments, progress, history, result",
        _show,
        "trackflow tasks show 7\ntrackflow tasks show 7 --watch\ntrackflow tasks show 7 --json | jq .result",
    )
    show.add_argument("--watch", action="store_true", help="follow it until it ends; Ctrl-C leaves it running")
    cancel = tasks.add(
        "cancel",
        "have a long job end after its present step",
        _cancel,
        "trackflow tasks cancel 7",
    )
    resume = tasks.add(
        "resume",
        "have a long job that failed, was cancelled or interrupted go on where it was",
        _resume,
        "trackflow tasks resume 7\ntrackflow tasks resume 7 && trackflow tasks show 7 --watch",
    )
    for parser in (show, cancel, resume):
        parser.add_argument("id", metavar="ID", type=_number, help="its number; `trackflow tasks list` shows them")
    for parser in (listed, show, cancel, resume):
        parser.add_argument("--json", action="store_true", help="as JSON")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**53):
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a task")
    return int(text)


# ------------------------------------------------------------------- commands


def _list(args: argparse.Namespace) -> int:
    tasks = _all(args)
    if args.json:
        say(to_json(tasks, 2))
    elif not tasks:
        say("no long job so far; `trackflow replay --help` starts one")
    else:
        style = Style.of(sys.stdout)
        head, *rows = table(
            [_row(task, style) for task in tasks], ("id", "kind", "state", "asked for", "took", ""), (0, 4)
        )
        say("\n".join([style.dim(head), *rows]))
    return 0


def _all(args: argparse.Namespace) -> Sequence[TaskDict]:
    """The daemon's, with those of a Docker stack beside it; without a daemon those of the stack."""
    try:
        with connect(args) as client:
            tasks: Sequence[TaskDict] = client.call("tasks")
            return tasks
    except ControlError as error:
        containers = book.read(book.place(data_dir(args.data_dir, os.environ)))
        if error.code != ControlError.code or not containers:
            raise
        print("no daemon answers: the containers of the stack alone, as written down last", file=sys.stderr)
        return containers


def _row(task: TaskDict, style: Style) -> list[str]:
    error = task.get("error") or {}
    return [
        str(task["id"]),
        kind_text(task),
        state_text(task, style),
        moment(task["created_ms"]),
        duration(took) if (took := _took(task)) is not None else "",
        fit(clean(error.get("text") or _amount(task)), 60),
    ]


def _took(task: TaskDict) -> float | None:
    if not task["started_ms"]:
        return None
    until: int = task["ended_ms"] or time.time_ns() // 1_000_000
    return max(until - int(task["started_ms"]), 0) / 1000


def _show(args: argparse.Namespace) -> int:
    with connect(args) as client:
        task: TaskDict = client.call("task", id=args.id)
        if args.watch and task["state"] in UNDER_WAY:
            followed = follow(client, args.id, args.json)
            if followed is None:
                return left_running(args.id)
            task = followed
    say(to_json(task, None if args.watch else 2) if args.json else "\n".join(lines(task, Style.of(sys.stdout))))
    return 0


def _cancel(args: argparse.Namespace) -> int:
    with connect(args) as client:
        task: TaskDict = client.call("task_cancel", id=args.id)
    if args.json:
        say(to_json(task, 2))
    elif task["cancelling"]:
        say(f"task {args.id} ends after its present step: trackflow tasks show {args.id}")
    else:
        say(f"task {args.id} is {task['state']}")
    return 0


def _resume(args: argparse.Namespace) -> int:
    with connect(args) as client:
        task: TaskDict = client.call("task_resume", id=args.id)
    if args.json:
        say(to_json(task, 2))
    elif task["state"] == "pending":
        say(f"task {args.id} goes on when it is its turn: trackflow tasks show {args.id} --watch")
    else:
        say(f"task {args.id} goes on: trackflow tasks show {args.id} --watch")
    return 0


# --------------------------------------------------------------------- follow


def follow(client: Client, number: int, as_json: bool = False) -> TaskDict | None:
    """Show a task's progress until it ends; the task, or None: Ctrl-C.

    Args:
        client: a connection.
        number: the task's.
        as_json: a line of JSON on standard output at each change, instead of a bar on standard error.

    Raises:
        ControlError: the daemon went away, with a hint that the task goes on.
    """
    meter = Meter(sys.stderr)
    shown = ""
    try:
        while True:
            task: TaskDict = client.call("task", id=number)
            if task["state"] not in UNDER_WAY:
                return task
            if not as_json:
                meter.draw(task, time.monotonic())
            elif (line := to_json(task)) != shown:
                shown = line
                say(line)
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        return None
    except ControlError as error:
        if error.code == ControlError.code:
            error.hint = f"the task goes on once the daemon runs again: trackflow tasks show {number}"
        raise
    finally:
        meter.clear()


def left_running(number: int) -> int:
    """Say that a followed task goes on without us; the exit code of Ctrl-C."""
    print(f"still runs: trackflow tasks show {number}; to end it: trackflow tasks cancel {number}", file=sys.stderr)
    return LEFT


def is_done(task: TaskDict) -> bool:
    """Whether a task that has ended did what it was to do."""
    return bool(task["state"] == "done")


def see_through(
    client: Client,
    task: TaskDict,
    args: argparse.Namespace,
    told: Callable[[TaskDict, Style], list[str]],
    good: Callable[[TaskDict], bool] = is_done,
) -> int:
    """Follow a task that was just begun, and say what came of it; the exit code.

    Args:
        client: a connection.
        task: as the daemon answered.
        args: with ``detach``, not to wait for its end, and ``json``.
        told: lines for people of what came of it.
        good: whether the exit code is 0.

    Raises:
        ControlError: as ``follow``.
    """
    number = task["id"]
    if args.detach:
        say(to_json(task, 2) if args.json else f"task {number} is begun: trackflow tasks show {number} --watch")
        return 0
    ended = follow(client, number)
    if ended is None:
        return left_running(number)
    say(to_json(ended, 2) if args.json else "\n".join(told(ended, Style.of(sys.stdout))))
    return 0 if good(ended) else 1


def unfinished(task: TaskDict, style: Style) -> list[str]:
    """Why a task that has ended has no result, and how it goes on."""
    number, error = task["id"], task["error"] or {}
    text = ": ".join(part for part in (f"task {number} {clean(task['state'])}", clean(error.get("text", ""))) if part)
    resume = f"to go on with it: trackflow tasks resume {number}"
    hint = clean(error.get("hint", ""))
    return [style.bad(text), *([hint] if hint and hint != resume else []), resume]


class Meter:
    """Progress as one line that is written over; silent where there is no terminal.

    Args:
        stream: where to.
        columns: of the terminal.
    """

    def __init__(self, stream: TextIO, columns: Callable[[], int] = lambda: shutil.get_terminal_size().columns) -> None:
        self._stream = stream
        self._style = Style.of(stream)
        self._on = stream.isatty()
        self._columns = columns
        self._first: tuple[float, int] | None = None

    def draw(self, task: TaskDict, now: float) -> None:
        """Show where the task is.

        Args:
            now: monotonic clock, s.
        """
        if not self._on:
            return
        text = fit(self.text(task, now), max(self._columns() - 1, 1))
        self._stream.write(f"\r{text}\x1b[K")
        self._stream.flush()

    def text(self, task: TaskDict, now: float) -> str:
        """The line: kind, bar, share, amount, time left, what it waits for."""
        progress = task["progress"]
        done, total = progress["done"], progress["total"]
        parts = [_amount(task)] if total else []
        if task["state"] == "pending":
            parts.append("waits for its turn")
        elif self._first is None or done < self._first[1]:
            self._first = (now, done)  # what an earlier run or phase did says nothing of today's pace
        elif total and done > self._first[1]:
            pace = (now - self._first[0]) / (done - self._first[1])
            parts.append(f"about {duration((total - done) * pace)} left")
        if progress["text"]:
            parts.append(clean(progress["text"]))
        share = min(done / total, 1.0) if total else 0.0
        drawn = pad(bar(share, _BAR), _BAR).replace(" ", "·") if total else ""
        return " ".join(part for part in (clean(task["kind"]), drawn, f"{share:4.0%}" if total else "") if part) + (
            "  " + " · ".join(parts) if parts else ""
        )

    def clear(self) -> None:
        """Remove the line."""
        if self._on:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


# ---------------------------------------------------------------------- texts


def lines(task: TaskDict, style: Style) -> list[str]:
    """Everything of a task, line by line."""
    rows = [
        ("task", f"{task['id']}  {style.name(kind_text(task))}  {state_text(task, style)}"),
        ("arguments", _fields(task["args"])),
        ("progress", " · ".join(part for part in (_amount(task), clean(task["progress"]["text"])) if part)),
        *(
            (label, moment(task[key]))
            for label, key in (("asked for", "created_ms"), ("began", "started_ms"), ("ended", "ended_ms"))
            if task[key]
        ),
    ]
    if task["result"]:
        rows.append(("result", _fields(task["result"])))
    if error := task["error"]:
        rows.append(("error", style.bad(clean(error["text"]))))
        rows.append(("", clean(error["hint"])))
    for index, event in enumerate(task["history"]):
        rows.append(("" if index else "history", f"{moment(event['at_ms'])}  {clean(event['text'])}"))
    return [style.dim(label.ljust(_LABEL)) + text for label, text in rows if text]


def kind_text(task: TaskDict) -> str:
    """A task's kind, and which container it is."""
    return clean(f"{task['kind']} {task['args']['name']}" if "phase" in task else task["kind"])


def state_text(task: TaskDict, style: Style) -> str:
    """A task's state as people read it."""
    state = clean(task.get("phase") or task["state"])
    if not task["known"]:
        return style.odd(f"{state} (a kind this version does not know)")
    if task["cancelling"]:
        return style.odd("ending")
    paint = {
        "done": style.good,
        "healthy": style.good,
        "failed": style.bad,
        "interrupted": style.bad,
        "cancelled": style.odd,
    }
    return paint.get(state, style.bold)(state)


def moment(at_ms: int) -> str:
    """A time as 2026-11-24 12:00:05, in the zone of who looks."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _amount(task: TaskDict) -> str:
    progress = task["progress"]
    if not progress["total"]:
        return ""
    return f"{count(progress['done'])} of {count(progress['total'])} {clean(progress['unit'])}"


def _fields(values: Mapping[str, Any]) -> str:
    shown = {key: moment(value) if key.endswith("_ms") and value else value for key, value in values.items()}
    return ", ".join(
        f"{clean(key)} {clean(to_json(value) if isinstance(value, list | dict | bool) else value)}"
        for key, value in shown.items()
        if value not in ([], {})
    )
