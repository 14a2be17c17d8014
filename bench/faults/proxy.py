"""Stands between daemon and store, speaks HTTP/1.1 on both sides, and spoils requests while it is told to.

======== ==========================================================================================
mode     what a spoilt request meets
======== ==========================================================================================
error    500 once its body is read; the store never sees it
hang     nothing: its body is not read, no answer comes, until the fault is over; then a reset
cut      a reset in the middle of its body, after ``size`` bytes; the store sees as much
lost     the store runs it and answers; instead of the answer comes a reset
text     200 with an exception's text; the store never sees it (INSERT and SELECT only: other
         statements answer with no text on a server)
slow     passed on whole, both ways, at ``size`` bytes a second
refuse   the listener is closed, and so is every connection
======== ==========================================================================================

It runs in a thread of its own with a loop of its own; ``set`` may be called from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

MODES = ("error", "hang", "cut", "lost", "text", "slow", "refuse")

#: Most bytes passed on in one go.
PIECE = 16 * 1024
#: Longest head of a request or answer: the sink's statements travel in the url.
MAX_HEAD = 1024 * 1024
#: Seconds between two looks whether a fault is over.
LOOK = 0.02

_ERROR = b"Code: 999. DB::Exception: on order (KEEPER_EXCEPTION)\n"
_TEXT = b"Code: 241. DB::Exception: Memory limit exceeded: on order (MEMORY_LIMIT_EXCEEDED)\n"
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Mode:
    """What is done to requests.

    Args:
        kind: one of ``MODES``.
        share: part of the requests that meet it, 0 to 1.
        size: bytes; see the module's text.
    """

    kind: str
    share: float = 1.0
    size: int = 1


@dataclass(frozen=True, slots=True)
class Head:
    """First line and headers of a message, as received, and what they say of its body.

    Args:
        raw: all of it, with the empty line.
        length: bytes of the body; None where it is not given.
        chunked: the body comes in chunks.
    """

    raw: bytes
    length: int | None
    chunked: bool

    @property
    def words(self) -> list[str]:
        """The first line."""
        return self.raw.split(b"\r\n", 1)[0].decode("latin-1").split(" ")

    @property
    def statement(self) -> str:
        """SQL in a request's url; "" where there is none."""
        return parse_qs(urlsplit(self.words[1]).query).get("query", [""])[0]


class Aborted(Exception):
    """The client's connection is to be reset."""


