"""The flusher as an operator steers it: paused, resumed, given other options while it runs."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.flusher_bench import Bench
from tests.rows import event_id, row
from tests.workers import until
from trackflowd import config
from trackflowd.calls import Stopped
from trackflowd.flusher import Flusher
from trackflowd.ring import file as ring_file
from trackflowd.ring.layout import HEADER_SIZE
from trackflowd.stats.compose import Scope
from trackflowd.stats.pieces import Piece, Sum


@contextmanager
def running(bench: Bench) -> Iterator[Flusher]:
    """A flusher at work; what it raises in the end, unless it was drained, is raised here."""
    ended: list[BaseException] = []
    with bench.flusher() as one:

        def work() -> None:
            try:
                one.run()
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield one
        finally:
            one.drain()
            thread.join(30)
    if ended:
        raise ended[0]


def sized(bench: Bench) -> list[int]:
    return [len(ids) for ids in bench.store.batches.values()]


def test_while_it_is_paused_nothing_is_sent_and_then_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch)
    bench.page.paused = True
    with running(bench) as one:
        bench.write(*[row(n) for n in range(30)])
        until("it is read", lambda: not one._cutter.idle)
        until("it has opened the store", lambda: one._lander.opened)
        one.flush()
        turns: list[int] = []
        one.errands.ask(lambda answer: turns.append(1))
        until("it has turned", lambda: turns)
        assert (bench.store.batches, bench.slot.get("batches_open")) == ({}, 0)
        bench.page.paused = False
        until("it is stored", lambda: bench.slot.get("rows_stored") == 30)
    assert bench.store.ids == Counter(event_id(n) for n in range(30))


def test_a_pause_fills_the_spool_once_the_rings_are_full_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, "spool.keep_free=0")
    bench.page.paused = True
    with running(bench):
        sent = bench.fill(0)
        until("the rings are free again", lambda: all(writer.used < 20_000 for writer in bench.writers))
        sent = bench.fill(sent)
        until("…and again", lambda: all(writer.used < 20_000 for writer in bench.writers))
        assert bench.store.batches == {}
        assert bench.slot.get("spool_segments") > 0
        bench.page.paused = False
        until("everything is stored", lambda: bench.slot.get("rows_stored") == sent)
    assert len(bench.store.ids) == sent
    assert set(bench.store.ids.values()) == {1}
    assert list((tmp_path / "spool").glob("*.segment")) == []


def test_a_drain_ends_a_paused_one_at_once_and_the_next_stores_what_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch)
    bench.page.paused = True
    bench.write(*[row(n) for n in range(10)])
    with pytest.raises(Stopped), running(bench):
        pass
    assert bench.store.batches == {}
    bench.page.paused = False
    bench.drain()
    assert len(bench.store.ids) == 10


def test_a_pause_holds_for_the_next_flusher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch)
    bench.page.paused = True
    for first in (0, 10):
        with pytest.raises(Stopped), running(bench) as one:
            bench.write(*[row(n) for n in range(first, first + 10)])
            until("it has opened the store", lambda one=one: one._lander.opened)
    assert bench.store.batches == {}


def with_section(cfg: config.Config, section: str, **values: object) -> str:
    fresh = dataclasses.replace(getattr(cfg, section), **values)
    return config.dump(dataclasses.replace(cfg, **{section: fresh}))


Look = Callable[[Flusher], object]
TAKEN: dict[str, tuple[str, str, object, Look]] = {
    "batch.max_rows": ("batch", "max_rows", 7, lambda one: one._cutter._max_rows),
    "batch.max_bytes": ("batch", "max_bytes", 70_000, lambda one: one._cutter._limits.max_bytes),
    "batch.max_age": ("batch", "max_age", 9.0, lambda one: one._cutter._limits.max_age),
    "spool.start_at": ("spool", "start_at", 9, lambda one: one._cfg.spool.start_at),
    "spool.max_bytes": ("spool", "max_bytes", 9, lambda one: one._spool._max_bytes),
    "spool.keep_free": ("spool", "keep_free", 9, lambda one: one._spool._keep_free),
    "query.max_seconds": ("query", "max_seconds", 9.0, lambda one: one._limits.max_seconds),
    "query.max_rows": ("query", "max_rows", 9, lambda one: one.eraser.limits.max_rows),
    "query.max_memory": ("query", "max_memory", 2**27, lambda one: one._limits.max_memory),
}


def test_every_option_of_its_sections_is_tried_here() -> None:
    assert set(TAKEN) == {key for key in config.OPTIONS if key.partition(".")[0] in ("batch", "spool", "query")}


def test_options_are_taken_on_between_two_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch)
    with running(bench) as one:
        for section, name, value, look in TAKEN.values():
            assert one.reload(with_section(bench.cfg, section, **{name: value}))
            until(f"{section}.{name}", lambda look=look, value=value: look(one) == value)
        one.reload(with_section(bench.cfg, "batch", max_rows=7, max_age=0.01))
        until("the last one", lambda: one._cutter._max_rows == 7)
        assert one._sums.cleared > 0, "of days too long for the limits of before some are not any more"
        bench.write(*[row(n) for n in range(30)])
        until("it is stored", lambda: bench.slot.get("rows_stored") == 30)
    assert max(sized(bench)) <= 7


def test_a_flush_is_of_what_came_in_just_before_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "batch.max_age=1h")
    with running(bench) as one:
        read, came = one._cutter.read, threading.Event()

        def read_then_ask() -> int:
            """What comes in between the loop's look at the rings and its pause, and is to be flushed."""
            taken = read()
            if one._calm > 2 and one._lander.opened and not came.is_set():
                came.set()
                bench.write(row(1))
                one.flush()
            return taken

        monkeypatch.setattr(one._cutter, "read", read_then_ask)
        until("it is stored", lambda: bench.slot.get("rows_stored") == 1)


