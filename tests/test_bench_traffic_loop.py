"""bench/traffic's loops against a network and a clock that are given; histogram and answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

import pytest

from bench.traffic.answers import Answers, BadAnswer
from bench.traffic.histogram import MOST, SIZE, Histogram, highest, index
from bench.traffic.loop import Loop, Tally
from bench.traffic.null_responder import whole

MS = 1_000_000
SECOND = 1000 * MS
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"accepted":1,"refused":[]}'


class World:
    """A server, the way to it, and the time. Nothing passes but by ``wait``.

    Args:
        stall: (from, to) in ns: what comes meanwhile is answered after it.
        service: ns an answer takes.
        answer: what it says.
        dies: ns at which all connections are reset; 0: never.
    """

    def __init__(
        self, stall: tuple[int, int] = (0, 0), service: int = MS // 10, answer: bytes = OK, dies: int = 0
    ) -> None:
        self.now = 0
        self.stall, self.service, self.answer, self.dies = stall, service, answer, dies
        self.sockets: dict[int, FakeSocket] = {}
        self.sent = 0
        self._numbers = itertools.count(10)

    def clock(self) -> int:
        return self.now

    def connect(self) -> FakeSocket:
        made = FakeSocket(self, next(self._numbers))
        self.sockets[made.number] = made
        return made

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        until = self.now + max(int(seconds * SECOND), 1)
        due = [socket.ready for socket in self.sockets.values() if socket.ready]
        self.now = max(self.now, min([*due, until]))
        return [(n, 1) for n, socket in self.sockets.items() if socket.ready and socket.ready <= self.now]


class FakeSocket:
    """A connection to the server."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.ready = 0
        self.dead = False

    def fileno(self) -> int:
        return self.number

    def send(self, data: bytes) -> int:
        world = self.world
        begins, ends = world.stall
        started = ends if begins <= world.now < ends else world.now
        self.ready = started + world.service
        world.sent += 1
        if world.dies and self.world.now >= world.dies:
            world.dies, self.dead = 0, True
        return len(data)

    def recv(self, size: int) -> bytes:
        if self.dead:
            raise ConnectionResetError(104, "Connection reset by peer")
        if not self.ready or self.ready > self.world.now:
            raise BlockingIOError
        self.ready = 0
        return self.world.answer

    def drop(self) -> None:
        del self.world.sockets[self.number]


def run(world: World, seconds: float = 1.0, connections: int = 4, rate: float = 0.0, units: int = 10**9) -> Tally:
    """A run in that world."""
    requests: Iterator[bytes] = itertools.repeat(b'{"id":"', units)
    return Loop(world, requests, world.clock, connections, rate=rate).run(seconds)


def slower(histogram: Histogram, ns: int) -> int:
    """How many values were above."""
    return sum(count for counter, count in enumerate(histogram.counts) if highest(counter) > ns)


# -------------------------------------------------------------------- loops


def test_in_the_open_loop_a_stall_is_charged_to_all_that_were_due() -> None:
    tally = run(World(stall=(500 * MS, 600 * MS)), rate=1000)
    assert tally.units == tally.answered == 1000
    # One was due each ms of the 100: they waited 100, 99, 98, … ms, whether sent or not.
    assert slower(tally.latency, 50 * MS) == pytest.approx(50, abs=2)
    assert slower(tally.latency, 90 * MS) == pytest.approx(10, abs=2)
    assert tally.latency.percentile(0.99) == pytest.approx(90 * MS, rel=0.03)
    assert tally.latency.most == pytest.approx(100 * MS, rel=0.02)
    assert slower(tally.delay, 50 * MS) == pytest.approx(48, abs=3)  # all but those on the four connections


def test_in_the_closed_loop_a_stall_is_one_slow_answer_a_connection() -> None:
    tally = run(World(stall=(500 * MS, 600 * MS)))
    assert slower(tally.latency, 50 * MS) == 4
    assert tally.latency.percentile(0.99) < MS


