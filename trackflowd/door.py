"""Connections: from sockets to ``intake`` and back.

One ``Door`` per connection, one ``Hall`` (``hall``) per worker. A read's requests are answered in one go, their
rows published, then the answers written, in this order: no answer leaves before its rows are part
of the ring. Deadlines are absolute: trickling bytes does not move them.

After the last answer of a connection its sending side is shut and what still comes is read and
dropped until the client closes: closing at once while bytes are unread makes the kernel send a
reset, which takes the answer away from the client.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable, Sequence
from time import monotonic_ns, time_ns
from typing import Final, cast

from trackflowd.hall import Hall
from trackflowd.histogram import GRAIN
from trackflowd.intake import Peer
from trackflowd.proto.address import normal
from trackflowd.proto.http import BODY, ENDED, HEAD, REST, Connection, Limits
from trackflowd.proto.refusals import refused
from trackflowd.proto.request import Request
from trackflowd.proto.responses import CONTINUE

#: Unsent bytes of a connection above which nothing more is read from it. A hundred answers.
WRITE_LIMIT: Final = 64 * 1024
#: Seconds the client has to close after the last answer.
LINGER: Final = 2.0
#: Connections above ``max_connections`` that are still told why; beyond, they are dropped.
SPARE: Final = 1000

#: Seconds a drain waits for the first request of a connection, or for one that has arrived unread: who was just let in
#: is about to ask, and would get a reset.
LAST_CALL: Final = 1.0
#: The phase of a connection that has asked nothing yet; no ``proto.http`` phase.
FRESH: Final = -1

#: What a door reads from before ``connection_made``: nothing.
_NOT_YET = Connection(Limits())
_NOT_YET.close()


def address_of(transport: asyncio.Transport) -> str:
    """Whom a socket is connected to, in its usual form; "": a unix socket."""
    name = transport.get_extra_info("peername")
    return normal(name[0]) or "" if isinstance(name, tuple) else ""


class Door(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_backlog", "_call_soon", "_conn", "_eof", "_hall", "_lingering", "_paused", "_phase", "_reading", "_transport",
        "deadline", "held", "peer", "slot",
    )  # fmt: skip

    def __init__(self, hall: Hall, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._hall = hall
        self._call_soon = call_soon
        self._conn = _NOT_YET
        self._phase = FRESH
        self._backlog: list[Request] = []
        self._transport: asyncio.Transport | None = None
        self._lingering = False
        self._eof = False
        self._paused = False
        self._reading = True
        self.peer = Peer("", False)
        self.deadline = 0.0
        self.slot = -1
        self.held = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self.arrive(transport, address_of(transport), False)

    def arrive(self, transport: asyncio.Transport, address: str, trusted: bool) -> None:
        """Begin with a client.

        Args:
            address: where it is, in its usual form; "": a unix socket.
            trusted: a proxy, whatever ``http.trusted_proxies`` says.
        """
        self._transport = transport
        hall = self._hall
        trusted = trusted or (bool(address) and hall.intake.trusts(address))
        self.peer = Peer(address, trusted)
        self._conn = Connection(hall.limits, hall.proxied_heads if trusted else hall.heads)
        transport.set_write_buffer_limits(high=WRITE_LIMIT)
        refusal = hall.enter(self)
        self._arm(hall.until(LAST_CALL) if hall.leaving else hall.idle_until)
        if refusal is None:
            return
        hall.turned_away += 1
        if len(hall.doors) > hall.http.max_connections + SPARE:
            transport.abort()
        else:
            self._end(hall.intake.refuse_connection(refusal))

    def use(self, limits: Limits) -> None:
        """Take on other limits."""
        self._conn.use(limits)

    def _arm(self, deadline: float) -> None:
        self.deadline = deadline
        self._hall.wheel.place(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        hall = self._hall
        hall.bytes_in += len(data)
        if self._lingering:
            return
        outbox = hall.outbox
        if not outbox:
            hall.begun = monotonic_ns()
        try:
            requests = self._conn.receive(data)
            if len(requests) == 1 and self._conn.phase == REST and not self._backlog and not hall.draining:
                if not outbox:
                    hall.intake.now_ms = time_ns() // 1_000_000
                    self._call_soon(hall.send)
                outbox.append((self, hall.intake.answer(requests[0], self.peer)))
                self.deadline = hall.idle_until
                self._phase = REST
                if self.held:
                    hall.hold(self, 0)
            elif self._backlog:
                self._backlog += requests
            else:
                self._serve(requests)
                hall.took[(monotonic_ns() - hall.begun) >> GRAIN] += len(requests)
        except Exception:
            self._failed()

    def _failed(self) -> None:
        """Nothing of the read is answered; what others sent before it is."""
        self._hall.send()
        self._hall.failed()
        self.abort()

    def abort(self) -> None:
        """Drop the connection: what it sent and has no answer to, it has to send again."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, answers: Sequence[bytes]) -> None:
        self._hall.send()  # what was answered before goes first
        self.write(b"".join(answers))

    def _answer(self, request: Request) -> bytes:
        return self._hall.intake.answer(request, self.peer)

    def write(self, data: bytes) -> None:
        """Send an answer whose rows are in the ring."""
        transport = self._transport
        if transport is not None:
            self._hall.bytes_out += len(data)
            transport.write(data)

    def _serve(self, requests: list[Request]) -> None:
        """Answer what a read made whole, a turn's worth at a time; the rest after others had theirs."""
        hall, conn = self._hall, self._conn
        intake = hall.intake
        intake.now_ms = time_ns() // 1_000_000
        most = hall.http.max_pipeline
        turn, self._backlog = requests[:most], requests[most:]
        answers = []
        for request in turn:
            if hall.draining and conn.phase == REST and request is requests[-1]:
                request.keep_alive = False
            answers.append(self._answer(request))
        intake.publish()
        if self._backlog:
            self._send(answers)
            self._read(False)
            self._call_soon(self._go_on)
            return
        if conn.failure is None and conn.wants_continue and not conn.held:
            conn.wants_continue = False
            answers.append(CONTINUE)
        if conn.failure is not None:
            answers.append(intake.refuse_connection(conn.failure))
        if conn.phase == ENDED or self._eof or (hall.draining and conn.phase == REST):
            self._end(*answers)
            return
        if answers:
            self._send(answers)
        self._watch(bool(turn))

    def _watch(self, answered: bool) -> None:
        """Set deadline and share of memory for what the connection is in the middle of."""
        hall, phase = self._hall, self._conn.phase
        if phase == REST:
            self.deadline = hall.idle_until
        elif answered or phase != self._phase:
            http = hall.http
            self._arm(hall.until(http.header_timeout if phase == HEAD else http.body_timeout))
        self._phase = phase
        held = self._conn.held if phase >= BODY else 0
        if (held or self.held) and not hall.hold(self, held) and phase != REST:
            refusal = refused("too_busy", "too many unfinished requests, try again later")
            self._end(hall.intake.refuse_connection(refusal))

    def _go_on(self) -> None:
        """The next turn of a long pipeline."""
        if self._transport is None or self._paused or self._lingering:
            return
        backlog, self._backlog = self._backlog, []
        self._read(True)
        try:
            self._serve(backlog)
        except Exception:
            self._failed()

    def _read(self, on: bool) -> None:
        if self._transport is not None and on != self._reading:
            self._reading = on
            if on:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The client does not read its answers: read no more of its requests."""
        self._paused = True
        self._read(False)
        self._arm(self._hall.until(self._hall.http.body_timeout))

    def resume_writing(self) -> None:
        """It reads again."""
        self._paused = False
        if self._backlog:
            self._call_soon(self._go_on)
        elif not self._lingering:
            self._read(True)
            self._watch(True)

    def _end(self, *last: bytes) -> None:
        """Send the last answers and shut our side; the client has ``LINGER`` seconds to close its own."""
        self._hall.send()
        self._conn.close()
        self._hall.hold(self, 0)
        self._lingering = True
        if self._transport is None:
            return
        if last:
            self._send(last)
        self._shut()

    def _shut(self) -> None:
        """All that was owed is sent: say that nothing more comes."""
        transport = self._transport
        if transport is None:
            return
        self._read(True)
        if transport.can_write_eof() and not transport.is_closing() and not self._eof:
            transport.write_eof()
            self._arm(self._hall.until(LINGER))
        else:
            transport.close()

    def expired(self) -> None:
        """The deadline has passed (called by the hall)."""
        transport, conn = self._transport, self._conn
        if transport is None:
            return
        hall = self._hall
        if self._lingering or self._paused:
            hall.late += self._paused
            transport.abort()
        elif conn.phase == REST:
            hall.late += 1
            transport.close()
        else:
            hall.late += 1
            what = "head" if conn.phase == HEAD else "body"
            self._end(hall.intake.refuse_connection(refused("timeout", f"the {what} took too long")))

    def drain(self) -> None:
        """No more requests after the one in the middle of which the client is."""
        idle = self._conn.phase == REST and not self._lingering and not self._backlog and not self._paused
        if idle and self._transport is not None:
            if self._phase == FRESH or _unread(self._transport):
                self._arm(self._hall.until(LAST_CALL))
            else:
                self._transport.close()

    def eof_received(self) -> bool:
        """The client sends no more; True: what it is owed is still to be written."""
        self._hall.send()
        self._eof = True
        return bool(self._backlog)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self._hall.leave(self)
        self._transport = None
        self._conn.close()
        self._backlog = []


def _unread(transport: asyncio.Transport) -> bool:
    """Whether bytes have arrived that nobody has read yet."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    size: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4))[0]
    return size > 0
