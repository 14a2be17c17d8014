"""The loop that sends and times. Clock and network are given to it; nothing here knows what is sent.

*Closed*: every connection sends as soon as it has its answer: as fast as it goes. Latency is from the
sending.

*Open*: sendings are due at a fixed rate, whatever the server does. One that is due when no connection is
free waits for one, and its latency is counted **from when it was due**. So a server that stands still for
a second is charged with a second of everybody, not with one slow answer (the mistake is called
coordinated omission). How much of it was waiting before the sending is kept beside (``delay``): with
connections to spare this is what the generator itself was late.

One descriptor's news costs a look-up of the whole answer in a table of those seen before (a server's
answers differ by second and origin only), one reading of the clock, two shifts for the histogram, and the
next sending; what is unusual leaves that path. Garbage collection is off meanwhile.
"""

from __future__ import annotations

import gc
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bench.traffic.answers import Answer, Answers, BadAnswer
from bench.traffic.histogram import BITS, MOST, Histogram
from bench.traffic.wire import events_in

_SECOND = 10**9
#: Bytes of one read. Most answers have under 500; a longer one takes another read.
_READ = 16_384
#: Answers that are remembered.
_MAX_KNOWN = 8192
#: ns until a connection that failed is tried again, between two calls of ``tick``, and a wait at most.
_AGAIN, _TICK, _LONGEST = 50_000_000, 100_000_000, 20_000_000


class Socket(Protocol):
    """What the loop needs of a connection; not blocking."""

    def fileno(self) -> int: ...
    def send(self, data: bytes, /) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def drop(self) -> None: ...


class Net(Protocol):
    """What the loop needs of a network."""

    def connect(self) -> Socket: ...
    def wait(self, seconds: float) -> list[tuple[int, int]]: ...


@dataclass
class Tally:
    """What came of it.

    Args:
        units: sent, each of one request or a pipeline of them.
        statuses: answers by status.
        accepted: events promised by 2xx answers.
        unanswered: requests without an answer; unanswered_events: events in them, which may be stored or not.
        failed: connections that failed, by what the kernel said.
        unsent: units that were due before the end and not sent.
        took_s: seconds from the first sending to the last answer.
        latency, delay: in ns, of answers; of sendings in the open loop.
    """

    units: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    accepted: int = 0
    unanswered: int = 0
    unanswered_events: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    unsent: int = 0
    took_s: float = 0.0
    latency: Histogram = field(default_factory=Histogram)
    delay: Histogram = field(default_factory=Histogram)

    @property
    def answered(self) -> int:
        """Answers, of any status."""
        return sum(self.statuses.values())


class _Line:
    """A connection's state: waiting is how many answers are awaited; rest what is not sent yet."""

    __slots__ = ("answers", "live", "recv", "request", "rest", "send", "since", "socket", "waiting")

    def __init__(self, socket: Socket) -> None:
        self.answers = Answers()
        self.live = True
        self.socket = socket
        self.send = socket.send
        self.recv = socket.recv
        self.request = self.rest = b""
        self.since = self.waiting = 0


