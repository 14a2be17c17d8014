"""trackflowd.buckets: several workers on one memory, held against one bucket that knows all."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackflowd import buckets
from trackflowd.buckets import Buckets
from trackflowd.errors import TrackflowError
from trackflowd.limits import Limit, Want, of_address, of_site
from trackflowd.site import Site

SECOND = 10**9


class Clock:
    """What all workers read."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


class Stage:
    """Workers over one memory."""

    def __init__(self, workers: int) -> None:
        self.clock = Clock()
        self.supervisor = Buckets.create(workers)
        self.workers = [self.worker(slot) for slot in range(workers)]

    def worker(self, slot: int) -> Buckets:
        return Buckets(os.dup(self.supervisor.fd), slot, self.clock)

    def close(self) -> None:
        for one in (self.supervisor, *self.workers):
            one.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(4)
    yield made
    made.close()


def limit(rate: float, burst: float = 0) -> Limit:
    made = of_address(rate, burst)
    assert made is not None
    return made


def want(bound: Limit, events: int = 1, address: str = "203.0.113.1", site: str = "") -> list[Want]:
    return [Want(bound, site, address, events)]


class Bucket:
    """One bucket in one place."""

    def __init__(self, bound: Limit) -> None:
        self.bound = bound
        self.whole = 0

    def take(self, now: int, events: int) -> bool:
        whole, cost = max(self.whole, now), self.bound.cost * events
        if whole + min(cost, self.bound.burst) > now + self.bound.burst:
            return False
        self.whole = whole + cost
        return True


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 12), st.sampled_from([0, 1, 10**6, 10**8, 10**10])),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from([(10, 0), (10, 1), (0.5, 3), (1000, 5)]))
def test_workers_in_turns_decide_as_one_bucket_would(
    steps: list[tuple[int, int, int, int]], bound: tuple[float, float]
) -> None:
    """Who waits, who is new, who did not look for long: none of it makes a difference, also where workers restart."""
    stage, held = Stage(3), limit(*bound)
    model = {number: Bucket(held) for number in range(4)}
    try:
        for slot, number, events, pause in steps:
            stage.clock.now += pause
            if pause == 1:
                stage.workers[slot].close()
                stage.workers[slot] = stage.worker(slot)
            taken = stage.workers[slot].take(want(held, events, f"203.0.113.{number}")) is None
            assert taken == model[number].take(stage.clock.now, events)
    finally:
        stage.close()


def test_nothing_is_taken_of_any_bucket_where_one_refuses(stage: Stage) -> None:
    narrow, wide = of_site(Site("a", rate=1, burst=1, address_rate=1, address_burst=5))
    wants = [Want(wide, "a", "203.0.113.1", 1), Want(narrow, "a", "", 1)]
    first, *others = stage.workers
    assert first.take(wants) is None
    for worker in others:
        assert worker.take(wants) == (narrow, SECOND)
    assert [first.take(wants[:1]) for _ in range(4)] == [None] * 4
    assert first.take(wants[:1]) is not None


def test_more_events_than_a_burst_pass_when_it_is_whole_and_are_owed(stage: Stage) -> None:
    bound = limit(10, 5)
    a, b = stage.workers[:2]
    assert a.take(want(bound, 1)) is None
    assert b.take(want(bound, 50)) == (bound, SECOND // 10)
    stage.clock.now += SECOND // 10
    assert b.take(want(bound, 50)) is None
    assert a.take(want(bound, 1)) == (bound, 5 * SECOND - 4 * SECOND // 10)
    assert stage.workers[2].take(want(limit(5e-324), 10**6)) is None
    assert stage.workers[3].take(want(limit(5e-324), 1)) is not None


def test_another_limit_or_address_or_site_is_another_bucket(stage: Stage) -> None:
    worker, bound = stage.workers[0], limit(1)
    for other in (want(bound), want(bound, address="203.0.113.2"), want(bound, site="b"), want(limit(2, 1))):
        assert worker.take(other) is None and worker.take(other) is not None
    worker.forget()
    worker.forget()
    assert worker.take(want(bound)) is not None


def test_workers_that_come_later_have_a_part_of_their_own_and_count(stage: Stage) -> None:
    bound = limit(10)
    with pytest.raises(TrackflowError, match="for 4 workers, not for slot 4"):
        Buckets.attach(os.dup(stage.supervisor.fd), 4)
    stage.supervisor.grow(6)
    stage.supervisor.grow(5)
    late = stage.worker(5)
    assert late.take(want(bound, 10)) is None
    assert all(worker.take(want(bound)) is not None for worker in stage.workers)
    late.close()


def test_what_is_not_the_memory_is_refused() -> None:
    for content in (b"", bytes(4096)):
        fd = os.memfd_create("other")
        os.write(fd, content)
        with pytest.raises(TrackflowError, match="does not hold the buckets"):
            Buckets.attach(fd, 0)
        os.close(fd)


def test_more_addresses_than_there_is_room_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose bucket is whole again go first, and lose nothing; memory stays as it is."""
    monkeypatch.setattr(buckets, "ADDRESS_SETS", 1)
    a, b = stage.workers[:2]
    bound = limit(1, 2)
    for n in range(buckets.WAYS):
        assert a.take(want(bound, 1 if n != 3 else 2, f"203.0.113.{n}")) is None
    assert b.take(want(bound, 1, "203.0.113.1")) is None
    stage.clock.now += SECOND  # whole again: all but the two of which more was taken, one of them by another worker
    for n in range(100, 100 + buckets.WAYS - 2):
        assert a.take(want(bound, 2, f"203.0.113.{n}")) is None
    for n in (1, 3):
        assert a.take(want(bound, 2, f"203.0.113.{n}")) == (bound, SECOND)
    assert a.take(want(bound, 1, "203.0.113.200")) is None  # all are in use: one is given up
    assert sum(a.take(want(bound, 1, f"203.0.113.{n}")) is None for n in (1, 3, *range(100, 106))) >= 1


def test_a_long_run_of_many_addresses_keeps_to_each_rate(stage: Stage) -> None:
    """With far more addresses than one set holds, over workers chosen at random: each has what it may."""
    chance, bound = random.Random(7), limit(20, 2)
    taken = dict.fromkeys(range(500), 0)
    for _ in range(20_000):
        stage.clock.now += SECOND // 4000
        number = chance.randrange(500) if chance.random() < 0.5 else chance.randrange(5)
        worker = chance.choice(stage.workers)
        taken[number] += worker.take(want(bound, 1, f"203.0.{number >> 8}.{number & 255}")) is None
    seconds = 5
    assert all(95 <= taken[number] <= 20 * seconds + 2 for number in range(5)), taken
    assert all(n < 50 for number, n in taken.items() if number >= 5)
