"""Connections over TLS: between a socket and its door, protocol to the one and transport to the other.

::

    socket ──bytes──▶ hello read ─name─▶ certificate picked ─▶ handshake ─▶ door.arrive ─▶ plain bytes to the door
                         └ no TLS, broken, too late: closed, counted               ◀── answers, sealed, one write each

Until the handshake is done the connection is a guest on the porch. Reading is as lazy as the door: what it does not
take stays sealed in memory, at most one read of the socket.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any, cast

from trackflowd.door import Door, address_of
from trackflowd.keeper import CallSoon
from trackflowd.porch import Guest, Porch
from trackflowd.proto.hello import MAX_HELLO, NotTls, server_name

#: Bytes of a record (RFC 8446 §5.1): what one ``read`` returns at most.
_RECORD = 16 * 1024


class Sealed(Guest, asyncio.Transport):
    """A connection over TLS.

    Args:
        porch: of its worker; has the certificates.
        door: gets what is in it.
        call_soon: of the loop.
    """

    def __init__(self, porch: Porch, door: Door, call_soon: CallSoon) -> None:
        super().__init__(porch)
        self._door = door
        self._call_soon = call_soon
        self._hello = b""
        self._tls: ssl.SSLObject | None = None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._open = self._paused = self._ended = False

    # ------------------------------------------------------- to the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self.arrive(transport, address_of(transport), False)

    def arrive(self, transport: asyncio.Transport, address: str, trusted: bool) -> None:
        """Begin with a client; see ``Door.arrive``."""
        self._transport = transport
        self.address = address
        self._trusted = trusted
        if not self._porch.enter(self, self._porch.tls.handshake_timeout, limited=not trusted):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._transport is None or self._transport.is_closing() or self._ended:
            return
        if self._open:
            self._in.write(data)
            self._read()
        else:
            self._greet(data)

    def _greet(self, data: bytes) -> None:
        """Go on with the handshake."""
        if self._tls is None:
            self._hello = data = self._hello + data
            try:
                name = server_name(data)
            except NotTls as error:
                self._fail(str(error))
                return
            if name is None:
                if len(data) > 2 * MAX_HELLO:
                    self._fail("its TLS hello does not end")
                return
            self._hello = b""
            certificates = self._porch.certificates
            assert certificates is not None  # or the listener would not be served
            self._tls = certificates.pick(name).wrap_bio(self._in, self._out, server_side=True)
        self._in.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # the alert that says why
            self._fail("its TLS handshake failed: " + (error.reason or "unknown").lower().replace("_", " "))
            return
        self._flush()
        self._porch.leave(self)
        self._open = True
        self._door.arrive(self, self.address, self._trusted)
        self._read()

    def _fail(self, why: str) -> None:
        if not self.is_closing():
            self._porch.unsealed += 1
            self._porch.say("tls_failed", why)
            assert self._transport is not None
            self._transport.close()

    def _read(self) -> None:
        """Hand on what has come, as far as the door takes it."""
        tls, transport = self._tls, self._transport
        try:
            while tls is not None and not (self._paused or self._ended or transport is None or transport.is_closing()):
                data = tls.read(_RECORD)
                if not data:
                    self._end_of_input()
                    break
                self._door.data_received(data)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self.abort()

    def _end_of_input(self) -> None:
        """The client has said that it sends no more."""
        self._ended = True
        if not self._door.eof_received():
            self.close()

    def _flush(self) -> None:
        if self._out.pending and self._transport is not None:
            self._transport.write(self._out.read())

    def expired(self) -> None:
        """The deadline has passed (called by the porch)."""
        self._fail("its TLS handshake took too long")
        self.abort()

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        if self._open:
            return self._door.eof_received()
        if self._hello or self._tls is not None:
            self._fail("it ended within its TLS handshake")
        return None

    def pause_writing(self) -> None:
        """The client does not read its answers."""
        if self._open:
            self._door.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._open:
            self._door.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        super().connection_lost(exc)
        self._tls = None
        if self._open:
            self._door.connection_lost(exc)

    # --------------------------------------------------------- to the door

    def write(self, data: Any) -> None:
        """Seal and send."""
        tls = self._tls
        if tls is None or self.is_closing():
            return
        try:
            sent = tls.write(data)
            while sent < len(data):  # it may write less than it is given, its documentation says
                sent += tls.write(memoryview(data)[sent:])
        except ssl.SSLError:
            self.abort()
            return
        self._flush()

    def can_write_eof(self) -> bool:
        """It can: by TLS's own end."""
        return True

    def write_eof(self) -> None:
        """Say that nothing more comes; what still comes from the client is dropped."""
        self._bid_farewell()
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def _bid_farewell(self) -> None:
        if self._tls is not None and self._open:
            with suppress(ssl.SSLError):  # as ever: the client's own farewell is not there yet
                self._tls.unwrap()
            self._ended = True
            self._flush()

    def close(self) -> None:
        """Close when everything is sent."""
        if not self.is_closing():
            self._bid_farewell()
            assert self._transport is not None
            self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport is None or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Hand on nothing more."""
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Hand on again, from the next turn of the loop on."""
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()
            self._call_soon(self._read)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the socket."""
        return default if self._transport is None else self._transport.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See ``asyncio.WriteTransport``."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, low)
