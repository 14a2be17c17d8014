"""The load: single-event requests as a browser sends them, over keep-alive connections, closed loop.

A connection sends its next request when it has the answer to the one before. Requests are prepared,
only the event id is put in as they go out, so that the generator stays well below one core. What
differs between visitors repeats as it does in life: 64 pages, 5 agents, 512 addresses.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/19.0 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
)
PAGES = 64
ADDRESSES = 512
_ID = b"00000000-0000-7000-8000-"  # then the event's number, 12 digits


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the load saw.

    Args:
        answered: requests answered 2xx.
        other: requests answered otherwise.
        seconds: wall clock from the first request to the last answer.
    """

    answered: int
    other: int
    seconds: float


def requests(path: str) -> list[tuple[bytes, bytes]]:
    """Prepared requests, each as what comes before the event's number and what comes after."""
    prepared = []
    for number in range(ADDRESSES):
        body = {
            "site": "example.com",
            "name": "pageview",
            "id": _ID.decode() + "0" * 12,
            "url": f"https://example.com/articles/{number % PAGES}?utm_source=news&utm_medium=email",
            "referrer": "https://www.google.com/",
            "title": f"Article {number % PAGES} of the example",
            "screen": "1920x1080",
            "viewport": "1280x720",
            "lang": "en-US",
            "tz": "Europe/Berlin",
        }
        raw = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: stats.example.com\r\nConnection: keep-alive\r\n"
            f"Content-Length: {len(raw)}\r\nUser-Agent: {AGENTS[number % len(AGENTS)]}\r\n"
            "Content-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\nOrigin: https://example.com\r\n"
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n"
            "Referer: https://example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
            f"Accept-Language: en-US,en;q=0.9\r\nX-Forwarded-For: 81.2.{number % 256}.{number // 256}\r\n\r\n"
        )
        before, _, after = (head.encode() + raw).partition(_ID + b"0" * 12)
        prepared.append((before + _ID, after))
    return prepared


class _Source:
    """Hands out requests until enough are out, and counts the answers."""

    def __init__(self, path: str, count: int, first: int) -> None:
        self.prepared = requests(path)
        self.first = first
        self.count = count
        self.sent = self.answered = self.other = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next(self) -> bytes | None:
        if self.sent == self.count:
            return None
        before, after = self.prepared[self.sent % ADDRESSES]
        number = self.first + self.sent
        self.sent += 1
        return b"%b%012d%b" % (before, number, after)

    def answer(self, good: bool) -> None:
        if good:
            self.answered += 1
        else:
            self.other += 1
        if self.answered + self.other == self.count:
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, source: _Source) -> None:
        self.source = source
        self.transport: asyncio.Transport | None = None
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        if (at := head.lower().find(b"content-length:")) >= 0:
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        self.source.answer(head[9:10] == b"2")
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.source.done.done():
            self.source.done.set_exception(error or ConnectionResetError("the server closed a connection"))

    def _send(self) -> None:
        request = self.source.next()
        if request is not None and self.transport is not None:
            self.transport.write(request)


async def run(host: str, port: int, path: str, connections: int, count: int, first: int) -> Result:
    """Send count requests over so many connections; their ids begin at number first.

    Raises:
        OSError: the server is not there or closed a connection.
    """
    source = _Source(path, count, first)
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    opened = [await loop.create_connection(lambda: _Connection(source), host, port) for _ in range(connections)]
    await source.done
    seconds = time.perf_counter() - begun
    for transport, _ in opened:
        transport.abort()
    return Result(source.answered, source.other, seconds)