def test_the_open_loop_keeps_its_rate_and_a_quiet_server_is_quick() -> None:
    tally = run(World(), rate=2500, seconds=2)
    assert tally.answered == 5000 and tally.unsent == 0
    assert tally.latency.most == pytest.approx(MS // 10, abs=10)
    assert tally.delay.most <= 10
    assert tally.took_s == pytest.approx(2, abs=0.01)


def test_what_was_due_and_not_sent_is_said() -> None:
    tally = run(World(service=10 * MS), rate=1000, connections=4)  # it can take 400 a second
    assert tally.answered == pytest.approx(400, abs=8)
    assert tally.unsent == pytest.approx(600, abs=8)
    assert tally.latency.most == pytest.approx(600 * MS, rel=0.05)


def test_the_closed_loop_keeps_all_connections_busy() -> None:
    tally = run(World(), connections=8)
    assert tally.answered == pytest.approx(80_000, rel=0.01)
    assert tally.accepted == tally.answered == tally.statuses[200]


def test_a_run_ends_when_the_requests_do_and_waits_for_the_last_answer() -> None:
    world = World(service=400 * MS)
    tally = run(world, seconds=60, units=10)
    assert (tally.answered, tally.units, tally.unanswered, tally.unsent) == (10, 10, 0, 0)
    assert world.now == pytest.approx(1200 * MS, rel=0.05)


def test_a_reset_is_counted_with_its_events_and_the_connection_made_anew() -> None:
    tally = run(World(dies=500 * MS), connections=2)
    assert tally.failed == {"Connection reset by peer": 1}
    assert (tally.unanswered, tally.unanswered_events) == (1, 1)
    assert tally.answered == tally.units - 1 > 19_000  # one of two was away for 50 ms of a second


def test_an_answer_that_never_comes_is_unanswered() -> None:
    tally = run(World(stall=(500 * MS, 60 * SECOND)), rate=100, connections=3)
    assert tally.unanswered == 3 == tally.unanswered_events
    assert tally.answered + tally.unanswered + tally.unsent == 100


def test_what_is_no_http_is_a_failed_connection() -> None:
    tally = run(World(answer=b"SSH-2.0-OpenSSH\r\n\r\n"), connections=1)
    assert tally.answered == 0 and tally.unanswered > 0
    assert all("an answer begins" in why for why in tally.failed)


def test_an_answer_that_closes_takes_a_new_connection() -> None:
    world = World(answer=OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
    tally = run(world, connections=1)
    assert tally.answered == pytest.approx(10_000, rel=0.01) and not tally.failed
    assert world.connect().number > 9000  # each had a number of its own


def test_answers_of_a_pipeline_are_all_awaited() -> None:
    world = World(answer=OK * 5)
    tally = Loop(world, itertools.repeat(b"x" * 5), world.clock, 1, depth=5).run(0.1)
    assert tally.answered == 5 * tally.units == 5 * world.sent


def test_ticks_come_with_the_time_and_a_tally_that_can_be_folded() -> None:
    world = World()
    loop = Loop(world, itertools.repeat(b"x"), world.clock, 1)
    seen: list[tuple[int, int]] = []

    def tick(passed: int) -> None:
        loop.fold()
        seen.append((passed, loop.tally.answered))
        if len(seen) == 5:
            loop.stop()

    tally = loop.run(60, tick)
    assert [passed for passed, _ in seen[:5]] == pytest.approx([n * 100 * MS for n in range(5)], abs=MS)
    assert seen[4][1] == pytest.approx(4000, rel=0.02) and tally.answered == pytest.approx(seen[4][1], abs=2)


# ---------------------------------------------------------------- histogram


def test_every_counter_stands_for_its_values_and_no_others() -> None:
    assert all(index(highest(counter)) == counter for counter in range(SIZE))
    assert all(index(highest(counter) + 1) == counter + 1 for counter in range(SIZE - 1))
    assert index(-1) == 0 and index(MOST) == index(2**60) == SIZE - 1


def test_percentiles_are_those_of_the_values_to_under_two_percent() -> None:
    rng, histogram = Random(5), Histogram()
    values = sorted(int(10 ** (3 + 6 * rng.random())) for _ in range(20_000))
    for value in values:
        histogram.record(value)
    for share in (0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0):
        exact = values[max(int(len(values) * share + 0.5), 1) - 1]
        assert exact <= histogram.percentile(share) * 1.001
        assert histogram.percentile(share) == pytest.approx(exact, rel=0.017)
    assert histogram.percentile(1.0) == values[-1] == histogram.most and histogram.total == 20_000


def test_a_histogram_without_values_says_0_and_one_value_is_every_percentile() -> None:
    histogram = Histogram()
    assert histogram.percentile(0.99) == 0
    before = list(histogram.counts)
    histogram.record(123_456, times=3)
    assert histogram.percentile(0.001) == histogram.percentile(1.0) == 123_456
    assert histogram.since(before).total == 3


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_answers_come_whole_however_they_are_cut(size: int) -> None:
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK
        + b'HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\n{"error":""}'
        + b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\nX-Trackflow-Refused: gpc\r\n\r\n{"accepted": 100}'
        + b"HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\nContent-Length: 3\r\n\r\nGIF"
        + b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    )  # fmt: skip
    reader = Answers()
    found = [answer for at in range(0, len(data), size) for answer in reader.receive(data[at : at + size])]
    assert [(answer.status, answer.accepted) for answer in found] == [(200, 1), (400, 0), (200, 0), (200, 1), (204, 0)]
    assert [answer.closes for answer in found] == [False] * 4 + [True]
    assert reader.whole


@pytest.mark.parametrize("data", [b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 70_000])
def test_what_has_no_status_or_no_length_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        Answers().receive(data)


def test_the_null_responder_counts_whole_requests() -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert whole(post + get + post[:-1]) == (2, post[:-1])
    assert whole(post[:20]) == (0, post[:20])
