"""What the body of a long job is given, and what a kind of long job is.

A kind is a row of ``taskkinds.KINDS``. Its body is one coroutine that is given a ``Job``: it asks
the flusher through it, tells its progress, saves a checkpoint after each step, and returns its result::

    async def body(job: Job) -> Mapping[str, Any]:
        done = job.checkpoint or 0
        for number in range(done, job.args["steps"]):
            await job.ask_flusher("step", 60.0, number=number)
            job.progress(number + 1, job.args["steps"], "steps")
            job.save(number + 1)
        return {"steps": job.args["steps"]}

A step must be idempotent: after a kill the body is called again with the last checkpoint that
reached the disk, and does the step after it once more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trackflowd.config import Config
from trackflowd.errors import TrackflowError
from trackflowd.proto.command_table import Arg
from trackflowd.tasks import Progress, Task

#: Codes of errors that pass by themselves: the flusher is being restarted, the store is away.
PASSING = frozenset({"unavailable", "store_away", "store_doubt"})
#: Seconds between two tries of what passes by itself: from the first, doubled, to the second.
FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0
#: Seconds of waiting from which on the history speaks of it: every start of the daemon takes a part of one.
NOTE_AFTER = 1.0
#: Seconds between two checkpoints that are not urgent. One is a transaction in SQLite: some fsyncs.
SAVE_EVERY = 1.0

Ask = Callable[..., Awaitable[Any]]


class Cancelled(Exception):
    """Raised in a body that was asked to end; it lets it pass."""


class Job:
    """What the body of a kind is given.

    Args:
        task: itself.
        args: its arguments, checked.
        cfg: in effect.
        ask: calls the flusher.
        save: writes the task down.

    Attributes:
        checkpoint: what was saved last, by this run or an earlier one; None: begin at the beginning.
    """

    def __init__(
        self, task: Task, args: Mapping[str, Any], cfg: Config, ask: Ask, save: Callable[[Task], None]
    ) -> None:
        self._task = task
        self.args = args
        self.cfg = cfg
        self.checkpoint = task.checkpoint
        self._ask = ask
        self._save = save
        self._saved = time.monotonic()
        self._cancel = asyncio.Event()

    @property
    def number(self) -> int:
        """Of the task."""
        return self._task.id

    def waits(self, reason: str) -> None:
        """Tell people what it waits for, until the next progress."""
        progress = self._task.progress
        self._task.progress = Progress(progress.done, progress.total, progress.unit, f"waits: {reason}")

    def cancel(self) -> None:
        """Have it end after its present step."""
        self._cancel.set()

    def check(self) -> None:
        """Return if it is to go on.

        Raises:
            Cancelled: it is not.
        """
        if self._cancel.is_set():
            raise Cancelled

    def progress(self, done: int, total: int, unit: str, text: str = "") -> None:
        """Tell how much is done; people see it at once, the disk with the next checkpoint."""
        self._task.progress = Progress(done, total, unit, text)

    def note(self, text: str) -> None:
        """Add an event to the history; the disk sees it with the next checkpoint."""
        self._task.note(now_ms(), text)

    def save(self, checkpoint: Any, urgent: bool = True) -> None:
        """Save what is needed to go on from here, with progress and history.

        Args:
            checkpoint: any JSON, not changed afterwards; small, it is written whole each time.
            urgent: it must be on the disk now; else it may wait ``SAVE_EVERY`` seconds for the next,
                and after a kill the steps since are done again.
        """
        self.checkpoint = self._task.checkpoint = checkpoint
        now = time.monotonic()
        if urgent or now - self._saved >= SAVE_EVERY:
            self._saved = now
            self._save(self._task)

    async def ask_flusher(self, name: str, timeout: float, /, **args: Any) -> Any:
        """Call the flusher; while it is being restarted or the store is away, wait and call again.

        Args:
            timeout: s, of each try.

        Raises:
            Cancelled: it was asked to end before a try, or between two.
            TrackflowError: an error that does not pass by itself.
        """
        wait, waited, noted = FIRST_WAIT, 0.0, False
        progress = self._task.progress
        while True:
            self.check()
            try:
                answer = await self._ask(name, timeout, **args)
            except TrackflowError as error:
                if error.code not in PASSING:
                    raise
                if waited >= NOTE_AFTER and not noted:
                    self.note(f"waits: {error.text}")
                    noted = True
                self.waits(error.text)
                await self.pause(wait)
                waited += wait
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            self._task.progress = progress
            if noted:
                self.note("goes on")
            return answer

    async def pause(self, seconds: float) -> None:
        """Wait, no longer than until it is asked to end."""
        try:
            await asyncio.wait_for(self._cancel.wait(), seconds)
        except TimeoutError:
            pass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of long job.

    Args:
        name: as ``trackflow tasks`` shows it.
        help: one line.
        args: its arguments; no others are taken.
        resumes: after a kill it can go on from its checkpoint.
        body: does it; see there.
        secret: arguments that are urls with passwords; nobody is shown those.
    """

    name: str
    help: str
    args: tuple[Arg, ...]
    resumes: bool
    body: Callable[[Job], Awaitable[Mapping[str, Any]]]
    secret: frozenset[str] = frozenset()


def now_ms() -> int:
    """Wall clock, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000
