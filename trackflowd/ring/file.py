"""Ring files: made, mapped, locked, found and removed. The format is in ``layout``.

Rings live in ``<data dir>/rings`` as ``SLOT-UUID.ring``. A file is allocated whole and written
once before it gets its name, so that a full disk is an error at start, with a text, and not a
SIGBUS under way. Its writer holds an flock on it for as long as it lives; the reader needs none
(the flusher locks the data directory). A file is removed only by someone who holds its flock, and a
writer that got the flock looks again whether the file still has its name.
"""

from __future__ import annotations

import fcntl
import functools
import mmap
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from trackflowd.errors import DataDirError, RingDamaged, RingLocked
from trackflowd.ring.layout import (
    FAILED_AT,
    HEAD_AT,
    HEADER_SIZE,
    LAST_POSITION,
    SYNCED_AT,
    TAIL_AT,
    Header,
    build_header,
    check_positions,
    decode_word,
    encode_failed,
    encode_word,
    read_header,
    ring_end,
)
from trackflowd.ring.reader import Reader
from trackflowd.ring.space import allocate
from trackflowd.ring.writer import Writer

SUFFIX = ".ring"


@functools.cache
def boot_id() -> bytes:
    """16 bytes that name this run of the machine."""
    return uuid.UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip()).bytes


@dataclass(frozen=True, slots=True)
class RingInfo:
    """A ring file as a scan of the directory finds it.

    Args:
        path: the file.
        header: its static header; None when it has none that can be read.
        head, tail: positions; -1 when they cannot be read. The head of a failed ring is where it ends.
        synced: position up to which the disk has everything; 0 unless durability is "disk", -1 when unreadable.
        failed: the disk refused a sync: it is only read.
        error: why the ring cannot be used, or "".
        unreachable: the file could not be opened or read now, which says nothing of what is in it.
    """

    path: Path
    header: Header | None = None
    head: int = -1
    tail: int = -1
    synced: int = -1
    failed: bool = False
    error: str = ""
    unreachable: bool = False

    @property
    def used(self) -> int:
        """Bytes not confirmed by the store; 0 when unknown."""
        return 0 if self.error else self.head - self.tail

    @property
    def of_this_boot(self) -> bool:
        """Whether its head can be believed."""
        return self.header is not None and self.header.boot == boot_id()


