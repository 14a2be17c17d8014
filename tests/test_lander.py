"""Batches on their way: spooled while the store is away, halved when it refuses, never lost, never twice.

The flusher is the real one on real files (``flusher_bench``); only the store is in memory.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flusher_bench import LANDING_STEPS, Bench, dying, killed_at
from tests.rows import SITE, event_id, row
from trackflowd import segment
from trackflowd.errors import StoreAway, StoreDoubt
from trackflowd.flusher import Flusher
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID, HEADER_SIZE
from trackflowd.sink.base import Batch

#: Rings of the bench are 64 KiB; a row takes some 700 bytes: 50 are above the mark.
MANY = 80


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch, "spool.keep_free=0")


def run(bench: Bench, until: Callable[[Flusher], bool], then: Callable[[Flusher], None] = lambda one: None) -> None:
    """A flusher in a thread until something is so; then something is done; then it drains."""
    with bench.flusher() as one:
        failures: list[BaseException] = []

        def work() -> None:
            try:
                one.run()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        while not until(one) and thread.is_alive():
            thread.join(0.01)
        then(one)
        one.flush()
        one.drain()
        while thread.is_alive():
            one.flush()  # whatever waits for its next try waits no longer
            thread.join(0.05)
        if failures:
            raise failures[0]


def segments(bench: Bench) -> list[Path]:
    return sorted((bench.path / "spool").glob("*.segment"))


def away(bench: Bench) -> None:
    def trouble(when: str) -> None:
        raise StoreAway("connection refused")

    bench.store.trouble = trouble


def well(bench: Bench) -> None:
    bench.store.trouble = lambda when: None


def test_while_the_store_is_away_batches_go_to_the_spool_and_the_rings_are_free_again(bench: Bench) -> None:
    away(bench)
    sent = 0
    with bench.flusher() as one:
        thread = threading.Thread(target=one.run)
        thread.start()
        for _ in range(5):
            bench.write(*[row(sent + n) for n in range(MANY)])
            sent += MANY
            while bench.writers[0].used > 32 * 1024:
                thread.join(0.01)
        assert len(segments(bench)) >= 2
        assert bench.slot.get("batches_spooled") >= 2
        assert bench.slot.get("spool_bytes") == sum(path.stat().st_size for path in segments(bench))
        order: list[int] = []
        bench.store.trouble = lambda when: order.append(len(bench.store.batches))
        one.drain()
        thread.join(20)
        assert not thread.is_alive()
    assert bench.store.ids == Counter(event_id(n) for n in range(sent))
    landed = [ids[0] for ids in bench.store.batches.values()]
    assert landed == sorted(landed, key=[event_id(n) for n in range(sent)].index), "oldest first"
    assert segments(bench) == []
    assert bench.slot.get("spool_segments") == bench.slot.get("batches_open") == 0


def test_a_store_that_hangs_keeps_the_rings_no_fuller_than_one_that_is_away(bench: Bench) -> None:
    release = threading.Event()
    bench.store.trouble = lambda when: (release.wait(20), None)[1] if when == "before" else None
    bench.write(*[row(n) for n in range(10)])

    def hung(one: Flusher) -> bool:
        if bench.slot.get("rows_pending"):
            bench.write(*[row(10 + n) for n in range(MANY)])
            return True
        return False

    def spooled(one: Flusher) -> None:
        while bench.writers[0].used > 32 * 1024:
            threading.Event().wait(0.01)
        assert len(segments(bench)) >= 2, "the one in flight too: the tail could not pass it"
        release.set()

    run(bench, hung, spooled)
    assert bench.store.ids == Counter(event_id(n) for n in range(10 + MANY))
    assert segments(bench) == []


def test_a_full_spool_leaves_events_in_the_rings_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, "spool.keep_free=0", "spool.max_bytes=1")
    away(bench)
    bench.write(*[row(n) for n in range(MANY)])
    said: list[str] = []

    def full(one: Flusher) -> bool:
        said[:] = [one.status()["spool"]["text"]]
        return bool(said[0]) and bool(bench.slot.get("spool_full"))

    run(bench, full, lambda one: well(bench))
    assert "raise spool.max_bytes" in said[0]
    assert bench.slot.get("spool_full") == 0, "it is over without a restart"
    assert segments(bench) == []
    assert bench.store.ids == Counter(event_id(n) for n in range(MANY))


def test_a_spooled_batch_whose_segment_is_damaged_lands_but_for_the_damaged_row(bench: Bench) -> None:
    away(bench)
    bench.write(*[row(n) for n in range(MANY)])

    def hurt(one: Flusher) -> None:
        (path,) = segments(bench)
        raw = bytearray(path.read_bytes())
        raw[raw.index(event_id(7)) + 20] ^= 0xFF
        path.write_bytes(raw)
        bench.fill(1000)  # the rings' copy is overwritten
        noticed = threading.Event()

        def trouble(when: str) -> None:
            if when == "count":  # it cannot be put together: the store is asked whether it has it
                noticed.set()
            raise StoreAway("connection refused")

        bench.store.trouble = trouble
        while not noticed.wait(0.02):
            one.flush()
        well(bench)

    run(bench, lambda one: bool(segments(bench)) and not bench.writers[0].used, hurt)
    assert bench.store.ids[event_id(7)] == 0
    assert all(bench.store.ids[event_id(n)] == 1 for n in range(MANY) if n != 7)
    assert bench.slot.get("records_quarantined") == 1
    (aside,) = (bench.path / "quarantine").glob("segment-*.bin")
    assert event_id(7) in aside.read_bytes()


def test_bad_rows_are_halved_out_set_aside_with_the_stores_words_and_the_rest_lands(bench: Bench) -> None:
    bad = {3, 17, 18, 39}
    bench.store.bad = {event_id(n) for n in bad}
    bench.write(*[row(n) for n in range(40)])
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(40) if n not in bad)
    files = sorted((bench.path / "quarantine").glob("rows-*.segment"))
    found = {}
    for path in files:
        head, rows = segment.read(path)
        assert head.reason == "a value that its column does not take"
        assert path.name == f"rows-{head.origin}-{head.row}.segment"
        found[head.row] = [one[2] for one in rows if one is not None]
    assert found == {n: [event_id(n)] for n in bad}
    assert bench.slot.get("records_quarantined") == len(bad)
    assert segments(bench) == []
    bench.drain()
    assert len(bench.store.ids) == 36


def test_a_row_alone_is_not_blamed_before_the_table_takes_another(bench: Bench) -> None:
    bench.store.bad = {event_id(1)}
    bench.write(row(1))

    def held(one: Flusher) -> bool:
        return bool(one.status()["sink"]["state"] == "rejects")

    def another(one: Flusher) -> None:
        assert not list((bench.path / "quarantine").glob("*"))
        assert bench.writers[0].used == 0, "its ring moves on"
        bench.write(row(2))

    run(bench, held, another)
    assert bench.store.ids == Counter([event_id(2)])
    assert len(list((bench.path / "quarantine").glob("rows-*"))) == 1


@pytest.mark.parametrize("differs", [True, False])
def test_a_table_at_fault_is_alarmed_nothing_is_set_aside_and_all_lands_once_mended(
    bench: Bench, differs: bool
) -> None:
    bench.write(*[row(n) for n in range(100)], *[row(n) for n in range(100, 100 + MANY)][:0])
    if differs:
        bench.store.fault = "column site is String"
    else:
        bench.store.bad = {event_id(n) for n in range(200)}
    tries: list[str] = []
    bench.store.trouble = lambda when: tries.append(when) if when == "before" else None

    def held(one: Flusher) -> bool:
        return bool(one.status()["sink"]["state"] == "rejects" and bench.writers[0].used == 0)

    def mend(one: Flusher) -> None:
        if differs:
            assert "column site is String" in one.status()["sink"]["text"]
        assert len(tries) < 60, "no halving for ever"
        bench.store.fault, bench.store.bad = "", set()

    run(bench, held, mend)
    assert not list((bench.path / "quarantine").glob("*"))
    assert bench.store.ids == Counter(event_id(n) for n in range(100))
    assert segments(bench) == []


def test_rows_sent_before_and_known_to_the_store_are_left_out_and_the_others_land(bench: Bench) -> None:
    bench.write(row(1), row(2))
    bench.drain()
    for path in (bench.path / "window").glob("*.ids"):
        path.unlink()
    both = CLIENT_ID | ATTEMPT
    bench.write(row(3), row(1, flags=both), row(4, flags=both), row(2, flags=both), row(4, flags=both))
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(1, 5))
    assert bench.slot.get("duplicates") == 3
    assert set(bench.store.looked_up) == {(SITE, event_id(n)) for n in (1, 2, 4)}
    assert bench.writers[0].used == 0


def test_a_marked_event_finds_its_first_sending_in_a_batch_that_has_not_landed_yet(bench: Bench) -> None:
    """The window has rolled over while the first sending waits in the spool."""
    away(bench)
    bench.write(*[row(n) for n in range(MANY)])

    def again(one: Flusher) -> None:
        for generation in (one._window._young, one._window._old):
            if generation is not None:
                generation._slots = type(generation._slots)("I", bytes(4 * len(generation._slots)))
        bench.write(row(5, flags=CLIENT_ID | ATTEMPT), row(1000))
        while bench.slot.get("batches_open") < 2:
            threading.Event().wait(0.01)
        well(bench)

    run(bench, lambda one: bool(segments(bench)), again)
    assert bench.store.ids == Counter(event_id(n) for n in [*range(MANY), 1000])


def test_the_store_away_keeps_no_marked_event_from_leaving_its_ring(bench: Bench) -> None:
    away(bench)
    bench.write(*[row(n, flags=CLIENT_ID | ATTEMPT) for n in range(MANY)])
    run(bench, lambda one: bench.writers[0].used == 0, lambda one: well(bench))
    assert bench.store.ids == Counter(event_id(n) for n in range(MANY))


@pytest.mark.parametrize("step", LANDING_STEPS)
def test_killed_at_any_step_of_spool_and_quarantine_every_event_is_stored_once_or_set_aside_once(
    bench: Bench, step: str
) -> None:
    bad = {3, 30}
    bench.store.bad = {event_id(n) for n in bad}
    failures = [StoreAway("x"), StoreDoubt("y")] * 4

    def trouble(when: str) -> None:
        if when == "before" and failures:
            raise failures.pop()

    again = [row(n, flags=CLIENT_ID | ATTEMPT) for n in (1, 2)]
    bench.write(*[row(n) for n in range(MANY)])
    with dying(bench, step, trouble=trouble):
        try:
            bench.drain()
        except BaseException as error:
            assert type(error).__name__ == "Killed", error
        else:
            pytest.fail(f"never came to {step!r}")
    bench.write(*again, row(1000))
    bench.drain()
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in [*range(MANY), 1000] if n not in bad)
    aside = [segment.read_head(path).row for path in (bench.path / "quarantine").glob("rows-*.segment")]
    assert sorted(aside) == sorted(bad)
    assert segments(bench) == []
    assert all(writer.used == 0 for writer in bench.writers)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_with_a_store_that_fails_at_random_every_event_is_stored_once(bench: Bench, seed: int) -> None:
    random_ = random.Random(seed)
    sent = 0
    for _ in range(10):
        new = random_.randrange(MANY)
        again = [row(random_.randrange(sent + 1), flags=CLIENT_ID | ATTEMPT) for _ in range(3) if sent]
        bench.write(*[row(sent + n) for n in range(new)], *again)
        sent += new
        failures: list[Exception | None] = [
            random_.choice((StoreAway("x"), StoreDoubt("y"), None, None)) for _ in range(6)
        ]

        def trouble(when: str, failures: list[Exception | None] = failures) -> None:
            if when in ("before", "after") and failures and (error := failures.pop()):
                raise error if when == "before" else StoreDoubt("reply lost")

        with dying(bench, random_.choice(LANDING_STEPS), random_.randrange(1, 3), trouble=trouble):
            try:
                bench.drain()
            except BaseException as error:
                assert type(error).__name__ == "Killed", error
    well(bench)
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(sent))


def test_the_batch_in_the_store_model_is_what_was_cut(bench: Bench) -> None:
    """What the kills above rely on: a batch sent twice without a question is noticed by the store."""
    bench.write(row(1))
    bench.drain()
    (batch_id,) = bench.store.batches
    with pytest.raises(AssertionError, match="sent twice"):
        bench.store.insert(Batch(batch_id, 1, 202511, 1, {"event_id": [event_id(1)], "_batch": [batch_id]}))
    assert not killed_at(bench, "spooled before")


def test_a_batch_that_cannot_be_put_together_is_asked_about_once_at_a_time(bench: Bench) -> None:
    """Whatever presses meanwhile: a store that is slow to answer is not asked over and over."""
    bench.write(*[row(n) for n in range(10)])
    assert killed_at(bench, "insert before")
    with bench.rings[0].path.open("r+b") as out:
        out.seek(HEADER_SIZE + 60)
        out.write(b"\xff\xff\xff")
    bench.fill(1000)
    asked, release = [], threading.Event()

    def trouble(when: str) -> None:
        if when == "count":
            asked.append(when)
            assert release.wait(20)

    bench.store.trouble = trouble
    queued: list[int] = []

    def pressed(one: Flusher) -> bool:
        queued.append(one._sender._waiting)
        return len(queued) > 20 and bool(asked)

    run(bench, pressed, lambda one: release.set())
    assert max(queued) <= 2
    assert bench.slot.get("records_quarantined") == 10
