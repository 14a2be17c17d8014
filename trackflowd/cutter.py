"""Cutting: from what the rings hold to a batch the journal has committed.

``read`` takes records into the pending batch, ``due`` says when it is worth sending, ``cut``
settles which of them are its rows and journals that. Repeats are left out here and nowhere else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trackflowd.batch import Columns, Pending, Sealed, marked, new_batch_id, seal
from trackflowd.errors import DataDirError, JournalError, RecordError
from trackflowd.feed import Feed
from trackflowd.feeds import Feeds
from trackflowd.journal import Cut, Journal, Range
from trackflowd.proto import record
from trackflowd.ring.layout import Record
from trackflowd.sections import Batch as Limits
from trackflowd.settle import Backoff
from trackflowd.shared import Slot
from trackflowd.window import Window

log = logging.getLogger(__name__)

#: Records and bytes read from one ring before the next has its turn.
READ_ROWS = 8192
READ_BYTES = 4 * 1024 * 1024

_SITE = record.EVENT_FIELDS.index("site")


ColumnMap = Mapping[str, Sequence[Any]]
Readable = Callable[[Record], bool]
#: Those of the (site, event id) that the store holds.
Lookup = Callable[[Sequence[tuple[str, bytes]]], set[tuple[str, bytes]]]


class Cutter:
    """The one who cuts.

    Args:
        limits: rows, bytes and age of a batch.
        feeds: the rings.
        journal: where a cut is committed.
        window: event ids seen.
        columns: proves that records decode.
        slot: counters.
        lookup: asks the store about events marked as sent before; waits for it if need be.
        pause: waits that many seconds, or raises to give up.
    """

    def __init__(
        self,
        limits: Limits,
        feeds: Feeds,
        journal: Journal,
        window: Window,
        columns: Columns,
        slot: Slot,
        lookup: Lookup,
        pause: Callable[[float], None],
    ) -> None:
        self._limits = limits
        self._feeds = feeds
        self._journal = journal
        self._window = window
        self._columns = columns
        self._slot = slot
        self._lookup = lookup
        self._pause = pause
        self._pending = Pending()
        self._since = 0.0

    @property
    def idle(self) -> bool:
        """Nothing is read that is not cut."""
        return not self._pending.rows

    def read(self) -> int:
        """Take records from every ring into the pending batch; how many."""
        taken = 0
        for feed in self._feeds:
            room = self._limits.max_rows - self._pending.rows
            if room <= 0 or self._pending.bytes >= self._limits.max_bytes:
                break
            span = self._pending.spans.get(feed.ring)
            if feed.waiting and not (span and span.ended):
                taken += self._read_feed(feed, min(room, READ_ROWS))
        if taken and not self._since:
            self._since = time.monotonic()
        return taken

    def due(self, more: bool, at_once: bool) -> bool:
        """Whether to cut now.

        Args:
            more: the last ``read`` took something.
            at_once: do not wait for ``batch.max_age``.
        """
        pending = self._pending
        if not pending.rows:
            return False
        if pending.rows >= self._limits.max_rows or pending.bytes >= self._limits.max_bytes:
            return True
        if (at_once or pending.ended) and not more:
            return True
        return time.monotonic() - self._since >= self._limits.max_age

    def cut(self, store: str, now_ms: int) -> tuple[Sealed, ColumnMap]:
        """Settle the rows of the pending batch and commit it to the journal.

        Args:
            store: identity of the store it is bound to.
            now_ms: ms since 1970 UTC.

        Returns:
            The batch and its columns (none without rows).
        """
        everything = [row for span in self._pending.spans.values() for row in span.records]
        columns, readable = self._decode(everything)
        sealed = self._seal(store, now_ms, len(everything), readable)
        self._until_there_is_room(lambda: self._journal.cut(sealed.cut))
        self._window.committed()
        self._slot.add("duplicates", sealed.repeats)
        self._pending, self._since = Pending(), 0.0
        if sealed.whole:
            return sealed, Columns.stamp(columns, sealed.cut.batch_id)
        return sealed, self._columns.build(sealed.rows, sealed.cut.batch_id) if sealed.rows else {}

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
                self._until_there_is_room(lambda: self._feeds.pass_damage(feed, damage))
        return taken

    def _seal(self, store: str, now_ms: int, records: int, readable: Readable | None) -> Sealed:
        pending, window = self._pending, self._window
        known = self._known_to_store()
        self._until_there_is_room(lambda: window.reserve(records, now_ms))
        batch_id = new_batch_id(now_ms)

        def cut_of(ranges: tuple[Range, ...], rows: int, crc: int) -> Cut:
            return Cut(batch_id, now_ms, 1, store, pending.partition, rows, crc, record.VERSION, window.mark, ranges)

        def is_repeat(row: Record) -> bool:
            return not window.add(row[2], row[3], now_ms) or (row[3], row[2]) in known

        sealed = seal(pending, cut_of, is_repeat, readable)
        if sealed.unreadable:
            name = f"unreadable-{batch_id:032x}"
            self._until_there_is_room(lambda: self._feeds.set_rows_aside(name, sealed.unreadable))
            self._slot.add("records_quarantined", len(sealed.unreadable))
        return sealed

    def _decode(self, rows: Sequence[Record]) -> tuple[ColumnMap, Readable | None]:
        """Columns of all rows, or, where some do not decode, what says which."""
        try:
            return self._columns.build(rows), None
        except RecordError:
            return {}, self._columns.readable

    def _known_to_store(self) -> set[tuple[int, bytes]]:
        """(site hash, id) of events marked as sent before, unknown to the window, that the store holds."""
        asked: dict[tuple[str, bytes], int] = {}
        for row in marked(self._pending):
            if not self._window.has(row[2], row[3]) and self._columns.readable(row):
                asked[record.decode(row[6])[5][_SITE], row[2]] = row[3]
        if not asked:
            return set()
        return {(asked[key], key[1]) for key in self._lookup(list(asked))}

    def _until_there_is_room(self, action: Callable[[], None]) -> None:
        """Try until the disk takes it; events wait in the rings meanwhile."""
        backoff = Backoff()
        while True:
            try:
                return action()
            except (DataDirError, JournalError) as error:
                log.error("%s", error)
                self._pause(backoff.wait())
