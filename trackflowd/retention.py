"""Has events deleted that are older than their site wants them (``retention_days``), once a day.

::

    each day ─▶ flusher.erase_due: which sites have some ─▶ a tombstone each ─▶ long job ``retention``

A tombstone of before is taken away with the next of its site, which names all it did and more; so a site has one. What
is due is by the wall clock, which may be wrong: a day that is far ahead of the last one waits for another day of
running, in which the alert about the clock can be seen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trackflowd.errors import TrackflowError
from trackflowd.site import ANY
from trackflowd.state import DAY_MS

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

log = logging.getLogger(__name__)

#: Seconds between two looks whether there is anything to do, and from the start to the first.
EVERY = 60.0
#: Seconds to the next look where a task is at it.
SOON = 2.0
#: Seconds the store may take to say which sites have old events.
LONG = 3600.0
#: Sites of one task; others are the next one's, right after it.
SITES = 100
#: A day so many days after the last is not believed at once.
LEAP = 31
DAY = DAY_MS / 1000


class Retention:
    """The office of the supervisor.

    Args:
        daemon: its sites, tombstones, tasks, flusher.
        wall: ms since 1970 UTC.
    """

    def __init__(self, daemon: Supervisor, wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._daemon = daemon
        self._wall = wall
        self._looked, self._version = time.monotonic(), daemon.registry.version
        self._done: tuple[int, int] | None = None
        self._waits_until: float | None = None
        self._busy = False

    def due(self, now: float) -> bool:
        """Whether ``run`` is to be called: a day has begun, or a site was changed.

        Args:
            now: monotonic clock, s.
        """
        version = self._daemon.registry.version
        if self._busy or (now - self._looked < EVERY and version == self._version):
            return False
        self._looked, self._version = now, version
        return self._done != (self._wall() // DAY_MS, version)

    async def run(self) -> None:
        """Find what is due and begin to delete it."""
        self._busy = True
        try:
            day, version = self._wall() // DAY_MS, self._daemon.registry.version
            if self._rests():
                self._looked -= EVERY - SOON
                return
            if not self._believed(day) or await self._begin():
                return
            self._daemon.state.execute(
                "INSERT INTO meta VALUES ('retention_day', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (day,),
            )
            self._done = (day, version)
        except TrackflowError as error:
            log.warning("old events are not deleted, and it is tried again: %s", error)
        finally:
            self._busy = False

    async def _begin(self) -> bool:
        """Begin a task for what is due; whether there is more than one task takes."""
        daemon, now_ms = self._daemon, self._wall()
        until = {
            one.site.site: now_ms - days * DAY_MS if (days := one.site.retention_days) else None
            for one in daemon.registry.all()
        }
        if not any(until.values()):
            return False
        others = until.pop(ANY)
        ask = daemon.crew.ask_flusher
        found: dict[str, int] = await ask("erase_due", LONG, until=until, others=others, most=SITES)
        if not found:
            return False
        numbers = daemon.tombstones.retain(found)
        task = daemon.runner.add("retention", {"until": found})
        for number in numbers:
            daemon.tombstones.carried_by(number, task["id"])
        log.info("task %d deletes old events of %d sites", task["id"], len(found))
        return len(found) >= SITES

    def _rests(self) -> bool:
        """Whether a task is at it, or was and did not get through: that is left to people for a day."""
        newest = next((task for task in self._daemon.runner.all() if task["kind"] == "retention"), None)
        if newest is None or newest["state"] == "done":
            return False
        return newest["ended_ms"] is None or self._wall() - newest["ended_ms"] < DAY_MS

    def _believed(self, day: int) -> bool:
        rows = self._daemon.state.execute("SELECT value FROM meta WHERE key = 'retention_day'")
        if not rows or day - rows[0][0] <= LEAP:
            self._waits_until = None
            return True
        now = time.monotonic()
        if self._waits_until is None:
            self._waits_until = now + DAY
            log.warning(
                "the clock says that %d days have passed since old events were deleted last: if that is right, they "
                "are in a day; if not, set it", day - rows[0][0],
            )  # fmt: skip
        return now >= self._waits_until
