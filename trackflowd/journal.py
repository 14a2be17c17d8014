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
in order, one writer, so only the last can be torn, and a torn entry was never acted upon. What a body
may be is in ``cuts``.

When a file is full a new one is written with what still matters (open batches, marks, and settled
batches whose bytes are still in a ring: replay walks those), fsynced, renamed into place, and the
old one renamed to ``spare``: the next is written over it. So once two files are there, a full disk
can not stop the journal. A kill anywhere leaves at least one whole file; the highest generation wins.

Version 1 had no ``cuts``, ``spooled``, ``quarantined`` and ``replaced`` and shorter cuts; it is read,
and its file followed by one of this version at once, since the version before must not misread it.
A file with a ``store`` entry has version 3, any other 2: who never moved can go back to the version before.

With durability "disk" every append is synced before it is acted upon.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from trackflowd.cuts import DONE, QUARANTINED, Cut, Ended, Moved, Range, State, cut_body, id_bytes
from trackflowd.errors import JournalError

log = logging.getLogger(__name__)

MAGIC = b"TFJRNL\0\0"
VERSION = 3
#: Of a file without a ``store`` entry.
PLAIN = 2
HEADER = struct.Struct("<8sII Q16s")
HEADER_SIZE = 64
ENTRY = struct.Struct("<II")
#: Size of a fresh file: at about 200 bytes a batch, some 20,000 batches.
FILE_SIZE = 4 * 1024 * 1024
#: Largest body: a batch over 64 rings with every bitmap full stays far below it.
MAX_BODY = 1024 * 1024

_SPARE = "spare"
_NOT_ZERO = re.compile(rb"[^\0]")