class Loop:
    """A run.

    Args:
        network: where to.
        requests: what to send, in this order; when it ends, so does the run.
        clock: ns, monotonic.
        connections: how many at the same time.
        depth: answers to each of the requests.
        rate: units a second; 0: the closed loop.

    Attributes:
        tally: grows while it runs; ``fold`` brings it up to date.
    """

    def __init__(
        self, network: Net, requests: Iterator[bytes], clock: Callable[[], int], connections: int,
        depth: int = 1, rate: float = 0.0,
    ) -> None:  # fmt: skip
        self.tally = Tally()
        self._network = network
        self._requests = requests
        self._clock = clock
        self._connections = connections
        self._depth = depth
        self._gap = _SECOND / rate if rate else 0.0
        self._began = self._next_tick = self._heard = 0
        self._due = 0.0
        self._under_way = 0
        self._done = False
        self._lines: dict[int, _Line] = {}
        self._free: deque[_Line] = deque()
        self._down: deque[int] = deque()
        self._known: dict[bytes, Answer] = {}

    def stop(self) -> None:
        """Send nothing more; ``run`` returns when the answers under way are there. Safe in a signal handler."""
        self._requests = iter(())
        self._done = True

    def run(self, seconds: float, tick: Callable[[int], None] | None = None, drain: float = 5.0) -> Tally:
        """Send for so many seconds, then wait for answers for drain seconds at most.

        Args:
            tick: called ten times a second with the ns that have passed.
        """
        gc.disable()
        try:
            self._began = self._heard = self._next_tick = self._clock()
            self._due = float(self._began)
            for _ in range(self._connections):
                self._connect()
            until = self._began + int(seconds * _SECOND)
            self._go(until, tick)
            if self._gap and not self._done:
                self.tally.unsent = max(int((until - self._due) / self._gap), 0)
            self.stop()
            self._go(self._clock() + int(drain * _SECOND), tick)
        finally:
            gc.enable()
        for line in list(self._lines.values()):
            self._lose(line)
        self.tally.took_s = (self._heard - self._began) / _SECOND
        self.fold()
        return self.tally

    def fold(self) -> None:
        """Bring ``tally`` up to date."""
        for answer in self._known.values():
            self._add(answer, answer.times)
            answer.times = 0

    # ------------------------------------------------------------------ turns

    def _go(self, until: int, tick: Callable[[int], None] | None) -> None:
        """Send and receive until then, or until there is nothing more to send and nothing under way."""
        wait, heard = self._network.wait, False
        while (now := self._clock()) < until:
            if heard:
                self._heard = now
            if now >= self._next_tick:
                self._next_tick = now + _TICK
                if tick is not None:
                    tick(now - self._began)
            while self._down and self._down[0] <= now:
                self._down.popleft()
                self._connect()
            if self._free:
                self._send_due(now)
            if self._done and not self._under_way:
                return
            ready = wait(self._pause(until) if self._gap else min(_LONGEST, until - now) / _SECOND)
            if heard := bool(ready):
                self._turn(ready)

    def _pause(self, until: int) -> float:
        """Seconds to wait for news at most, in the open loop."""
        now = self._clock()
        longest = float(min(_LONGEST, until - now))
        if self._free and not self._done:
            longest = min(longest, self._due - now)
        return max(longest, 0) / _SECOND

    def _send_due(self, now: int) -> None:
        """Hand what is due to free connections; in the closed loop every one has something due."""
        while self._free and not self._done and (not self._gap or self._due <= now):
            line = self._free.popleft()
            if not line.live:
                continue
            since = int(self._due) if self._gap else self._clock()
            if (request := next(self._requests, None)) is None:
                self._done = True
                return
            if self._gap:
                self._due += self._gap
                now = self._clock()
                self.tally.delay.record(now - since)
            line.since, line.waiting, line.request, line.rest = since, self._depth, request, request
            self._under_way += 1
            self.tally.units += 1
            self._flush(line)

    def _turn(self, ready: list[tuple[int, int]]) -> None:
        """Take what has come. The hot path is written out here; every call would be a tenth of it."""
        lines, known, free, clock, requests = self._lines, self._known, self._free, self._clock, self._requests
        tally, closed = self.tally, not self._gap
        counts, most, units = tally.latency.counts, tally.latency.most, 0
        for fd, _ in ready:
            if (line := lines.get(fd)) is None:
                continue
            try:
                data = line.recv(_READ)
            except BlockingIOError:
                if line.rest:
                    self._flush(line)
                continue
            except OSError as error:
                self._fail(line, error)
                continue
            answer = known.get(data)
            if answer is None or not line.waiting:
                tally.latency.most = most
                self._read(line, data)
                most = tally.latency.most
                continue
            now = clock()
            spent = now - line.since
            if spent > most:
                most = spent
                spent = min(spent, MOST)
            if (shift := spent.bit_length() - BITS - 1) > 0:
                counts[(shift << BITS) + (spent >> shift)] += 1
            else:
                counts[spent] += 1
            answer.times += 1
            if closed and (request := next(requests, None)) is not None:
                units += 1
                line.since, line.request = now, request
                try:
                    if (sent := line.send(request)) != len(request):
                        line.rest = request[sent:]
                except BlockingIOError:
                    line.rest = request
                except OSError as error:
                    self._fail(line, error)
                continue
            line.waiting = 0
            self._under_way -= 1
            free.append(line)
        tally.latency.most = most
        tally.units += units

    # ------------------------------------------------------- the unusual path

    def _read(self, line: _Line, data: bytes) -> None:
        """Take bytes that are not one answer seen before."""
        ended = not data
        try:
            while data and len(data) % _READ == 0:
                more = line.recv(_READ)
                ended = not more
                if ended:
                    break
                data += more
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(line, error)
            return
        fresh = line.answers.whole
        try:
            found = line.answers.receive(data)
            closes = self._take(line, found)
        except BadAnswer as error:
            self._fail(line, error)
            return
        if closes:
            self._lose(line)
            self._connect()
        elif ended:
            self._fail(line, None)
        elif found and not line.waiting:
            self._under_way -= 1
            self._free.append(line)
            if fresh and self._depth == 1 and line.answers.whole:
                self._remember(data, found[0])

    def _take(self, line: _Line, found: list[Answer]) -> bool:
        """Count answers; whether the connection ends with the last one."""
        now = self._clock()
        for answer in found:
            if not line.waiting:
                raise BadAnswer("an answer to nothing that was sent")
            self.tally.latency.record(now - line.since)
            self._add(answer, 1)
            line.waiting -= 1
            if answer.closes:
                if not line.waiting:
                    self._under_way -= 1
                return True
        return False

    def _remember(self, data: bytes, answer: Answer) -> None:
        if len(self._known) >= _MAX_KNOWN:
            self.fold()
            self._known.clear()
        self._known[data] = answer

    def _add(self, answer: Answer, times: int) -> None:
        if times:
            self.tally.statuses[answer.status] += times
            self.tally.accepted += times * answer.accepted

    # ------------------------------------------------------------ connections

    def _connect(self) -> None:
        line = _Line(self._network.connect())
        self._lines[line.socket.fileno()] = line
        self._free.append(line)

    def _flush(self, line: _Line) -> None:
        try:
            line.rest = line.rest[line.send(line.rest) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(line, error)

    def _fail(self, line: _Line, error: Exception | None) -> None:
        """A connection has failed, or the server has closed it (None): another in a while."""
        if error is not None or line.waiting:
            why = error.strerror if isinstance(error, OSError) else str(error or "closed by the server")
            self.tally.failed[why or type(error).__name__] += 1
        self._lose(line)
        self._down.append(self._clock() + _AGAIN)

    def _lose(self, line: _Line) -> None:
        """End a connection; what is not answered on it stays so."""
        del self._lines[line.socket.fileno()]
        line.live = False
        if line.waiting:
            self._under_way -= 1
            self.tally.unanswered += line.waiting
            self.tally.unanswered_events += events_in([line.request])
        line.socket.drop()
