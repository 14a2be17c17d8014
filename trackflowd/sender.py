"""The thread that speaks to the store: one job at a time, so that a slow store keeps nobody else waiting.

::

    flusher's loop ──submit(job, done)──▶ sender's thread ──▶ store
                   ◀──deliver() runs done(answer)──────────

Jobs run here, everything else (journal, rings, what follows from an answer) in the flusher's loop,
which calls ``deliver``. So nothing but the two queues is shared. A job breathes between two calls to
the store; a sender that has not breathed for long is stuck, and the flusher with it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")

Job = Callable[[], Any]
Done = Callable[[Any, Exception | None], None]


class Sender:
    """The thread.

    Args:
        wake: called, in that thread, when there is something to deliver.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._jobs: queue.SimpleQueue[tuple[Job, Done] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Done, Any, BaseException | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._waiting = 0
        self._breathed = 0.0

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, job: Callable[[], Answer], done: Callable[[Answer, Exception | None], None]) -> None:
        """Have a job done.

        Args:
            job: run in the sender's thread; may raise.
            done: called by ``deliver`` with its answer, or with None and what it raised.
        """
        if not self._waiting:
            self.breathe()
        self._waiting += 1
        self._jobs.put((job, done))

    def deliver(self) -> bool:
        """Hand over the answers that have come; whether there were any."""
        delivered = False
        while not self._answers.empty():
            done, answer, error = self._answers.get()
            self._waiting -= 1
            delivered = True
            if error is not None and not isinstance(error, Exception):
                raise error  # the end of the process, whichever thread it came up in
            done(answer, error)
        return delivered

    @property
    def idle(self) -> bool:
        """Nothing is under way and nothing waits to be delivered."""
        return not self._waiting

    def breathe(self) -> None:
        """Still going."""
        self._breathed = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since the job under way last breathed; 0 without one."""
        return time.monotonic() - self._breathed if self._waiting else 0.0

    def stop(self, last: Callable[[], None], patience: float) -> None:
        """End after the jobs that were submitted.

        Args:
            last: done at the very end, in the thread that did the others.
            patience: seconds to wait for it; a job that hangs ends with the process.
        """
        if not self._thread.is_alive():
            last()
            return
        self._jobs.put((last, lambda answer, error: None))
        self._jobs.put(None)
        self._thread.join(patience)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            self.breathe()
            answer, failure = None, None
            try:
                answer = job()
            except BaseException as error:
                failure = error
            self._answers.put((done, answer, failure))
            self._wake()
