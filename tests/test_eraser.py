"""Erasures in a real flusher on real files (``flusher_bench``): what is named lands from nowhere, the rest once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.flusher_bench import LANDING_STEPS, Bench, Killed, dying, killed_at
from tests.rows import NOW, event_id, row
from tests.test_lander import MANY, away, run, segments, well
from tests.test_replayer import replay, while_running
from trackflowd.eraser import check_props
from trackflowd.errors import ControlError, QueryError, StoreAway, StoreDoubt
from trackflowd.flusher import Flusher
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID
from trackflowd.selection import Selection
from trackflowd.sink.edit import Piece
from trackflowd.state import State
from trackflowd.tombstones import Tombstones

#: ``tests.rows``: the user of row n is "user_id-(n % 7)".
ALICE = Selection(user="user_id-3")
UNTIL = NOW + 10**6
ASKED: dict[str, Any] = {"what": ALICE.as_dict(), "until_ms": UNTIL}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch, "spool.keep_free=0")


def bury(bench: Bench, what: Selection = ALICE) -> None:
    """What the supervisor does first."""
    Tombstones(State(bench.path), bench.path).add(what, UNTIL)


def left(numbers: Iterable[int]) -> Counter[bytes]:
    return Counter(event_id(n) for n in numbers if n % 7 != 3)


def test_an_open_batch_and_a_spooled_one_land_without_what_is_named(bench: Bench) -> None:
    away(bench)
    bench.write(*[row(n) for n in range(MANY)])

    def spooled(one: Flusher) -> bool:
        return bool(segments(bench)) and not one.status()["spool"]["text"]

    def erase(one: Flusher) -> None:
        bench.write(*[row(MANY + n) for n in range(20)])  # cut while the tombstone is known
        bury(bench)
        assert one.eraser.load() == 1
        well(bench)

    run(bench, spooled, erase)
    assert bench.store.ids == left(range(MANY + 20))
    assert segments(bench) == []
    named = sum(n % 7 == 3 for n in range(MANY + 20))
    assert (bench.slot.get("rows_erased"), bench.slot.get("rows_stored")) == (named, MANY + 20 - named)


def test_what_comes_after_the_moment_lands(bench: Bench) -> None:
    bury(bench)
    bench.write(row(3, received=UNTIL), row(10, received=UNTIL + 1))
    bench.drain()
    assert bench.store.ids == Counter([event_id(10)])


def test_a_replay_brings_back_what_the_store_lost_but_for_what_is_named(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(40)])
    bench.drain()
    bury(bench)
    for one in list(bench.store.batches):
        bench.store.edit.clear(one, 202511, [])  # nothing yet
    answers = while_running(bench, replay)
    assert {one["outcome"] for one in answers} == {"held"}, "not yet deleted, and already not counted"
    bench.store.batches = bench.store.edit.batches = {}
    answers = while_running(bench, replay)
    assert ([one["outcome"] for one in answers], sum(one["lost"] for one in answers)) == (["restored"], 0)
    assert bench.store.ids == left(range(40))
    assert {one["outcome"] for one in while_running(bench, replay)} == {"held"}


def test_a_replay_of_a_batch_overwritten_in_part_sends_none_of_what_is_named(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(20)])
    bench.drain()
    free, size = bench.writers[0].capacity - bench.writers[0].head, bench.writers[0].head // 20
    bench.write(*[row(1000 + n, flags=0) for n in range(free // size + 8)])  # over the first few rows
    (batch,) = bench.store.batches
    bench.drain()
    bury(bench)
    bench.store.batches[batch] = []
    answer = while_running(bench, lambda one: one.replay_batch(f"{batch:032x}", False))
    assert "erased on request is not known" in answer["text"]
    restored = {one for ids in bench.store.batches.values() for one in ids} & {event_id(n) for n in range(20)}
    assert len(restored) == answer["restored"] > 0
    assert not restored & {event_id(n) for n in range(3, 20, 7)}


def test_a_row_in_quarantine_is_found_deleted_or_not_sent_when_it_is_tried_again(bench: Bench) -> None:
    bench.store.bad = {event_id(3), event_id(4), event_id(10)}
    bench.write(*[row(n) for n in range(20)])
    bench.drain()
    bench.store.bad = set()

    def files(one: Flusher) -> tuple[int, ...]:
        names = one.eraser.plan(**ASKED)["files"]
        assert len(names) == 3
        first = next(name for name in names if name.endswith("-3.segment"))
        return (
            one.eraser.files(**ASKED, names=names, delete=False),
            one.eraser.files(**ASKED, names=[first], delete=True),
            one.eraser.files(**ASKED, names=[*names, "rows-gone.segment"], delete=False),
        )

    assert while_running(bench, files) == (2, 1, 1)
    bury(bench)
    told = while_running(bench, lambda one: one.quarantine_retry([]))
    assert told["retried"] == 2
    bench.drain()
    assert bench.store.ids == left(range(20)) + Counter([event_id(17)]), "which is for the store's own pieces"
    assert not list((bench.path / "quarantine").glob("*"))


def test_rows_that_wait_are_counted_batch_by_batch(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(20)])
    assert killed_at(bench, "insert before")
    away(bench)
    counted: list[Any] = []

    def ask(one: Flusher) -> bool:
        bench.store.trouble = lambda when: (_ for _ in ()).throw(StoreAway("x")) if when == "before" else None
        plan = one.eraser.plan(**ASKED)
        counted[:] = [one.eraser.batch(**ASKED, batch=batch) for batch in plan["batches"]]
        return True

    while_running_away(bench, ask)
    assert counted == [3]


def while_running_away(bench: Bench, ask: Callable[[Flusher], bool]) -> None:
    """Something asked of a flusher whose store takes nothing; then the store is well and it drains."""
    with bench.flusher() as one:
        done = threading.Event()

        def work() -> None:
            try:
                ask(one)
            finally:
                well(bench)
                one.flush()
                one.drain()
                done.set()

        thread = threading.Thread(target=work)
        thread.start()
        one.run()
        thread.join(10)
        assert done.is_set()


def test_pieces_of_the_store_are_deleted_by_the_sender_and_one_that_is_busy_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(*[row(n) for n in range(20)])
    bench.drain()
    where: list[str] = []
    erase = bench.store.edit.erase

    def noted(*args: Any) -> Piece:
        where.append(threading.current_thread().name)
        return erase(*args)

    monkeypatch.setattr(bench.store.edit, "erase", noted)

    def pieces(one: Flusher) -> list[Any]:
        first = one.eraser.piece(**ASKED, month=202511, at=0)
        return [first, one.eraser.piece(**ASKED, month=202511, at=first["next"])]

    assert while_running(bench, pieces) == [{"next": 1, "rows": 3}, {"next": None, "rows": 0}]
    assert set(where) == {"sender"}
    assert bench.store.ids == left(range(20))
    monkeypatch.setattr(bench.store.edit, "erase", lambda *args: Piece(0, busy="rewriting"))
    with pytest.raises(ControlError, match="rewriting") as caught:
        while_running(bench, lambda one: one.eraser.piece(**ASKED, month=202511, at=0))
    assert caught.value.code == "unavailable"


def test_a_store_that_is_away_is_no_wrong_question(bench: Bench) -> None:
    def trouble(when: str) -> None:
        if when == "count":
            raise StoreAway("refused")

    bench.store.trouble = trouble
    with pytest.raises(StoreAway):
        while_running(bench, lambda one: one.eraser.plan(**ASKED))


@pytest.mark.parametrize("step", LANDING_STEPS)
def test_killed_anywhere_with_a_tombstone_that_came_in_between_what_is_left_is_there_once(
    bench: Bench, step: str
) -> None:
    bench.store.bad = {event_id(4), event_id(30)}
    failures = [StoreAway("x"), StoreDoubt("y")] * 4

    def trouble(when: str) -> None:
        if when == "before" and failures:
            raise failures.pop()

    bench.write(*[row(n) for n in range(MANY)])
    with dying(bench, step, trouble=trouble):
        try:
            bench.drain()
        except Killed:
            pass
    bury(bench)
    bench.write(*[row(n, flags=CLIENT_ID | ATTEMPT) for n in (1, 2)], row(1000))
    bench.drain()
    for batch in list(bench.store.batches):  # the eraser's turn comes when it comes
        bench.store.edit.clear(batch, 202511, [Tombstones(State(bench.path), bench.path).all()[0].tombstone])
    assert while_running(bench, replay) is not None
    bench.drain()
    assert bench.store.ids == left(n for n in [*range(MANY), 1000] if n not in (4, 30))


@pytest.mark.parametrize(
    ("props", "why"),
    [
        ({f"p{n}": "" for n in range(31)}, "at most 30"),
        ({"": "x"}, "a name of 1 to 64"),
        ({"n" * 65: "x"}, "a name of 1 to 64"),
        ({"n": "x" * 1025}, "at most 1024"),
        ({"n": "\0"}, "without NUL"),
        ({"n": 5}, "a text"),
    ],
)
def test_properties_no_sender_could_send_are_no_correction(props: dict[str, Any], why: str) -> None:
    with pytest.raises(QueryError, match=why):
        check_props(props)


def test_properties_within_their_bounds_are(bench: Bench) -> None:
    check_props({f"p{n}": "ü" * 512 for n in range(30)})
    with pytest.raises(QueryError, match="the store has no event"):
        while_running(bench, lambda one: one.eraser.correct("x", "", {"a": "b"}, []))
