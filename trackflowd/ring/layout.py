"""What a ring is, byte for byte. Changing anything here changes what is on disk: raise VERSION.

A ring file is one header page of 4096 bytes and ``capacity`` bytes of data, a multiple of 4096.
Positions are counted in bytes from the ring's birth and only grow; position p lives at data offset
``p % capacity``. All integers are little-endian.

Header page::

    0    magic 8 | version u32 | header size u32 | capacity u64 | ring uuid 16 | boot id 16
         | slot u32 | crc u32                  written once; crc32 of the 60 bytes before it
    128  head    where the writer goes on      stored by the writer only
    384  tail    what the store has kept       stored by the reader only
    640  synced  what is known to be on disk   stored by the syncer only (durability "disk"; else 0)
    896  failed  where the ring ends for ever  stored by the syncer only, once, when the disk refused
                                               a sync; eight zero bytes as long as none did, else the
                                               word of 8 bytes further (that of 0 is one bit from zero)

Head, tail, synced and failed are *words*: 8 bytes, each on cache lines of its own, stored by one machine
instruction through ``memoryview.cast("Q")``. (``struct.pack_into`` zeroes its target first and lost
the head in 11 % of kills.) A word is ``position / 8 << 16 | position % 65521 + 1``. The check makes
any one wrong byte seen (65521 is prime, so no change within a byte leaves the rest the same), where
a lower head would quietly hide records that were answered for; a word is never 0. Positions end at
2**51: at 40 MB/s a ring, which lives no longer than one boot, would need 650 days.

Record, at a multiple of 8::

    crc u32 | length u32 | type u16 | flags u16 | reserved u32 | position u64
    | event id 16 | site hash u64 | received u64        56 bytes, then length bytes of payload

``crc`` is zlib's crc32 over everything after it, payload included, seeded with the crc32 of the
ring uuid. ``position`` is the record's own, so a record of an earlier lap, or of another ring, never
passes for one that is due here; zeroes and 0xFF have a type that does not exist. Type 1 is an
event; type 2 is a pad, which has no payload and whose length is the number of bytes that follow its
header in the lap. Between records:

- A record never wraps. One that does not fit before the end of the lap goes to the next lap; what is
  left is filled by a pad, or, when less than a record header is left, passed over by both sides.
- A record with its header is at most ``capacity / 8``, so that a pad never costs more than that.
- ``tail <= head <= tail + capacity``. Bytes from tail to head belong to the reader, the rest to the
  writer. Space taken by pads and passed over counts as used until the tail is past it.

Writing: record header and payload in one copy, then the crc, then the head in one store. The head
is the only commit point: a writer killed before that store has written nothing, and the next one
overwrites it. What stands behind ``failed`` was answered 503 and is no part of the ring, whatever
the head says; nothing is written to such a ring any more. A ring belongs to one boot: memory that
all processes share is coherent whatever is killed, a disk after a power cut is not. A ring of
another boot is only read: from the tail on, whatever proves itself, past the head too.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from trackflowd.errors import RingDamaged

MAGIC = b"TFRING\r\n"  # \r\n: a copy through something that meddles with line ends is noticed
VERSION = 1

HEADER_SIZE = 4096
PAGE = 4096
HEAD_AT, TAIL_AT, SYNCED_AT, FAILED_AT = 128, 384, 640, 896

EVENT, PAD = 1, 2
#: Flags of an event: its sender marked it as sent before (look for it in the store), its id came
#: from the sender (so a repeat is possible: keep it in the window).
ATTEMPT, CLIENT_ID = 1, 2

#: Bytes of a record before its payload.
RECORD_HEADER = 56
#: A record is at most this part of the ring, one request's records at most that part.
RECORD_SHARE, REQUEST_SHARE = 8, 4

_STATIC = struct.Struct("<8sIIQ16s16sI")
_CRC = struct.Struct("<I")
#: Record header, crc first; the same without the crc.
RECORD = struct.Struct("<IIHH4xQ16sQQ")
RECORD_BODY = struct.Struct("<IHH4xQ16sQQ")

#: What a word's check is taken by.
WORD_PRIME = 65521
#: Positions end here; a new worker takes a new ring long before.
LAST_POSITION = 2**51


class Record(NamedTuple):
    """One event as it stands in a ring. ``read`` gives plain tuples of this shape (they are cheaper).

    Args:
        position: where it begins.
        end: where it ends (the next record may begin later: after a pad).
        event_id: 16 bytes.
        site: site hash.
        received: ms since 1970 UTC.
        flags: ATTEMPT, CLIENT_ID.
        payload: see ``proto.record``.
    """

    position: int
    end: int
    event_id: bytes
    site: int
    received: int
    flags: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """The static part of the header page.

    Args:
        capacity: bytes of data.
        uuid: 16 bytes, the ring's own.
        boot: 16 bytes, boot id of the machine's run that made it.
        slot: worker slot it was made for.
    """

    capacity: int
    uuid: bytes
    boot: bytes
    slot: int

    @property
    def seed(self) -> int:
        """What the crc of this ring's records starts from."""
        return zlib.crc32(self.uuid)