class Journal:
    """The journal of one data directory, opened by its only writer.

    Args:
        directory: made when missing; the caller holds the flusher's lock.
        keep: says of a settled batch's range whether its bytes may still be in a ring; asked when
            a file is begun.
        file_size: bytes of a fresh file; tests make it small.
        durable: sync every append.

    Attributes:
        state: what all entries add up to.
        damaged: bytes that were no entry although entries follow them.

    Raises:
        JournalError: unreadable, of a newer format, or no space for it.
    """

    def __init__(
        self,
        directory: Path,
        keep: Callable[[Range], bool] | None = None,
        file_size: int = FILE_SIZE,
        durable: bool = False,
    ) -> None:
        self.directory = directory
        self.keep = keep or (lambda span: False)
        self.file_size = file_size
        self.durable = durable
        self.state = State()
        self.damaged = 0
        self._fd = -1
        self._offset = 0
        self._size = 0
        self._uuid = b""
        self.generation = 0
        directory.mkdir(mode=0o700, exist_ok=True)
        self._open_newest()
        self._keep_a_spare()

    def cut(self, *cuts: Cut, instead_of: int = 0) -> None:
        """Commit batches, all of them or none. When this returns they are, whatever is killed.

        Args:
            instead_of: id of an open batch whose place they take; it is open no more.
        """
        if len(cuts) == 1 and not instead_of:
            self._append(cut_body(cuts[0]))
        else:
            self._append(["cuts", id_bytes(instead_of) if instead_of else b"", [cut_body(cut) for cut in cuts]])

    def attempt(self, batch_id: int, attempt: int, store: str = "") -> None:
        """The batch is about to be sent under a fresh token, or to another store ("": where it is bound to)."""
        self._append(["attempt", id_bytes(batch_id), attempt, *([store] if store else [])])

    def spooled(self, batch_id: int) -> None:
        """The segment of that id holds the batch's rows, durably: its ring bytes may go."""
        self._append(["spooled", id_bytes(batch_id)])

    def done(self, batch_id: int) -> None:
        """The store is known to hold the batch."""
        self._append([DONE, id_bytes(batch_id)])

    def quarantined(self, batch_id: int) -> None:
        """A quarantine file holds the batch's rows, durably."""
        self._append([QUARANTINED, id_bytes(batch_id)])

    def gap(self, ring: bytes, start: int, end: int) -> None:
        """Damaged bytes of a ring are in quarantine; read on behind them."""
        self._append(["gap", ring, start, end])

    def gone(self, ring: bytes) -> None:
        """A ring's file was removed; what the journal knows of it may be forgotten."""
        self._append(["gone", ring])

    def switch(self, moved: Moved | None) -> None:
        """Commit that batches go to another store, by the rename of a new file; None: forget it, the options know."""
        generation, before, self.state.moved = self.generation, self.state.moved, moved
        try:
            self._begin(self.file_size)
        finally:
            if self.generation == generation:
                self.state.moved = before

    def settled(self) -> Iterator[Ended]:
        """Batches in this file that are settled, in the order they ended (ring bytes may be overwritten)."""
        state = State()
        for body, _ in _entries(self._fd, self._uuid, self._offset):
            yield from state.apply(body)

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
        try:
            _write_all(self._fd, raw, self._offset)
            if self.durable:
                raw = self._sync(body, raw)
        except OSError as error:
            raise JournalError(
                f"{self._path}: {error.strerror}", "nothing is lost, the events wait in the rings"
            ) from error
        self._offset += len(raw)
        self.state.apply(body)

    def _sync(self, body: list[Any], raw: bytes) -> bytes:
        """Sync what was written at the end; in a new file where this one fails, and then as it stands there.

        A failed sync is not tried again: the kernel takes the pages for clean after it has said so once.
        """
        try:
            os.fdatasync(self._fd)
            return raw
        except OSError as error:
            log.error("%s cannot be synced: %s; going on in a new file", self._path, error.strerror)
        self._spare_path.unlink(missing_ok=True)
        self._begin(self.file_size + len(raw))
        raw = _encode(body, self._uuid, self._offset)
        _write_all(self._fd, raw, self._offset)
        os.fdatasync(self._fd)
        return raw

    def _open_newest(self) -> None:
        for leftover in self.directory.glob("*.tmp"):  # version 1 made its files so
            leftover.unlink()
        files = sorted(self.directory.glob("*.journal"), reverse=True)
        if not files:
            self._begin(self.file_size)
            return
        self._fd = os.open(files[0], os.O_RDWR | os.O_CLOEXEC)
        version, self.generation, self._uuid = _read_header(self._fd, files[0])
        self._size = os.fstat(self._fd).st_size
        self._offset = HEADER_SIZE
        for body, end in _entries(self._fd, self._uuid, self._size):
            try:
                self.state.apply(body)
            except (KeyError, ValueError, TypeError, IndexError) as error:
                raise JournalError(f"{files[0]}: an entry that makes no sense: {error}") from error
            self.damaged += end.skipped
            self._offset = end.at
        if self.damaged:
            log.error("%s: %d bytes between entries are damaged; a batch cut there may be lost", files[0], self.damaged)
        for older in files[1:]:
            older.unlink()
        if version < PLAIN:
            self._begin(self.file_size)

    def _begin(self, least: int) -> None:
        """Write a new file with what still matters and make it the journal."""
        kept = self._kept()
        size = max(self.file_size, least + 2 * sum(len(msgpack.packb(body)) + 16 for body in kept))
        generation = self.generation + 1
        file_uuid = uuid.uuid4().bytes
        try:
            fd = _reserve(self._spare_path, size)
            try:
                offset = _fill(fd, VERSION if self.state.moved else PLAIN, generation, file_uuid, kept)
                os.fsync(fd)
                os.rename(self._spare_path, self._file(generation))
                _fsync_directory(self.directory)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise JournalError(
                f"no new journal file of {size} bytes in {self.directory}: {error.strerror}",
                "free space there; nothing is lost, the events wait in the rings",
            ) from error
        old, previous = self._fd, self._path
        self._fd, self._offset, self._uuid = fd, offset, file_uuid
        self._size = os.fstat(fd).st_size
        self.generation = generation
        if old >= 0:
            os.close(old)
            previous.rename(self._spare_path)

    def _keep_a_spare(self) -> None:
        if not self._spare_path.exists():
            try:
                os.close(_reserve(self._spare_path, self.file_size))
            except OSError as error:
                log.warning("no spare journal file in %s: %s", self.directory, error.strerror)

    @property
    def _spare_path(self) -> Path:
        return self.directory / _SPARE

    @property
    def _path(self) -> Path:
        return self._file(self.generation)

    def _file(self, generation: int) -> Path:
        return self.directory / f"{generation:012d}.journal"

    def _kept(self) -> list[list[Any]]:
        bodies: list[list[Any]] = []
        if self._fd >= 0:
            for cut, how in self.settled():
                if any(self.keep(span) for span in cut.ranges):
                    bodies += [cut_body(cut), [how, id_bytes(cut.batch_id)]]
        bodies += [cut_body(cut) for cut in self.state.open.values()]
        bodies += [["mark", ring, end] for ring, end in self.state.marks.items()]
        bodies.append(["window", *self.state.window])
        if self.state.moved:
            bodies.append(["store", *self.state.moved])
        return bodies


