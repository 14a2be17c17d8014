"""What is known of the stack's containers: one task each, in a ``state.sqlite`` of the stack's own directory.

The rows are those of ``tasks``, of the kind "container", so that whoever reads tasks reads these: the phase and the
engine's id are the checkpoint, pulling, starting and healthy are "running", stopped is "done". The directory is the
stack's alone, and one command at a time has it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from trackflowd.errors import DataDirError, StackError
from trackflowd.stack.phase import Phase, Verdict
from trackflowd.state import State
from trackflowd.tasks import Table, Task, TaskState, peek

KIND = "container"
#: Numbers of their tasks begin here: the daemon lists them among its own.
FIRST = 1_000_001
_STATES = {
    Phase.PENDING: TaskState.PENDING,
    Phase.PULLING: TaskState.RUNNING,
    Phase.STARTING: TaskState.RUNNING,
    Phase.HEALTHY: TaskState.RUNNING,
    Phase.FAILED: TaskState.FAILED,
    Phase.STOPPED: TaskState.DONE,
}


class Record:
    """One container's task.

    Args:
        task: the row.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    @property
    def phase(self) -> Phase:
        """How far it is, as written down last."""
        return Phase(self.task.checkpoint["phase"])

    @property
    def name(self) -> str:
        """The container's, in its stack file."""
        return str(self.task.args["name"])

    def become(self, verdict: Verdict, now_ms: int) -> bool:
        """Take over a verdict; whether anything changed."""
        task = self.task
        if verdict.phase is self.phase and not verdict.text:
            return False
        task.state = _STATES[verdict.phase]
        task.checkpoint = {"phase": str(verdict.phase)}
        task.started_ms = task.started_ms or (now_ms if task.state is TaskState.RUNNING else None)
        task.ended_ms = now_ms if task.state.ended else None
        failed = verdict.phase is Phase.FAILED
        task.error = verdict.text or task.error if failed else ""
        task.hint = verdict.hint or task.hint if failed else ""
        task.progress.text = ""
        if verdict.text:
            task.note(
                now_ms, f"{verdict.phase}: {verdict.text}" if str(verdict.phase) != verdict.text else verdict.text
            )
        return True


class Book:
    """The records of a stack, held by one command at a time.

    Args:
        directory: the stack's; made where it is missing.
        stack: its name.

    Raises:
        StackError: another command has it.
        DataDirError: the disk refuses or the file is damaged.
    """

    def __init__(self, directory: Path, stack: str) -> None:
        self._stack = stack
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(f"{directory}: {error.strerror}", "name another directory with --data-dir") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._state = State(directory)
        except BlockingIOError as error:
            os.close(self._lock)
            text = f"another `trackflow stack` is at work in {directory}"
            raise StackError(text, "wait until it has ended; `trackflow stack status` only looks") from error
        except BaseException:
            os.close(self._lock)
            raise
        self._table = Table(self._state)

    def __enter__(self) -> Book:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._state.close()
        os.close(self._lock)

    def records(self) -> Sequence[Record]:
        """Every container of this stack that was ever meant, in the order they came."""
        rows = [task for task in self._table.all() if task.kind == KIND and task.args["stack"] == self._stack]
        return [Record(task) for task in reversed(rows)]

    def record(self, name: str, image: str) -> Record:
        """A container's, a new one where there is none yet."""
        for known in self.records():
            if known.name == name:
                known.task.args = {**known.task.args, "image": image}
                return known
        number = None if self._table.all() else FIRST
        task = self._table.add(KIND, {"stack": self._stack, "name": name, "image": image}, now_ms(), number)
        task.checkpoint = {"phase": str(Phase.PENDING)}
        task.note(task.created_ms, "asked for")
        self._table.save(task)
        return Record(task)

    def save(self, record: Record) -> None:
        """Write a record down."""
        self._table.save(record.task)


def place(data_dir: Path) -> Path:
    """The directory of the stacks that belong to a data directory."""
    return data_dir / "stack"


def read(directory: Path) -> Sequence[Mapping[str, Any]]:
    """Containers of every stack of a directory as ``trackflow tasks`` has them, newest first, as written down last.

    Raises:
        DataDirError: it cannot be read, at least not now.
    """
    return [shown(task) for task in peek(directory / "state.sqlite", KIND)]


def shown(task: Task) -> dict[str, Any]:
    """A container's task as JSON has it: everything, its phase beside the state."""
    return {**task.whole(), "phase": task.checkpoint["phase"], "known": True}


def now_ms() -> int:
    """Wall clock, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000
