"""How full the rings are, read from their header pages and nothing else.

``ring.file.scan`` reads, it does not map: a file cut short by another hand then gives a short read
instead of SIGBUS, and the supervisor must outlive everything.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackflowd.ring import file


@dataclass(frozen=True, slots=True)
class RingFill:
    """One ring at one look.

    Args:
        file: its name in rings/.
        slot: worker slot it was made for; -1 when it cannot be read.
        uuid: its id as hex text.
        capacity: bytes it can hold.
        head, tail, synced: positions; -1 when they cannot be read. Synced is 0 unless durability is "disk".
        failed: the disk refused a sync: it is drained and then removed.
        damage: why it cannot be read, or "".
    """

    file: str
    slot: int
    uuid: str
    capacity: int
    head: int
    tail: int
    synced: int = -1
    failed: bool = False
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
            "fill": round(self.fill, 4), "head": self.head, "tail": self.tail, "synced": self.synced,
            "failed": self.failed, "damage": self.damage,
        }  # fmt: skip


def look(rings: Path) -> Sequence[RingFill]:
    """Every ring file in the directory, by name; one that vanishes meanwhile is left out."""
    return [_fill(info) for info in file.scan(rings) if info.header is not None or info.path.exists()]


def _fill(info: file.RingInfo) -> RingFill:
    name, header = info.path.name, info.header
    if header is None:
        return RingFill(name, -1, "", 0, -1, -1, damage=info.error)
    text = str(uuid.UUID(bytes=header.uuid))
    return RingFill(
        name, header.slot, text, header.capacity, info.head, info.tail, info.synced, info.failed, info.error
    )