def test_a_flush_is_of_a_ring_that_is_there_since_just_now_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.feeds.SCAN", 3600.0)
    bench = Bench(tmp_path, monkeypatch, "batch.max_age=1h")
    with running(bench) as one:
        until("it has opened the store", lambda: one._lander.opened)
        ring = ring_file.open_for_writer(tmp_path / "rings", 2, 64 * 1024)
        ring.writer.append([row(1)])
        ring.writer.publish()
        one.flush()
        until("it is stored", lambda: bench.slot.get("rows_stored") == 1)


def test_a_flush_is_of_more_than_one_batch_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "batch.max_age=1h", "batch.max_rows=7")
    bench.page.paused = True
    with running(bench) as one:
        until("it has opened the store", lambda: one._lander.opened)
        bench.write(*[row(n) for n in range(10)])
        until("a batch is full and waits", lambda: one._cutter.due(False, False))
        one.flush()
        one.errands.do(lambda answer: answer.set_result(None))
        bench.page.paused = False
        until("it is stored", lambda: bench.slot.get("rows_stored") == 10)


def test_a_flush_is_of_what_stands_behind_damage_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "batch.max_age=1h")
    bench.write(row(1))
    place = HEADER_SIZE + bench.writers[0].head + 60
    bench.write(row(2), row(3))
    with bench.rings[0].path.open("r+b") as out:
        out.seek(place)
        (byte,) = out.read(1)
        out.seek(place)
        out.write(bytes([byte ^ 0xFF]))
    bench.page.paused = True
    with running(bench) as one:
        until("it has opened the store", lambda: one._lander.opened)
        until("what is before the damage is read", lambda: one._cutter.due(False, False))
        one.flush()
        one.errands.do(lambda answer: answer.set_result(None))
        bench.page.paused = False
        until("it is stored", lambda: bench.slot.get("rows_stored") == 2)


def test_a_flush_is_of_nothing_that_comes_while_it_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "batch.max_age=1h")
    with running(bench) as one:
        until("it has opened the store", lambda: one._lander.opened)
        cut, numbers = one._cutter.cut, iter(range(2, 100))

        def cut_while_more_comes(*args: Any) -> Any:
            bench.write(row(next(numbers)))
            return cut(*args)

        monkeypatch.setattr(one._cutter, "cut", cut_while_more_comes)
        bench.write(row(1))
        one.flush()
        until("it is stored", lambda: bench.slot.get("rows_stored") == 1)
        until("what came meanwhile is read", lambda: not one._cutter.idle)
        one.errands.do(lambda answer: answer.set_result(None))
        assert not one._cutter.due(False, False), "every batch from now on is cut at once"
        monkeypatch.setattr(one._cutter, "cut", cut)


def test_a_flush_waits_for_what_the_disk_does_not_have_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "batch.max_age=1h", "ring.durability=disk")
    with running(bench) as one:
        until("it has opened the store", lambda: one._lander.opened)
        bench.write(row(1))
        one.flush()
        for _ in range(3):
            one.errands.do(lambda answer: answer.set_result(None))
        assert bench.slot.get("rows_stored") == 0
        bench.rings[0].store_synced(bench.writers[0].head)
        until("it is stored", lambda: bench.slot.get("rows_stored") == 1)


def test_what_is_kept_of_statistics_is_counted_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch)
    made = Sum([("/a",)], {"visitors": [1]})
    scope = Scope(site="", start_ms=0, end_ms=1, until_ms=1, back_ms=0)
    with running(bench) as one:
        one._sums.put("pages", Piece(scope, 1, 0, 1, 0), made)
        one._sums.put("pages", Piece(scope, 1, 0, 1, 0, False), None)  # too long to keep
        one._sums.used(2)
        one._sums.unstamped = 7
        names = ("sums_made", "sums_found", "sums_bytes", "sums_unstamped")
        until("it is told", lambda: [bench.slot.get(name) for name in names] == [1, 2, made.size + 1000, 7])
        one._sums.clear()
        until("what is kept now, and all that was counted", lambda: bench.slot.get("sums_bytes") == 0)
        assert [bench.slot.get(name) for name in names] == [1, 2, 0, 7]