def valid_capacity(capacity: int) -> bool:
    """Whether a ring can have this many bytes of data."""
    return PAGE <= capacity < 2**40 and capacity % PAGE == 0


def encode_word(position: int) -> int:
    """The 8-byte word that says position, a multiple of 8 below 2**51."""
    return position << 13 | position % WORD_PRIME + 1


def decode_word(word: int) -> int:
    """Position a word says, or -1 when its check does not fit."""
    position = word >> 16 << 3
    return position if encode_word(position) == word else -1


def encode_failed(position: int) -> int:
    """The 8-byte word at FAILED_AT that says that a ring ends at position."""
    return encode_word(position + 8)


def ring_end(head: int, failed_word: int) -> int:
    """Head as a reader has to take it: of a failed ring, where it ends. -1: a check does not fit.

    Args:
        head: position, or -1.
        failed_word: the word at FAILED_AT; 0: the ring has not failed.
    """
    if not failed_word:
        return head
    return max(min(head, decode_word(failed_word) - 8), -1)


def build_header(header: Header) -> bytes:
    """A new ring's header page: head, tail and synced at 0.

    Raises:
        ValueError: a capacity no ring can have.
    """
    if not valid_capacity(header.capacity):
        raise ValueError(f"ring of {header.capacity} bytes: not a multiple of {PAGE}")
    static = _STATIC.pack(MAGIC, VERSION, HEADER_SIZE, header.capacity, header.uuid, header.boot, header.slot)
    page = bytearray(HEADER_SIZE)
    page[: len(static)] = static
    page[len(static) : len(static) + 4] = _CRC.pack(zlib.crc32(static))
    for at in (HEAD_AT, TAIL_AT, SYNCED_AT):
        page[at : at + 8] = encode_word(0).to_bytes(8, "little")
    return bytes(page)


def read_header(page: bytes) -> Header:
    """The static part of a header page.

    Raises:
        RingDamaged: not a ring, a damaged header, or one of another format version.
    """
    if len(page) < HEADER_SIZE or page[:8] != MAGIC:
        raise RingDamaged("not a ring: it does not begin with the mark of one", _ASIDE)
    static = page[: _STATIC.size]
    _, version, size, capacity, uuid, boot, slot = _STATIC.unpack(static)
    if version > VERSION:
        raise RingDamaged(
            f"ring of format {version}, this program knows {VERSION}",
            "drain the rings with the version that wrote them before going back to an older one",
        )
    (crc,) = _CRC.unpack_from(page, _STATIC.size)
    if crc != zlib.crc32(static):
        raise RingDamaged("ring with a damaged header: its checksum does not fit", _ASIDE)
    if version != VERSION or size != HEADER_SIZE or not valid_capacity(capacity):
        raise RingDamaged(f"ring with a header that makes no sense: format {version}, {capacity} bytes", _ASIDE)
    return Header(capacity, uuid, boot, slot)


def check_positions(head: int, tail: int, capacity: int) -> None:
    """Hold head and tail against each other.

    Raises:
        RingDamaged: one fails its check (-1), or they contradict each other.
    """
    for name, position in (("head", head), ("tail", tail)):
        if position < 0:
            raise RingDamaged(f"ring with a damaged {name}: its check does not fit", _ASIDE)
    if not tail <= head <= tail + capacity:
        raise RingDamaged(f"ring whose cursors contradict each other: tail {tail}, head {head}", _ASIDE)


_ASIDE = "the file is kept; `trackflow ring check` looks at it"
