"""The daemon as a unit of the service manager: ready, its status in a line, alive, stopping.

``READY=1`` is sent once a worker takes events: from then on each is answered and kept, whatever the store does.
``WATCHDOG=1`` is a sign of work, not of being there: it is sent from the supervisor's tick, so a supervisor that hangs
sends none, and only while no child is silent for twice the time after which it should have been replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trackflowd.fleet import START_PATIENCE, Phase, Seat
from trackflowd.notify import MAX_STATUS, Notifier

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

#: Seconds between two status lines that differ in figures alone.
STATUS_EVERY = 10.0


class Unit:
    """The office of the supervisor that does it.

    Args:
        daemon: told of.
        notifier: the way to the service manager.
    """

    def __init__(self, daemon: Supervisor, notifier: Notifier) -> None:
        self._daemon = daemon
        self._notifier = notifier
        self._ready = self._stopping = False
        self._reason: str | None = None
        self._told_at = self._beat_at = 0.0

    def tick(self, now: float) -> None:
        """Say what is new (``now``: monotonic seconds)."""
        daemon, say = self._daemon, self._notifier.say
        if not self._ready and any(seat.phase is Phase.READY for seat in daemon.crew.workers):
            self._ready = say("READY=1", self._status(now))  # else at the next tick: all depends on it
        if daemon.stopping and not self._stopping:
            self._stopping = say("STOPPING=1", self._status(now))
        if daemon.health.cause != self._reason or now - self._told_at >= STATUS_EVERY:
            say(self._status(now))
        every = self._notifier.watchdog / 3
        if every and now - self._beat_at >= every and moving(daemon.crew.seats, daemon.cfg.daemon.stall_after):
            self._beat_at = now
            say("WATCHDOG=1")

    def close(self) -> None:
        """Say nothing any more."""
        self._notifier.close()

    def _status(self, now: float) -> str:
        daemon = self._daemon
        self._reason, self._told_at = daemon.health.cause, now
        rate = f"{daemon.rates.per_second('events_accepted') or 0:,.0f} events/s"
        text = f"ready: {rate}" if daemon.health.ready else f"not ready: {daemon.health.reason}; {rate}"
        return f"STATUS={text[:MAX_STATUS]}"


def moving(seats: Iterable[Seat], patience: float) -> bool:
    """Whether every child works, or is being replaced in time.

    Args:
        seats: of the crew.
        patience: ``daemon.stall_after``, s.
    """
    return all(seat.silence <= 2 * max(patience, START_PATIENCE[seat.role]) for seat in seats)
