"""A client that keeps its own books: what it sent, what was answered, what was not.

An event's id and content are pure functions of its number, so that whoever reads the store later
can say of every row whether it is the one that was sent. What got no answer is sent again, under
the same id and marked by ``attempt``, until it is answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SITE = "kill.example"


def id_of(n: int) -> str:
    """Event id of number n."""
    return str(uuid.UUID(bytes=hashlib.blake2b(b"id%d" % n, digest_size=16).digest()))


def content_of(n: int) -> tuple[str, str, str]:
    """Path, title and the property ``h`` of number n."""
    digest = hashlib.blake2b(b"content%d" % n, digest_size=16).hexdigest()
    return f"/p/{n % 500}", f"Title {digest[:6]}", digest


def event_of(n: int, attempt: int) -> dict[str, Any]:
    path, title, digest = content_of(n)
    event: dict[str, Any] = {
        "site": SITE, "name": "pageview", "id": id_of(n), "url": f"https://{SITE}{path}", "title": title,
        "props": {"h": digest, "n": n},
    }  # fmt: skip
    if attempt:
        event["attempt"] = attempt
    return event


@dataclass
class Books:
    """What the client knows when it is done."""

    answered: set[int] = field(default_factory=set)
    unanswered: int = 0
    unconnected: int = 0
    full: int = 0
    requests: int = 0


#: One request: the numbers of the events in it.
Request = tuple[int, ...]


class Sender:
    """Sends numbered events over many keep-alive connections.

    Args:
        host, port: the daemon.
        seed: decides order and shape of the requests.
        connections: how many, at the same time.
        marks: whether what is sent again says so (``attempt``); else only its id tells.
    """

    def __init__(self, host: str, port: int, seed: int, connections: int = 64, marks: bool = True) -> None:
        self.host, self.port = host, port
        self.connections = connections
        self.marks = marks
        self.books = Books()
        self._random = random.Random(seed)
        self._todo: list[list[Request]] = []
        self._attempts: dict[int, int] = {}

    def plan(
        self, events: int, first: int = 0, array: int = 50, kinds: Sequence[str] = ("single", "array", "pipeline")
    ) -> None:
        """A third alone, a third in arrays, a third in pipelines of up to 16.

        Args:
            events: number of the last, plus one.
            first: number of the first.
            array: most events of an array.
            kinds: which of these.
        """
        n = first
        while n < events:
            kind = self._random.choice(kinds)
            if kind == "single":
                burst: list[Request] = [(n + i,) for i in range(min(20, events - n))]
                self._todo += [[request] for request in burst]
            elif kind == "array":
                burst = [tuple(range(n, min(n + self._random.randrange(2, array + 1), events)))]
                self._todo.append(burst)
            else:
                burst = [(n + i,) for i in range(min(self._random.randrange(2, 17), events - n))]
                self._todo.append(burst)
            n += sum(len(request) for request in burst)
        self._random.shuffle(self._todo)

    async def run(self, timeout: float = 120.0) -> Books:
        """Send everything until all of it is answered. TimeoutError when it takes too long."""
        async with asyncio.timeout(timeout):
            await asyncio.gather(*(self._connection() for _ in range(self.connections)))
        return self.books

    async def _connection(self) -> None:
        while self._todo:
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
            except OSError:
                self.books.unconnected += 1
                await asyncio.sleep(0.01)  # a listener between two owners; the deadline of run() bounds it
                continue
            try:
                await self._use(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closing = False
        while self._todo and not closing:
            waiting = self._todo.pop()
            try:
                writer.write(b"".join(map(self._bytes, waiting)))
                while waiting:
                    status, body, closing = await _answer(reader)
                    self.books.requests += 1
                    self._note(waiting.pop(0), status, body)
            finally:
                if waiting:
                    self.books.unanswered += len(waiting)
                    for request in waiting:
                        self._again(request)

    def _bytes(self, request: Request) -> bytes:
        events = [event_of(n, self._attempts.get(n, 0) if self.marks else 0) for n in request]
        body = json.dumps(events if len(events) > 1 else events[0]).encode()
        head = (
            f"POST /v1/events HTTP/1.1\r\nHost: {SITE}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        return head.encode() + b"\r\n\r\n" + body

    def _note(self, request: Request, status: int, body: bytes) -> None:
        if status == 200:
            assert json.loads(body) == {"accepted": len(request), "refused": []}, body
            self.books.answered.update(request)
        elif status == 503:
            self.books.full += 1
            self._again(request)
        else:
            raise AssertionError(f"status {status}: {body!r}")

    def _again(self, request: Request) -> None:
        for n in request:
            self._attempts[n] = self._attempts.get(n, 0) + 1
        self._todo.insert(0, [request])


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, body, and whether it is the last of its connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length, closing = 0, False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        closing = closing or line.lower() == b"connection: close"
    return int(head[9:12]), await reader.readexactly(length), closing
