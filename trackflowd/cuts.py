"""What the journal speaks of: batches as they were cut, and what its entries add up to. No I/O.

A batch is, for ever, the rows its ``Cut`` names. They stand in rings at first; a batch that had to
wait was copied to a *segment* (``segment``), and from then on its ring bytes may be overwritten.
``docs/architecture.md`` has the life of a batch as a picture.

Entries (msgpack arrays, their first element the kind; adding a kind, or a field anywhere but at the
end, needs a new format version of the file, see ``journal``):

``["cut", id, at, attempt, store, partition, rows, crc, schema, window, ranges, segment, part, ask]``
    a batch; ``window`` is the mark of the id window after it, ``ranges`` a list of
    ``[ring uuid, from, to, records, left out]``; *left out* is a bitmap, bit n for the nth
    record of the range, empty when none is. ``segment`` names the segment that holds its rows
    (16 bytes; empty: they are in the rings), ``part`` which of the segment's rows are meant
    (``[first, end, left out]``; nil: all). ``ask``: its rows were marked as sent before and are
    looked up in the store before they are sent. Version 1 ended with ``ranges``.
``["cuts", id, [cut, …]]``     several batches at once; with an id they take the place of that batch
``["attempt", id, attempt, store]``   what is sent next: a fresh token, or (of a cluster) a host it is bound to from
    now on; ``store`` may be missing: bound as before
``["spooled", id]``            the segment of that id holds its rows, durably
``["done", id]``               the store is known to hold it
``["quarantined", id]``        a quarantine file holds its rows, durably, or the operator gave it up (``spool drop``)
``["gap", ring uuid, from, to]``  damaged bytes, set aside in a quarantine file
``["gone", ring uuid]``        a drained ring whose file was removed
``["mark", ring uuid, to]``    how far a ring was cut; written only when a file is begun
``["window", generation, ids]``   the id window's mark; likewise
``["replaced", id]``           others took its place; likewise
``["store", from, to, at]``    batches go to store *to* instead of *from* (identities) since then (ms since 1970 UTC);
                               stands at the begin of a file only (see ``journal.Journal.switch``)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

#: How a batch may end, as the kind of the entry that says it.
DONE, QUARANTINED, REPLACED = "done", "quarantined", "replaced"
ENDS = (DONE, QUARANTINED, REPLACED)


@dataclass(frozen=True, slots=True)
class Range:
    """Whole records of one ring, from position ``start`` to ``end``.

    Args:
        ring: uuid of the ring, 16 bytes.
        records: how many event records stand in it.
        left_out: bit n set: the nth record is not part of the batch.
    """

    ring: bytes
    start: int
    end: int
    records: int
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a segment: those numbered from ``first`` to before ``end``.

    Args:
        left_out: bit n set: row ``first + n`` is not meant.
    """

    first: int
    end: int
    left_out: int = 0

    def numbers(self) -> list[int]:
        """Row numbers that are meant, in order."""
        return [n for n in range(self.first, self.end) if not self.left_out >> (n - self.first) & 1]


@dataclass(frozen=True, slots=True)
class Cut:
    """A batch as journaled.

    Args:
        batch_id: 128-bit id, unique across machines (UUIDv7).
        at: ms since 1970 UTC of the cut; later than of any batch that was open then, whatever the clock says.
        attempt: 1, and one more for every fresh token.
        store: identity of the store it is bound to.
        partition: YYYYMM of its rows' received time.
        rows: rows it holds, without those left out.
        crc: checksum over those rows (``batch.checksum``).
        schema: version of the row format.
        window: (generation, ids) of the id window after this batch.
        ranges: where its rows stood in rings.
        segment: id of the segment that holds its rows; 0: they are in the rings.
        part: which of the segment's rows; None: all.
        ask: its rows may have been sent before this batch: look them up first.
    """

    batch_id: int
    at: int
    attempt: int
    store: str
    partition: int
    rows: int
    crc: int
    schema: int
    window: tuple[int, int]
    ranges: tuple[Range, ...]
    segment: int = 0
    part: Part | None = None
    ask: bool = False


class Ended(NamedTuple):
    """A batch that is settled, and how (one of ``ENDS``)."""

    cut: Cut
    how: str


