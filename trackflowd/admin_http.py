"""HTTP/1.1 of the admin listener: connections on asyncio's streams, the grammar by h11. What is asked and answered is
``admin``'s.

h11 is what keeps a connection's two ends in step: framing, keep-alive, HEAD, 100-continue, pipelining (the next
request is read once this one is answered), and the refusal of what is no HTTP. Here are the limits::

    idle ── first byte ──▶ head ── HEAD_SECONDS ──▶ body ── BODY_SECONDS ──▶ answer ── WRITE_SECONDS a piece ──▶ idle
      └ IDLE_SECONDS, or sooner where all MAX_CONNECTIONS are taken and another one comes

A public web server this is not: it is for some probes, a scraper, a dashboard, a script.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus

import h11

from trackflowd import listeners
from trackflowd.admin_words import Answer, HttpError, Request, refusal
from trackflowd.errors import TrackflowError

log = logging.getLogger(__name__)

#: Bytes of a request's head: a target of 8 KiB, a token, and what clients and proxies add.
MAX_HEAD = 16_384
#: Bytes of a request's body: a correction of an event's properties.
MAX_BODY = 65_536
#: Seconds for a head, from its first byte; for a body, from the end of the head.
HEAD_SECONDS = 5.0
BODY_SECONDS = 5.0
#: Seconds a connection is kept without a request: longer than a scraper's usual 15.
IDLE_SECONDS = 60.0
#: Seconds a client may take to read what is written at once: a page, a piece of an export.
WRITE_SECONDS = 30.0
#: Connections at one time.
MAX_CONNECTIONS = 64
#: After a refusal that ends a connection: seconds and bytes read on, so that a client in the middle of its body gets
#: to see the answer (a close with unread bytes is a reset, which may take the answer back: RFC 9112, 9.6).
LINGER_SECONDS = 1.0
LINGER_BYTES = 2**20

_READ = 65_536
#: socket(7): a close drops what is unsent and resets the connection.
_RESET = struct.pack("ii", 1, 0)

Answerer = Callable[[Request], Awaitable[Answer]]


class Server:
    """The listening side.

    Args:
        address: "host:port"; port 0: any free one.
        answer: gives the answer to a request; never raises.
        lent: a socket that listens there; None: one is made.

    Attributes:
        address: the real one, once it listens.
        refused: how often by code, of what never came to be a request.
    """

    def __init__(self, address: str, answer: Answerer, lent: socket.socket | None = None) -> None:
        self.address = address
        self._lent = lent
        self.answer = answer
        self.connections: dict[_Connection, asyncio.Task[None]] = {}
        self.refused: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be used.
        """
        sock = self._lent or listeners.bind(self.address, "admin.listen")
        self.address = listeners.address_of(sock)
        self._server = await asyncio.start_server(self._connected, sock=sock, limit=_READ)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        if len(self.connections) >= 2 * MAX_CONNECTIONS:  # so many are being turned away that even that is too much
            self.refused["too_many_connections"] += 1
            writer.transport.abort()
            return
        full = len(self.connections) >= MAX_CONNECTIONS and not self._make_room()
        work = connection.turn_away() if full else connection.run()
        task = asyncio.get_running_loop().create_task(work)
        self.connections[connection] = task
        task.add_done_callback(lambda _: self.connections.pop(connection))

    def _make_room(self) -> bool:
        """Close the connection that has been idle for longest; False: none is."""
        idle = [connection for connection in self.connections if connection.idle_since is not None]
        if not idle:
            return False
        longest = min(idle, key=lambda connection: connection.idle_since or 0.0)
        longest.idle_since = None
        self.connections[longest].cancel()
        return True

    def close(self) -> None:
        """Stop listening, end every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self.connections.values():
            task.cancel()


class _Connection:
    """One client.

    Attributes:
        idle_since: monotonic seconds; None while there is a request.
    """

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._head: h11.Request | None = None
        self.idle_since: float | None = None
        writer.transport.set_write_buffer_limits(high=0)  # drain: until the kernel has all of it

    async def run(self) -> None:
        """Answer requests until the client goes or is sent away."""
        try:
            while await self._exchange():
                self._http.start_next_cycle()
            await self._linger()
        except (TimeoutError, OSError, h11.LocalProtocolError):
            pass  # a client that left or does not read: nothing can be told to it
        except Exception:
            log.exception("a connection is given up")
            self._reset()
        finally:
            self._close()

    async def turn_away(self) -> None:
        """Tell the client that there are too many already."""
        try:
            text = f"{MAX_CONNECTIONS} connections are open"
            await self._refuse(HttpError("too_many_connections", text, "close some, or keep one open for all requests"))
            await self._linger()
        except (TimeoutError, OSError, h11.LocalProtocolError):
            pass
        finally:
            self._close()

    def _reset(self) -> None:
        """Have the client see, when the connection is closed, that it was not meant to end here."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _close(self) -> None:
        """A client that did not read what it was sent is not waited for."""
        if self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def _exchange(self) -> bool:
        """One request and its answer; False: there is no next."""
        try:
            request = await self._request()
        except HttpError as error:
            await self._refuse(error)
            return False
        if request is None:
            return False
        await self._send(await self._server.answer(request))
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    # --------------------------------------------------------------- reading

    async def _request(self) -> Request | None:
        """The next one, whole; None: the client is gone, or idle for too long."""
        self._head = None
        if not self._http.trailing_data[0] and not await self._wake():
            return None
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await self._event()
            if not isinstance(head, h11.Request):
                return None  # ConnectionClosed
            self._head = head
            if sum(len(name) + len(value) + 4 for name, value in head.headers) + len(head.target) > MAX_HEAD:
                raise _head_too_large()  # h11 looks at heads that come in pieces only
            if any(name == b"content-length" and int(value) > MAX_BODY for name, value in head.headers):
                raise _too_large()  # before a client that asks first (Expect: 100-continue) is told to send it
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._body()
        except TimeoutError:
            what, seconds = ("body", BODY_SECONDS) if self._head else ("head", HEAD_SECONDS)
            raise HttpError("too_slow", f"the request's {what} was not there within {seconds:g} s") from None
        except h11.RemoteProtocolError as error:
            raise _malformed(error) from error
        authorization = [value.decode("latin-1") for name, value in head.headers if name == b"authorization"]
        return Request(head.method.decode("ascii").upper(), head.target, authorization, body)

    async def _wake(self) -> bool:
        """Wait for the first byte of a request; False: none came."""
        self.idle_since = time.monotonic()
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                data = await self._reader.read(_READ)
        except TimeoutError:
            return False
        finally:
            self.idle_since = None
        self._http.receive_data(data)
        return bool(data)

    async def _event(self) -> h11.Event:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._writer.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                self._http.receive_data(await self._reader.read(_READ))
            elif not isinstance(event, type):
                return event
            else:
                raise h11.RemoteProtocolError("nothing more was expected")  # PAUSED: answered, or switched away

    async def _body(self) -> bytes:
        parts, size = [], 0
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data)
            size += len(event.data)
            if size > MAX_BODY:
                raise _too_large()
            parts.append(bytes(event.data))
        return b"".join(parts)

    # --------------------------------------------------------------- writing

    async def _refuse(self, error: HttpError) -> None:
        """Answer what is no request; the connection ends with it."""
        self._server.refused[error.code] += 1
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(refusal(error), last=True)

    async def _send(self, answer: Answer, last: bool = False) -> None:
        headers = [
            ("Date", formatdate(usegmt=True)), ("Content-Type", answer.kind), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"), *answer.headers,
        ]  # fmt: skip
        if isinstance(answer.body, bytes):
            headers.append(("Content-Length", str(len(answer.body))))
        if last:
            headers.append(("Connection", "close"))
        reason = HTTPStatus(answer.status).phrase
        sent = _sent(self._http, h11.Response(status_code=answer.status, headers=headers, reason=reason))
        if self._head is None or self._head.method != b"HEAD":
            if isinstance(answer.body, bytes):
                sent += _sent(self._http, h11.Data(data=answer.body))
            else:
                await self._flush(sent)
                await self._stream(answer.body)
                sent = b""
        await self._flush(sent + _sent(self._http, h11.EndOfMessage()))

    async def _stream(self, pieces: AsyncIterator[bytes]) -> None:
        """Send pieces as they come; the next is asked for when the client has taken the one before."""
        try:
            async for piece in pieces:
                await self._flush(_sent(self._http, h11.Data(data=piece)))
        except TrackflowError as error:
            # The status was 200 and cannot be taken back: the client can tell by the last chunk that does not come, and
            # by a reset where an end of the connection would be the end of the answer (HTTP/1.0).
            log.warning("an answer breaks off: %s", error)
            self._reset()
            raise ConnectionAbortedError from error

    async def _flush(self, data: bytes) -> None:
        """Write, and wait for the client to read: what it has not read is at most a piece."""
        self._writer.write(data)
        async with asyncio.timeout(WRITE_SECONDS):
            await self._writer.drain()

    async def _linger(self) -> None:
        """Let a client that is still sending see its answer."""
        if not self._writer.can_write_eof():
            return
        self._writer.write_eof()
        left = LINGER_BYTES
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0 and (data := await self._reader.read(_READ)):
                left -= len(data)


def _sent(http: h11.Connection, event: h11.Event) -> bytes:
    return http.send(event) or b""


def _head_too_large() -> HttpError:
    return HttpError("head_too_large", f"a request's head has at most {MAX_HEAD} bytes")


def _too_large() -> HttpError:
    return HttpError("too_large", f"a request's body has at most {MAX_BODY} bytes")


def _malformed(error: h11.RemoteProtocolError) -> HttpError:
    """h11's own text may repeat what was sent, a token even: it is not passed on."""
    if error.error_status_hint == 431:
        return _head_too_large()
    return HttpError("bad_request", "not an HTTP/1.1 request", "see RFC 9112; HTTP/1.1 needs a Host header")
