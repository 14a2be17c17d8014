"""Batches: from records of the rings to the columns a store takes.

``Pending`` gathers whole records of several rings, all of one partition, until a batch is worth
sending. ``seal`` settles which of them are its rows (repeats and undecodable records are left
out) and ``columns`` turns those into one sequence per field. Nothing here does I/O; the flusher
drives it, journals the result and sends it.
"""

from __future__ import annotations

import secrets
import zlib
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from trackflowd.cuts import Cut, Part, Range
from trackflowd.errors import RecordError
from trackflowd.event import CACHED_PARTS, FIELDS
from trackflowd.proto import record
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID, Record
from trackflowd.sink.base import Coded

#: One sequence per field of the table, by its name.
ColumnMap = Mapping[str, Sequence[Any]]

#: Distinct values of a part kept decoded; beyond it the cache starts anew (two generations would
#: cost more than the rare refill).
PART_CACHE = 65_536


def new_batch_id(now_ms: int) -> int:
    """A 128-bit id, unique across machines and growing with time: UUIDv7 (RFC 9562 §5.7)."""
    rand = secrets.randbits(74)
    return (now_ms & (1 << 48) - 1) << 80 | 7 << 76 | (rand >> 62) << 64 | 2 << 62 | rand & (1 << 62) - 1


def partition_of(received_ms: int) -> int:
    """YYYYMM (UTC) of a received time: the store's partition."""
    when = datetime.fromtimestamp(received_ms / 1000, UTC)
    return when.year * 100 + when.month


def partition_end(partition: int) -> int:
    """First ms since 1970 UTC after a partition."""
    year, month = divmod(partition, 100)
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return int(following.timestamp() * 1000)


