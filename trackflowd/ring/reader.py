"""The reading half of a ring, over any buffer (see ``layout`` for the format).

The reader believes nothing it has not proven: bytes are copied out first, then position and crc
of the copy are checked. What does not fit below the head is read again for about a millisecond
(on a CPU that orders stores loosely the head may be seen before the record), then called damage.
It writes nothing but the tail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from trackflowd.errors import RingDamaged, RingError
from trackflowd.ring.layout import (
    EVENT,
    FAILED_AT,
    HEAD_AT,
    HEADER_SIZE,
    PAD,
    RECORD,
    RECORD_HEADER,
    RECORD_SHARE,
    SYNCED_AT,
    TAIL_AT,
    Record,
    check_positions,
    decode_word,
    encode_word,
    read_header,
    ring_end,
)

if TYPE_CHECKING:
    import mmap

__all__ = ["Damage", "Reader", "Record"]

#: How often bytes below the head may fail their check before they count as damaged. A try takes 1 to
#: 2 µs; a store becomes visible to another CPU within much less than one.
TRIES = 1000
#: Bytes copied out of the ring at a time: few enough to stay in a CPU's cache.
_CHUNK = 128 * 1024

#: Where a record header holds the record's own position.
_POSITION_AT = 16


class Damage(NamedTuple):
    """Bytes of a ring that prove to be nothing: from ``start`` up to the next record at ``end``."""

    start: int
    end: int


class Reader:
    """Reads records and moves the tail. One per ring.

    Args:
        buffer: the ring, header page included: a map of the file, or a bytearray.
        unmap: called by ``close``, after the last use of the buffer.

    Raises:
        RingDamaged: not a ring this program can read.
    """

    def __init__(self, buffer: mmap.mmap | bytearray, unmap: Callable[[], None] | None = None) -> None:
        self.header = read_header(bytes(buffer[:HEADER_SIZE]))
        self.uuid = self.header.uuid
        self.boot = self.header.boot
        self.capacity = self.header.capacity
        self._unmap = unmap
        self._buffer = memoryview(buffer)
        self._words = self._buffer.cast("Q")
        self._seed = self.header.seed
        self._max_record = self.capacity // RECORD_SHARE
        self._seen = 0
        self._salvaged = 0
        # Tail first: where the reader is only a looker-on, both go on meanwhile.
        tail, head = (decode_word(self._words[at // 8]) for at in (TAIL_AT, HEAD_AT))
        check_positions(ring_end(head, self._words[FAILED_AT // 8]), tail, self.capacity)
        self._seen = self.head

    @property
    def head(self) -> int:
        """Position up to which records are published; in a failed ring, where it ends.

        Raises:
            RingDamaged: it fails its check, went down, or is further from the tail than the ring is long.
        """
        head = self._word("head", HEAD_AT)
        if failed := self._words[FAILED_AT // 8]:
            if (end := ring_end(head, failed)) < 0:
                raise RingDamaged("ring with a damaged end: its check does not fit")
            return end
        if head < self._seen:
            raise RingDamaged(f"ring whose head went from {self._seen} down to {head}")
        if head > self.tail + self.capacity:
            raise RingDamaged(f"ring whose head {head} is more than a lap before its tail {self.tail}")
        self._seen = head
        return head

    @property
    def tail(self) -> int:
        """Position before which the store has everything. RingDamaged: it fails its check."""
        return self._word("tail", TAIL_AT)

    @property
    def synced(self) -> int:
        """Position up to which the disk is known to have everything; 0 unless durability is "disk"."""
        return self._word("synced", SYNCED_AT)

    @property
    def failed(self) -> bool:
        """Whether the disk refused a sync: nothing is written to it any more, and ``head`` is its end."""
        return self._words[FAILED_AT // 8] != 0

    def store_tail(self, position: int) -> None:
        """Give everything before position back to the writer. It may be overwritten at once.

        In a salvaged ring the stored tail stops at the head; the journal knows the rest.

        Raises:
            RingError: back, past what was published, or off a record's boundary.
        """
        head, tail = self.head, self.tail
        if position % 8 or not tail <= position <= max(head, self._salvaged):
            raise RingError(f"tail to {position}: a multiple of 8 between {tail} and {head} expected")
        self._words[TAIL_AT // 8] = encode_word(min(position, head))

    def records(self, start: int, end: int, max_rows: int, max_bytes: int) -> tuple[list[Record], bool]:
        """Whole, proven records in order.

        Args:
            start: where a record begins or ended before (pads are passed over).
            end: read no further; ``head`` in normal running.
            max_rows: at most so many.
            max_bytes: no further record once so many bytes of the ring are read; one at least.

        Returns:
            The records (plain tuples of Record's shape), and whether damage stopped the reading:
            then ``damage_at`` the last record's end says from where to where.
        """
        found: list[Record] = []
        position = self.next_record_position(start, end)
        stop = position + max(max_bytes, 1)
        while position < min(end, stop) and len(found) < max_rows:
            after = self._read_chunk(position, end, stop, max_rows - len(found), found)
            if after == position and not self._settles(position, end):
                return found, True
            position = self.next_record_position(after, end)
        return found, False

    def damage_at(self, position: int, end: int) -> Damage | None:
        """The first damaged bytes from position on; None when all is well (again).

        Args:
            position: where a record begins or ended before.
            end: look no further.

        Returns:
            From the first byte that cannot be proven to the next offset, a multiple of 8, where a
            record states that very position and its crc fits; or to end.
        """
        start = self.next_record_position(position, end)
        while start < end and (after := self._prove(start, end)):
            start = self.next_record_position(after, end)
        if start >= end:
            return None
        return Damage(start, self._resync(start + 8, end))

    def next_record_position(self, position: int, end: int) -> int:
        """Position with pads, and rests of laps that hold no record header, passed over."""
        while position < end:
            left = self._left(position)
            if left < RECORD_HEADER:
                position += left
            elif self._buffer[self._at(position) + 8] == PAD and (after := self._prove(position, end)):
                position = after
            else:
                break
        return min(position, end)

    def salvage_end(self, start: int) -> int:
        """End of the last provable record in a ring of another boot.

        After a power cut the header page and the data pages on disk are of different moments, so the
        head is a hint. Everything from start on, up to a lap after the tail, is tried; what proves
        itself was written by this ring's writer. (Of a request answered 503 for a full ring, records
        may be among it: the sender was told to try again, its event id settles it.)

        Args:
            start: where reading goes on.
        """
        limit = self.tail + self.capacity
        if self.failed:
            limit = min(limit, self.head)
        position = last = start
        while position < limit:
            position = self.next_record_position(position, limit)
            after = self._prove(position, limit) if position < limit else 0
            if after:
                position = last = after
            else:
                position = self._resync(position + 8, limit)
        self._salvaged = max(last, self.head)
        return self._salvaged

    def raw(self, start: int, end: int) -> bytes:
        """Bytes between two positions at most a lap apart, for a quarantine file."""
        parts = []
        while start < end:
            size = min(end - start, self._left(start))
            at = self._at(start)
            parts.append(bytes(self._buffer[at : at + size]))
            start += size
        return b"".join(parts)

    def close(self) -> None:
        """Let go of the buffer, and unmap it."""
        self._words.release()
        self._buffer.release()
        if self._unmap:
            self._unmap()

    def _word(self, name: str, at: int) -> int:
        position = decode_word(self._words[at // 8])
        if position < 0:
            raise RingDamaged(f"ring with a damaged {name}: its check does not fit")
        return position

    def _left(self, position: int) -> int:
        """Bytes from position to the end of its lap."""
        return self.capacity - position % self.capacity

    def _at(self, position: int) -> int:
        """Where position is in the buffer."""
        return HEADER_SIZE + position % self.capacity

    def _read_chunk(self, start: int, end: int, stop: int, rows: int, found: list[Record]) -> int:
        """Add proven events of one copied-out chunk to found, the hot loop; where the next thing begins."""
        at = self._at(start)
        room = min(self._left(start), end - start, max(_CHUNK, self._max_record))
        chunk = bytes(self._buffer[at : at + room])
        size = len(chunk)
        last = min(size - RECORD_HEADER, stop - start - 1)
        unpack, seed, add = RECORD.unpack_from, self._seed, found.append
        offset, position = 0, start
        for _ in range(rows):
            if offset > last:
                break
            crc, length, kind, flags, place, event_id, site, received = unpack(chunk, offset)
            after = offset + RECORD_HEADER + length
            body = chunk[offset + 4 : after]
            if place != position or kind != EVENT or after > size or crc32(body, seed) != crc:
                break
            offset = after + 7 & -8
            position = start + offset
            add((place, position, event_id, site, received, flags, body[52:]))  # type: ignore[arg-type]
        return position

    def _settles(self, position: int, end: int) -> bool:
        """Whether bytes that failed their check prove themselves when read again."""
        return any(self._prove(position, end) for _ in range(TRIES))

    def _prove(self, position: int, end: int) -> int:
        """End of the event or pad at position, if one proves itself to be there; else 0."""
        left = self._left(position)
        if left < RECORD_HEADER:
            return 0
        at = self._at(position)
        header = bytes(self._buffer[at : at + RECORD_HEADER])
        crc: int
        length: int
        crc, length, kind, _, place, _, _, _ = RECORD.unpack(header)
        size = RECORD_HEADER + length
        if place != position or position + size > end:
            return 0
        if kind == PAD:
            fits, payload = size == left, b""
        else:
            fits = kind == EVENT and size <= min(left, self._max_record)
            payload = bytes(self._buffer[at + RECORD_HEADER : at + size]) if fits else b""
        if not fits or crc32(payload, crc32(header[4:], self._seed)) != crc:
            return 0
        return position + (size + 7 & -8)

    def _resync(self, position: int, end: int) -> int:
        """First place from position on, a multiple of 8, where a record or pad proves itself; or end."""
        while position < end:
            left = self._left(position)
            stop = min(end, position + left - RECORD_HEADER + 8)
            word = (self._at(position) + _POSITION_AT) // 8
            candidates = range(position, stop, 8)
            for candidate, stated in zip(candidates, self._words[word : word + len(candidates)], strict=False):
                if stated == candidate and self._prove(candidate, end):
                    return candidate
            position += left
        return end
