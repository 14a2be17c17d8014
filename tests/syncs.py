"""A disk whose syncs a test lets through, or makes fail, one by one."""

from __future__ import annotations

import errno
import os
import threading

from tests.workers import PATIENCE


class Gate:
    """Stands in for ``ring.syncer.fdatasync``.

    Attributes:
        begun: syncs that were called.
    """

    def __init__(self) -> None:
        self.begun = 0
        self._lock = threading.Condition()
        self._verdicts: list[int] = []

    def __call__(self, fd: int) -> None:
        with self._lock:
            self.begun += 1
            self._lock.notify_all()
            assert self._lock.wait_for(lambda: self._verdicts, PATIENCE), "nobody let the sync through"
            error = self._verdicts.pop(0)
        if error:
            raise OSError(error, os.strerror(error))
        os.fdatasync(fd)

    def await_sync(self, number: int) -> None:
        """Return once that many syncs were called."""
        with self._lock:
            assert self._lock.wait_for(lambda: self.begun >= number, PATIENCE), f"{self.begun} syncs"

    def let(self, *errors: int) -> None:
        """Decide the next syncs: 0 succeeds, else an errno; without any, one that succeeds."""
        with self._lock:
            self._verdicts += errors or (0,)
            self._lock.notify_all()


EIO = errno.EIO
