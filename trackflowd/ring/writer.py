"""The writing half of a ring, over any writable buffer (see ``layout`` for the format).

The hot path of a worker: ``append`` each request's records, ``publish`` once per burst, answer.
Appended records are invisible to the reader, and to whoever opens the ring next, until published.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from zlib import crc32

from trackflowd.errors import RecordTooLarge, RingDamaged, RingFull
from trackflowd.ring.layout import (
    EVENT,
    HEAD_AT,
    HEADER_SIZE,
    PAD,
    RECORD_BODY,
    RECORD_HEADER,
    RECORD_SHARE,
    REQUEST_SHARE,
    TAIL_AT,
    WORD_PRIME,
    check_positions,
    decode_word,
    read_header,
)

if TYPE_CHECKING:
    import mmap

pack_body = RECORD_BODY.pack
_HEAD = HEAD_AT // 8

#: What ``append`` takes: event id (16 bytes), site hash (u64), received (ms since 1970 UTC),
#: flags (layout.ATTEMPT, layout.CLIENT_ID), payload.
Row = tuple[bytes, int, int, int, bytes]


class Writer:
    """Appends records at the head. One per ring; make it after exec, never before a fork.

    Args:
        buffer: the ring, header page included: a map of the file, or a bytearray.

    Raises:
        RingDamaged: not a ring this program can go on with.
    """

    def __init__(self, buffer: mmap.mmap | bytearray) -> None:
        self.header = read_header(bytes(buffer[:HEADER_SIZE]))
        self._buffer = buffer
        self._words = memoryview(buffer).cast("Q")
        self._crcs = memoryview(buffer).cast("I")
        self._capacity = self.header.capacity
        self._seed = self.header.seed
        head, tail = (decode_word(self._words[at // 8]) for at in (HEAD_AT, TAIL_AT))
        check_positions(head, tail, self._capacity)
        self._head = self._staged = head
        self._tail = tail
        self._enter_lap(head)
        #: Most bytes of payload in a record.
        self.max_payload = self._capacity // RECORD_SHARE - RECORD_HEADER
        #: Most bytes of one request's records, each counted by ``footprint``.
        self.max_request = self._capacity // REQUEST_SHARE

    @property
    def capacity(self) -> int:
        """Bytes of data the ring has."""
        return self._capacity

    @property
    def head(self) -> int:
        """Position up to which records are published."""
        return self._head

    @property
    def staged(self) -> int:
        """Position up to which records are appended."""
        return self._staged

    @property
    def used(self) -> int:
        """Bytes not given back by the reader yet, pads and unpublished records included.

        Raises:
            RingDamaged: the tail is not one this ring can have.
        """
        self._load_tail()
        return self._staged - self._tail

    @staticmethod
    def footprint(payload_size: int) -> int:
        """Bytes a record takes in the ring, header and alignment included."""
        return (RECORD_HEADER + payload_size + 7) & ~7

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows behind what was appended before, all of them or none.

        They are not part of the ring until ``publish``.

        Args:
            rows: one request's records.

        Raises:
            RingFull: no room for all of them now.
            RecordTooLarge: a record above ``max_payload``, or all together above ``max_request``.
            RingDamaged: the tail is not one this ring can have; stop answering 2xx.
        """
        start = first = position = self._staged
        buffer, crcs, seed, longest = self._buffer, self._crcs, self._seed, self.max_payload
        bound, shift = self._bound, self._shift
        try:
            for event_id, site, received, flags, payload in rows:
                length = len(payload)
                end = position + (length + 63 & -8)  # 56 of header, then up to a multiple of 8
                if end > bound or length > longest:
                    there = self._make_room(position, length)
                    first += there - position  # what is skipped at a lap's end is nobody's request
                    position = there
                    end = position + (length + 63 & -8)
                    bound, shift = self._bound, self._shift
                body = pack_body(length, EVENT, flags, position, event_id, site, received) + payload
                at = position + shift
                buffer[at + 4 : at + 56 + length] = body
                crcs[at >> 2] = crc32(body, seed)
                position = end
            if position - first > self.max_request:
                raise RecordTooLarge(f"{position - first} bytes in one request, this ring takes {self.max_request}")
        except BaseException:
            self._enter_lap(start)
            raise
        self._staged = position

    def publish(self) -> None:
        """Make everything appended so far part of the ring: one 8-byte store of the head."""
        staged = self._staged
        if staged != self._head:
            self._words[_HEAD] = staged << 13 | staged % WORD_PRIME + 1  # encode_word, without the call
            self._head = staged

    def abandon(self) -> None:
        """Forget what was appended and not published."""
        self._staged = self._head
        self._enter_lap(self._head)

    def close(self) -> None:
        """Let go of the buffer, so that it can be unmapped. Unpublished records are lost."""
        self._words.release()
        self._crcs.release()

    def _make_room(self, position: int, length: int) -> int:
        """Where a payload of length goes when it does not simply go to position."""
        if length > self.max_payload:
            raise RecordTooLarge(f"a record of {length} bytes, this ring takes {self.max_payload}")
        size = self.footprint(length)
        rest = -position % self._capacity  # left of the lap; 0 where a lap begins
        skip = rest if size > rest else 0
        if position + skip + size > self._tail + self._capacity:
            self._load_tail()
            if position + skip + size > self._tail + self._capacity:
                raise RingFull(f"no room in the ring: {position - self._tail} of {self._capacity} bytes are taken")
        if skip >= RECORD_HEADER:
            self._put_pad(position, skip)
        self._enter_lap(position + skip)
        return position + skip

    def _put_pad(self, position: int, size: int) -> None:
        """Fill the lap's last bytes."""
        at = HEADER_SIZE + position % self._capacity
        body = pack_body(size - RECORD_HEADER, PAD, 0, position, bytes(16), 0, 0)
        self._buffer[at + 4 : at + RECORD_HEADER] = body
        self._crcs[at >> 2] = crc32(body, self._seed)

    def _enter_lap(self, position: int) -> None:
        """Where position's lap lies in the buffer, and up to where records may go without a thought."""
        lap = position - position % self._capacity
        self._shift = HEADER_SIZE - lap
        self._bound = min(lap, self._tail) + self._capacity

    def _load_tail(self) -> None:
        """Read the tail; trust it only where it can be true, since what lies before it is overwritten."""
        tail = decode_word(self._words[TAIL_AT // 8])
        if not self._tail <= tail <= self._head:
            raise RingDamaged(f"ring whose tail is {tail}, between {self._tail} and {self._head} expected")
        self._tail = tail
