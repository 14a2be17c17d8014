"""How full the rings are, read from their header pages and nothing else.

Read with ``pread``, not mapped: a file cut short by another hand then gives a short read instead of
SIGBUS, and the supervisor must outlive everything.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackflowd.errors import RingDamaged
from trackflowd.ring.layout import HEAD_AT, HEADER_SIZE, TAIL_AT, decode_word, read_header

#: Looks at a cursor whose check does not fit before it counts as damaged: it may be under a store.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class RingFill:
    """One ring at one look.

    Args:
        file: its name in rings/.
        slot: worker slot it was made for; -1 when it cannot be read.
        uuid: its id as hex text.
        capacity: bytes it can hold.
        head, tail: positions; -1 when they cannot be read.
        damage: why it cannot be read, or "".
    """

    file: str
    slot: int
    uuid: str
    capacity: int
    head: int
    tail: int
    damage: str = ""

    @property
    def used(self) -> int:
        """Bytes the store is not known to hold."""
        return max(self.head - self.tail, 0)

    @property
    def fill(self) -> float:
        """Used part, 0 to 1."""
        return self.used / self.capacity if self.capacity else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For status."""
        return {
            "file": self.file, "slot": self.slot, "uuid": self.uuid, "capacity": self.capacity, "used": self.used,
            "fill": round(self.fill, 4), "head": self.head, "tail": self.tail, "damage": self.damage,
        }  # fmt: skip


def look(rings: Path) -> Sequence[RingFill]:
    """Every ring file in the directory, by name; one that vanishes meanwhile is left out."""
    found = (_look(path) for path in sorted(rings.glob("*.ring")))
    return [fill for fill in found if fill is not None]


def _look(path: Path) -> RingFill | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for _ in range(_TRIES):
            page = os.pread(fd, HEADER_SIZE, 0)
            fill = _read(path.name, page)
            if not fill.damage:
                break
            time.sleep(0)
        return fill
    except OSError as error:
        return RingFill(path.name, -1, "", 0, -1, -1, f"cannot be read: {error.strerror}")
    finally:
        os.close(fd)


def _read(name: str, page: bytes) -> RingFill:
    try:
        header = read_header(page)
    except RingDamaged as error:
        return RingFill(name, -1, "", 0, -1, -1, error.text)
    head, tail = (decode_word(int.from_bytes(page[at : at + 8], "little")) for at in (HEAD_AT, TAIL_AT))
    damage = "a cursor fails its check" if head < 0 or tail < 0 else ""
    return RingFill(name, header.slot, str(uuid.UUID(bytes=header.uuid)), header.capacity, head, tail, damage)
