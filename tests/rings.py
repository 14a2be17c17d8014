"""Rings in plain memory for tests, and two writers that are wrong on purpose.

The wrong ones are the negative control: a test of the ring that does not catch them tests nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from trackflowd.ring.layout import HEAD_AT, HEADER_SIZE, Header, build_header, encode_word
from trackflowd.ring.reader import Damage, Reader, Record
from trackflowd.ring.writer import Row, Writer

UUID = bytes(range(16))
BOOT = b"the boot of test"
RECEIVED = 1_790_000_000_000


def blank(capacity: int = 4096, *, uuid: bytes = UUID, slot: int = 3) -> bytearray:
    """A new ring."""
    return bytearray(build_header(Header(capacity, uuid, BOOT, slot)) + bytes(capacity))


def row(n: int, size: int = 40) -> Row:
    """The nth row, with a payload of size bytes: a pure function of both."""
    return n.to_bytes(16, "big"), n * 0x9E3779B97F4A7C15 % 2**64, RECEIVED + n, n % 4, payload(n, size)


def payload(n: int, size: int) -> bytes:
    """Bytes that tell where they belong: no two numbers give the same, sizes above 7 provided."""
    return (n.to_bytes(8, "big") * (size // 8 + 1))[:size]


def as_row(record: Record) -> Row:
    """The row a record was made from."""
    _, _, event_id, site, received, flags, body = record
    return event_id, site, received, flags, body


def walk(reader: Reader, start: int, end: int, rows: int = 1000) -> tuple[list[Record], list[Damage]]:
    """Everything between two positions, the way the flusher goes."""
    found: list[Record] = []
    damage: list[Damage] = []
    while start < end:
        records, stopped = reader.records(start, end, rows, 2**30)
        found += records
        if records:
            start = records[-1][1]
        if stopped and (place := reader.damage_at(start, end)):
            damage.append(place)
            start = place.end
        elif not records:
            break
    return found, damage


def flipped(ring: bytearray, at: int, mask: int) -> bytearray:
    """A copy with one byte changed."""
    copy = bytearray(ring)
    copy[at] ^= mask
    return copy


def ring_with(rows: list[Row], ring: bytearray | None = None) -> bytearray:
    """A ring that holds these rows behind what it held."""
    ring = blank() if ring is None else ring
    writer = Writer(ring)
    for one in rows:
        writer.append([one])
    writer.publish()
    return ring


def second_lap() -> tuple[bytearray, list[Row]]:
    """A ring whose records go over the end of a lap by a pad, and its rows."""
    rows = [row(n, n * 53 % 300 + 8) for n in range(40)]
    ring = blank()
    writer, reader = Writer(ring), Reader(ring)
    for one in rows:
        writer.append([one])
        writer.publish()
        while reader.head - reader.tail > 2600:
            first, _ = reader.records(reader.tail, reader.head, 1, 2**30)
            reader.store_tail(first[0][1])
    found, _ = walk(reader, reader.tail, reader.head)
    assert reader.tail // 4096 < reader.head // 4096
    return ring, [as_row(record) for record in found]


def set_word(ring: bytearray, at: int, position: int) -> None:
    """Set head, tail or synced to a position."""
    ring[at : at + 8] = encode_word(position).to_bytes(8, "little")


def data_at(position: int, capacity: int) -> int:
    """Where position is in the file."""
    return HEADER_SIZE + position % capacity


class PackIntoWriter(Writer):
    """Wrong on purpose: publishes by ``struct.pack_into``, which zeroes the word before it stores it."""

    def publish(self) -> None:
        if self._staged != self._head:
            struct.pack_into("<Q", self._buffer, HEAD_AT, encode_word(self._staged))
            self._head = self._staged


class ZeroFirstWriter(Writer):
    """Wrong on purpose: what ``struct.pack_into`` does, as the two stores it is made of."""

    def publish(self) -> None:
        if self._staged != self._head:
            self._words[HEAD_AT // 8] = 0
        super().publish()


class HeadFirstWriter(Writer):
    """Wrong on purpose: moves the head before it writes the records."""

    def append(self, rows: Iterable[Row]) -> None:
        rows = list(rows)
        end = self._staged
        for *_, body in rows:
            rest = -end % self.capacity
            end += rest if self.footprint(len(body)) > rest else 0
            end += self.footprint(len(body))
        if end - self._tail <= self.capacity:
            self._words[HEAD_AT // 8] = encode_word(end)
        super().append(rows)


WRITERS: dict[str, type[Writer]] = {
    "right": Writer,
    "pack_into": PackIntoWriter,
    "zero_first": ZeroFirstWriter,
    "head_first": HeadFirstWriter,
}
