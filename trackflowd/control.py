"""Server half of the control socket. Commands and frames are in ``proto.control``; what a command does
is in the handler of its name, which the supervisor gives.

A client that sends garbage, or does not read, is closed and hurts nobody else. An idle one costs a
descriptor.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from trackflowd import __version__
from trackflowd.errors import ConfigError, ControlError, TrackflowError
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
from trackflowd.tail import Row, Tail, Watcher

log = logging.getLogger(__name__)

#: Clients at one time: more is a script gone wrong.
MAX_CLIENTS = 256
#: Requests of one client waiting for their answer; more are refused.
MAX_PENDING = 16
#: Bytes unread by a client of a stream after which rows are dropped for it.
MAX_LAG = 2**20
#: Bytes unread by a client after which it is closed: two full results.
MAX_UNREAD = 2 * MAX_FRAME

Handler = Callable[..., Awaitable[Any]]


class Control:
    """The listening side.

    Args:
        path: of the socket.
        handlers: by command name; called with the command's arguments by keyword.
        tail: where streams of rows come from.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler], tail: Tail) -> None:
        self.path = path
        self.handlers = handlers
        self.tail = tail
        self.clients: set[_Client] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the path cannot be used, or another daemon listens on it.
        """
        sock = listen(self.path)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Client(self), sock=sock)

    def close(self) -> None:
        """Stop, close every client, remove the socket."""
        if self._server is not None:
            self._server.close()
            self._server = None
            try:
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
        self._streams: dict[int, Watcher] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._control.clients) >= MAX_CLIENTS:
            self._send(failed(0, "too_many_clients", f"{MAX_CLIENTS} clients are connected", "close some"))
            self.close()
            return
        self._control.clients.add(self)
        self._send(hello(__version__))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._control.clients.discard(self)
        for watcher in self._streams.values():
            self._control.tail.remove(watcher)
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
        try:
            for message in self._decoder.feed(data):
                self._take(message)
        except ControlError as error:
            log.info("a control client is closed: %s", error)
            self.close()

    def _take(self, message: Mapping[str, Any]) -> None:
        number = read_id(message)
        if message.get("cancel") is True:
            if (watcher := self._streams.pop(number, None)) is not None:
                self._control.tail.remove(watcher)
            return
        try:
            request = read_request(message)
            if len(self._tasks) + len(self._streams) >= MAX_PENDING or number in self._streams:
                raise BadRequest("too_many_requests", f"{MAX_PENDING} requests of this client are open", "wait for one")
        except BadRequest as error:
            self._send(failed(number, error.code, error.text, error.hint))
            return
        if request.command.streams:
            self._stream(request)
        else:
            task = asyncio.get_running_loop().create_task(self._answer(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _stream(self, request: Request) -> None:
        number = request.id
        watcher = Watcher(request.args["site"], request.args["name"], lambda row: self._event(number, row))
        self._streams[number] = watcher
        self._send(ok(number, None))
        self._control.tail.add(watcher)

    def _event(self, number: int, row: Row) -> bool:
        if self._transport is None or self._transport.get_write_buffer_size() > MAX_LAG:
            return False
        self._send({"id": number, "event": row})
        return True

    async def _answer(self, request: Request) -> None:
        try:
            answer = encode(ok(request.id, await self._control.handlers[request.command.name](**request.args)))
        except TrackflowError as error:
            answer = encode(failed(request.id, error.code, error.text, error.hint))
        except Exception as error:
            log.exception("command %s", request.command.name)
            text = f"{type(error).__name__}: {error}"
            answer = encode(failed(request.id, "internal", text, "this is a bug; the daemon's log has more"))
        self._write(answer)

    def _send(self, message: Mapping[str, Any]) -> None:
        self._write(encode(message))

    def _write(self, raw: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(raw)
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            log.warning("a control client that does not read is closed")
            self._transport.abort()


def listen(path: str) -> socket.socket:
    """A listening unix socket at path, mode 0660; a dead one left there is replaced.

    Raises:
        ConfigError: something else is there, somebody listens on it, or the path cannot be used.
    """
    _clear(path)
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    mask = os.umask(0o117)  # the mode has to be right from the first moment
    try:
        sock.bind(path)
        sock.listen(64)
    except OSError as error:
        sock.close()
        hint = "set control.socket to another path"
        if "too long" in str(error):  # the kernel's limit is 107 bytes
            raise ConfigError(f"control.socket: {path} is too long for a socket", hint) from error
        raise ConfigError(f"control.socket: {path}: {error.strerror or error}", hint) from error
    finally:
        os.umask(mask)
    return sock


def _clear(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"control.socket: {path} is there and is not a socket", "remove it, or choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
            alive = True
        except OSError as error:
            alive = error.errno == errno.EAGAIN  # a full queue is somebody's queue
    if alive:
        raise ConfigError(f"control.socket: another daemon listens on {path}", "stop it, or choose another path")
    os.unlink(path)