def partition_start(partition: int) -> int:
    """First ms since 1970 UTC of a partition."""
    return int(datetime(partition // 100, partition % 100, 1, tzinfo=UTC).timestamp() * 1000)


def shard_of(row: Record, shards: int) -> int:
    """Number of the shard, from 0, that a row's site belongs to."""
    return row[3] % shards


def checksum(rows: Iterable[Record]) -> int:
    """What a rebuild must match: crc32 chained over event id and payload of each row."""
    crc = 0
    crc32 = zlib.crc32
    for row in rows:
        crc = crc32(row[6], crc32(row[2], crc))
    return crc


@dataclass(slots=True)
class Span:
    """What ``Pending`` holds of one ring: contiguous whole records."""

    start: int
    end: int
    records: list[Record] = field(default_factory=list)
    #: Nothing more of this ring may join: another partition or damage begins here.
    ended: bool = False


class Pending:
    """Records read but not yet cut, of one partition."""

    def __init__(self) -> None:
        self.spans: dict[bytes, Span] = {}
        self.partition = 0
        self.rows = 0
        self.bytes = 0
        self._from_ms = 0
        self._until_ms = 0

    def take(self, ring: bytes, start: int, records: Sequence[Record]) -> int:
        """Take records of a ring that follow what is held of it.

        Args:
            ring: its uuid.
            start: position of the first of them (where the last ``take`` ended).
            records: whole records in order.

        Returns:
            How many were taken; fewer than given when the partition changes.
        """
        if not records:
            return 0
        if not self.rows:
            self._choose(records[0][4])
        span = self.spans.get(ring)
        if span is None:
            span = self.spans[ring] = Span(start, start)
        if span.ended:
            return 0
        taken = records
        low, high = self._from_ms, self._until_ms
        for n, row in enumerate(records):
            if not low <= row[4] < high:
                taken = records[:n]
                span.ended = True
                break
        if taken:
            span.records.extend(taken)
            span.end = taken[-1][1]
            self.rows += len(taken)
            self.bytes += taken[-1][1] - taken[0][0]
        return len(taken)

    def end_span(self, ring: bytes) -> None:
        """Nothing more of this ring may join this batch (damage begins)."""
        if ring in self.spans:
            self.spans[ring].ended = True

    @property
    def ended(self) -> bool:
        """Whether some ring waits for this batch to be cut before it can be read on."""
        return any(span.ended for span in self.spans.values())

    def _choose(self, received_ms: int) -> None:
        self.partition = partition_of(received_ms)
        self._from_ms, self._until_ms = partition_start(self.partition), partition_end(self.partition)


@dataclass(frozen=True, slots=True)
class Sealed:
    """Pending records, settled: which are rows, which have to be asked about first, which are neither.

    Args:
        rows: rows of the batch.
        ranges: where they stand, everything else left out.
        asked: rows whose sender marked them as sent before, and that the window does not know.
        asked_ranges: where those stand; if there are no rows, everything else left out.
        repeats: how many were left out as repeats.
        unreadable: left out because they do not decode.
    """

    rows: list[Record]
    ranges: tuple[Range, ...]
    asked: list[Record]
    asked_ranges: tuple[Range, ...]
    repeats: int
    unreadable: list[Record]

    @property
    def whole(self) -> bool:
        """Whether every record that was read became a row of the batch."""
        return not (self.repeats or self.unreadable or self.asked)


def seal(
    pending: Pending,
    is_repeat: Callable[[Record], bool],
    is_readable: Callable[[Record], bool] | None = None,
) -> Sealed:
    """Decide which records are rows.

    Args:
        pending: not used afterwards.
        is_repeat: says, and notes, whether a record's event id was seen; asked once a record, in
            order, only for ids that senders chose.
        is_readable: whether a record decodes; those that do not are left out and handed back.
            None when all are known to.
    """
    rows: list[Record] = []
    asked: list[Record] = []
    unreadable: list[Record] = []
    spans: list[tuple[Range, int]] = []
    repeats = 0
    both = ATTEMPT | CLIENT_ID
    for ring, span in pending.spans.items():
        left_out = marked = 0
        for n, row in enumerate(span.records):
            flags = row[5]
            if is_readable is not None and not is_readable(row):
                unreadable.append(row)
            elif flags & CLIENT_ID and is_repeat(row):
                repeats += 1
            elif flags & both == both:
                asked.append(row)
                marked |= 1 << n
            else:
                rows.append(row)
                continue
            left_out |= 1 << n
        if span.records:
            spans.append((Range(ring, span.start, span.end, len(span.records), left_out), marked))
    # Without rows there is no first batch to say how far the other rings were read.
    asked_ranges = (
        replace(span, left_out=(1 << span.records) - 1 & ~marked) for span, marked in spans if marked or not rows
    )
    return Sealed(rows, tuple(span for span, _ in spans), asked, tuple(asked_ranges), repeats, unreadable)


def narrowed(cut: Cut, rows: Sequence[Record], keep: Sequence[int], batch_id: int) -> Cut:
    """Some rows of a batch as a batch of its own, to take its place.

    Args:
        cut: the batch.
        rows: all its rows, in order.
        keep: numbers of those to keep, ascending, at least one.
        batch_id: of the new batch.
    """
    kept = [rows[n] for n in keep]
    part, ranges = (_part(cut, keep), ()) if cut.segment else (None, _ranges(cut, set(keep)))
    return replace(
        cut, batch_id=batch_id, attempt=1, rows=len(kept), crc=checksum(kept), ask=False, part=part, ranges=ranges
    )


def _part(cut: Cut, keep: Sequence[int]) -> Part:
    numbers = cut.part.numbers() if cut.part else range(cut.rows)
    kept = [numbers[n] for n in keep]
    first, end = kept[0], kept[-1] + 1
    left_out = (1 << end - first) - 1
    for number in kept:
        left_out ^= 1 << number - first
    return Part(first, end, left_out)


def _ranges(cut: Cut, keep: Collection[int]) -> tuple[Range, ...]:
    number = 0
    spans = []
    for span in cut.ranges:
        left_out = span.left_out
        for n in range(span.records):
            if not span.left_out >> n & 1:
                if number not in keep:
                    left_out |= 1 << n
                number += 1
        spans.append(replace(span, left_out=left_out))
    return tuple(spans)


def chosen(span: Range, records: Sequence[Record]) -> list[Record]:
    """Rows of a journaled range, from all the records that stand in it."""
    return [row for n, row in enumerate(records) if not span.left_out >> n & 1]


class Columns:
    """Turns rows into columns, with a cache of decoded parts that lives across batches."""

    def __init__(self) -> None:
        self._parts: dict[bytes, tuple[Any, ...]] = {}

    @staticmethod
    def stamp(columns: Mapping[str, Sequence[Any]], batch_id: int) -> dict[str, Sequence[Any]]:
        """The same columns as those of batch batch_id."""
        return {**columns, "_batch": (batch_id,) * len(columns["_batch"])}

    def build(self, rows: Sequence[Record], batch_id: int = 0) -> dict[str, Sequence[Any]]:
        """Columns of a batch, in the order of ``event.FIELDS``.

        Args:
            rows: at least one.
            batch_id: fills the ``_batch`` column.

        Raises:
            RecordError: a row that does not decode (``readable`` says which).
        """
        unpack = record.unpack
        try:
            raw = list(zip(*[unpack(row[6]) for row in rows], strict=True))
            if len(raw) != 7:
                raise RecordError("a row of another format")
            values: dict[str, Sequence[Any]] = {
                "event_id": [row[2] for row in rows],
                "received": [row[4] for row in rows],
                "_batch": (batch_id,) * len(rows),
            }
            for name, column in zip(CACHED_PARTS, raw[1:6], strict=True):
                values.update(zip(record.PART_FIELDS[name], self._part(column), strict=True))
            values |= _events(raw[0], raw[6])
        except record.TROUBLE as error:
            raise RecordError(f"a row that does not decode: {error}") from error
        return {item.name: values[item.name] for item in FIELDS}

    def readable(self, row: Record) -> bool:
        """Whether the row decodes to every field."""
        try:
            self.build([row])
        except RecordError:
            return False
        return True

    def _part(self, column: Sequence[bytes]) -> list[Coded]:
        """A part's fields as columns that share their codes."""
        parts = self._parts
        if len(parts) > PART_CACHE:
            parts.clear()
        index = {raw: code for code, raw in enumerate(set(column))}
        codes = map(index.__getitem__, column)
        packed = bytes(codes) if len(index) <= 256 else array("I", codes)
        for raw in index:
            if raw not in parts:
                parts[raw] = record.decode_part(raw)
        return [Coded(values, packed) for values in zip(*map(parts.__getitem__, index), strict=True)]


def _events(versions: Sequence[int], events: Sequence[list[Any]]) -> dict[str, Sequence[Any]]:
    """Columns of the per-event fields.

    Raises:
        RecordError: a version this code does not know.
        ValueError: an event with another number of fields than its version has.
    """
    seen = set(versions)
    if seen == {record.PLAIN}:
        columns: dict[str, Sequence[Any]] = dict(zip(record.PLAIN_FIELDS, zip(*events, strict=True), strict=True))
        columns[record.EVENT_FIELDS[-1]] = Coded(("",), bytes(len(events)))
        return columns
    if not seen <= {record.PLAIN, record.VERSION}:
        raise RecordError("a row of another format")
    whole = [
        [*event, ""] if version == record.PLAIN else event for version, event in zip(versions, events, strict=True)
    ]
    return dict(zip(record.EVENT_FIELDS, zip(*whole, strict=True), strict=True))
