"""The flusher under durability "disk": it stores what the disk has, and of a failed ring nothing that was refused."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest

from tests.flusher_bench import Bench
from tests.rows import event_id, row
from trackflowd.ring import file as ring_file
from trackflowd.ring.layout import HEADER_SIZE


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch, "ring.durability=disk")


def stored(*numbers: int) -> Counter[bytes]:
    return Counter(event_id(n) for n in numbers)


def test_only_what_is_synced_is_stored(bench: Bench) -> None:
    bench.write(row(1), row(2))
    bench.rings[0].store_synced(bench.writers[0].head)
    bench.write(row(3))
    bench.write(row(4), ring=1)
    bench.drain()
    assert bench.store.ids == stored(1, 2)
    for ring in bench.rings:
        ring.store_synced(ring.writer.head)
    bench.drain()
    assert bench.store.ids == stored(1, 2, 3, 4)
    assert all(writer.used == 0 for writer in bench.writers)


def test_of_a_failed_ring_what_was_synced_is_stored_and_nothing_else_and_it_is_removed(bench: Bench) -> None:
    failed = bench.rings[0]
    bench.write(row(1), row(2))
    failed.store_synced(bench.writers[0].head)
    with bench.flusher() as one:
        one._feeds.scan()
        assert {feed.head for feed in one._feeds} == {failed.synced, 0}
        bench.write(row(3))
        assert {feed.reader.head for feed in one._feeds} == {bench.writers[0].head, 0}
        failed.store_failed(failed.synced)
        failed.close()
        fresh = ring_file.open_for_writer(bench.path / "rings", 0, 64 * 1024)
        fresh.writer.append([row(4)])
        fresh.writer.publish()
        fresh.store_synced(fresh.writer.head)
        one.drain()
        one.run()
    assert bench.store.ids == stored(1, 2, 4)
    assert not failed.path.exists() and fresh.path.exists()


def test_after_a_reboot_a_failed_ring_still_ends_where_it_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write(row(1))
    bench.rings[0].store_synced(bench.writers[0].head)
    bench.write(row(2))
    bench.rings[0].store_failed(bench.rings[0].synced)
    for ring in bench.rings:
        ring.close()
    monkeypatch.setattr(ring_file, "boot_id", lambda: b"another boot id.")
    bench.drain()
    assert bench.store.ids == stored(1)
    assert not list((bench.path / "rings").glob("*.ring"))


def test_a_ring_that_nobody_will_sync_any_more_is_read_to_its_head(bench: Bench) -> None:
    bench.write(row(1), ring=1)
    bench.page.workers = 1
    bench.drain()
    assert bench.store.ids == stored(), "its writer lives"
    bench.rings[1].close()
    bench.drain()
    assert bench.store.ids == stored(1)
    assert not bench.rings[1].path.exists()


def test_a_ring_whose_next_worker_is_to_come_waits_for_its_sync(bench: Bench) -> None:
    bench.write(row(1))
    bench.rings[0].close()
    bench.drain()
    assert bench.store.ids == stored()


def test_a_ring_begun_under_durability_process_goes_on_under_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Bench(tmp_path, monkeypatch)
    before.write(row(1), row(2))
    before.drain()
    assert before.store.ids == stored(1, 2)
    for ring in before.rings:
        ring.close()
    (tmp_path / "again").mkdir()
    after = Bench(tmp_path / "again", monkeypatch, f"daemon.data_dir={tmp_path}", "ring.durability=disk")
    for ring in after.rings:
        ring.close()
    after.store.batches = before.store.batches
    with ring_file.open_for_writer(tmp_path / "rings", 0, 64 * 1024) as ring:
        ring.writer.append([row(3)])
        ring.writer.publish()
        with after.flusher() as one:
            one.drain()
            one.run()
        assert after.store.ids == stored(1, 2), "tail above synced, nothing synced: nothing read, nothing broken"
        ring.store_synced(ring.writer.head)
        with after.flusher() as one:
            one.drain()
            one.run()
    assert after.store.ids == stored(1, 2, 3)


def test_after_a_reboot_damage_below_synced_is_loss_with_a_number_and_above_it_is_a_torn_tail(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    places = []
    for n in range(1, 6):
        places.append(bench.writers[0].head)
        bench.write(row(n))
    bench.rings[0].store_synced(places[3])
    for ring in bench.rings:
        ring.close()
    with bench.rings[0].path.open("r+b") as out:
        for n in (1, 3):  # event 2 is below synced, event 4 above
            out.seek(HEADER_SIZE + places[n] + 60)
            out.write(b"\xff\xff\xff")
    monkeypatch.setattr(ring_file, "boot_id", lambda: b"another boot id.")
    bench.drain()
    assert bench.store.ids == stored(1, 3, 5)
    size = places[2] - places[1]
    assert bench.slot.get("bytes_lost") == size
    assert bench.slot.get("records_damaged") == 2
    said = {record.levelno: record.getMessage() for record in caplog.records if "set aside" in record.getMessage()}
    assert f"{size} of them were synced: lost" in said[logging.ERROR]
    assert "torn" in said[logging.WARNING] and "lost" not in said[logging.WARNING]


def test_bytes_that_were_synced_and_end_before_that_are_counted_as_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.write(row(1))
    bench.rings[0].store_synced(bench.writers[0].head + 4096)
    for ring in bench.rings:
        ring.close()
    monkeypatch.setattr(ring_file, "boot_id", lambda: b"another boot id.")
    bench.drain()
    assert bench.store.ids == stored(1)
    assert bench.slot.get("bytes_lost") == 4096
    assert "4096 bytes that were synced are not there" in caplog.text
