"""trackflowd.ring.syncer: one sync for all, never twice after an error."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rings import row
from tests.syncs import EIO, Gate
from tests.workers import until
from trackflowd.ring import file, syncer
from trackflowd.ring.syncer import Syncer

CAPACITY = 64 * 1024


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[file.RingFile]:
    with file.create(tmp_path, 0, CAPACITY) as ring:
        yield ring


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(syncer, "fdatasync", gate)
    return gate


def publish(ring: file.RingFile, *numbers: int) -> int:
    """Publish rows; the head then."""
    ring.writer.append([row(n) for n in numbers])
    ring.writer.publish()
    return ring.writer.head


def test_what_is_published_is_synced_and_then_told(ring: file.RingFile) -> None:
    told: list[int] = []
    one = Syncer(ring, lambda: told.append(one.synced))
    one.start()
    head = publish(ring, 1, 2)
    assert file.info(ring.path).synced == 0
    one.wake()
    until("it is told", lambda: head in told)
    found = file.info(ring.path)
    assert (found.synced, found.head, found.failed) == (head, head, False)
    one.stop()


def test_one_sync_serves_all_who_published_before_it_began_and_the_next_the_others(
    ring: file.RingFile, gate: Gate
) -> None:
    told = threading.Semaphore(0)
    one = Syncer(ring, told.release)
    first = publish(ring, 1, 2, 3)
    one.start()
    gate.await_sync(1)
    later = publish(ring, 4)
    one.wake()
    one.wake()
    assert one.synced == ring.synced == 0, "synced before the disk said so"
    gate.let()
    gate.await_sync(2)
    assert one.synced == ring.synced == first
    gate.let()
    for _ in range(2):
        assert told.acquire(timeout=30)
    assert one.synced == ring.synced == later
    one.stop()
    assert gate.begun == 2


def test_an_idle_ring_is_not_synced(ring: file.RingFile, gate: Gate) -> None:
    one = Syncer(ring, lambda: None)
    one.start()
    one.wake()
    one.stop()
    assert gate.begun == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_ends_the_ring_where_it_was_synced_and_is_never_tried_again(
    ring: file.RingFile, gate: Gate, number: int
) -> None:
    told = threading.Semaphore(0)
    one = Syncer(ring, told.release)
    first = publish(ring, 1)
    gate.let(0, number)
    one.start()
    assert told.acquire(timeout=30)
    publish(ring, 2, 3)
    one.wake()
    assert told.acquire(timeout=30)
    assert one.error is not None and one.error.errno == number
    publish(ring, 4)
    one.wake()
    one.stop()
    assert gate.begun == 2
    found = file.info(ring.path)
    assert (found.failed, found.head, found.synced, found.used) == (True, first, first, first)
    reader = file.open_for_reader(ring.path)
    assert reader.failed and reader.head == first
    reader.close()


def test_what_was_there_before_is_synced_first_and_kept_if_that_fails(ring: file.RingFile, gate: Gate) -> None:
    before = publish(ring, 1, 2)  # answered for, if the worker before ran under durability "process"
    one = Syncer(ring, lambda: None)
    one.start()
    gate.await_sync(1)
    publish(ring, 3)
    gate.let(EIO)
    one.stop()
    assert file.info(ring.path).head == before


def test_stopping_syncs_what_is_published(ring: file.RingFile) -> None:
    one = Syncer(ring, lambda: None)
    one.start()
    head = publish(ring, 1)
    one.stop()
    assert ring.synced == head


def test_the_real_sync_is_fdatasync_and_says_what_is_wrong(ring: file.RingFile) -> None:
    syncer.fdatasync(ring.fileno())
    reading, writing = os.pipe()
    with pytest.raises(OSError):
        syncer.fdatasync(reading)
    os.close(reading)
    os.close(writing)
