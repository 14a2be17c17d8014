"""Segments: rows of one batch in a file of their own, in the spool or in quarantine.

Written whole to a temporary name, synced, renamed into place, the directory synced: a segment is
there entirely or not at all, and never changed. All integers little-endian; adding or reordering
anything changes what is on disk: raise ``VERSION``.

::

    0   8   magic "TFSEGM\\r\\n"
    8   u32 format version
    12  u32 length of the head
    16  u32 crc32 of the head
    20  u32 crc32 of bytes 0..20
    24  head: a msgpack map, see ``Head``
        then the rows, each at a multiple of 8:
    +0  u32 crc32 of everything after this field, payload included
    +4  u32 length of the payload
    +8  u16 flags | u16 zero | u32 number of the row, from 0
    +16 u64 site hash
    +24 u64 received, ms since 1970 UTC
    +32 16  event id
    +48     payload, as ``proto.record`` has it

A checksum a row: one damaged byte costs one row and not a batch. Behind a damaged row the next is found
by trying each multiple of 8: a row states its own number, and its checksum has to fit.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgpack

from trackflowd.errors import DataDirError, SegmentDamaged
from trackflowd.ring.layout import Record

MAGIC = b"TFSEGM\r\n"
VERSION = 1
SUFFIX = ".segment"

_FRONT = struct.Struct("<8sIII")
_CRC = struct.Struct("<I")
_ROW = struct.Struct("<IHHIQQ16s")
#: Bytes of a row before its payload.
ROW_HEADER = _CRC.size + _ROW.size
_MAX_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """What a segment says of its rows.

    Args:
        batch: hex id of the batch they were cut into.
        attempt: of its last sending.
        store: identity of the store it is bound to.
        partition: YYYYMM of received.
        schema: version of the row format (``proto.record.VERSION``).
        rows: how many follow.
        at: ms since 1970 UTC when the segment was written.
        reason: why the rows are here; in quarantine, the store's words.
        origin, row: in quarantine, the batch the row was first cut into, and its number there.
    """

    batch: str
    attempt: int
    store: str
    partition: int
    schema: int
    rows: int
    at: int
    reason: str
    origin: str = ""
    row: int = 0


def size_of(rows: Sequence[Record]) -> int:
    """About how many bytes a segment of these rows takes."""
    return 512 + sum(map(len, (row[6] for row in rows))) + ROW_HEADER * len(rows)


def write(path: Path, head: Head, rows: Sequence[Record]) -> int:
    """Put a segment in place, durably; its size in bytes.

    Raises:
        OSError: the disk does not take it; nothing is at path then, or what was.
    """
    body: bytes = msgpack.packb(asdict(head))
    front = _FRONT.pack(MAGIC, VERSION, len(body), zlib.crc32(body))
    parts = [front, _CRC.pack(zlib.crc32(front)), body, _padding(_FRONT.size + _CRC.size + len(body))]
    for number, (_, _, event_id, site, received, flags, payload) in enumerate(rows):
        raw = _ROW.pack(len(payload), flags, 0, number, site, received, event_id) + payload
        parts += [_CRC.pack(zlib.crc32(raw)), raw, _padding(_CRC.size + len(raw))]
    whole = b"".join(parts)
    write_durably(path, whole)
    return len(whole)


def read_head(path: Path) -> Head:
    """The head alone.

    Raises:
        SegmentDamaged: not a segment, a damaged head, or of a newer format.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _head(path, file.read(_FRONT.size + _CRC.size + _MAX_HEAD))[0]


def read(path: Path) -> tuple[Head, list[Record | None]]:
    """Head and rows; None for each row that is damaged.

    Raises:
        SegmentDamaged: not a segment, a damaged head, or of a newer format.
        OSError: it cannot be read.
    """
    raw = path.read_bytes()
    head, offset = _head(path, raw)
    rows: list[Record | None] = [None] * head.rows
    while offset + ROW_HEADER <= len(raw):
        found = _row(raw, offset, head.rows)
        if found is None:
            offset += 8
            continue
        number, row, offset = found
        rows[number] = row
    return head, rows


def _head(path: Path, raw: bytes) -> tuple[Head, int]:
    start = _FRONT.size + _CRC.size
    if len(raw) < start or raw[:8] != MAGIC:
        raise SegmentDamaged(f"{path} is not a segment")
    _, version, length, crc = _FRONT.unpack_from(raw)
    if version > VERSION:
        raise SegmentDamaged(
            f"{path} is of format {version}, this program knows {VERSION}", "start the version that wrote it"
        )
    if (
        _CRC.unpack_from(raw, _FRONT.size)[0] != zlib.crc32(raw[: _FRONT.size])
        or zlib.crc32(raw[start : start + length]) != crc
    ):
        raise SegmentDamaged(f"{path}: its head fails its checksum")
    try:
        values: dict[str, Any] = msgpack.unpackb(raw[start : start + length])
        return Head(**values), start + length + len(_padding(start + length))
    except (TypeError, ValueError) as error:
        raise SegmentDamaged(f"{path}: a head that makes no sense: {error}") from error


def _row(raw: bytes, offset: int, rows: int) -> tuple[int, Record, int] | None:
    """Number of the row at offset, the row, and where the next begins, if one proves itself to be there."""
    at = offset + _CRC.size
    length, flags, _, number, site, received, event_id = _ROW.unpack_from(raw, at)
    end = at + _ROW.size + length
    if number >= rows or end > len(raw) or zlib.crc32(raw[at:end]) != _CRC.unpack_from(raw, offset)[0]:
        return None
    row = Record(0, 0, event_id, site, received, flags, raw[at + _ROW.size : end])
    return number, row, end + (-end % 8)


def _padding(size: int) -> bytes:
    return bytes(-size % 8)


def write_durably(path: Path, raw: bytes) -> None:
    """Put bytes at path: temporary file, fsync, rename, fsync of the directory.

    Raises:
        OSError: it cannot be done.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    tmp = path.with_name(path.name + ".tmp")
    try:
        with open(tmp, "wb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        tmp.rename(path)
    except OSError:
        tmp.unlink(missing_ok=True)  # the room it took is wanted by others
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def no_room(path: Path, error: OSError) -> DataDirError:
    """What to say where a file cannot be written."""
    return DataDirError(f"{path} cannot be written: {error.strerror}", "free space there")
