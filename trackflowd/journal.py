"""The batch journal: what was cut, where it went, and what the store is known to hold.

The rings hold the events; the journal says which ranges of which rings make which batch. Its
``Cut`` entry is the commit point of a batch: before it nothing happened, after it the batch is
those rows and no others, for ever. After a restart a ring is read on from the highest end the
journal knows, never from the ring's tail, which is a hint.

File
====

``journal/GENERATION.journal``, preallocated (``posix_fallocate``), so that an append can not meet
a full disk. Header, 64 bytes, written once::

    0   8   magic "TFJRNL\\0\\0"
    8   u32 format version
    12  u32 zero
    16  u64 generation, one more than the file before
    24  16  uuid of this file
    40  u32 crc32 of bytes 0..40

Then entries, each 8-byte aligned, little-endian::

    0   u32 length of the body; 0 is the end
    4   u32 crc32 of length, offset in the file (u64) and body, seeded with the file's uuid
    8   body: a msgpack array, its first element the kind

Because uuid and offset are in the checksum, neither zeroes nor bytes of an older file nor a
displaced entry can pass for one. An entry that fails its checksum ends the journal: appends are
in order, one writer, so only the last can be torn, and a torn entry was never acted upon.

Kinds (adding a kind, or a field anywhere but at the end, needs a new format version):

``["cut", id, at, attempt, store, partition, rows, crc, schema, window, ranges]``
    a batch; ``window`` is the mark of the id window after it, ``ranges`` a list of
    ``[ring uuid, from, to, records, left out]``; *left out* is a bitmap, bit n for the nth
    record of the range, empty when none is.
``["attempt", id, attempt]``   sent again under a fresh token
``["done", id]``               the store is known to hold it
``["gap", ring uuid, from, to]``  damaged bytes, set aside in a quarantine file
``["gone", ring uuid]``        a drained ring whose file was removed
``["mark", ring uuid, to]``    how far a ring was cut; written only when a file is begun
``["window", generation, ids]``   the id window's mark; likewise

When a file is full a new one is written with what still matters (open batches, marks, and closed
batches whose bytes are still in a ring: replay walks those), fsynced, renamed into place, and
the old one removed. A kill anywhere leaves at least one whole file; the highest generation wins.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgpack

from trackflowd.errors import JournalError

MAGIC = b"TFJRNL\0\0"
VERSION = 1
HEADER = struct.Struct("<8sII Q16s")
HEADER_SIZE = 64
ENTRY = struct.Struct("<II")
#: Size of a fresh file: at about 200 bytes a batch, some 20,000 batches.
FILE_SIZE = 4 * 1024 * 1024
#: Largest body: a batch over 64 rings with every bitmap full stays far below it.
MAX_BODY = 1024 * 1024


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
class Cut:
    """A batch as journaled.

    Args:
        batch_id: 128-bit id, unique across machines (UUIDv7).
        at: ms since 1970 UTC of the cut.
        attempt: 1, and one more for every fresh token.
        store: identity of the store it is bound to.
        partition: YYYYMM of its rows' received time.
        rows: rows it holds, without those left out.
        crc: checksum over those rows (``batch.checksum``).
        schema: version of the row format.
        window: (generation, ids) of the id window after this batch.
        ranges: where its rows are.
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


@dataclass(slots=True)
class State:
    """What the entries of a journal add up to."""

    open: dict[int, Cut] = field(default_factory=dict)
    marks: dict[bytes, int] = field(default_factory=dict)
    window: tuple[int, int] = (0, 0)

    def apply(self, body: list[Any]) -> None:
        """Take one entry in. Raises KeyError, ValueError or TypeError on nonsense."""
        kind = body[0]
        if kind == "cut":
            cut = _cut_from(body)
            self.open[cut.batch_id] = cut
            self.window = cut.window
            for span in cut.ranges:
                self._advance(span.ring, span.end)
        elif kind == "attempt":
            batch_id = int.from_bytes(body[1], "big")
            if batch_id in self.open:
                self.open[batch_id] = replace(self.open[batch_id], attempt=body[2])
        elif kind == "done":
            self.open.pop(int.from_bytes(body[1], "big"), None)
        elif kind == "gap":
            self._advance(body[1], body[3])
        elif kind == "gone":
            self.marks.pop(body[1], None)
        elif kind == "mark":
            self._advance(body[1], body[2])
        elif kind == "window":
            self.window = (body[1], body[2])
        else:
            raise ValueError(f"unknown kind {kind!r}")

    def _advance(self, ring: bytes, end: int) -> None:
        self.marks[ring] = max(end, self.marks.get(ring, 0))


