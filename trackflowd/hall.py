"""What the connections of a worker share: options, memory, deadlines, and the answers of a turn of the loop."""

from __future__ import annotations

import logging
from collections import Counter
from time import monotonic_ns
from typing import TYPE_CHECKING

from trackflowd.deadlines import Wheel
from trackflowd.errors import Refused
from trackflowd.histogram import GRAIN, Grains
from trackflowd.intake import Intake
from trackflowd.proto.heads import Heads
from trackflowd.proto.http import Limits
from trackflowd.proto.refusals import refused
from trackflowd.sections import Http

if TYPE_CHECKING:
    from trackflowd.door import Door

log = logging.getLogger(__name__)


class Hall:
    """What the connections of a worker share.

    Args:
        http: the options.
        intake: answers requests.
        now: monotonic seconds.
    """

    def __init__(self, http: Http, intake: Intake, now: float) -> None:
        self.http = http
        self.intake = intake
        self.limits = Limits(http.max_head, http.max_url, http.max_body)
        self.heads = Heads()
        self.proxied_heads = Heads(proxied=True)
        self.wheel: Wheel[Door] = Wheel(now)
        self.doors: set[Door] = set()
        self.by_address: Counter[str] = Counter()
        self.draining = False
        #: A drain has begun, and who comes has until ``door.LAST_CALL`` to ask; a worker that retires only drains.
        self.leaving = False
        #: Answers to what was taken in this turn of the event loop; ``send`` empties it.
        self.outbox: list[tuple[Door, bytes]] = []
        #: Of what the intake counted: answers, and rows, that wait for the disk (``deferred``).
        self.owed_answers = self.owed_events = 0
        self.inflight = self.bytes_in = self.bytes_out = self.total = self.turned_away = self.late = self.errors = 0
        #: How long requests took, from when (monotonic, ns) the first of their turn was read.
        self.took, self.begun = Grains(int), 0
        self._now = now
        self._error_logged = -60.0
        self.tick(now)

    def take(self, http: Http) -> None:
        """Take on the options, also for connections that are there (but whose word is trusted is settled for these)."""
        self.http = http
        self.idle_until = self._now + http.idle_timeout  # not at the next tick: who comes before would keep the old one
        self.limits = Limits(http.max_head, http.max_url, http.max_body)
        self.heads.forget()
        self.proxied_heads.forget()
        for door in self.doors:
            door.use(self.limits)

    def tick(self, now: float) -> None:
        """Take the time (monotonic seconds), and end what is past its deadline."""
        self._now = now
        self.idle_until = now + self.http.idle_timeout
        self.send()
        for door in self.wheel.expire(now):
            door.expired()

    def send(self) -> None:
        """Make everything taken in this turn of the loop part of the ring, then answer it.

        Once a turn instead of once a read: one head store for all connections that had something,
        and the code that reads and the kernel's that writes each run in a row, warm in the CPU's
        caches.
        """
        outbox = self.outbox
        if not outbox:
            return
        self.outbox = []
        try:
            self.intake.publish()
        except Exception:
            self.intake.abandon()
            self.failed()
            for door, _ in outbox:
                door.abort()
            return
        for door, answer in outbox:
            door.write(answer)
        self.took[(monotonic_ns() - self.begun) >> GRAIN] += len(outbox)

    def until(self, seconds: float) -> float:
        """The deadline so far from now."""
        return self._now + seconds

    def enter(self, door: Door) -> Refused | None:
        """A connection comes; why it cannot stay, or None."""
        self.total += 1
        self.doors.add(door)
        peer = door.peer
        if len(self.doors) > self.http.max_connections:
            return refused("too_many_connections", "this server has too many connections")
        if peer.address and not peer.trusted:
            self.by_address[peer.address] += 1
            if self.by_address[peer.address] > self.http.max_connections_per_address:
                return refused("too_many_connections", "your address has too many connections")
        return None

    def leave(self, door: Door) -> None:
        """A connection is gone."""
        self.wheel.forget(door)
        self.doors.discard(door)
        self.hold(door, 0)
        address = door.peer.address
        if address in self.by_address:
            self.by_address[address] -= 1
            if self.by_address[address] <= 0:
                del self.by_address[address]

    def hold(self, door: Door, size: int) -> bool:
        """A connection holds so many bytes of an unfinished body; False: that is too much for all."""
        self.inflight += size - door.held
        door.held = size
        return self.inflight <= self.http.max_inflight

    def failed(self) -> None:
        """A mistake of ours in answering; said at most once a minute, for it may come with every request."""
        self.errors += 1
        if self._now - self._error_logged >= 60:
            self._error_logged = self._now
            log.exception("a request could not be answered (%d so far)", self.errors)

    def drain(self) -> None:
        """Let connections end: idle ones now, others after what they are in the middle of or about to ask."""
        self.draining = self.leaving = True
        self.send()
        for door in list(self.doors):
            door.drain()
