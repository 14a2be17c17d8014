"""Cutting: from what the rings hold to batches the journal has committed.

``read`` takes records into the pending batch, ``due`` says when it is worth sending, ``cut``
settles which of them are its rows and journals that. Repeats are left out here and nowhere else.
Nothing here waits for the store: rows that have to be looked up there become a batch of their own
(``Cut.ask``), committed by the same journal entry.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from trackflowd.batch import ColumnMap, Columns, Pending, Sealed, checksum, narrowed, new_batch_id, seal, shard_of
from trackflowd.cuts import Cut
from trackflowd.errors import RecordError
from trackflowd.feed import Feed
from trackflowd.feeds import Feeds
from trackflowd.journal import Journal
from trackflowd.proto import record
from trackflowd.quarantine import Quarantine
from trackflowd.ring.layout import Record
from trackflowd.sections import Batch as Limits
from trackflowd.shared import Slot
from trackflowd.window import Window

log = logging.getLogger(__name__)

#: Records and bytes read from one ring before the next has its turn.
READ_ROWS = 8192
READ_BYTES = 4 * 1024 * 1024

Readable = Callable[[Record], bool]
#: Runs an action until the disk takes it; events wait in the rings meanwhile.
Ensure = Callable[[Callable[[], Any]], Any]


class Fresh(NamedTuple):
    """A batch just journaled, with what it takes to send it (columns: None where they are still to be built)."""

    cut: Cut
    rows: Sequence[Record]
    columns: ColumnMap | None


class Cutter:
    """The one who cuts.

    Args:
        limits: rows, bytes and age of a batch.
        feeds: the rings.
        journal: where a cut is committed.
        window: event ids seen.
        columns: proves that records decode.
        quarantine: where records go that do not.
        slot: counters.
        ensure: see ``Ensure``.
    """

    def __init__(
        self,
        limits: Limits,
        feeds: Feeds,
        journal: Journal,
        window: Window,
        columns: Columns,
        quarantine: Quarantine,
        slot: Slot,
        ensure: Ensure,
    ) -> None:
        self._feeds = feeds
        self._journal = journal
        self._window = window
        self.take(limits)
        self._columns = columns
        self._quarantine = quarantine
        self._slot = slot
        self._ensure = ensure
        self._pending = Pending()
        self._since = 0.0
        #: What a flush is to have cut: how far each ring went, by uuid; empty: nothing is being flushed.
        self._goals: dict[bytes, int] = {}

    def take(self, limits: Limits) -> None:
        """Keep to these limits from now on."""
        self._limits = limits
        # An id has to be remembered to the end of its own batch.
        self._max_rows = min(limits.max_rows, self._window.capacity)

    @property
    def idle(self) -> bool:
        """Nothing is read that is not cut."""
        return not self._pending.rows

    def read(self) -> int:
        """Take records from every ring into the pending batch; how many."""
        taken = 0
        for feed in self._feeds:
            room = self._max_rows - self._pending.rows
            if room <= 0 or self._pending.bytes >= self._limits.max_bytes:
                break
            span = self._pending.spans.get(feed.ring)
            if feed.waiting and not (span and span.ended):
                taken += self._read_feed(feed, min(room, READ_ROWS))
        if taken and not self._since:
            self._since = time.monotonic()
        return taken

    def flush(self) -> None:
        """Have what the rings hold now cut without waiting for ``batch.max_age``, and nothing that comes later."""
        self._feeds.look()
        self._goals |= self._feeds.ends()

    def due(self, more: bool, at_once: bool) -> bool:
        """Whether to cut now.

        Args:
            more: the last ``read`` took something.
            at_once: do not wait for ``batch.max_age``.
        """
        pending = self._pending
        if not pending.rows:
            self._goals = self._goals and self._feeds.ahead(self._goals)
            return False
        if pending.rows >= self._max_rows or pending.bytes >= self._limits.max_bytes:
            return True
        if (at_once or pending.ended) and not more:
            return True
        if self._goals and not self._feeds.ahead(self._goals):
            return True
        return time.monotonic() - self._since >= self._limits.max_age

    def cut(self, stores: Sequence[str], now_ms: int) -> list[Fresh]:
        """Settle the rows of the pending batch and commit it to the journal.

        Args:
            stores: identity of the store it is bound to; of a cluster, one for each shard.
            now_ms: ms since 1970 UTC.

        Returns:
            The batch, and where some of its rows have to be looked up first, a second one of those; of a cluster,
            that for each shard. A batch without rows only says how far the rings were read.
        """
        everything = [row for span in self._pending.spans.values() for row in span.records]
        columns, readable = self._decode(everything)
        sealed = self._seal(len(everything), now_ms, readable)
        # After a restart batches are settled in the order of ``at``: it must grow though the wall clock went back.
        at = max([now_ms, *(cut.at + 1 for cut in self._journal.state.open.values())])
        fresh = self._batches(sealed, columns, stores[0], at)
        if len(stores) > 1:
            fresh = [part for one in fresh for part in _sharded(one, stores)]
        if sealed.unreadable:
            path = self._ensure(lambda: self._quarantine.put_unreadable(fresh[0].cut, sealed.unreadable))
            log.error("%d rows that do not decode are set aside as %s", len(sealed.unreadable), path)
            self._slot.add("records_quarantined", len(sealed.unreadable))
        self._ensure(lambda: self._journal.cut(*(one.cut for one in fresh)))
        self._window.committed()
        self._slot.add("duplicates", sealed.repeats)
        self._pending, self._since = Pending(), 0.0
        self._goals = self._goals and self._feeds.ahead(self._goals)
        return fresh

    def _batches(self, sealed: Sealed, columns: ColumnMap | None, store: str, at: int) -> list[Fresh]:
        fresh = []
        for rows, ranges, ask in ((sealed.rows, sealed.ranges, False), (sealed.asked, sealed.asked_ranges, True)):
            if not rows and (ask or sealed.asked):
                continue
            cut = Cut(
                new_batch_id(at), at, 1, store, self._pending.partition, len(rows), checksum(rows),
                record.VERSION, self._window.mark, ranges, ask=ask,
            )  # fmt: skip
            stamped = Columns.stamp(columns, cut.batch_id) if sealed.whole and columns else None
            fresh.append(Fresh(cut, rows, stamped))
        return fresh

    def _read_feed(self, feed: Feed, rows: int) -> int:
        start = feed.position
        records, damage = feed.read(rows, READ_BYTES)
        taken = self._pending.take(feed.ring, start, records)
        if taken:
            feed.position = records[taken - 1][1]
            self._slot.add("bytes_read", feed.position - start)
        if damage and taken == len(records):
            if feed.ring in self._pending.spans:
                self._pending.end_span(feed.ring)
            else:
                self._ensure(lambda: self._feeds.pass_damage(feed, damage))
        return taken

    def _seal(self, records: int, now_ms: int, readable: Readable | None) -> Sealed:
        window = self._window
        self._ensure(lambda: window.reserve(records, now_ms))
        sealed = seal(self._pending, lambda row: not window.add(row[2], row[3], now_ms), readable)
        if self._journal.durable:
            self._ensure(window.sync)
        return sealed

    def _decode(self, rows: Sequence[Record]) -> tuple[ColumnMap | None, Readable | None]:
        """Columns of all rows, or, where some do not decode, what says which."""
        try:
            return self._columns.build(rows), None
        except RecordError:
            return None, self._columns.readable


def _sharded(one: Fresh, stores: Sequence[str]) -> Iterator[Fresh]:
    """A batch as one for each shard that has rows of it: a batch is one block in one table."""
    shards: dict[int, list[int]] = {}
    for n, row in enumerate(one.rows):
        shards.setdefault(shard_of(row, len(stores)), []).append(n)
    if len(shards) <= 1:
        shard = next(iter(shards), 0)
        yield one._replace(cut=replace(one.cut, store=stores[shard]))
        return
    for shard, keep in sorted(shards.items()):
        cut = narrowed(one.cut, one.rows, keep, new_batch_id(one.cut.at))
        yield Fresh(replace(cut, store=stores[shard], ask=one.cut.ask), [one.rows[n] for n in keep], None)