def _reserve(path: Path, size: int) -> int:
    """A descriptor of a file of at least size bytes, each its own and zero: nothing of an earlier use is left."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        _write_all(fd, bytes(os.fstat(fd).st_size), 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _fill(fd: int, version: int, generation: int, file_uuid: bytes, bodies: Sequence[list[Any]]) -> int:
    head = HEADER.pack(MAGIC, version, 0, generation, file_uuid)
    _write_all(fd, head + struct.pack("<I", zlib.crc32(head)), 0)
    offset = HEADER_SIZE
    for body in bodies:
        raw = _encode(body, file_uuid, offset)
        _write_all(fd, raw, offset)
        offset += len(raw)
    return offset


def _seed(file_uuid: bytes, offset: int, length: int) -> int:
    return zlib.crc32(struct.pack("<IQ", length, offset), zlib.crc32(file_uuid))


def _encode(body: list[Any], file_uuid: bytes, offset: int) -> bytes:
    raw: bytes = msgpack.packb(body)
    if len(raw) > MAX_BODY:
        raise JournalError(f"a journal entry of {len(raw)} bytes, more than {MAX_BODY}")
    head = ENTRY.pack(len(raw), zlib.crc32(raw, _seed(file_uuid, offset, len(raw))))
    return head + raw + bytes(-(ENTRY.size + len(raw)) % 8)


class _End(NamedTuple):
    """Where an entry ends, and how many bytes before it were none."""

    at: int
    skipped: int


def _entries(fd: int, file_uuid: bytes, end: int) -> Iterator[tuple[list[Any], _End]]:
    """Entries in order. Damage between two is passed over: only what ends the file can be a torn append."""
    raw = os.pread(fd, end, 0)
    offset = HEADER_SIZE
    while True:
        start = offset
        while (found := _entry(raw, file_uuid, offset)) is None:
            offset = _next_byte(raw, offset + 8)
            if offset + ENTRY.size > len(raw):
                return
        body, offset_after = found
        yield body, _End(offset_after, offset - start)
        offset = offset_after


def _entry(raw: bytes, file_uuid: bytes, offset: int) -> tuple[list[Any], int] | None:
    """The entry at offset and where it ends, if one proves itself to be there."""
    if offset + ENTRY.size > len(raw):
        return None
    length, crc = ENTRY.unpack_from(raw, offset)
    body = raw[offset + ENTRY.size : offset + ENTRY.size + length]
    if not 0 < length <= MAX_BODY or len(body) != length or zlib.crc32(body, _seed(file_uuid, offset, length)) != crc:
        return None
    return msgpack.unpackb(body), offset + ENTRY.size + length + (-(ENTRY.size + length) % 8)


def _next_byte(raw: bytes, offset: int) -> int:
    """The first multiple of 8 from offset on before which, or at which, a byte is not zero."""
    found = _NOT_ZERO.search(raw, offset)
    return found.start() // 8 * 8 if found else len(raw)


def _read_header(fd: int, path: Path) -> tuple[int, int, bytes]:
    """Version, generation and uuid."""
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
    return version, generation, file_uuid


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
