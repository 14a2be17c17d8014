"""Connections that are not at their door yet: they owe a PROXY header or are in the middle of a TLS handshake.

They count among ``http.max_connections`` (and those of one address among ``http.max_connections_per_address``), have a
deadline that bytes do not move. When the worker drains they have ``door.LAST_CALL`` to come in and ask, as who is in
has.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Protocol, cast

from trackflowd.certificates import Certificates
from trackflowd.deadlines import Wheel
from trackflowd.door import LAST_CALL, address_of
from trackflowd.hall import Hall
from trackflowd.proto.announce import Announcement, NotAnnounced
from trackflowd.tlssection import Tls

log = logging.getLogger(__name__)

#: Seconds between two lines about connections that were turned away for the same kind of mistake.
SAY_EVERY = 60.0


class Porch:
    """Those of a worker.

    Args:
        hall: where they are let in.
        tls: the options.
        now: monotonic seconds.

    Attributes:
        certificates: shown to who asks for TLS; None: not known yet.
        unannounced, unsealed: connections closed for want of a PROXY header, and whose TLS handshake failed.
    """

    def __init__(self, hall: Hall, tls: Tls, now: float) -> None:
        self.hall = hall
        self.tls = tls
        self.certificates: Certificates | None = None
        self.guests: set[Guest] = set()
        self.wheel: Wheel[Guest] = Wheel(now)
        self.unannounced = self.unsealed = 0
        self._by_address: Counter[str] = Counter()
        self._now = now
        self._leaving = False
        self._said: dict[str, float] = {}

    def enter(self, guest: Guest, seconds: float, limited: bool) -> bool:
        """A connection comes and has so many seconds; False: there is no place for it.

        Args:
            limited: whether one address may have only so many.
        """
        hall, http = self.hall, self.hall.http
        address = guest.address if limited else ""
        if address and hall.intake.trusts(address):
            address = ""
        most = http.max_connections_per_address
        if len(hall.doors) + len(self.guests) >= http.max_connections or (
            address and hall.by_address[address] + self._by_address[address] >= most
        ):
            hall.turned_away += 1
            return False
        guest.counted = address
        if address:
            self._by_address[address] += 1
        self.guests.add(guest)
        guest.deadline = hall.until(min(seconds, LAST_CALL) if self._leaving else seconds)
        self.wheel.place(guest)
        return True

    def leave(self, guest: Guest) -> None:
        """It is through, or gone."""
        self.wheel.forget(guest)
        self.guests.discard(guest)
        if guest.counted:
            self._by_address[guest.counted] -= 1
            if self._by_address[guest.counted] <= 0:
                del self._by_address[guest.counted]
            guest.counted = ""

    def tick(self, now: float) -> None:
        """Take the time (monotonic seconds), and drop who is past the deadline."""
        self._now = now
        for guest in self.wheel.expire(now):
            if self._leaving:
                guest.abort()
            else:
                self.hall.late += 1
                guest.expired()

    def say(self, kind: str, why: str) -> None:
        """Tell the operator of a mistake that may come with every connection, now and then."""
        if self._now - self._said.get(kind, -SAY_EVERY) >= SAY_EVERY:
            self._said[kind] = self._now
            log.warning("a connection is closed: %s (said once a minute at most; counted in %s)", why, kind)

    def drain(self) -> None:
        """Let nobody wait for longer than a last call."""
        self._leaving = True
        for guest in self.guests:
            guest.deadline = min(guest.deadline, self.hall.until(LAST_CALL))
            self.wheel.place(guest)


class Guest(asyncio.Protocol):
    """A connection on its way in.

    Args:
        porch: of its worker.

    Attributes:
        address: of its peer, in its usual form; "": a unix socket.
        counted: the address among whose connections the porch counts it.
    """

    def __init__(self, porch: Porch) -> None:
        self._porch = porch
        self._transport: asyncio.Transport | None = None
        self.address = self.counted = ""
        self.deadline = 0.0
        self.slot = -1

    def abort(self) -> None:
        """Drop it."""
        if self._transport is not None:
            self._transport.abort()

    def expired(self) -> None:
        """The deadline has passed (called by the porch)."""
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self._porch.leave(self)
        self._transport = None


class Next(Protocol):
    """What a connection goes on to."""

    def arrive(self, transport: asyncio.Transport, address: str, trusted: bool) -> None:
        """See ``Door.arrive``."""

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""


class Unannounced(Guest):
    """A connection that owes a PROXY header.

    Args:
        porch: of its worker.
        next: has the connection from then on.
    """

    def __init__(self, porch: Porch, next: Next) -> None:
        super().__init__(porch)
        self._next = next
        self._header = Announcement()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self.address = address_of(transport)
        # Not limited by address: it is the balancer's.
        if not self._porch.enter(self, self._porch.hall.http.header_timeout, limited=False):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes from the balancer."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            header = self._header.receive(data)
        except NotAnnounced as error:
            self._turn_away(str(error))
            return
        if header is None:
            return
        self._porch.leave(self)
        transport.set_protocol(cast(asyncio.Protocol, self._next))
        self._next.arrive(transport, header.client or self.address, False)
        if header.rest and not transport.is_closing():
            self._next.data_received(header.rest)

    def _turn_away(self, why: str) -> None:
        self._porch.unannounced += 1
        self._porch.say("proxy_missing", f"{why}, but its listener asks for one")
        self.abort()

    def expired(self) -> None:
        """The deadline has passed (called by the porch)."""
        self._turn_away("its PROXY header did not come in time")

    def eof_received(self) -> None:
        """The balancer sends no more."""
        if self._header.begun:
            self._turn_away("it ended within its PROXY header")
