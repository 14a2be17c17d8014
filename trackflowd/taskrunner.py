"""Runs the long jobs: one of a kind at a time, over kills of the flusher and of the daemon.

What is pending or running lives here in memory and is written to the table at each change. A disk
that refuses such a write stops nothing: it is logged, and tried again until it is written. Killed
before that, the job goes on from an older checkpoint at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trackflowd.config import Config
from trackflowd.errors import ControlError, DataDirError, TrackflowError
from trackflowd.job import Ask, Cancelled, Job, Kind, now_ms
from trackflowd.proto.control import read_args
from trackflowd.sink.base import masked
from trackflowd.stack import book
from trackflowd.tasks import Table, Task, TaskState

log = logging.getLogger(__name__)

#: Tasks that may wait for their turn; more is a script gone wrong.
MAX_WAITING = 20
#: Seconds between two tries of a write the disk refused.
RETRY_EVERY = 5.0


class Runner:
    """The office of the supervisor that holds the long jobs. All of it runs in the supervisor's loop.

    Args:
        table: where they are kept.
        kinds: by name.
        ask: calls the flusher (``Crew.ask_flusher``).
        cfg: in effect.
    """

    def __init__(self, table: Table, kinds: Mapping[str, Kind], ask: Ask, cfg: Config) -> None:
        self._table = table
        self._kinds = kinds
        self._ask = ask
        self._cfg = cfg
        #: Tasks whose truth is here: pending, running, or ended and not yet written.
        self._held: dict[int, Task] = {}
        self._unsaved: set[int] = set()
        self._jobs: dict[int, Job] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._retrying: asyncio.TimerHandle | None = None
        self._open = False

    # ---------------------------------------------------------- begin and end

    def start(self) -> None:
        """Take up what the daemon before left: what ran goes on, or is marked as interrupted."""
        self._open = True
        try:
            left = self._table.unfinished()
        except DataDirError as error:
            log.error("long jobs are not taken up: %s", error)
            return
        for task in left:
            if task.kind not in self._kinds:
                log.warning("task %d is of a kind this version does not know: %r; left as it is", task.id, task.kind)
                continue
            self._held[task.id] = task
            if task.state is TaskState.RUNNING:
                self._take_up(task)
        self._start_next()

    def _take_up(self, task: Task) -> None:
        if task.cancel:
            self._end(task, TaskState.CANCELLED, "cancelled: the daemon ended before it did")
        elif self._kinds[task.kind].resumes:
            task.state = TaskState.PENDING
            task.note(now_ms(), "taken up again: the daemon had ended under it")
            log.info("task %d (%s) goes on", task.id, task.kind)
            self._save(task)
        else:
            task.error = f"the daemon ended under it, and a {task.kind} cannot go on in the middle"
            task.hint = f"start the {task.kind} again"
            self._end(task, TaskState.INTERRUPTED, "interrupted: the daemon had ended under it")

    def stop(self) -> None:
        """Leave running tasks where they are; the next start goes on with them. From now on none begins."""
        if not self._open:
            return
        self._open = False
        if self._retrying is not None:
            self._retrying.cancel()
        for work in self._running.values():
            work.cancel()
        for task in list(self._held.values()):
            if task.state is TaskState.RUNNING:
                task.note(now_ms(), "the daemon stops; its next start goes on from here")
                self._save(task)
            elif task.id in self._unsaved:
                self._save(task)

    # -------------------------------------------------------------- questions

    def all(self) -> Sequence[dict[str, Any]]:
        """Every task, newest first, without history and checkpoint; those of a Docker stack beside us before them."""
        own = [self._said(task, task.brief()) for task in map(self._truth, self._table.all())]
        return [*self._containers(), *own]

    def one(self, number: int) -> dict[str, Any]:
        """Everything of one task.

        Raises:
            ControlError: ``no_task``: there is none of this number.
        """
        for container in self._containers() if number >= book.FIRST else ():
            if container["id"] == number:
                return container
        task = self._find(number)
        return self._said(task, task.whole())

    def _containers(self) -> Sequence[dict[str, Any]]:
        """Those of a Docker stack beside us, as it wrote them down; its own commands move them along."""
        try:
            return [dict(row) for row in book.read(book.place(Path(self._cfg.daemon.data_dir)))]
        except DataDirError as error:
            log.warning("containers of the stack are not listed: %s", error)
            return []

    def _said(self, task: Task, value: dict[str, Any]) -> dict[str, Any]:
        secret = self._kinds[task.kind].secret if task.kind in self._kinds else ()
        args = {name: masked(arg) if name in secret else arg for name, arg in value["args"].items()}
        return {**value, "args": args, "known": task.kind in self._kinds}

    def _truth(self, task: Task) -> Task:
        return self._held.get(task.id, task)

    def _find(self, number: int) -> Task:
        task = self._held.get(number) or self._table.load(number)
        if task is None and any(row["id"] == number for row in self._containers()):
            text = f"task {number} is a container of the stack"
            raise _error("task_state", text, "`trackflow stack up`, `down` and `rm` move it along")
        if task is None:
            raise _error("no_task", f"there is no task {number}", "`trackflow tasks list` shows those there are")
        return task

    # ---------------------------------------------------------------- actions

    def take(self, cfg: Config) -> None:
        """Take on options that have changed, for tasks that begin from now on."""
        self._cfg = cfg

    def add(self, kind: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """A new task; it begins when no other of its kind runs.

        Raises:
            BadRequest: the arguments are not its kind's.
            ControlError: too many wait, or the daemon is stopping.
            DataDirError: it cannot be written down, so it does not begin.
        """
        self._check_open()
        checked = read_args(kind, self._kinds[kind].args, dict(args))
        waiting = sum(task.state is TaskState.PENDING for task in self._held.values())
        if waiting >= MAX_WAITING:
            raise _error("too_many_tasks", f"{waiting} tasks wait for their turn", "see `trackflow tasks list`")
        task = self._table.add(kind, checked, now_ms())
        self._held[task.id] = task
        task.note(task.created_ms, "asked for")
        self._start_next()
        if task.state is TaskState.PENDING:
            self._save(task)
        self._trim()
        return self.one(task.id)

    def cancel(self, number: int) -> dict[str, Any]:
        """Have a task end: at once where it waits, after its present step where it runs.

        Raises:
            ControlError: there is none, it has ended, or this version does not know its kind.
        """
        self._check_open()
        task = self._find(number)
        self._check_known(task)
        if task.state.ended:
            raise _error("task_state", f"task {number} has ended: it is {task.state}")
        if task.state is TaskState.PENDING:
            self._end(task, TaskState.CANCELLED, "cancelled before it began" if not task.started_ms else "cancelled")
        elif not task.cancel:
            task.cancel = True
            task.note(now_ms(), "asked to end")
            self._save(task)
            if job := self._jobs.get(number):  # else it has not begun yet, and sees it when it does
                job.cancel()
        return self.one(number)

    def resume(self, number: int) -> dict[str, Any]:
        """Have an ended task go on from its checkpoint.

        Raises:
            ControlError: there is none, it is done or has not ended, or its kind cannot.
        """
        self._check_open()
        task = self._find(number)
        self._check_known(task)
        if not task.state.ended:
            raise _error("task_state", f"task {number} has not ended: it is {task.state}")
        if task.state is TaskState.DONE:
            raise _error("task_state", f"task {number} is done", f"start a new {task.kind}")
        if not self._kinds[task.kind].resumes:
            raise _error("task_state", f"a {task.kind} cannot go on in the middle", f"start the {task.kind} again")
        task.state, task.ended_ms, task.error, task.hint = TaskState.PENDING, None, "", ""
        task.note(now_ms(), "resumed by hand")
        self._held[number] = task
        self._save(task)
        self._start_next()
        return self.one(number)

    def _check_open(self) -> None:
        if not self._open:
            raise _error("stopping", "the daemon is stopping", "try again after its next start")

    def _check_known(self, task: Task) -> None:
        if task.kind not in self._kinds:
            text = f"task {task.id} is a {task.kind!r}, which this version does not know"
            raise _error("unknown_kind", text, "use the version that made it")

    # ---------------------------------------------------------------- running

    def _start_next(self) -> None:
        """Begin what waits and may begin, oldest first."""
        for task in sorted(self._held.values(), key=lambda task: task.id):
            if self._open and task.state is TaskState.PENDING and task.kind not in self._running:
                task.state = TaskState.RUNNING
                task.started_ms = task.started_ms or now_ms()
                task.note(now_ms(), "begins" if task.checkpoint is None else "goes on from its checkpoint")
                self._save(task)
                self._running[task.kind] = asyncio.get_running_loop().create_task(self._run(task))

    async def _run(self, task: Task) -> None:
        kind = self._kinds[task.kind]
        try:
            job = Job(task, read_args(kind.name, kind.args, task.args), self._cfg, self._ask, self._save)
            self._jobs[task.id] = job
            if task.cancel:
                job.cancel()
            task.result = dict(await kind.body(job))
            self._end(task, TaskState.DONE, "done")
        except Cancelled:
            self._end(task, TaskState.CANCELLED, "cancelled")
        except TrackflowError as error:
            self._fail(task, error.text, error.hint or f"to go on with it: trackflow tasks resume {task.id}")
        except Exception as error:
            log.exception("task %d (%s)", task.id, task.kind)
            self._fail(task, f"{type(error).__name__}: {error}", "this is a bug; the daemon's log has more")
        finally:
            self._jobs.pop(task.id, None)
            self._running.pop(task.kind, None)
        self._start_next()

    def _fail(self, task: Task, text: str, hint: str) -> None:
        log.error("task %d (%s) failed: %s", task.id, task.kind, text)
        task.error, task.hint = text, hint
        self._end(task, TaskState.FAILED, f"failed: {text}")

    def _end(self, task: Task, state: TaskState, text: str) -> None:
        task.state, task.cancel, task.ended_ms = state, False, now_ms()
        task.progress.text = ""
        task.note(task.ended_ms, text)
        log.info("task %d (%s): %s", task.id, task.kind, text)
        self._save(task)

    # ---------------------------------------------------------------- writing

    def _save(self, task: Task) -> None:
        """Write a task down, now or as soon as the disk lets us."""
        try:
            self._table.save(task)
        except DataDirError as error:
            if not self._unsaved:
                log.error("the state of task %d is not written, and tried again until it is: %s", task.id, error)
            self._unsaved.add(task.id)
            if self._open and self._retrying is None:
                self._retrying = asyncio.get_running_loop().call_later(RETRY_EVERY, self._retry)
            return
        if self._unsaved:
            self._unsaved.discard(task.id)
            if not self._unsaved:
                log.info("the state of every task is written again")
        if task.state.ended:
            self._held.pop(task.id, None)

    def _retry(self) -> None:
        self._retrying = None
        for number in sorted(self._unsaved):
            self._save(self._held[number])

    def _trim(self) -> None:
        try:
            self._table.trim()
        except DataDirError as error:
            log.warning("old tasks are not removed: %s", error)


def _error(code: str, text: str, hint: str = "") -> ControlError:
    error = ControlError(text, hint)
    error.code = code
    return error
