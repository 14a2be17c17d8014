"""The file of acks: a line for every request that was answered 2xx, on the disk before the answer counts.

A line is ``FIRST COUNT``: the numbers FIRST to FIRST + COUNT - 1 were accepted. Lines are written in groups,
one fdatasync a group; a last line without its newline was not finished and does not count.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path


class AckWriter:
    """Appends to the file.

    Args:
        path: made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._waiting: list[tuple[int, int]] = []
        self._lock = threading.Lock()
        self.events = 0

    def add(self, first: int, count: int) -> None:
        """Note an answered request; it counts after the next ``sync``."""
        self._waiting.append((first, count))

    @property
    def waiting(self) -> bool:
        """Something is noted that does not count yet."""
        return bool(self._waiting)

    def sync(self) -> None:
        """Bring what was noted to the disk; ``events`` counts it from here on. In any thread. Raises OSError."""
        with self._lock:
            group = self._waiting[:]  # one step each: more may be noted meanwhile
            del self._waiting[: len(group)]
            if group:
                self._file.write("".join(f"{first} {count}\n" for first, count in group).encode())
                self._file.flush()
                os.fdatasync(self._file.fileno())
                self.events += sum(count for _, count in group)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()


def read(path: Path) -> Iterator[tuple[int, int]]:
    """(first number, count) of every finished line."""
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                first, _, count = line.partition(" ")
                yield int(first), int(count)
