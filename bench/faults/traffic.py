"""The client: a process of its own that sends events, keeps the acks and knows nothing of the faults.

``python -m bench.faults.traffic PLAN``, where PLAN is a ``Plan`` as JSON. Orders come as lines on standard input:

    probe        send one event ahead of all others, until it is answered
    pause        no fresh events; what is due to be sent again still is
    burst N R    N fresh events, and R that were answered long ago once more
    end          stop

Standard output has a line of JSON, a ``Tally``, every ``SAY_EVERY`` seconds and at every answered probe. What got no
answer, or 503, is sent again under the same id with ``attempt`` one higher until it is answered, or is given up at
once: half and half, decided by the first number of the request.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Coroutine, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.faults.acks import AckWriter
from bench.faults.events import Events

#: Seconds between two tallies, and between two turns of the pacer.
SAY_EVERY, PACE = 0.25, 0.01
#: Seconds a client waits for an answer. Longer than a daemon that is well ever takes; a stopped process takes longer.
ANSWER_WITHIN = 5.0
#: Seconds before something is sent again: first and longest. 503 names its own (``Retry-After``).
AGAIN_FIRST, AGAIN_MOST = 0.05, 1.0
#: Part of the fresh requests whose answer is not waited for, and the longest time until the client is gone, s.
HANG_UPS, HANG_UP_WITHIN = 0.03, 0.01
#: Events waiting to be sent again, at which no fresh ones are made: bounds memory, as a client's own queue would be.
BACKLOG = 20_000
#: Fresh events that may be owed at once: after a pause the rate is not made up for.
BURST = 200
#: Answered requests remembered for repeats.
OLD = 2000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send where.

    Args:
        host, port: the daemon.
        seed, run: see ``Events``.
        connections: how many at a time.
        rate: fresh events a second.
        acks: path of the file of acks.
    """

    host: str
    port: int
    seed: int
    run: str
    connections: int
    rate: float
    acks: str


