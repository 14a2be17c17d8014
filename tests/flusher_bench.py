"""A flusher on a bench: rings and files as in service, a store in memory that outlives it, deaths at will.

A kill is an exception that nothing in the flusher may catch, after which a new flusher starts on
the same files. Kills of the real process are in tests/process.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.memory_edit import MemoryEditor
from tests.rows import row
from trackflowd import flusher as flusher_module
from trackflowd.config import load
from trackflowd.errors import EngineBroken, RingFull, StoreReject
from trackflowd.flusher import Flusher
from trackflowd.journal import Journal
from trackflowd.quarantine import Quarantine
from trackflowd.ring import file as ring_file
from trackflowd.ring.reader import Reader
from trackflowd.settle import Backoff
from trackflowd.shared import Page, Slot
from trackflowd.sink.base import Batch, Format, Params, QueryLimits
from trackflowd.spool import Spool
from trackflowd.window import Window


class Killed(BaseException):
    """kill -9 of the flusher, as far as its own code can tell."""


class MemoryStore:
    """Keeps rows by batch; ``trouble`` is called before each insert is kept and after.

    A batch in ``torn`` is there for who asks this process, and gone when the store is opened by the next (chDB with a
    full disk).
    """

    identity = "memory:"
    vouches = False

    def __init__(self) -> None:
        self.batches: dict[int, list[bytes]] = {}
        self.partitions: dict[int, int] = {}
        self.trouble: Callable[[str], None] = lambda when: None
        self.looked_up: list[tuple[str, bytes]] = []
        self.bad: set[bytes] = set()
        self.fault = ""
        self.torn: set[int] = set()
        self.edit = MemoryEditor(self.batches)

    def open(self) -> None:
        for batch_id in self.torn:
            self.batches.pop(batch_id, None)
        self.torn.clear()

    def close(self) -> None: ...

    def insert(self, batch: Batch) -> None:
        self.trouble("before")
        assert all(len(column) == batch.rows for column in batch.columns.values())
        assert set(batch.columns["_batch"]) == {batch.batch_id}
        assert batch.batch_id not in self.batches, "sent twice without being asked for"
        if self.fault or self.bad & set(batch.columns["event_id"]):
            raise StoreReject("a value that its column does not take")
        self.batches[batch.batch_id] = list(batch.columns["event_id"])
        self.edit.note(batch)
        self.partitions[batch.batch_id] = batch.partition
        self.trouble("after")

    def confirm(self) -> None:
        self.trouble("confirm")
        if self.torn:
            raise EngineBroken("a write failed")

    def count(self, batch_id: int, partition: int) -> int:
        self.trouble("count")
        return len(self.batches.get(batch_id, ()))

    def kill(self, batch: Batch) -> None: ...

    def delete(self, batch_id: int, partition: int) -> None:
        del self.batches[batch_id]

    def present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        self.looked_up += ids
        held = {one for ids_ in self.batches.values() for one in ids_}
        return {pair for pair in ids if pair[1] in held}

    def table_fault(self) -> str:
        return self.fault

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None = None) -> bytes:
        return b""

    @property
    def ids(self) -> Counter[bytes]:
        return Counter(one for ids in self.batches.values() for one in ids)


class Bench:
    """A data directory, its rings, its store, and one flusher after another."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, *sets: str, workers: int = 2) -> None:
        self.path = path
        (path / "rings").mkdir()
        self.store = MemoryStore()
        monkeypatch.setattr(flusher_module, "open_sink", lambda url, options: self.store)
        wait = Backoff.wait
        monkeypatch.setattr(Backoff, "wait", lambda self: wait(self) / 100)
        self.page, fd = Page.create(workers, workers)
        os.close(fd)
        self.cfg = load(None, [f"daemon.data_dir={path}", "batch.max_age=0.01", *sets], {})
        self.rings = [ring_file.open_for_writer(path / "rings", n, 64 * 1024) for n in range(workers)]
        self.writers = [ring.writer for ring in self.rings]

    @property
    def slot(self) -> Slot:
        return self.page.slot("flusher")

    def write(self, *rows: tuple[bytes, int, int, int, bytes], ring: int = 0) -> None:
        for one in rows:
            self.writers[ring].append([one])
        self.writers[ring].publish()

    def fill(self, n: int) -> int:
        """Write rows n, n + 1, … until every ring is full; the first number not written."""
        for ring in range(len(self.writers)):
            with suppress(RingFull):
                while True:
                    self.write(row(n, flags=0), ring=ring)
                    n += 1
        return n

    @contextmanager
    def flusher(self) -> Iterator[Flusher]:
        self.slot.begin()
        one = Flusher(self.cfg, self.slot, self.page)
        try:
            yield one
        finally:
            one.close()

    def drain(self) -> None:
        """One flusher from start to drained."""
        with self.flusher() as one:
            one.drain()
            one.run()


#: Every step at which the process can die between two of its effects.
STEPS = (
    "window reserve", "window add", "journal cut before", "journal cut after", "window committed",
    "insert before", "insert after", "count", "confirm",
    "journal done before", "journal done after", "tail before", "tail after",
)  # fmt: skip


#: The same where batches wait in the spool, are halved and set aside.
LANDING_STEPS = (
    *STEPS, "segment before", "segment after", "spooled before", "spooled after",
    "row aside before", "row aside after", "quarantined before", "quarantined after", "segment gone",
)  # fmt: skip


@contextmanager
def dying(
    bench: Bench, step: str, countdown: int = 1, trouble: Callable[[str], None] = lambda when: None
) -> Iterator[None]:
    """Within it, the flusher dies the countdown-th time it comes to the step.

    Args:
        trouble: what else the store does, see ``MemoryStore.trouble``.
    """
    left = [countdown]

    def reached(now: str) -> None:
        if now == step:
            left[0] -= 1
            if left[0] == 0:
                raise Killed(now)

    with pytest.MonkeyPatch.context() as patch:

        def wrap(owner: type, method: str, before: str, after: str = "") -> None:
            original = getattr(owner, method)

            def wrapped(self: object, *args: object, **named: object) -> object:
                reached(before)
                result = original(self, *args, **named)
                reached(after)
                return result

            patch.setattr(owner, method, wrapped)

        wrap(Window, "reserve", "window reserve")
        wrap(Window, "add", "window add")
        wrap(Window, "committed", "window committed")
        wrap(Journal, "cut", "journal cut before", "journal cut after")
        wrap(Journal, "done", "journal done before", "journal done after")
        wrap(Reader, "store_tail", "tail before", "tail after")
        wrap(Journal, "spooled", "spooled before", "spooled after")
        wrap(Journal, "attempt", "attempt before")
        wrap(Journal, "quarantined", "quarantined before", "quarantined after")
        wrap(Spool, "put", "segment before", "segment after")
        wrap(Spool, "remove", "segment gone")
        wrap(Quarantine, "put_row", "row aside before", "row aside after")

        def both(when: str) -> None:
            reached(when if when in ("count", "confirm") else f"insert {when}")
            trouble(when)

        patch.setattr(bench.store, "trouble", both)
        yield


def killed_at(bench: Bench, step: str, countdown: int = 1) -> bool:
    """Run a flusher until drained or dead there; whether it died."""
    with dying(bench, step, countdown):
        try:
            bench.drain()
        except Killed:
            return True
    return False
