"""What a drain waits for: nothing that only another answer of the store to refused batches could change."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.flusher_bench import Bench
from tests.rows import NOW, event_id, row
from tests.test_flusher_operate import running
from tests.workers import until
from trackflowd.calls import Stopped
from trackflowd.cuts import Cut
from trackflowd.openbatch import LastTry, Open
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID
from trackflowd.settle import Backoff

LATER = float("inf")


def waiting(ask: bool = False, **known: object) -> Open:
    """A batch as the lander keeps it."""
    one = Open(Cut(1, NOW, 1, "memory:", 202511, 1, 0, 1, (0, 0), (), ask=ask), doubt=False)
    for name, value in known.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize(
    "other",
    [
        waiting(),  # its turn comes
        waiting(due=LATER),  # cut for another store, or being asked about
        waiting(since=0),  # others have landed, or it is a half: its turn comes
        waiting(since=0, due=LATER, held=True),  # to be confirmed
        waiting(since=0, due=time.monotonic() - 1),
    ],
)
def test_a_batch_that_may_go_on_by_itself_is_waited_for(other: Open) -> None:
    for batches in ([waiting(since=0, due=LATER), other], [other, waiting(ask=True)]):
        last_try = LastTry(batches)
        before = [one.due for one in batches]
        assert [last_try.over() for _ in range(3)] == [False] * 3
        assert [one.due for one in batches] == before


def test_the_oldest_refused_batch_is_tried_once_more_for_all() -> None:
    first, second, behind = waiting(since=0, due=LATER), waiting(since=0, due=LATER), waiting(ask=True)
    batches = [first, second, behind]
    last_try = LastTry(batches)
    assert not last_try.over()
    assert (first.due, second.due) == (0.0, LATER)
    assert not last_try.over(), "it has not been tried yet"
    first.due = LATER
    assert last_try.over()
    del batches[0]  # dropped by hand: another speaks for all
    assert not last_try.over()
    assert second.due == 0.0


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Of a flusher that tries nothing again by itself for an hour."""
    bench = Bench(tmp_path, monkeypatch, "batch.max_age=1h")
    monkeypatch.setattr(Backoff, "wait", lambda self: 3600.0)
    return bench


def waiting_files(bench: Bench) -> list[Path]:
    return [path for place in ("spool", "quarantine") for path in (bench.path / place).glob("*")]


@pytest.mark.parametrize("differs", [True, False])
def test_a_drain_ends_when_the_store_has_refused_all_that_is_left_and_the_next_start_stores_it(
    bench: Bench, differs: bool
) -> None:
    """In the spool a refused batch, whole or in pieces; in the ring one behind it, since its row may be a repeat."""
    bench.store.fault = "column site is String" if differs else ""
    bench.store.bad = set() if differs else {event_id(n) for n in range(41)}
    bench.write(*[row(n) for n in range(40)], row(40, flags=CLIENT_ID | ATTEMPT))
    with pytest.raises(Stopped, match="the store refuses what is left"), running(bench):
        pass
    (segment,) = waiting_files(bench)
    assert (bench.store.batches, segment.suffix) == ({}, ".segment")
    bench.store.fault, bench.store.bad = "", set()
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(41))
    assert waiting_files(bench) == []
    assert bench.slot.get("records_quarantined") == 0


def test_a_drain_tries_what_was_refused_once_more_at_once(bench: Bench) -> None:
    bench.store.fault = "column site is String"
    with running(bench) as one:
        bench.write(row(1))
        one.flush()
        until("it is held back", lambda: one.status()["sink"]["state"] == "rejects")
        bench.store.fault = ""
    assert bench.store.ids == Counter([event_id(1)])


def test_what_lands_in_a_drain_decides_whose_fault_it_is(bench: Bench) -> None:
    bench.store.bad = {event_id(1)}
    with running(bench) as one:
        bench.write(row(1))
        one.flush()
        until("it is held back", lambda: one.status()["sink"]["state"] == "rejects")
        bench.write(row(2))
    assert bench.store.ids == Counter([event_id(2)])
    assert bench.slot.get("records_quarantined") == 1
    assert [path.name[:5] for path in (bench.path / "quarantine").iterdir()] == ["rows-"]