@dataclass
class Tally:
    """How far it is.

    Attributes:
        next: numbers below it were sent, or are being sent.
        acked: events answered 2xx whose line is on the disk.
        taken: events in 2xx answers, repeats included.
        refused_connections: requests no connection could be had for.
        hung_up: requests whose answer the client did not wait for, on purpose.
        unanswered: others, cut off or not answered within ``ANSWER_WITHIN``.
        full: requests answered 503.
        policy: requests answered 2xx with ``X-Trackflow-Refused``.
        other: status or fault of every other answer → how many.
        again: requests sent once more.
        given_up: events not sent again.
        idle: nothing is on its way or due.
        probe_sent: number of the last probe that was ordered; -1: none.
        probe: (number, when answered on the monotonic clock) of the last answered probe.
    """

    next: int = 0
    acked: int = 0
    taken: int = 0
    requests: int = 0
    refused_connections: int = 0
    hung_up: int = 0
    unanswered: int = 0
    full: int = 0
    policy: int = 0
    other: dict[str, int] = field(default_factory=dict)
    again: int = 0
    given_up: int = 0
    idle: bool = False
    probe_sent: int = -1
    probe: tuple[int, float] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Numbers first to first + count - 1, sent for the attempt-th time more."""

    first: int
    count: int
    attempt: int = 0
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    policy: bool
    retry_after: float | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """Requests written in one go.

    Args:
        closing: they ask for the connection to be closed after them.
        hang_up: the client does not wait for the answer, as a browser does that leaves a page or loses its network:
            what was sent is likely to be stored, and nobody knows.
    """

    requests: tuple[Request, ...]
    closing: bool = False
    hang_up: bool = False


class HungUp(Exception):
    """The client did not wait for its answer."""


class Traffic:
    """See the module's text.

    Args:
        plan: what to send where.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tally = Tally()
        self._events = Events(plan.seed, plan.run)
        self._random = random.Random(f"traffic {plan.seed}")
        self._acks = AckWriter(Path(plan.acks))
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._first: list[Request] = []  # probes
        self._due: list[tuple[float, int, Request]] = []
        self._waiting = 0  # events in _due
        self._old: list[Request] = []
        self._busy = 0
        self._fresh = True
        self._owed = 0.0
        self._running: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Send until told to end."""
        reader = await _stdin()
        for work in (self._pacer(), self._syncer(), self._teller(), *self._connections()):
            self._start(work)
        await self._orders(reader)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._acks.close()
        self._say()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.append(task)
        task.add_done_callback(_end_if_failed)

    def _connections(self) -> list[Coroutine[Any, Any, None]]:
        return [self._connection() for _ in range(self.plan.connections)]

    # ----------------------------------------------------------------- what to send

    async def _orders(self, reader: asyncio.StreamReader) -> None:
        while line := (await reader.readline()).split():
            if line[0] == b"probe":
                self._first.append(self._numbered(1, probe=True))
                self.tally.probe_sent = self._first[-1].first
                self._say()
            elif line[0] == b"pause":
                self._fresh = False
            elif line[0] == b"burst":
                fresh, repeats = int(line[1]), int(line[2])
                self._push(self._numbered(1) for _ in range(fresh))
                self._push(Request(one.first, 1, 1) for one in self._old[:repeats])
            elif line[0] == b"end":
                break

    def _push(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._jobs.put_nowait(Job((request,)))

    def _numbered(self, count: int, probe: bool = False) -> Request:
        first = self.tally.next
        self.tally.next += count
        return Request(first, count, 0, probe)

    async def _pacer(self) -> None:
        """Put into the queue what is due, then fresh events at their rate."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(PACE)
            now = time.monotonic()
            while self._first:
                self._jobs.put_nowait(Job((self._first.pop(),)))
            while self._due and self._due[0][0] <= now:
                _, _, request = heapq.heappop(self._due)
                self._waiting -= request.count
                self.tally.again += 1
                self._jobs.put_nowait(Job((request,)))
            self._owed = min(self._owed + (now - before) * self.plan.rate, BURST)
            before = now
            while self._fresh and self._owed >= 1 and self._jobs.qsize() < self.plan.connections:
                if self._waiting >= BACKLOG:
                    break
                job = self._make()
                self._owed -= sum(request.count for request in job.requests)
                self._jobs.put_nowait(job)
            self.tally.idle = not (self._fresh or self._due or self._first or self._busy or self._jobs.qsize())

    def _make(self) -> Job:
        """Fresh events: alone, alone on a connection that closes, an array, or a pipeline; a few not waited for."""
        kind = self._random.choices(("single", "close", "array", "pipeline"), (5, 2, 2, 1))[0]
        hang_up = self._random.random() < HANG_UPS
        if kind == "array":
            return Job((self._numbered(self._random.randrange(2, 51)),), hang_up=hang_up)
        if kind == "pipeline":
            return Job(tuple(self._numbered(1) for _ in range(self._random.randrange(2, 17))), hang_up=hang_up)
        return Job((self._numbered(1),), kind == "close", hang_up)

    # ------------------------------------------------------------------ connections

    async def _connection(self) -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while True:
            job = await self._jobs.get()
            self._busy += 1
            waiting, closing = list(job.requests), job.closing
            try:
                if reader is None or writer is None or reader.at_eof():
                    reader, writer = await asyncio.open_connection(self.plan.host, self.plan.port)
                writer.write(b"".join(self._bytes(request, closing) for request in job.requests))
                if job.hang_up:
                    await asyncio.sleep(self._random.uniform(0, HANG_UP_WITHIN))
                    raise HungUp
                while waiting:
                    answer = await asyncio.wait_for(_answer(reader), ANSWER_WITHIN)
                    self._note(waiting.pop(0), answer)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError, HungUp) as error:
                self._count_failure(error, len(waiting), writer is None)
                for request in waiting:
                    self._failed(request, None)
                closing = True
            if closing and writer is not None:
                # Between an end and a reset the daemon has to tell: half and half.
                (writer.close if self._random.random() < 0.5 else writer.transport.abort)()
                reader = writer = None
            self._busy -= 1

    def _bytes(self, request: Request, closing: bool) -> bytes:
        numbers = range(request.first, request.first + request.count)
        events = [self._events.event_of(n, request.attempt) for n in numbers]
        body = json.dumps(events if len(events) > 1 else events[0], ensure_ascii=False).encode()
        head = f"POST /v1/events HTTP/1.1\r\nHost: {self.plan.host}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}{'Connection: close' if closing else 'Content-Type: application/json'}\r\n\r\n".encode() + body

    def _count_failure(self, error: Exception, requests: int, refused: bool) -> None:
        if isinstance(error, HungUp):
            self.tally.hung_up += requests
        elif isinstance(error, ValueError):
            self._count_other("not HTTP")
        elif refused:
            self.tally.refused_connections += requests
        else:
            self.tally.unanswered += requests

    def _count_other(self, what: str) -> None:
        self.tally.other[what] = self.tally.other.get(what, 0) + 1

    def _note(self, request: Request, answer: Answer) -> None:
        self.tally.requests += 1
        if answer.status == 503:
            self.tally.full += 1
            if answer.retry_after is None:
                self._count_other("503 without Retry-After")
            self._failed(request, answer.retry_after)
        elif not 200 <= answer.status < 300:
            self._count_other(str(answer.status))
            self.tally.given_up += request.count
        elif answer.policy:
            self.tally.policy += 1
        elif not _all_accepted(answer.body, request.count):
            self._count_other("2xx, but not for every event")
            self.tally.given_up += request.count
        else:
            self.tally.taken += request.count
            self._acks.add(request.first, request.count)
            if len(self._old) < OLD and request.count == 1:
                self._old.append(request)
            if request.probe:
                self.tally.probe = (request.first, time.monotonic())
                self._say()

    def _failed(self, request: Request, after: float | None) -> None:
        """No answer, or 503: once more later, or never."""
        if not (request.probe or request.attempt or self._events.perseveres(request.first)):
            self.tally.given_up += request.count
            return
        if after is None or request.probe:
            after = AGAIN_FIRST if request.probe else min(AGAIN_FIRST * 2**request.attempt, AGAIN_MOST)
        again = Request(request.first, request.count, request.attempt + 1, request.probe)
        heapq.heappush(self._due, (time.monotonic() + after, request.first, again))
        self._waiting += request.count

    # --------------------------------------------------------------------- its books

    async def _syncer(self) -> None:
        while True:
            await asyncio.sleep(PACE)
            if self._acks.waiting:
                await asyncio.to_thread(self._acks.sync)
                self.tally.acked = self._acks.events

    async def _teller(self) -> None:
        while True:
            self._say()
            await asyncio.sleep(SAY_EVERY)

    def _say(self) -> None:
        self.tally.acked = self._acks.events
        print(json.dumps(asdict(self.tally)), flush=True)


def _end_if_failed(task: asyncio.Task[None]) -> None:
    """A part that failed ends the process: a client that sends on without its books proves nothing."""
    if not task.cancelled() and (error := task.exception()) is not None:
        traceback.print_exception(error)
        os._exit(1)


def _all_accepted(body: bytes, count: int) -> bool:
    try:
        return bool(json.loads(body) == {"accepted": count, "refused": []})
    except ValueError:
        return False


async def _answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer. ValueError: it is not one."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    except asyncio.LimitOverrunError as error:
        raise ValueError("an endless head") from error
    headers = {}
    for line in head[1:-2]:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    if not head[0].startswith(b"HTTP/1."):
        raise ValueError(f"no status line: {head[0]!r}")
    body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
    after = headers.get(b"retry-after")
    return Answer(
        int(head[0][9:12]), b"x-trackflow-refused" in headers, float(after) if after is not None else None, body
    )


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


def main() -> None:
    """Entry of the process."""
    asyncio.run(Traffic(Plan(**json.loads(sys.argv[1]))).run())


if __name__ == "__main__":
    main()
