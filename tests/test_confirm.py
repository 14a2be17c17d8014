"""Answers of a store that does not vouch for them: nothing is done before it is confirmed, nothing unconfirmed lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.flusher_bench import Bench, MemoryStore
from tests.rows import event_id, row
from trackflowd import confirm
from trackflowd.confirm import Confirmer
from trackflowd.cuts import Cut
from trackflowd.errors import EngineBroken, StoreAway
from trackflowd.openbatch import Open
from trackflowd.sender import Sender
from trackflowd.sink.base import Batch


class Clock:
    """What ``time.monotonic`` says in ``confirm``."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(confirm, "time", clock)
    return clock


class Desk:
    """A confirmer whose jobs are done when told to."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.done = threading.Event()
        self.sender = Sender(self.done.set)
        self.sender.start()
        self.settled: list[Open] = []
        self.troubles: list[Exception | None] = []
        self.confirmer = Confirmer(self.store, self.sender, self.settled.append, self.troubles.append)

    def answer(self) -> None:
        assert self.done.wait(10)
        self.done.clear()
        assert self.sender.deliver()


def an_open() -> Open:
    return Open(Cut(1, 0, 1, "memory:", 202611, 1, 0, 1, (1, 0), ()), False)


def test_one_confirmation_is_good_for_all_that_was_answered_before_it(clock: Clock) -> None:
    desk, batches = Desk(), [an_open(), an_open(), an_open()]
    desk.confirmer.add(batches[0])
    desk.confirmer.add(batches[1])
    assert not desk.confirmer.step(at_rest=False) and all(one.held for one in batches[:2])
    clock.now += confirm.SOON
    assert desk.confirmer.step(at_rest=False)
    desk.confirmer.add(batches[2])
    desk.answer()
    assert desk.settled == batches[:2]
    assert desk.confirmer.step(at_rest=True)
    desk.answer()
    assert desk.settled == batches and desk.troubles == []


def test_without_an_answer_they_go_on_waiting_and_the_next_one_says_that_all_is_well(clock: Clock) -> None:
    desk, one = Desk(), an_open()
    desk.confirmer.add(one)

    def away(when: str) -> None:
        raise StoreAway("no answer")

    desk.store.trouble = away
    assert desk.confirmer.step(at_rest=True)
    desk.answer()
    assert desk.settled == [] and [str(error) for error in desk.troubles] == ["no answer"]
    desk.store.trouble = lambda when: None
    assert desk.confirmer.step(at_rest=True)
    desk.answer()
    assert desk.settled == [one] and desk.troubles[1:] == [None]


def test_a_store_at_rest_is_looked_at_once_a_minute_and_one_that_vouches_never(clock: Clock) -> None:
    desk = Desk()
    assert not desk.confirmer.step(at_rest=True)
    clock.now += confirm.WATCH
    assert not desk.confirmer.step(at_rest=False)
    assert desk.confirmer.step(at_rest=True) and not desk.confirmer.step(at_rest=True)
    desk.store.vouches = True
    clock.now += confirm.WATCH
    assert not desk.confirmer.step(at_rest=True)
    desk.confirmer.add(one := an_open())
    assert desk.settled == [one] and not one.held


@pytest.mark.parametrize("torn", [0, 1, 2])
def test_a_batch_that_was_answered_well_and_is_gone_is_sent_again_by_the_next_process(
    torn: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, "batch.max_rows=10")
    insert, inserts = bench.store.insert, iter(range(100))

    def tear(batch: Batch) -> None:
        insert(batch)
        if next(inserts) == torn:
            bench.store.torn.add(batch.batch_id)

    monkeypatch.setattr(bench.store, "insert", tear)
    monkeypatch.setattr(confirm, "SOON", 3600.0)
    bench.write(*[row(n) for n in range(33)])
    with pytest.raises(EngineBroken):
        bench.drain()
    bench.drain()
    assert bench.store.ids == {event_id(n): 1 for n in range(33)}
