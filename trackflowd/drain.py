"""How the daemon ends: its stages, and what is done in each.

::

    SERVING ─begin─▶ WORKERS ──all ended──▶ FLUSHER ──all ended──▶ OVER
                        └────── the deadline has passed ──▶ KILLING ──▲

A drain lasts at most ``daemon.drain_timeout``; a second signal, or an order to stop, gives it ``HURRY`` seconds more.
What is still running then is killed, which loses nothing: every answered event is in a ring or the spool, and the
next start stores it.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Sequence

from trackflowd.crew import Crew
from trackflowd.listeners import Listeners
from trackflowd.ringview import RingFill
from trackflowd.spool import Room

log = logging.getLogger(__name__)

#: Exit codes of a daemon that ran: everything that was answered 2xx is stored; some of it waits in
#: rings or spool for the next start. What keeps it from starting is raised and gets the tool's code, 1.
STORED = 0
LEFT = 3

#: Seconds a drain has left after the second signal.
HURRY = 1.0
#: Part of ``daemon.drain_timeout`` the workers may use; the flusher has the rest.
WORKERS_SHARE = 0.5


class Stage(enum.IntEnum):
    """How far the daemon is; it only grows."""

    SERVING = 0
    WORKERS = 1
    FLUSHER = 2
    KILLING = 3
    OVER = 4


class Drain:
    """The end of the daemon.

    Args:
        crew: ended.
        listeners: closed, once nobody takes connections any more.
    """

    def __init__(self, crew: Crew, listeners: Listeners) -> None:
        self.stage = Stage.SERVING
        self._crew = crew
        self._listeners = listeners
        self._deadline = 0.0
        self._workers_deadline = 0.0

    def begin(self, why: str, seconds: float) -> bool:
        """Begin to stop, within so many seconds; False: that has begun already."""
        if self.stage is not Stage.SERVING:
            log.info("%s: hurrying; what is not stored in %g s stays in rings and spool", why, HURRY)
            return False
        log.info("%s: draining, for at most %g s", why, seconds)
        self.stage = Stage.WORKERS
        now = time.monotonic()
        self._deadline = now + seconds
        self._workers_deadline = now + seconds * WORKERS_SHARE
        return True

    def hurry(self) -> None:
        """Take no longer than ``HURRY`` seconds from now on."""
        self._deadline = min(self._deadline, time.monotonic() + HURRY)

    def step(self) -> None:
        """Go on as far as it can go now."""
        now, crew = time.monotonic(), self._crew
        if self.stage is Stage.WORKERS:
            crew.retire("worker")
            if not crew.accepting():
                self._listeners.close()  # what nobody would accept any more is better refused than left hanging
            if now >= self._workers_deadline:
                crew.kill("worker")
            if crew.gone("worker"):
                self._listeners.close()
                self.stage = Stage.FLUSHER
        if self.stage is Stage.FLUSHER:
            crew.retire("flusher")
            if crew.gone("flusher"):
                self.stage = Stage.OVER
        if self.stage < Stage.KILLING and now >= self._deadline:
            self.stage = Stage.KILLING
            crew.stop_replacing()
            crew.kill("worker")
            crew.kill("flusher")
        if self.stage is Stage.KILLING and crew.empty:
            self.stage = Stage.OVER


def verdict(rings: Sequence[RingFill], room: Room) -> int:
    """Say what is left where, and the exit code for it.

    Args:
        rings: as they are at the end.
        room: of the spool.
    """
    left = [ring for ring in rings if ring.used or ring.damage]
    if not left and not room.segments:
        log.info("stopped: everything that was answered is stored")
        return STORED
    size = sum(ring.used for ring in left)
    log.warning("stopped: %d bytes of events stay in %d rings and %d segments in the spool (%d bytes); "
                "the next start stores them", size, len(left), room.segments, room.used)  # fmt: skip
    return LEFT