class Journal:
    """The journal of one data directory, opened by its only writer.

    Args:
        directory: made when missing; the caller holds the flusher's lock.
        keep: says of a closed batch's range whether its bytes may still be in a ring; asked when
            a file is begun.
        file_size: bytes of a fresh file; tests make it small.

    Raises:
        JournalError: unreadable, of a newer format, or no space for it.
    """

    def __init__(
        self, directory: Path, keep: Callable[[Range], bool] | None = None, file_size: int = FILE_SIZE
    ) -> None:
        self.directory = directory
        self.keep = keep or (lambda span: False)
        self.file_size = file_size
        self.state = State()
        self._fd = -1
        self._offset = 0
        self._size = 0
        self._uuid = b""
        self.generation = 0
        directory.mkdir(mode=0o700, exist_ok=True)
        self._open_newest()

    def cut(self, cut: Cut) -> None:
        """Commit a batch. When this returns the batch is, whatever is killed."""
        self._append(_cut_body(cut))

    def attempt(self, batch_id: int, attempt: int) -> None:
        """The batch is about to be sent under a fresh token."""
        self._append(["attempt", batch_id.to_bytes(16, "big"), attempt])

    def done(self, batch_id: int) -> None:
        """The store is known to hold the batch."""
        self._append(["done", batch_id.to_bytes(16, "big")])

    def gap(self, ring: bytes, start: int, end: int) -> None:
        """Damaged bytes of a ring are in quarantine; read on behind them."""
        self._append(["gap", ring, start, end])

    def gone(self, ring: bytes) -> None:
        """A ring's file was removed; what the journal knows of it may be forgotten."""
        self._append(["gone", ring])

    def closed(self) -> Iterator[Cut]:
        """Batches in this file that are done, oldest first (their bytes may be overwritten)."""
        for body in _entries(self._fd, self._uuid, self._offset):
            if body[0] == "cut":
                cut = _cut_from(body)
                if cut.batch_id not in self.state.open:
                    yield cut

    @property
    def used(self) -> int:
        """Bytes written in the present file."""
        return self._offset

    def close(self) -> None:
        """Close the file; everything in it stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, body: list[Any]) -> None:
        raw = _encode(body, self._uuid, self._offset)
        if self._offset + len(raw) + ENTRY.size > self._size:
            self._begin(self.file_size + len(raw))
            raw = _encode(body, self._uuid, self._offset)
        _write_all(self._fd, raw, self._offset)
        self._offset += len(raw)
        self.state.apply(body)

    def _open_newest(self) -> None:
        for leftover in self.directory.glob("*.tmp"):
            leftover.unlink()
        files = sorted(self.directory.glob("*.journal"), reverse=True)
        if not files:
            self._begin(self.file_size)
            return
        self._fd = os.open(files[0], os.O_RDWR | os.O_CLOEXEC)
        self.generation, self._uuid = _read_header(self._fd, files[0])
        self._size = os.fstat(self._fd).st_size
        self._offset = HEADER_SIZE
        for body, end in _entries_with_end(self._fd, self._uuid, self._size):
            try:
                self.state.apply(body)
            except (KeyError, ValueError, TypeError, IndexError) as error:
                raise JournalError(f"{files[0]}: an entry that makes no sense: {error}") from error
            self._offset = end
        for older in files[1:]:
            older.unlink()

    def _begin(self, least: int) -> None:
        """Write a new file with what still matters and make it the journal."""
        kept = self._kept()
        size = max(self.file_size, least + 2 * sum(len(msgpack.packb(body)) + 16 for body in kept))
        generation = self.generation + 1
        path = self.directory / f"{generation:012d}.journal"
        file_uuid = uuid.uuid4().bytes
        tmp = path.with_suffix(".tmp")
        try:
            fd = os.open(tmp, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
                offset = _fill(fd, generation, file_uuid, kept)
                os.fsync(fd)
                os.rename(tmp, path)
                _fsync_directory(self.directory)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise JournalError(
                f"no new journal file of {size} bytes in {self.directory}: {error.strerror}",
                "free space there; nothing is lost, the events wait in the rings",
            ) from error
        old = self._fd
        self._fd, self._offset, self._size, self._uuid = fd, offset, size, file_uuid
        previous, self.generation = self.generation, generation
        if old >= 0:
            os.close(old)
            (self.directory / f"{previous:012d}.journal").unlink(missing_ok=True)

    def _kept(self) -> list[list[Any]]:
        bodies: list[list[Any]] = []
        if self._fd >= 0:
            for cut in self.closed():
                if any(self.keep(span) for span in cut.ranges):
                    bodies += [_cut_body(cut), ["done", cut.batch_id.to_bytes(16, "big")]]
        bodies += [_cut_body(cut) for cut in self.state.open.values()]
        bodies += [["mark", ring, end] for ring, end in self.state.marks.items()]
        bodies.append(["window", *self.state.window])
        return bodies


def _fill(fd: int, generation: int, file_uuid: bytes, bodies: list[list[Any]]) -> int:
    head = HEADER.pack(MAGIC, VERSION, 0, generation, file_uuid)
    _write_all(fd, head + struct.pack("<I", zlib.crc32(head)), 0)
    offset = HEADER_SIZE
    for body in bodies:
        raw = _encode(body, file_uuid, offset)
        _write_all(fd, raw, offset)
        offset += len(raw)
    return offset


def _cut_body(cut: Cut) -> list[Any]:
    ranges = [[span.ring, span.start, span.end, span.records, _bitmap(span.left_out)] for span in cut.ranges]
    return [
        "cut", cut.batch_id.to_bytes(16, "big"), cut.at, cut.attempt, cut.store, cut.partition,
        cut.rows, cut.crc, cut.schema, list(cut.window), ranges,
    ]  # fmt: skip


def _bitmap(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def _cut_from(body: list[Any]) -> Cut:
    _, batch_id, at, attempt, store, partition, rows, crc, schema, window, ranges = body[:11]
    return Cut(
        int.from_bytes(batch_id, "big"), at, attempt, store, partition, rows, crc, schema, (window[0], window[1]),
        tuple(Range(ring, start, end, n, int.from_bytes(out, "little")) for ring, start, end, n, out in ranges),
    )  # fmt: skip


def _seed(file_uuid: bytes, offset: int, length: int) -> int:
    return zlib.crc32(struct.pack("<IQ", length, offset), zlib.crc32(file_uuid))


def _encode(body: list[Any], file_uuid: bytes, offset: int) -> bytes:
    raw: bytes = msgpack.packb(body)
    if len(raw) > MAX_BODY:
        raise JournalError(f"a journal entry of {len(raw)} bytes, more than {MAX_BODY}")
    head = ENTRY.pack(len(raw), zlib.crc32(raw, _seed(file_uuid, offset, len(raw))))
    return head + raw + bytes(-(ENTRY.size + len(raw)) % 8)


def _entries(fd: int, file_uuid: bytes, end: int) -> Iterator[list[Any]]:
    for body, _ in _entries_with_end(fd, file_uuid, end):
        yield body


def _entries_with_end(fd: int, file_uuid: bytes, end: int) -> Iterator[tuple[list[Any], int]]:
    offset = HEADER_SIZE
    while offset + ENTRY.size <= end:
        length, crc = ENTRY.unpack(os.pread(fd, ENTRY.size, offset))
        if not 0 < length <= MAX_BODY:
            return
        raw = os.pread(fd, length, offset + ENTRY.size)
        if len(raw) != length or zlib.crc32(raw, _seed(file_uuid, offset, length)) != crc:
            return
        offset += ENTRY.size + length + (-(ENTRY.size + length) % 8)
        yield msgpack.unpackb(raw), offset


def _read_header(fd: int, path: Path) -> tuple[int, bytes]:
    raw = os.pread(fd, HEADER.size + 4, 0)
    if len(raw) < HEADER.size + 4 or raw[:8] != MAGIC:
        raise JournalError(f"{path} is not a journal", "move it away; batches in doubt are then not checked")
    _, version, _, generation, file_uuid = HEADER.unpack_from(raw)
    if version > VERSION:
        raise JournalError(
            f"{path} is of format {version}, this program knows {VERSION}", "start the version that wrote it"
        )
    if zlib.crc32(raw[: HEADER.size]) != struct.unpack_from("<I", raw, HEADER.size)[0]:
        raise JournalError(f"{path}: its header fails its checksum", "restore it from a backup or move it away")
    return generation, file_uuid


def _write_all(fd: int, raw: bytes, offset: int) -> None:
    view = memoryview(raw)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _fsync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
