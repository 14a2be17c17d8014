"""Long jobs as rows: what one is, and the table of them in ``state.sqlite``.

::

    pending ──▶ running ──▶ done
       │           ├──────▶ failed
       ├───────────┼──────▶ cancelled       by hand
       │           └──────▶ interrupted     the daemon ended under one that cannot go on
       ▲                        │
       └────────────────────────┘  by hand, also from failed and cancelled; by itself from running, when
                                   the daemon ended under one that can go on

``taskrunner`` is who moves them along these arrows. A row of a kind this version does not know (it
was made by a later one) is read like any other and left as it is.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackflowd.errors import DataDirError
from trackflowd.state import State
from trackflowd.state import peek as peek_rows

#: Ended tasks that are kept: months of them, and a table that is read whole in a millisecond.
KEEP = 200
#: Events of a task's history that are kept, newest last, and the longest text of one, in characters.
MAX_HISTORY = 50
MAX_TEXT = 500

_NAMES = (
    *("id", "kind", "args", "state", "cancel", "created_ms", "started_ms", "ended_ms"),
    *("progress", "checkpoint", "history", "result", "error", "hint"),
)
_COLUMNS = ", ".join(_NAMES)
_MARKS = ", ".join("?" * len(_NAMES))


class TaskState(enum.StrEnum):
    """How far a task is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Nothing more happens by itself."""
        return self not in (TaskState.PENDING, TaskState.RUNNING)


@dataclass(slots=True)
class Progress:
    """How much is done.

    Args:
        done, total: in ``unit``; total 0: not known yet.
        unit: plural noun: "batches".
        text: what it is doing or waiting for now, for a person; may be empty.
    """

    done: int = 0
    total: int = 0
    unit: str = ""
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"done": self.done, "total": self.total, "unit": self.unit, "text": self.text}


@dataclass(slots=True)
class Task:
    """One long job.

    Args:
        id: its number; grows.
        kind: name of its kind, perhaps one this version does not know.
        args: its arguments, as its kind takes them.
        state: see ``TaskState``.
        created_ms, started_ms, ended_ms: ms since 1970 UTC; started is the first start; None: not yet.
        cancel: it was asked to end and has not yet.
        progress: as last told.
        checkpoint: what its kind needs to go on, JSON; None: nothing is done yet.
        history: (ms since 1970 UTC, text), oldest first.
        result: what came of it, once it is done.
        error, hint: why it failed or was interrupted, and what to do.
    """

    id: int
    kind: str
    args: Mapping[str, Any]
    created_ms: int
    state: TaskState = TaskState.PENDING
    started_ms: int | None = None
    ended_ms: int | None = None
    cancel: bool = False
    progress: Progress = field(default_factory=Progress)
    checkpoint: Any = None
    history: list[tuple[int, str]] = field(default_factory=list)
    result: Mapping[str, Any] | None = None
    error: str = ""
    hint: str = ""

    def note(self, at_ms: int, text: str) -> None:
        """Add to its history; the oldest go when there are too many."""
        self.history.append((at_ms, text[:MAX_TEXT]))
        del self.history[:-MAX_HISTORY]

    def brief(self) -> dict[str, Any]:
        """As the list of tasks shows it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "args": dict(self.args),
            "state": str(self.state),
            "cancelling": self.cancel,
            "created_ms": self.created_ms,
            "started_ms": self.started_ms,
            "ended_ms": self.ended_ms,
            "progress": self.progress.as_dict(),
            "result": self.result,
            "error": {"text": self.error, "hint": self.hint} if self.error else None,
        }

    def whole(self) -> dict[str, Any]:
        """Everything, as ``trackflow tasks show`` has it."""
        history = [{"at_ms": at_ms, "text": text} for at_ms, text in self.history]
        return {**self.brief(), "checkpoint": self.checkpoint, "history": history}


class Table:
    """The tasks on disk. What is written is there after a kill.

    Args:
        state: the opened database.

    Every method raises DataDirError when the disk refuses or the file is damaged.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, kind: str, args: Mapping[str, Any], now_ms: int, number: int | None = None) -> Task:
        """A new pending task. Numbers are never given twice: the newest row is never removed.

        Args:
            number: its own, which no other has; None: the next.
        """
        task = Task(0, kind, args, now_ms)
        sql = f"INSERT INTO tasks ({_COLUMNS}) VALUES ({_MARKS}) RETURNING id"
        ((task.id,),) = self._state.execute(sql, (number, *_values(task)[1:]))  # NULL: the next
        return task

    def save(self, task: Task) -> None:
        """Write a task over its row."""
        self._state.execute(f"INSERT OR REPLACE INTO tasks ({_COLUMNS}) VALUES ({_MARKS})", _values(task))

    def load(self, number: int) -> Task | None:
        """One task; None: there is none of this number, or no more."""
        rows = self._state.execute(f"SELECT {_COLUMNS} FROM tasks WHERE id = ?", (number,))
        return _task(rows[0]) if rows else None

    def all(self) -> Sequence[Task]:
        """Every task there is, newest first."""
        return [_task(row) for row in self._state.execute(f"SELECT {_COLUMNS} FROM tasks ORDER BY id DESC")]

    def unfinished(self) -> Sequence[Task]:
        """Tasks that are pending or running, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM tasks WHERE state IN ('pending', 'running') ORDER BY id"
        return [_task(row) for row in self._state.execute(sql)]

    def trim(self) -> None:
        """Remove the oldest ended tasks, so that ``KEEP`` stay."""
        self._state.execute(
            "DELETE FROM tasks WHERE state NOT IN ('pending', 'running') AND id <= ("
            "SELECT id FROM tasks WHERE state NOT IN ('pending', 'running') ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (KEEP,),
        )


def peek(path: Path, kind: str) -> Sequence[Task]:
    """Tasks of a kind in a database that others write to, newest first; none where there is no file.

    Raises:
        DataDirError: it cannot be read, at least not now.
    """
    if not path.exists():
        return []
    rows = map(_task, peek_rows(path, f"SELECT {_COLUMNS} FROM tasks ORDER BY id DESC"))
    return [task for task in rows if task.kind == kind]


def _values(task: Task) -> tuple[Any, ...]:
    """A task as its row, in the order of ``_COLUMNS``."""
    return (
        task.id,
        task.kind,
        json.dumps(task.args),
        str(task.state),
        int(task.cancel),
        task.created_ms,
        task.started_ms,
        task.ended_ms,
        json.dumps(task.progress.as_dict()),
        json.dumps(task.checkpoint),
        json.dumps(task.history),
        json.dumps(task.result),
        task.error,
        task.hint,
    )


def _task(row: Sequence[Any]) -> Task:
    number, kind, args, state, cancel, created_ms, started_ms, ended_ms, *texts, error, hint = row
    try:
        progress, checkpoint, history, result = map(json.loads, texts)
        return Task(
            id=number,
            kind=kind,
            args=json.loads(args),
            created_ms=created_ms,
            state=TaskState(state),
            started_ms=started_ms,
            ended_ms=ended_ms,
            cancel=bool(cancel),
            progress=Progress(**progress),
            checkpoint=checkpoint,
            history=[(at_ms, text) for at_ms, text in history],
            result=result,
            error=error,
            hint=hint,
        )
    except (ValueError, TypeError) as damage:
        hint = f"remove it while the daemon is stopped: sqlite3 state.sqlite 'DELETE FROM tasks WHERE id = {number}'"
        raise DataDirError(f"state.sqlite: task {number} cannot be read: {damage}", hint) from damage
