"""The daemon as a unit of the service manager: ready, its status in a line, alive, reloading, stopping.

``READY=1`` is sent once a worker takes events: from then on each is answered and kept, whatever the store does.

``WATCHDOG=1`` is a sign of work, not of being there: it is sent at the end of the supervisor's tick, so a supervisor
that hangs sends none, and only while each child works or is being replaced. That a child works is its heartbeat: a
worker's is written by the loop that answers, the flusher's by the loop that cuts while its sender does not hang either.
One that falls silent is killed and replaced by the supervisor (``fleet``), and the service manager need not know; where
that does not come about within ``fleet.STUCK``, it gets no sign, ends the daemon and starts another.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trackflowd.fleet import Phase
from trackflowd.notify import MAX_STATUS, Notifier

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

log = logging.getLogger(__name__)

#: Seconds the service manager is asked to wait beyond what a drain may take: for last kills, and to close the state.
STOP_EXTRA = 10.0
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
        self._stuck: list[str] = []

    def tick(self, now: float) -> None:
        """Say what is new (``now``: monotonic seconds)."""
        daemon, say = self._daemon, self._notifier.say
        if not self._ready and any(seat.phase is Phase.READY for seat in daemon.crew.workers):
            self._ready = say(
                "READY=1", f"MAINPID={os.getpid()}", self._status(now)
            )  # else at the next tick: all depends on it
        if daemon.stopping and not self._stopping:
            usec = int((daemon.cfg.daemon.drain_timeout + STOP_EXTRA) * 1e6)
            self._stopping = say("STOPPING=1", f"EXTEND_TIMEOUT_USEC={usec}", self._status(now))
        if daemon.health.cause != self._reason or now - self._told_at >= STATUS_EVERY:
            say(self._status(now))
        every = self._notifier.watchdog / 3
        if every and now - self._beat_at >= every and self._moves(now):
            self._beat_at = now
            say("WATCHDOG=1")

    def _moves(self, now: float) -> bool:
        stuck = [seat.name for seat in self._daemon.crew.seats if seat.stuck(now)]
        if stuck and stuck != self._stuck:
            log.error("%s: neither works nor can be replaced: the service manager gets no sign of life until it does",
                      ", ".join(stuck))  # fmt: skip
        self._stuck = stuck
        return not stuck

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """While this lasts, options are read again."""
        if self._ready and not self._daemon.stopping:
            # By the time (CLOCK_MONOTONIC, µs) the service manager tells whether this answers a reload it has ordered.
            self._notifier.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if self._ready and not self._daemon.stopping:
                self._notifier.say("READY=1")

    def close(self) -> None:
        """Say nothing any more."""
        self._notifier.close()

    def _status(self, now: float) -> str:
        daemon = self._daemon
        self._reason, self._told_at = daemon.health.cause, now
        rate = f"{daemon.rates.per_second('events_accepted') or 0:,.0f} events/s"
        text = f"ready: {rate}" if daemon.health.ready else f"not ready: {daemon.health.reason}; {rate}"
        return f"STATUS={text[:MAX_STATUS]}"