class Proxy:
    """The proxy.

    Args:
        host, port: of the store.
        seed: decides which requests meet a fault of a share below 1.

    Attributes:
        port: where it listens, on 127.0.0.1.
        spoilt: requests that met a fault, by mode.
    """

    def __init__(self, host: str, port: int, seed: int) -> None:
        self.upstream = (host, port)
        self.spoilt: Counter[str] = Counter()
        self.mode: Mode | None = None
        self._random = random.Random(f"proxy {seed}")
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def set(self, mode: Mode | None) -> None:
        """Spoil requests from now on; None: no more, and what hangs is reset."""
        asyncio.run_coroutine_threadsafe(self._set(mode), self._loop).result()

    def close(self) -> None:
        """Let go of everything."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=MAX_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            _reset(writer)
            self.spoilt["refuse"] += 1

    async def _set(self, mode: Mode | None) -> None:
        self.mode = mode
        if mode is not None and mode.kind == "refuse":
            await self._refuse()
        elif self._server is None:
            await self._listen()

    async def _close(self) -> None:
        self.mode = None
        await self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    # ------------------------------------------------------------------ a connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(self, reader, writer)
        self._open.add(writer)
        try:
            while await exchange.one():
                pass
        except (Aborted, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            _reset(writer)
        finally:
            self._open.discard(writer)
            exchange.close()

    def choose(self, statement: str) -> Mode | None:
        """The fault a request meets, if any."""
        mode = self.mode
        if mode is None or self._random.random() >= mode.share:
            return None
        if mode.kind == "text" and not statement.lstrip().upper().startswith(("INSERT", "SELECT")):
            return None
        self.spoilt[mode.kind] += 1
        return mode


class Exchange:
    """One client's connection and the one to the store behind it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._store: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def one(self) -> bool:
        """Serve one request; False: the client has closed."""
        head = await _head(self._reader)
        if head is None:
            return False
        body = _body(head, self._reader)
        first = b""
        if not head.statement:  # it is at the begin of the body then
            async for piece in body:
                first += piece
                if len(first) >= 16:
                    break
        mode = self._proxy.choose(head.statement or _unchunked(first, head.chunked))
        if mode is None:
            await self._pass(head, first, body)
        elif mode.kind == "hang":
            await self._until_over(mode)
            raise Aborted
        elif mode.kind == "cut":
            await self._cut(head, first, body, mode.size)
        elif mode.kind == "slow":
            await self._pass(head, first, body, slow=mode)
        elif mode.kind == "lost":
            await self._pass(head, first, body, lose=True)
            raise Aborted
        else:
            async for _ in body:
                pass
            await self._say(*((200, _TEXT) if mode.kind == "text" else (500, _ERROR)))
        return True

    async def _until_over(self, mode: Mode) -> None:
        while self._proxy.mode is mode:
            await asyncio.sleep(LOOK)

    async def _say(self, status: int, text: bytes) -> None:
        words = {200: "OK", 500: "Internal Server Error"}[status]
        head = f"HTTP/1.1 {status} {words}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
        self._writer.write(head.encode() + text)
        await self._writer.drain()

    async def _upstream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._store is None:
            self._store = await asyncio.open_connection(*self._proxy.upstream, limit=MAX_HEAD)
        return self._store

    async def _cut(self, head: Head, first: bytes, body: AsyncIterator[bytes], size: int) -> None:
        _, store = await self._upstream()
        store.write(head.raw)
        left = size
        pieces = _chain(first, body)
        async for piece in pieces:
            store.write(piece[:left])
            await store.drain()
            left -= len(piece)
            if left <= 0:
                break
        _reset(store)
        raise Aborted

    async def _pass(
        self, head: Head, first: bytes, body: AsyncIterator[bytes], slow: Mode | None = None, lose: bool = False
    ) -> None:
        """Pass a request on, and its answer back."""
        reader, store = await self._upstream()
        store.write(head.raw)
        async for piece in _chain(first, body):
            await self._send(store, piece, slow)
        answer = await _head(reader)
        if answer is None:
            raise Aborted
        if not lose:
            await self._send(self._writer, answer.raw, slow)
        async for piece in _body(answer, reader, of_answer=True):
            if not lose:
                await self._send(self._writer, piece, slow)
        if answer.length is None and not answer.chunked:
            raise Aborted  # its end was the connection's

    async def _send(self, writer: asyncio.StreamWriter, data: bytes, slow: Mode | None) -> None:
        step = max(slow.size // 20, 1) if slow else len(data) or 1
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            if slow and self._proxy.mode is slow:
                await asyncio.sleep(step / slow.size)

    def close(self) -> None:
        """Close both sides."""
        self._writer.close()
        if self._store is not None:
            self._store[1].close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a reset, not an end."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> Head | None:
    """The next head; None: the other side has closed between two messages. ValueError: it is none."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    length, chunked = None, False
    for line in raw.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        elif name.lower() == b"transfer-encoding":
            chunked = b"chunked" in value.lower()
    return Head(raw, length, chunked)


async def _body(head: Head, reader: asyncio.StreamReader, of_answer: bool = False) -> AsyncIterator[bytes]:
    """Pieces of a body as they came, the framing of chunks included."""
    if head.chunked:
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line
            async for piece in _exactly(reader, size + 2):
                yield piece
            if not size:
                return
    if head.length is not None:
        async for piece in _exactly(reader, head.length):
            yield piece
    elif of_answer and head.words[1] not in ("204", "304"):
        while piece := await reader.read(PIECE):
            yield piece


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size:
        piece = await reader.read(min(size, PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(piece)
        yield piece


async def _chain(first: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in body:
        yield piece


def _unchunked(first: bytes, chunked: bool) -> str:
    """Text at the begin of a body."""
    return (first.split(b"\r\n", 1)[-1] if chunked else first).decode("latin-1")
