"""Group commit: a thread that keeps a ring's ``synced`` word, for durability "disk".

::

    worker's loop   append, publish, wake ─┐            ┌─▶ told: answer all up to synced
    syncer's thread                        └▶ note the head, fdatasync, store synced

One sync serves everybody who published before it began; who publishes during it is served by the
next. The call is ``os.fdatasync``, which lets go of the GIL (``mmap.flush`` holds it for all of its
time) and covers what was stored through the map.

An error is final. Linux marks the pages it could not write as clean and says so once: a second sync
would succeed without the data (PostgreSQL's fsync panic of 2018). So the ring is marked as failed, by
one store, and ends there: at ``synced``, or at the head that was there when this writer took it over,
whichever is further. What the writer before left unsynced may have been answered for, under
durability "process"; what came since was not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from trackflowd.ring.file import RingFile


def fdatasync(fd: int) -> None:
    """Return when the disk has all that was stored into a file; OSError: it may not. The seam for tests."""
    os.fdatasync(fd)


class Syncer:
    """Syncs one ring until it is stopped or the disk refuses.

    Args:
        ring: locked and mapped by this process; must outlive the thread.
        tell: called in the thread whenever ``synced`` or ``error`` has changed.

    Attributes:
        synced: position up to which the disk has everything.
        error: why the ring has failed; None while it has not. Written once, after the last change of ``synced``.
    """

    def __init__(self, ring: RingFile, tell: Callable[[], object]) -> None:
        self._ring = ring
        self._tell = tell
        self._inherited = ring.writer.head
        self.synced = ring.synced
        self.error: OSError | None = None
        self._wanted = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="syncer", daemon=True)

    def start(self) -> None:
        """Begin; what the writer before left unsynced is synced at once."""
        self._wanted.set()
        self._thread.start()

    def wake(self) -> None:
        """Something was published: sync it, now or right after the sync that is under way."""
        self._wanted.set()

    def stop(self) -> None:
        """Sync what is published, then end the thread; wait for that."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while self.error is None:
            self._wanted.wait()
            self._wanted.clear()  # before the head is read: what is published later sets it again
            stopping = self._stopping
            head = self._ring.writer.head
            if head > self.synced:
                self._sync(head)
            if stopping:
                return

    def _sync(self, head: int) -> None:
        try:
            fdatasync(self._ring.fileno())
        except OSError as error:
            self._ring.store_failed(max(self.synced, self._inherited))
            self.error = error
        else:
            self._ring.store_synced(head)
            self.synced = head
        self._tell()
