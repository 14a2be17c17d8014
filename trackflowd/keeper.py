"""A worker's ring: opened, looked after, and under durability "disk" synced and failed over.

When the disk refuses a sync (``ring.syncer``) the ring is given up: it ends where it was synced, the
flusher drains it to there and removes it, whoever waited for more is answered 503, and a fresh file
takes its place. That file is made in a thread, for it is written whole and synced; until it is there
everything is answered 503. A disk that refuses each ring gets one a second, no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from trackflowd.deferred import DeferredDoor, DeferredHall
from trackflowd.door import Door
from trackflowd.hall import Hall
from trackflowd.intake import Intake
from trackflowd.ring import file
from trackflowd.ring.syncer import Syncer
from trackflowd.ring.writer import Writer
from trackflowd.sections import Http

log = logging.getLogger(__name__)

#: Seconds a ring has to last for the next to be made at once.
LASTS = 1.0

CallSoon = Callable[[Callable[[], None]], object]


class Keeper:
    """The ring of a worker slot, under durability "process".

    Args:
        rings: directory.
        slot: worker slot.
        size: bytes of data.

    Attributes:
        ring: the one in use; None while there is none.
        failed: rings given up.

    Raises:
        RingError, DataDirError: see ``file.open_for_writer``.
    """

    def __init__(self, rings: Path, slot: int, size: int) -> None:
        self._place = (rings, slot, size)
        self.ring: file.RingFile | None = file.open_for_writer(rings, slot, size)
        self.failed = 0

    @property
    def writer(self) -> Writer:
        """Of the ring; there is one at the start."""
        assert self.ring is not None
        return self.ring.writer

    def hall(self, http: Http, intake: Intake, now: float) -> Hall:
        """The hall for connections whose rows go into this ring; called once."""
        self._intake = intake
        return Hall(http, intake, now)

    def door(self, hall: Hall, call_soon: CallSoon) -> Door:
        """A new connection of the hall."""
        return Door(hall, call_soon)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; the worker's loop runs."""

    def each_second(self) -> None:
        """Look after the ring."""
        ring, intake = self.ring, self._intake
        if ring and not intake.ring_failed and not ring.still_there():
            intake.ring_failed = True
            log.error("%s is gone or was changed by another hand: nothing is accepted any more", ring.path.name)

    async def close(self) -> None:
        """Let go of the ring."""
        if self.ring:
            self.ring.close()
            self.ring = None


class SyncedKeeper(Keeper):
    """The same under durability "disk"."""

    def __init__(self, rings: Path, slot: int, size: int) -> None:
        super().__init__(rings, slot, size)
        assert self.ring is not None
        self._syncer = Syncer(self.ring, self._tell)
        self._making: asyncio.Future[file.RingFile] | None = None
        self._trouble = ""
        self._since = 0.0

    def hall(self, http: Http, intake: Intake, now: float) -> Hall:
        """The hall for connections whose rows go into this ring; called once."""
        self._intake = intake
        self._hall = DeferredHall(http, intake, now, self._syncer)
        return self._hall

    def door(self, hall: Hall, call_soon: CallSoon) -> Door:
        """A new connection of the hall."""
        return DeferredDoor(self._hall, call_soon)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; the worker's loop runs."""
        self._loop = loop
        self._since = loop.time()
        self._syncer.start()

    def each_second(self) -> None:
        """Look after the ring; try for a fresh one where there is none."""
        super().each_second()
        if self.ring is None and self._making is None:
            self._make()

    async def close(self) -> None:
        """Sync what is published, let go of the ring."""
        if self._making:
            await asyncio.wait([self._making])
        if self.ring:
            self._syncer.stop()
        await super().close()

    def _tell(self) -> None:
        """Called in the syncer's thread."""
        try:
            self._loop.call_soon_threadsafe(self._synced)
        except RuntimeError as error:  # the loop is closed: nobody is owed anything any more
            log.debug("a sync that nobody waits for: %s", error)

    def _synced(self) -> None:
        self._hall.settle()
        if self._syncer.error is not None and self.ring is not None:
            self._give_up(self.ring, self._syncer.error)

    def _give_up(self, ring: file.RingFile, error: OSError) -> None:
        self._intake.ring_failed = True
        self.failed += 1
        owed = self._hall.owed_answers
        self._hall.refuse()
        log.error("ring %s has failed and ends at %d: the disk refused a sync (%s); %d requests that waited for it "
                  "were answered 503, what was answered before is kept",
                  ring.path.name, self._syncer.synced, error.strerror, owed)  # fmt: skip
        self._syncer.stop()
        ring.close()
        self.ring = None
        if self._loop.time() - self._since >= LASTS:
            self._make()

    def _make(self) -> None:
        self._making = self._loop.run_in_executor(None, file.create, *self._place)
        self._making.add_done_callback(self._made)

    def _made(self, making: asyncio.Future[file.RingFile]) -> None:
        self._making = None
        error = making.exception()
        if error is not None:
            if str(error) != self._trouble:  # said once, tried each second
                self._trouble = str(error)
                log.error("no fresh ring, everything is answered 503 until there is one: %s", error)
            return
        self.ring = making.result()
        self._trouble = ""
        self._since = self._loop.time()
        self._syncer = self._hall.syncer = Syncer(self.ring, self._tell)
        self._syncer.start()
        self._intake.use(self.ring.writer)
        log.warning("goes on in a fresh ring, %s", self.ring.path.name)
