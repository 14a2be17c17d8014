"""Server half of the control socket. Commands and frames are in ``proto``; what a command does is in the handler of
its name, which the supervisor gives.

A client that sends garbage, or does not read, is closed and hurts nobody else. An idle one costs a descriptor, and its
place when ``MAX_CLIENTS`` are connected: whoever comes then takes that of the one that has been idle longest (of
users who may not act, unless it may itself). For the daemon's user and root there are ``RESERVED`` places more, so
that no number of others keeps them out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from trackflowd import __version__, unixsocket
from trackflowd.audit import Audit, Entry, noted
from trackflowd.errors import ControlError, TrackflowError
from trackflowd.outlet import Close, Event, Opener
from trackflowd.peer import Peer, peer_of, user_name
from trackflowd.proto.control import (
    MAX_FRAME,
    MAX_REQUEST,
    BadRequest,
    Decoder,
    Request,
    encode,
    failed,
    hello,
    ok,
    read_id,
    read_request,
)

log = logging.getLogger(__name__)

#: Clients at one time, and for those who may act so many more.
MAX_CLIENTS = 256
RESERVED = 16
#: Requests of one client waiting for their answer; more are refused.
MAX_PENDING = 16
#: Connections the kernel queues.
BACKLOG = 64
#: Bytes unread by a client of a stream after which events are dropped for it.
MAX_LAG = 2**20
#: Bytes unread by a client after which it is closed: two full results.
MAX_UNREAD = 2 * MAX_FRAME

Handler = Callable[..., Awaitable[Any]]


class Control:
    """The listening side.

    Args:
        path: of the socket.
        handlers: of commands that are answered, by name; called with the command's arguments by keyword.
        openers: of commands that stream, by name.
        audit: where acting commands are noted.
        lent: a socket that listens at path and stays whose it is; None: one is made.
    """

    def __init__(
        self,
        path: str,
        handlers: Mapping[str, Handler],
        openers: Mapping[str, Opener],
        audit: Audit,
        lent: socket.socket | None = None,
    ) -> None:
        self.path = path
        self.handlers = handlers
        self.openers = openers
        self.audit = audit
        self.clients: set[_Client] = set()
        self._lent = lent
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the path cannot be used, or another daemon listens on it.
        """
        sock = self._lent or listen(self.path)
        self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self), sock=sock)

    def admit(self, client: _Client) -> bool:
        """Take a client in; False: there is no place for it."""
        if len(self.clients) >= MAX_CLIENTS:
            idle = [other for other in self.clients if other.idle and (client.peer.acts or not other.peer.acts)]
            if idle:
                longest = min(idle, key=lambda other: (other.peer.acts, other.heard))
                longest.leave("closed for another client: this one was idle", "connect when there is something to ask")
                self.clients.discard(longest)
            elif not client.peer.acts or len(self.clients) >= MAX_CLIENTS + RESERVED:
                return False
        self.clients.add(client)
        return True

    def close(self) -> None:
        """Stop, close every client, remove the socket if it is ours."""
        if self._server is not None:
            self._server.close()
            self._server = None
            try:
                if self._lent is None:
                    os.unlink(self.path)
            except OSError as error:
                log.warning("%s cannot be removed: %s", self.path, error.strerror)
        for client in list(self.clients):
            client.close()


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._decoder = Decoder(MAX_REQUEST)
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: dict[int, Close] = {}
        self.peer = Peer(-1, 0)
        self.heard = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer = peer_of(transport.get_extra_info("socket"))
        self.heard = time.monotonic()
        if self._control.admit(self):
            self._send(hello(__version__))
        else:
            self.leave(f"{MAX_CLIENTS} clients are connected, and each is at something", "close some")

    @property
    def idle(self) -> bool:
        """Whether nothing it asked for is under way."""
        return not self._tasks and not self._streams

    def leave(self, text: str, hint: str) -> None:
        """Close the connection, saying why to who still reads."""
        if self.unread and self._transport is not None:
            self._transport.abort()
        self._send(failed(0, "too_many_clients", text, hint))
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._control.clients.discard(self)
        for close in self._streams.values():
            close()
        self._streams.clear()
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Close the connection once what was sent is gone."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self.heard = time.monotonic()
        try:
            for message in self._decoder.feed(data):
                self._take(message)
        except ControlError as error:
            log.info("a control client is closed: %s", error)
            self.close()

    def _take(self, message: Mapping[str, Any]) -> None:
        number = read_id(message)
        if message.get("cancel") is True:
            if (close := self._streams.pop(number, None)) is not None:
                close()
            return
        try:
            request = read_request(message)
            if len(self._tasks) + len(self._streams) >= MAX_PENDING or number in self._streams:
                raise BadRequest("too_many_requests", f"{MAX_PENDING} requests of this client are open", "wait for one")
            if request.command.streams:
                self._stream(request)
                return
        except TrackflowError as error:
            self._send(failed(number, error.code, error.text, error.hint))
            return
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stream(self, request: Request) -> None:
        try:
            begin = self._control.openers[request.command.name](**request.args)
        except TrackflowError:
            raise
        except Exception as error:
            self._write(_internal(request, error))
            return
        self._send(ok(request.id, None))
        self._streams[request.id] = lambda: None
        close = begin(_Outlet(self, request.id))
        if request.id in self._streams:
            self._streams[request.id] = close

    def event(self, number: int, event: Event) -> bool:
        """Send an event of a stream; False: the client lags."""
        if self.unread > MAX_LAG or number not in self._streams:
            return False
        try:
            self._send({"id": number, "event": event})
        except ControlError as error:  # nothing a client sends, or an event holds, may reach who made the event
            log.error("an event of a stream is left out: %s", error)
            return False
        return True

    def end(self, number: int) -> None:
        """Say that a stream is over."""
        if self._streams.pop(number, None) is not None:
            self._send({"id": number, "end": True})

    @property
    def unread(self) -> int:
        """Bytes the client has not taken yet, beyond those the kernel holds for it."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    async def _answer(self, request: Request) -> None:
        if not request.command.acting:
            self._write((await self._outcome(request))[0])
            return
        at_ms, user, code = time.time_ns() // 1_000_000, "", "client_left"
        try:
            user = await asyncio.to_thread(user_name, self.peer.uid)
            if self.peer.acts:
                answer, code = await self._outcome(request)
            else:
                answer, code = self._not_permitted(request)
        finally:
            args = noted(request.command, request.args)
            entry = (at_ms, self.peer.uid, user, self.peer.pid, request.command.name, args, not code, code)
            self._control.audit.note(Entry(*entry))
        self._write(answer)

    async def _outcome(self, request: Request) -> tuple[bytes, str]:
        """The answer to a request, and the code of the error it is; "": none."""
        try:
            return encode(ok(request.id, await self._control.handlers[request.command.name](**request.args))), ""
        except TrackflowError as error:
            return encode(failed(request.id, error.code, error.text, error.hint)), error.code
        except Exception as error:
            return _internal(request, error), "internal"

    def _not_permitted(self, request: Request) -> tuple[bytes, str]:
        text = f"{request.command.name} changes what the daemon does: this user may only look"
        hint = f"run it as root, or as the daemon's user ({os.geteuid()})"
        return encode(failed(request.id, "not_permitted", text, hint)), "not_permitted"

    def _send(self, message: Mapping[str, Any]) -> None:
        self._write(encode(message))

    def _write(self, raw: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(raw)
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            log.warning("a control client that does not read is closed")
            self._transport.abort()


def _internal(request: Request, error: Exception) -> bytes:
    """Answer of a request that met a mistake of ours (called where that is handled)."""
    log.exception("command %s", request.command.name)
    text = f"{type(error).__name__}: {error}"
    return encode(failed(request.id, "internal", text, "this is a bug; the daemon's log has more"))


class _Outlet:
    """A stream of a client: see ``outlet``."""

    def __init__(self, client: _Client, number: int) -> None:
        self._client = client
        self._number = number

    def send(self, event: Event) -> bool:
        return self._client.event(self._number, event)

    @property
    def clear(self) -> bool:
        return not self._client.unread

    def end(self) -> None:
        self._client.end(self._number)


def listen(path: str) -> socket.socket:
    """A listening unix socket at path, mode 0660; a dead one left there is replaced.

    Raises:
        ConfigError: something else is there, somebody listens on it, or the path cannot be used.
    """
    return unixsocket.bind(path, "control.socket", BACKLOG)
