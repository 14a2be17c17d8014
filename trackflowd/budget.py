"""How much more can be taken and for how long: room of rings and spool, space on the disk.

"Full in" is what is left of rings and spool together, divided by the rate at which the rings are
written: the time until senders get 503 if the store took nothing from now on.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trackflowd import quarantine, spool
from trackflowd.config import Config
from trackflowd.ringview import RingFill
from trackflowd.sink.base import embedded_path
from trackflowd.spool import Room

#: Part of a ring that may be used before it counts as full: what is left takes a burst of seconds.
FULL = 0.9
#: Seconds between two walks through the embedded store's directory: some thousand files, in a thread.
WALK_EVERY = 60.0
#: Seconds the growth of the store is measured over: at least, or a merge would pass for growth; at most, since
#: days differ.
LEAST_SPAN, MOST_SPAN = 60.0, 86_400.0


class Budget:
    """The office of the supervisor that knows it.

    Args:
        cfg: in effect.

    Attributes:
        written: bytes written into rings since the start.
    """

    def __init__(self, cfg: Config) -> None:
        self._data_dir = Path(cfg.daemon.data_dir)
        self._options = cfg.spool
        self._store = embedded_path(cfg.store.url, self._data_dir)
        self._heads: dict[str, int] | None = None
        self.written = 0
        self._walked = -WALK_EVERY
        self._sizes: deque[tuple[float, int]] = deque()

    def take(self, cfg: Config) -> None:
        """Take on options that have changed."""
        self._options = cfg.spool

    def note(self, rings: Sequence[RingFill]) -> None:
        """Take in how far each ring has been written."""
        heads = {ring.file: ring.head for ring in rings if ring.head >= 0}
        if self._heads is not None:  # the first look only says where they were
            self.written += sum(max(head - self._heads.get(name, 0), 0) for name, head in heads.items())
        self._heads = {**(self._heads or {}), **heads} if len(heads) < len(rings) else heads

    def spool(self, said: Mapping[str, int] | None) -> Room:
        """What the spool holds and may take.

        Args:
            said: the flusher's gauges; None when it cannot be relied on: then the files are counted.
        """
        if said is None:
            return spool.survey(self._data_dir / "spool", self._options.max_bytes, self._options.keep_free)
        return Room(said["spool_segments"], said["spool_bytes"], said["spool_free"])

    def walk_due(self, now: float) -> bool:
        """Whether the store is to be measured again (monotonic clock, s); the caller then does."""
        if self._store is None or now - self._walked < WALK_EVERY:
            return False
        self._walked = now
        return True

    async def walk(self, now: float) -> None:
        """Measure the store."""
        assert self._store is not None
        self.grown(now, await asyncio.to_thread(size_of, self._store))

    def grown(self, now: float, size: int) -> None:
        """Take in the store's size (bytes) at a time (monotonic clock, s)."""
        self._sizes.append((now, size))
        while now - self._sizes[0][0] > MOST_SPAN:
            self._sizes.popleft()

    def days_to_full(self) -> float | None:
        """Days until the disk the store is on is full, as it grew; None: not known yet, or it does not grow."""
        if self._store is None or len(self._sizes) < 2:
            return None
        (first, before), (last, after) = self._sizes[0], self._sizes[-1]
        if last - first < LEAST_SPAN or after <= before:
            return None
        per_day = (after - before) / (last - first) * 86_400
        return round(shutil.disk_usage(_there(self._store)).free / per_day, 2)

    def look(self) -> dict[str, Any]:
        """The blocks ``disk`` (without the spool's bytes) and ``quarantine`` of status; looks at many files."""
        usage = shutil.disk_usage(self._data_dir)
        files, rows = quarantine.count(self._data_dir / "quarantine")
        return {
            "disk": {
                "total": usage.total,
                "free": usage.free,
                "rings": size_of(self._data_dir / "rings"),
                "store": self._sizes[-1][1] if self._sizes else None,
                "days_to_full": self.days_to_full(),
            },
            "quarantine": {"files": files, "rows": rows},
        }


def room_in(rings: Sequence[RingFill], free: int) -> int:
    """Bytes that rings in use and spool may still take.

    Args:
        free: of the spool.
    """
    return free + sum(max(ring.capacity - ring.used, 0) for ring in rings if not ring.failed and not ring.damage)


def full_in(rings: Sequence[RingFill], room: Room, bytes_s: float) -> float | None:
    """Seconds until rings and spool are full, if the store takes nothing; None: nothing comes in.

    Args:
        room: of the spool.
        bytes_s: bytes a second that are written into the rings.
    """
    taking = [ring for ring in rings if not ring.failed and not ring.damage]
    if taking and all(ring.fill >= FULL for ring in taking) and room.free < min(ring.capacity for ring in taking):
        return 0.0  # said although nothing can come in any more
    return round(room_in(rings, room.free) / bytes_s, 1) if bytes_s > 0 else None


def span(seconds: float) -> str:
    """A span of time in words, as coarse as a forecast is: 40 s, 12 min, 5 h, 3 days."""
    for unit, length, until in (("s", 1, 100), ("min", 60, 6000), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def size_of(directory: Path) -> int:
    """Bytes of all files below a directory; what goes meanwhile, or cannot be seen, counts nothing."""
    size = 0
    for root, _, names in os.walk(directory):
        for name in names:
            try:
                size += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return size


def _there(path: Path) -> Path:
    """The path, or the directory above it that exists: a store is made only when it is first opened."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
