"""The flusher from ring files to a store, killed at every step it takes (the bench is in flusher_bench)."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from tests.flusher_bench import STEPS, Bench, Killed, dying, killed_at
from tests.rows import NOW, SITE, event_id, row, site_hash
from trackflowd import flusher as flusher_module
from trackflowd import segment
from trackflowd.counters import BATCH, INSERT
from trackflowd.errors import StoreAway, StoreDoubt
from trackflowd.journal import Journal
from trackflowd.ring import file as ring_file
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID, HEADER_SIZE, SYNCED_AT


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_what_the_rings_hold_lands_once_and_the_space_is_given_back(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(100)])
    bench.write(*[row(n) for n in range(100, 150)], ring=1)
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(150))
    assert all(writer.used == 0 for writer in bench.writers)
    assert bench.slot.get("rows_stored") == 150
    batches = bench.slot.get("batches_confirmed")
    assert sum(bench.slot.histogram(BATCH)[:-1]) == sum(bench.slot.histogram(INSERT)[:-1]) == batches > 0
    assert 0 < bench.slot.histogram(INSERT)[-1] < 60e9 * batches
    bench.drain()
    assert len(bench.store.ids) == 150


def test_a_repeat_is_left_out_in_the_same_batch_in_a_later_one_and_after_a_restart(bench: Bench) -> None:
    bench.write(row(1), row(1), row(2))
    bench.drain()
    bench.write(row(2), row(3))
    bench.write(row(1), ring=1)
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in (1, 2, 3))
    assert bench.slot.get("duplicates") == 3


def test_an_event_marked_as_sent_before_is_looked_up_in_the_store(bench: Bench) -> None:
    bench.write(row(1), row(2))
    bench.drain()
    for path in (bench.path / "window").glob("*.ids"):
        path.unlink()  # the window has rolled over
    bench.write(row(1, flags=CLIENT_ID | ATTEMPT), row(2, flags=CLIENT_ID), row(3, flags=CLIENT_ID | ATTEMPT))
    bench.drain()
    assert bench.store.looked_up == [(SITE, event_id(1)), (SITE, event_id(3))]
    assert bench.store.ids[event_id(1)] == 1
    assert bench.store.ids[event_id(3)] == 1


def test_a_ring_that_had_repeats_only_is_done_with_beside_one_whose_rows_are_all_looked_up(bench: Bench) -> None:
    bench.write(row(1), row(2))
    bench.drain()
    bench.write(row(3, flags=CLIENT_ID | ATTEMPT))
    bench.write(row(1), row(2), ring=1)
    bench.drain()
    assert [writer.used for writer in bench.writers] == [0, 0], "a flush would wait for it until more comes"
    assert bench.store.ids == Counter(event_id(n) for n in (1, 2, 3))


def test_months_never_share_a_batch(bench: Bench) -> None:
    next_month = NOW + 31 * 86_400_000
    bench.write(row(1), row(2), row(3, next_month), row(4, next_month), row(5))
    bench.drain()
    assert sorted(bench.store.partitions.values()) == [202511, 202511, 202512]
    assert len(bench.store.ids) == 5


def test_a_batch_is_no_longer_than_max_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "batch.max_rows=7")
    bench.write(*[row(n) for n in range(30)])
    bench.write(*[row(n) for n in range(30, 60)], ring=1)
    bench.drain()
    assert max(len(ids) for ids in bench.store.batches.values()) <= 7
    assert len(bench.store.ids) == 60


def test_damage_is_set_aside_and_everything_around_it_lands(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(20)])
    reader = ring_file.open_for_reader(bench.rings[0].path)
    records, _ = reader.records(0, reader.head, 100, 10**9)
    reader.close()
    hit = records[7]
    raw = bench.rings[0].path.read_bytes()
    with bench.rings[0].path.open("r+b") as out:
        out.seek(HEADER_SIZE + hit[0] + 60)
        out.write(bytes([raw[HEADER_SIZE + hit[0] + 60] ^ 0xFF]))
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(20) if n != 7)
    (aside,) = (bench.path / "quarantine").glob("damaged-*")
    assert aside.stat().st_size == hit[1] - hit[0]
    assert bench.slot.get("records_damaged") == 1
    assert bench.writers[0].used == 0
    bench.drain()
    assert len(bench.store.ids) == 19


def test_rows_that_do_not_decode_are_set_aside_and_the_rest_lands(bench: Bench) -> None:
    bench.write(row(1), (event_id(2), site_hash(SITE), NOW, CLIENT_ID, b"no payload"), row(3))
    bench.drain()
    assert bench.store.ids == Counter([event_id(1), event_id(3)])
    (aside,) = (bench.path / "quarantine").glob("unreadable-*")
    assert b"no payload" in aside.read_bytes()
    assert bench.slot.get("records_quarantined") == 1


def test_the_ring_of_a_worker_that_is_no_more_is_drained_and_removed(bench: Bench) -> None:
    bench.write(row(1), ring=1)
    bench.rings[1].close()
    bench.page.workers = 1
    bench.drain()
    assert bench.store.ids == Counter([event_id(1)])
    assert not bench.rings[1].path.exists()
    assert bench.rings[0].path.exists()
    assert bytes.fromhex(bench.rings[1].path.stem.split("-")[1]) not in Journal(bench.path / "journal").state.marks


def test_a_ring_of_another_boot_is_read_past_its_head_and_removed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(row(1))
    bench.writers[0].append([row(2)])  # on disk, the head not
    bench.rings[0].close()
    monkeypatch.setattr(ring_file, "boot_id", lambda: b"another boot id.")
    bench.rings[1].close()
    bench.drain()
    assert bench.store.ids == Counter([event_id(1), event_id(2)])
    assert not list((bench.path / "rings").glob("*.ring"))


def test_a_batch_that_can_not_be_rebuilt_but_is_in_the_store_is_no_alarm(bench: Bench) -> None:
    bench.write(row(1), row(2))
    killed_at(bench, "insert after")
    bench.rings[0].close()
    bench.rings[0].path.unlink()
    bench.drain()
    assert len(bench.store.ids) == 2
    assert not (bench.path / "quarantine").exists()
    assert bench.slot.get("records_quarantined") == 0


def test_a_batch_that_can_not_be_rebuilt_and_is_not_in_the_store_is_counted_and_set_aside(bench: Bench) -> None:
    bench.write(row(1), row(2))
    killed_at(bench, "insert before")
    with bench.rings[0].path.open("r+b") as out:
        out.seek(HEADER_SIZE + 60)
        out.write(b"\xff\xff\xff")
    bench.write(row(3))
    bench.drain()
    assert bench.store.ids == Counter([event_id(3)])
    assert bench.slot.get("records_quarantined") == 2
    assert list((bench.path / "quarantine").glob("batch-*"))


def test_a_store_that_is_away_is_waited_for_and_the_state_is_shown(bench: Bench) -> None:
    states = []
    answers: list[Exception | None] = [StoreAway("refused"), StoreDoubt("reset"), StoreAway("refused"), None]

    def trouble(when: str) -> None:
        if when == "before" and answers and (error := answers.pop(0)):
            raise error

    bench.store.trouble = trouble
    bench.write(row(1))
    with bench.flusher() as one:
        report = one._state.report

        def noted(state: str, text: str) -> None:
            states.append(state)
            report(state, text)

        one._lander._report = noted
        one.drain()
        one.run()
        assert one.status()["sink"]["state"] == "ok"
    assert [state for state, _ in groupby(states)] == ["ok", "away", "doubt", "away", "ok"]
    assert len(bench.store.ids) == 1


def test_a_batch_cut_for_another_store_waits_for_it(bench: Bench) -> None:
    bench.write(row(1))
    killed_at(bench, "insert before")
    bench.store.identity = "another:"
    with bench.flusher() as one:
        report = one._state.report

        def noted(state: str, text: str) -> None:
            report(state, text)
            if state == "rejects":
                assert "memory:" in one.status()["sink"]["text"]
                bench.store.identity = "memory:"
                one.flush()

        one._lander._report = noted
        one.drain()
        one.run()
    assert len(bench.store.ids) == 1


def test_a_second_flusher_on_the_same_directory_is_refused(bench: Bench) -> None:
    with bench.flusher(), pytest.raises(Exception, match="another flusher"), bench.flusher():
        pass


def test_flush_sends_at_once_what_would_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "batch.max_age=1h")
    landed = threading.Event()
    bench.store.trouble = lambda when: landed.set() if when == "after" else None
    bench.write(row(1))
    with bench.flusher() as one:
        thread = threading.Thread(target=one.run)
        thread.start()
        while not landed.wait(0.02):
            one.flush()
        one.drain()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_every_event_lands_once(bench: Bench, step: str) -> None:
    bench.write(*[row(n) for n in range(20)], *[row(n, flags=0) for n in range(20, 30)], row(3), row(4))
    bench.write(*[row(n) for n in range(30, 40)], *[row(n, flags=0) for n in range(40, 50)], row(5), ring=1)
    if step == "count":
        assert killed_at(bench, "insert after")
    assert killed_at(bench, step)
    bench.write(row(3), row(6))
    killed_at(bench, "count")  # while it recovers, if there is something to recover
    sent = bench.fill(50)  # what the workers may overwrite, they do
    bench.drain()
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(sent))
    assert all(writer.used == 0 for writer in bench.writers)


@pytest.mark.parametrize("seed", range(6))
def test_killed_again_and_again_at_random_every_event_lands_once(bench: Bench, seed: int) -> None:
    random_ = random.Random(seed)
    sent = 0
    for _ in range(12):
        for ring in (0, 1):
            new = random_.randrange(40)
            again = [random_.randrange(sent + new) for _ in range(random_.randrange(5)) if sent + new]
            bench.write(*[row(sent + n) for n in range(new)], *[row(n) for n in again if n < sent + new], ring=ring)
            sent += new
        killed_at(bench, random_.choice(STEPS), random_.randrange(1, 4))
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(sent))


def test_a_damaged_synced_word_in_a_ring_of_another_boot_keeps_nothing_from_landing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(row(1))
    bench.write(row(2), ring=1)
    with bench.rings[0].path.open("r+b") as out:
        out.seek(SYNCED_AT)
        out.write(b"\xff" * 8)
    for ring in bench.rings:
        ring.close()
    monkeypatch.setattr(ring_file, "boot_id", lambda: b"another boot id.")
    bench.drain()
    assert bench.store.ids == Counter([event_id(1), event_id(2)])


def test_a_full_disk_keeps_damage_waiting_and_then_everything_lands(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(row(1), row(2))
    with bench.rings[0].path.open("r+b") as out:
        out.seek(HEADER_SIZE + 60)
        out.write(b"\xff\xff\xff")
    write, refusals = segment.write_durably, [OSError(28, "No space left on device")] * 2

    def full(path: Path, raw: bytes) -> None:
        if refusals:
            raise refusals.pop()
        write(path, raw)

    monkeypatch.setattr("trackflowd.quarantine.write_durably", full)
    bench.drain()
    assert not refusals
    assert bench.store.ids == Counter([event_id(2)])
    assert bench.slot.get("records_damaged") == 1


@pytest.mark.parametrize("call", ["scandir", "open"])
def test_without_a_descriptor_the_next_look_at_the_rings_finds_them_and_nothing_is_called_damaged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def none_left(*args: object, **more: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    bench.write(row(1))
    with bench.flusher() as one:
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", none_left) if call == "scandir" else patch.setattr("builtins.open", none_left)
            one._feeds.look_when_due()
        assert bench.slot.get("records_damaged") == 0
        one.drain()
        one.run()
    assert bench.store.ids == Counter([event_id(1)])


def test_after_the_wall_clock_has_gone_back_batches_are_still_settled_in_the_order_they_were_cut_in(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event and, cut an hour earlier by the clock, its repeat, which the window does not know: one row."""
    monkeypatch.setattr(flusher_module, "_now_ms", lambda: NOW)
    bench.write(row(1))
    assert killed_at(bench, "journal cut after")
    for path in (bench.path / "window").glob("*.ids"):
        path.unlink()
    monkeypatch.setattr(flusher_module, "_now_ms", lambda: NOW - 3_600_000)
    bench.write(row(1, flags=CLIENT_ID | ATTEMPT))
    with dying(bench, "journal cut after", trouble=away), pytest.raises(Killed):
        bench.drain()
    bench.drain()
    assert bench.store.ids == Counter([event_id(1)])


def away(when: str) -> None:
    raise StoreAway("x")


def test_a_journal_of_format_1_is_taken_over_with_all_that_is_in_it(bench: Bench) -> None:
    kept = next((Path(__file__).parent / "golden" / "journal-v1").glob("*.journal"))
    (bench.path / "journal").mkdir(exist_ok=True)
    shutil.copy(kept, bench.path / "journal")
    with bench.flusher() as one:
        assert one._journal.generation == int(kept.stem) + 1
        assert len(list(one._journal.settled())) == 1
        assert one._journal.state.open