class RingFile:
    """A ring that this process writes: locked and mapped until ``close()`` or the end of a with block.

    Attributes:
        path: where it is.
        writer: over the mapping.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._buffer = _map(path, fd, writable=True)
        self._words = memoryview(self._buffer).cast("Q")
        self.writer = Writer(self._buffer)

    def fileno(self) -> int:
        """The descriptor that locks and syncs it."""
        return self._fd

    @property
    def synced(self) -> int:
        """Position up to which the disk is known to have everything; 0 when that is not known."""
        return max(decode_word(self._words[SYNCED_AT // 8]), 0)

    def store_synced(self, position: int) -> None:
        """The disk has everything before position (the syncer's to say)."""
        self._words[SYNCED_AT // 8] = encode_word(position)

    def store_failed(self, position: int) -> None:
        """The ring ends at position for ever: the disk refused a sync of what is behind it."""
        self._words[FAILED_AT // 8] = encode_failed(position)

    def still_there(self) -> bool:
        """Whether the file still is what its name says, whole. Two system calls: ask each second.

        When not (removed, replaced, cut short, renamed by another hand), a restart would not find what
        is written to it: the worker must stop answering 2xx. Do not touch a ring cut short: SIGBUS.
        """
        try:
            mine, named = os.fstat(self._fd), os.stat(self.path)
        except OSError:
            return False
        return mine.st_nlink > 0 and mine.st_size == len(self._buffer) and os.path.samestat(mine, named)

    def close(self) -> None:
        """Unmap, close, unlock. What was not published is gone."""
        if self._fd >= 0:
            self.writer.close()
            self._words.release()
            self._buffer.close()
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create(directory: Path, slot: int, capacity: int) -> RingFile:
    """A new ring for a slot, locked, durable on disk as a name and a header.

    Args:
        directory: where rings live; must exist.
        slot: worker slot.
        capacity: bytes of data, a multiple of 4096.

    Raises:
        DataDirError: no room, or the directory cannot be written to.
        ValueError: a capacity no ring can have.
    """
    header = Header(capacity, uuid.uuid4().bytes, boot_id(), slot)
    page = build_header(header)
    path = directory / f"{slot}-{header.uuid.hex()}{SUFFIX}"
    tmp = path.with_suffix(".tmp")
    try:
        fd = os.open(tmp, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirError(f"{directory}: no ring can be made there: {error.strerror}") from error
    try:
        _lock(fd, path)
        allocate(fd, directory, HEADER_SIZE + capacity)
        os.pwrite(fd, page, 0)
        os.fsync(fd)
        os.rename(tmp, path)
        _sync_directory(directory)
        return RingFile(path, fd)
    except BaseException as error:
        os.close(fd)
        tmp.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DataDirError(f"{path}: the ring cannot be made: {error.strerror}") from error
        raise


def open_for_writer(directory: Path, slot: int, capacity: int) -> RingFile:
    """The slot's ring: the one its last worker left, if of this boot, size and format and not failed; else a new one.

    Call it after exec, in the process that writes: the flock lives and dies with it.

    Raises:
        RingLocked: another process writes the slot's ring.
        DataDirError: see ``create``.
    """
    _sweep(directory, slot)
    for found in scan(directory):
        header = found.header
        if found.error or header is None or header.slot != slot or header.capacity != capacity:
            continue
        usable = found.of_this_boot and not found.failed and found.head < LAST_POSITION // 2
        if usable and (ring := _take_over(found.path)):
            return ring
    return create(directory, slot, capacity)


def open_for_reader(path: Path, *, writable: bool = True) -> Reader:
    """A reader over a ring file, mapped until its ``close()``. No lock: whoever reads holds the data directory.

    Args:
        path: the file.
        writable: False to look only (``store_tail`` fails then).

    Raises:
        RingDamaged: not a ring this program can read.
        OSError: the file cannot be opened or mapped.
    """
    fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        mapped = _map(path, fd, writable=writable)
    finally:
        os.close(fd)
    return Reader(mapped, mapped.close)


def scan(directory: Path) -> list[RingInfo]:
    """All rings of a directory, by name: also those of workers and boots that are no more."""
    return [info(path) for path in sorted(directory.glob(f"*{SUFFIX}"))]


def info(path: Path) -> RingInfo:
    """What a ring file's header page says. Never fails: see ``RingInfo.error``."""
    for _ in range(3):  # head and tail may move between the looks at one and the other
        found = _look(path)
        if not found.error:
            break
    return found


def _look(path: Path) -> RingInfo:
    try:
        with open(path, "rb", buffering=0) as file:
            page, size = file.read(HEADER_SIZE), os.fstat(file.fileno()).st_size
    except OSError as error:
        return RingInfo(path, error=error.strerror or str(error), unreachable=True)
    header = None
    try:
        header = read_header(page)
        _check_size(path, size, header)
        failed = _word(page, FAILED_AT)
        head, tail, synced = (decode_word(_word(page, at)) for at in (HEAD_AT, TAIL_AT, SYNCED_AT))
        head = ring_end(head, failed)
        check_positions(head, tail, header.capacity)
    except RingDamaged as error:
        return RingInfo(path, header, error=error.text)
    return RingInfo(path, header, head, tail, synced, failed != 0)


def _word(page: bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 8], sys.byteorder)


def remove_if_orphan(path: Path) -> bool:
    """Remove a ring that nobody writes and whose tail has come up to its head.

    Whether past the head of another boot's ring something is left, the caller knows.

    Returns:
        Whether it is gone. False: a worker holds it, or the store does not hold all of it.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = info(path)
        if found.error or found.used or not _is_at(fd, path):
            return False
        path.unlink()
        _sync_directory(path.parent)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def has_writer(path: Path) -> bool:
    """Whether a process holds the flock on a ring; False too where there is no such file.

    A worker that tries to take the ring over in the microseconds of this look is told that it is taken, and
    started again: ask only about rings that no worker is expected to want.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def writer_of(path: Path) -> int:
    """Process that holds the flock on a ring, by /proc/locks; 0: nobody, or unknown."""
    try:
        status = os.stat(path)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return 0
    mark = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for fields in map(str.split, lines):
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == mark:
            return max(int(fields[4]), 0)
    return 0


def _map(path: Path, fd: int, *, writable: bool) -> mmap.mmap:
    """The whole file; no more than is there, since beyond its end lies SIGBUS."""
    header = read_header(os.pread(fd, HEADER_SIZE, 0))
    size = os.fstat(fd).st_size
    _check_size(path, size, header)
    return mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))


def _check_size(path: Path, size: int, header: Header) -> None:
    whole = HEADER_SIZE + header.capacity
    if size != whole:
        raise RingDamaged(f"{path.name}: {size} bytes long, its header says {whole}")


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = writer_of(path)
        who = f"process {pid}" if pid else "another process"
        raise RingLocked(f"{path}: {who} writes this ring", "is another trackflowd running on this data dir?") from None


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is the one that has this name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _take_over(path: Path) -> RingFile | None:
    """A dead worker's ring, locked; None when it went away or bad meanwhile. RingLocked: not dead."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        _lock(fd, path)
        if _is_at(fd, path):
            ring = RingFile(path, fd)
            fd = -1
            return ring
    except RingDamaged:
        pass  # left to the flusher, which says so and sets it aside
    finally:
        if fd >= 0:
            os.close(fd)
    return None


def _sweep(directory: Path, slot: int) -> None:
    """Remove what a worker of this slot left half made."""
    for path in directory.glob(f"{slot}-*.tmp"):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except BlockingIOError:
            pass  # being made right now, by whom the lock will tell
        finally:
            os.close(fd)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
