"""The window of event ids: which (site, id) pairs were cut into a batch already.

A client that got no answer sends again, under the same event id. The window is how the second
copy is known: it holds the last ``max_ids`` ids in two generations, each half as large; when the
younger is full the older is dropped. A pair is 24 bytes (event id, site hash) and never a shorter
fingerprint: two different events that looked the same would be one lost event.

Memory: 24 bytes in the mapped file and 8 to 16 in the index (4-byte slots, a quarter to half full)
make at most 40 an id; a Python set of the same pairs takes 107, measured. Slots are chosen by
Python's own seeded hash of bytes (SipHash), so that a sender can not choose ids that collide.

File
====

``window/GENERATION.ids``, preallocated. Header, 64 bytes::

    0   8   magic "TFWINDO\\0"
    8   u32 format version
    12  u32 capacity in ids
    16  u64 generation
    24  u64 ms since 1970 UTC when it was begun
    32  u32 crc32 of bytes 0..32
    40  u32 ids that count, plus one; 0 while it is the younger generation

Then ids, 24 bytes each, in the order they came. How many count in the younger generation is not
written here: each journal entry carries the *mark* (generation, ids), so that an id is in the
window exactly when the batch it went into was committed. Whatever lies past the last mark is
forgotten at start. A generation that is followed by another before it is full may hold ids past
its mark; so its count is written down when that happens.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from array import array
from pathlib import Path

from trackflowd.errors import DataDirError

MAGIC = b"TFWINDO\0"
VERSION = 1
HEADER = struct.Struct("<8sII QQ")
HEADER_SIZE = 64
_COUNT = slice(40, 44)
ID_SIZE = 24


class Window:
    """The ids of one data directory; the flusher owns it.

    Args:
        directory: made when missing.
        max_ids: ids held at most; each generation holds half.
        mark: (generation, ids) of the last journal entry; what is younger is forgotten.
        now_ms: ms since 1970 UTC, dates a generation begun now.

    Raises:
        DataDirError: no space for the files, or of a newer format.
    """

    def __init__(self, directory: Path, max_ids: int, mark: tuple[int, int], now_ms: int) -> None:
        self.directory = directory
        self._capacity = max(max_ids // 2, 1)
        directory.mkdir(mode=0o700, exist_ok=True)
        generation, count = mark
        kept = []
        for path in sorted(directory.glob("*.ids")):
            number = int(path.stem) if path.stem.isdigit() else 0
            if number in (generation, generation - 1) and number > 0:
                kept.append(_Generation.load(path, count if number == generation else None))
            else:
                path.unlink()
        self._young = kept.pop() if kept and kept[-1].number == generation else self._begin(generation + 1, now_ms)
        self._old = kept.pop() if kept else None
        self._dropped: list[_Generation] = []
        #: There is a file, and a count in the one before it, that no sync has seen.
        self._turned = True

    def add(self, event_id: bytes, site: int, now_ms: int) -> bool:
        """Take a pair in.

        Args:
            event_id: 16 bytes.
            site: site hash, 64 bit.

        Returns:
            False when it was there already: a repeat.
        """
        key = event_id + site.to_bytes(8, "little")
        if self._old is not None and self._old.has(key):
            return False
        young = self._young
        if young.count >= young.capacity:
            if young.has(key):
                return False
            self._turn(now_ms)
            young = self._young
        return young.add(key)

    def reserve(self, ids: int, now_ms: int) -> None:
        """Make sure ``add`` can take that many without a new file: call it before a batch is cut.

        Raises:
            DataDirError: no room for a new generation; nothing has changed.
        """
        if self._young.count and self._young.count + ids > self._young.capacity:
            self._turn(now_ms)

    def has(self, event_id: bytes, site: int) -> bool:
        """Whether the pair is in the window."""
        key = event_id + site.to_bytes(8, "little")
        return self._young.has(key) or (self._old is not None and self._old.has(key))

    @property
    def mark(self) -> tuple[int, int]:
        """(generation, ids) for the journal entry that commits what was added."""
        return self._young.number, self._young.count

    def committed(self) -> None:
        """The journal holds ``mark``: generations that fell out may be removed."""
        for generation in self._dropped:
            generation.remove()
        self._dropped.clear()

    def sync(self) -> None:
        """Have every id on disk (durability "disk": before the entry that commits them).

        Raises:
            DataDirError: the disk does not take them.
        """
        for generation in (self._old, self._young) if self._turned else (self._young,):
            if generation is not None:
                generation.sync()
        self._turned = False

    @property
    def capacity(self) -> int:
        """Ids a generation holds: so many are remembered at least."""
        return self._capacity

    @property
    def ids(self) -> int:
        """Ids held."""
        return self._young.count + (self._old.count if self._old else 0)

    @property
    def since_ms(self) -> int:
        """When the oldest generation was begun, ms since 1970 UTC: repeats since then are known."""
        return (self._old or self._young).begun_ms

    def close(self) -> None:
        """Unmap the files; they stay."""
        for generation in (self._young, self._old, *self._dropped):
            if generation is not None:
                generation.close()

    def _turn(self, now_ms: int) -> None:
        young = self._begin(self._young.number + 1, now_ms)
        self._young.seal()
        if self._old is not None:
            self._dropped.append(self._old)
        self._old, self._young = self._young, young
        self._turned = True

    def _begin(self, number: int, now_ms: int) -> _Generation:
        return _Generation.create(self.directory / f"{number:012d}.ids", number, self._capacity, now_ms)


class _Generation:
    """One file of ids and its index in memory (open addressing, half full at most)."""

    def __init__(self, path: Path, mapped: mmap.mmap, number: int, capacity: int, begun_ms: int) -> None:
        self.path = path
        self.number = number
        self.capacity = capacity
        self.begun_ms = begun_ms
        self.count = 0
        self._map = mapped
        self._mask = (1 << max(2 * capacity - 1, 1).bit_length()) - 1
        self._slots = array("I", bytes(4 * (self._mask + 1)))

    @classmethod
    def create(cls, path: Path, number: int, capacity: int, now_ms: int) -> _Generation:
        head = HEADER.pack(MAGIC, VERSION, capacity, number, now_ms)
        size = HEADER_SIZE + capacity * ID_SIZE
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
                os.pwrite(fd, head + struct.pack("<I", zlib.crc32(head)), 0)
                mapped = mmap.mmap(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            raise DataDirError(
                f"no room for the event-id window ({size} bytes at {path}): {error.strerror}",
                "free space there or lower dedup.max_ids",
            ) from error
        return cls(path, mapped, number, capacity, now_ms)

    @classmethod
    def load(cls, path: Path, count: int | None) -> _Generation:
        with path.open("r+b") as file:
            raw = file.read(HEADER.size + 4)
            hint = "remove it; repeats of its time are then not known"
            if len(raw) < HEADER.size + 4 or raw[:8] != MAGIC:
                raise DataDirError(f"{path} is not a window of event ids", hint)
            _, version, capacity, number, begun_ms = HEADER.unpack_from(raw)
            if version > VERSION:
                raise DataDirError(
                    f"{path} is of format {version}, this program knows {VERSION}", "start the version that wrote it"
                )
            if zlib.crc32(raw[: HEADER.size]) != _crc_of(raw):
                raise DataDirError(f"{path} is damaged", hint)
            mapped = mmap.mmap(file.fileno(), HEADER_SIZE + capacity * ID_SIZE)
        generation = cls(path, mapped, number, capacity, begun_ms)
        if count is None:
            count = int.from_bytes(mapped[_COUNT], "little") - 1
        for n in range(min(count, capacity)):
            offset = HEADER_SIZE + n * ID_SIZE
            generation._index(mapped[offset : offset + ID_SIZE])
        return generation

    def seal(self) -> None:
        """Another generation follows: write down how many ids count in this one."""
        self._map[_COUNT] = (self.count + 1).to_bytes(4, "little")

    def sync(self) -> None:
        """See ``Window.sync``. By the file, since flushing the map would hold the GIL."""
        for path in (self.path, self.path.parent):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            except OSError as error:
                raise DataDirError(f"{path} cannot be synced: {error.strerror}") from error
            finally:
                os.close(fd)

    def has(self, key: bytes) -> bool:
        slots, mask, mapped = self._slots, self._mask, self._map
        place = hash(key) & mask
        while True:
            entry = slots[place]
            if not entry:
                return False
            offset = HEADER_SIZE + (entry - 1) * ID_SIZE
            if mapped[offset : offset + ID_SIZE] == key:
                return True
            place = (place + 1) & mask

    def add(self, key: bytes) -> bool:
        """Take a key in where there is room; False when it was there already. One probe for both."""
        slots, mask, mapped = self._slots, self._mask, self._map
        place = hash(key) & mask
        while entry := slots[place]:
            offset = HEADER_SIZE + (entry - 1) * ID_SIZE
            if mapped[offset : offset + ID_SIZE] == key:
                return False
            place = (place + 1) & mask
        count = self.count
        offset = HEADER_SIZE + count * ID_SIZE
        mapped[offset : offset + ID_SIZE] = key
        self.count = count + 1
        slots[place] = count + 1
        return True

    def _index(self, key: bytes) -> None:
        slots, mask = self._slots, self._mask
        place = hash(key) & mask
        while slots[place]:
            place = (place + 1) & mask
        self.count += 1
        slots[place] = self.count

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self._map.close()


def _crc_of(header: bytes) -> int:
    return int.from_bytes(header[HEADER.size : HEADER.size + 4], "little")
