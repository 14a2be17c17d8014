"""The spool: batches that wait on disk for a store that is away or slow.

``spool/BATCH.segment``, one a batch (``segment`` has the format). The journal decides: a batch is in
the spool when its ``spooled`` entry is written, which comes after the segment is durable. A segment that
no open batch names is left over from a kill between two steps, and removed at start.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trackflowd import segment
from trackflowd.cuts import Cut
from trackflowd.errors import SegmentDamaged, SpoolFull
from trackflowd.proto import record
from trackflowd.ring.layout import Record
from trackflowd.sections import Spool as Limits
from trackflowd.segment import SUFFIX, Head

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Room:
    """What the spool holds and may take.

    Args:
        segments: how many.
        used: bytes they take.
        free: bytes it may still take, by its own bound and what has to stay free on the disk.
    """

    segments: int
    used: int
    free: int


class Spool:
    """The spool of a data directory; the flusher owns it.

    Args:
        directory: made when missing.
        max_bytes: bytes all segments together may take.
        keep_free: bytes that stay free on the disk.
    """

    def __init__(self, directory: Path, max_bytes: int, keep_free: int) -> None:
        self.directory = directory
        self._max_bytes = max_bytes
        self._keep_free = keep_free
        directory.mkdir(mode=0o700, exist_ok=True)
        self._sizes = {
            int(path.stem, 16): path.stat().st_size for path in directory.glob(f"*{SUFFIX}") if _is_id(path.stem)
        }

    def take(self, limits: Limits) -> None:
        """Keep to these limits from now on."""
        self._max_bytes = limits.max_bytes
        self._keep_free = limits.keep_free

    def sweep(self, named: Iterable[int]) -> None:
        """Remove what a kill left half done: temporary files, and segments that no open batch names."""
        keep = set(named)
        for path in self.directory.glob("*.tmp"):
            path.unlink()
        for batch_id in [one for one in self._sizes if one not in keep]:
            self.remove(batch_id)

    def add(self, cut: Cut, rows: Sequence[Record], reason: str, beyond: bool = False) -> None:
        """Write a batch's segment, durably.

        Args:
            cut: the batch.
            rows: its rows.
            reason: why it waits, for people.
            beyond: go over ``max_bytes``, for what has to leave the ring's way whatever the bound.

        Raises:
            SpoolFull: no room.
        """
        size = segment.size_of(rows)
        room = self.room()
        if size > room.free and not (beyond and size <= self._disk_free()):
            raise SpoolFull(
                f"no room in the spool for {size} bytes: {room.used} of {self._max_bytes} used, "
                f"{shutil.disk_usage(self.directory).free} free on the disk, {self._keep_free} of them to be kept free",
                "free disk space, or raise spool.max_bytes",
            )
        self.put(head_of(cut, reason), rows)

    def put(self, head: Head, rows: Sequence[Record]) -> None:
        """Write a segment whatever its size.

        Raises:
            SpoolFull: the disk does not take it.
        """
        path = self.path(int(head.batch, 16))
        try:
            self._sizes[int(head.batch, 16)] = segment.write(path, head, rows)
        except OSError as error:
            with suppress(OSError):  # it may be in place, its directory not synced: nobody would remove it
                path.unlink()
            raise SpoolFull(f"{path} cannot be written: {error.strerror}", "free space there") from error

    def rows(self, cut: Cut) -> list[Record | None]:
        """Rows of a spooled batch, in order; None for each that is damaged.

        Raises:
            SegmentDamaged: its segment is gone or damaged as a whole.
        """
        path = self.path(cut.segment)
        try:
            _, rows = segment.read(path)
        except OSError as error:
            raise SegmentDamaged(f"{path} cannot be read: {error.strerror}") from error
        if cut.part is None:
            return rows
        return [rows[n] if n < len(rows) else None for n in cut.part.numbers()]

    def head(self, batch_id: int) -> Head:
        """What a segment says of its rows.

        Raises:
            SegmentDamaged: it is gone, or its head is damaged.
        """
        path = self.path(batch_id)
        try:
            return segment.read_head(path)
        except OSError as error:
            raise SegmentDamaged(f"{path} cannot be read: {error.strerror}") from error

    def path(self, batch_id: int) -> Path:
        """Where a batch's segment is."""
        return self.directory / f"{batch_id:032x}{SUFFIX}"

    def remove(self, batch_id: int) -> None:
        """Remove a segment, if it is there."""
        self.path(batch_id).unlink(missing_ok=True)
        self._sizes.pop(batch_id, None)

    def room(self) -> Room:
        """What it holds and may take now."""
        used = sum(self._sizes.values())
        return Room(len(self._sizes), used, max(min(self._max_bytes - used, self._disk_free()), 0))

    def _disk_free(self) -> int:
        return _free_above(self.directory, self._keep_free)


def survey(directory: Path, max_bytes: int, keep_free: int) -> Room:
    """The same of a spool that may be another process's, by its files; an empty one where there is none."""
    sizes = []
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue  # landed meanwhile
    used = sum(sizes)
    return Room(len(sizes), used, max(min(max_bytes - used, _free_above(directory, keep_free)), 0))


def _free_above(directory: Path, keep_free: int) -> int:
    """Bytes of the disk that may be used; 0 where that cannot be known."""
    try:
        return max(shutil.disk_usage(directory).free - keep_free, 0)
    except OSError:
        return 0


def head_of(cut: Cut, reason: str, at: int = 0) -> Head:
    """Head of a segment that holds exactly a batch's rows."""
    return Head(
        f"{cut.batch_id:032x}", cut.attempt, cut.store, cut.partition, record.VERSION, cut.rows,
        at or time.time_ns() // 1_000_000, reason,
    )  # fmt: skip


def look(directory: Path) -> list[dict[str, Any]]:
    """Every segment of a directory, oldest first, for people; also while a flusher works there.

    Returns:
        ``name``, ``bytes`` and the fields of ``segment.Head``; or ``error`` where a file is none.
    """
    found = []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            size = path.stat().st_size
            head = asdict(segment.read_head(path))
        except FileNotFoundError:
            continue  # landed meanwhile
        except (SegmentDamaged, OSError) as error:
            found.append({"name": path.name, "bytes": 0, "error": str(error)})
            continue
        found.append({"name": path.name, "bytes": size, **head})
    return found


def _is_id(text: str) -> bool:
    return len(text) == 32 and not text.strip("0123456789abcdef")