class Moved(NamedTuple):
    """That batches go to another store than the options name.

    Args:
        before, store: identities of the store left and of the one gone to.
        at: ms since 1970 UTC.
    """

    before: str
    store: str
    at: int


@dataclass(slots=True)
class State:
    """What the entries of a journal add up to.

    Attributes:
        open: batches not settled, by id.
        marks: how far each ring was cut, by uuid.
        window: mark of the id window.
        moved: the store was switched; None: it was not, or the options have followed.
    """

    open: dict[int, Cut] = field(default_factory=dict)
    marks: dict[bytes, int] = field(default_factory=dict)
    window: tuple[int, int] = (0, 0)
    moved: Moved | None = None

    def apply(self, body: Sequence[Any]) -> list[Ended]:
        """Take one entry in; batches it ended.

        Raises:
            KeyError, ValueError, TypeError, IndexError: an entry that makes no sense.
        """
        kind = body[0]
        if kind == "cut":
            self._open(cut_from(body))
        elif kind == "cuts":
            ended = self._end(body[1], REPLACED) if body[1] else []
            for each in body[2]:
                self._open(cut_from(each))
            return ended
        elif kind in ENDS:
            return self._end(body[1], kind)
        elif kind == "attempt":
            self._change(body[1], attempt=body[2], **({"store": body[3]} if len(body) > 3 else {}))
        elif kind == "spooled":
            self._change(body[1], segment=int.from_bytes(body[1], "big"))
        elif kind == "gap":
            self._advance(body[1], body[3])
        elif kind == "gone":
            self.marks.pop(body[1], None)
        elif kind == "mark":
            self._advance(body[1], body[2])
        elif kind == "window":
            self.window = (body[1], body[2])
        elif kind == "store":
            self.moved = Moved(*body[1:4])
        else:
            raise ValueError(f"unknown kind {kind!r}")
        return []

    def _open(self, cut: Cut) -> None:
        self.open[cut.batch_id] = cut
        self.window = max(self.window, cut.window)
        for span in cut.ranges:
            self._advance(span.ring, span.end)

    def _end(self, raw_id: bytes, how: str) -> list[Ended]:
        cut = self.open.pop(int.from_bytes(raw_id, "big"), None)
        return [Ended(cut, how)] if cut else []

    def _change(self, raw_id: bytes, **values: Any) -> None:
        batch_id = int.from_bytes(raw_id, "big")
        if batch_id in self.open:
            self.open[batch_id] = replace(self.open[batch_id], **values)

    def _advance(self, ring: bytes, end: int) -> None:
        self.marks[ring] = max(end, self.marks.get(ring, 0))


def id_bytes(batch_id: int) -> bytes:
    """A batch id as entries hold it."""
    return batch_id.to_bytes(16, "big")


def cut_body(cut: Cut) -> list[Any]:
    """The ``cut`` entry of a batch."""
    ranges = [[span.ring, span.start, span.end, span.records, _bitmap(span.left_out)] for span in cut.ranges]
    part = [cut.part.first, cut.part.end, _bitmap(cut.part.left_out)] if cut.part else None
    segment = id_bytes(cut.segment) if cut.segment else b""
    return [
        "cut", id_bytes(cut.batch_id), cut.at, cut.attempt, cut.store, cut.partition,
        cut.rows, cut.crc, cut.schema, list(cut.window), ranges, segment, part, cut.ask,
    ]  # fmt: skip


def cut_from(body: Sequence[Any]) -> Cut:
    """The batch of a ``cut`` entry, of this or an earlier format.

    Raises:
        ValueError, TypeError, IndexError: it makes no sense.
    """
    _, batch_id, at, attempt, store, partition, rows, crc, schema, window, ranges = body[:11]
    segment, part, ask = body[11:14] if len(body) > 11 else (b"", None, False)
    return Cut(
        int.from_bytes(batch_id, "big"), at, attempt, store, partition, rows, crc, schema, (window[0], window[1]),
        tuple(Range(ring, start, end, n, int.from_bytes(out, "little")) for ring, start, end, n, out in ranges),
        int.from_bytes(segment, "big"),
        Part(part[0], part[1], int.from_bytes(part[2], "little")) if part else None,
        bool(ask),
    )  # fmt: skip


def _bitmap(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")
