"""An intake over a ring in memory, without sockets, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trackflowd.enrich.finish import Finisher, as_dict
from trackflowd.enrich.geo import Geo
from trackflowd.enrich.visitor import Salt
from trackflowd.intake import Intake
from trackflowd.proto import dialects
from trackflowd.ring import file
from trackflowd.sections import Http

NOW = 1_763_900_000.0


def make(
    directory: Path, capacity: int = 1 << 20, sites: Sequence[str] = (), **options: Any
) -> tuple[Intake, file.RingFile]:
    """An intake and the ring it writes."""
    ring = file.create(directory, 0, capacity)
    finisher = Finisher(Geo(str(directory / "none")), [Salt("all", 0, 2**50, b"s" * 32)])
    return Intake(Http(**options), dialects.load(), finisher, ring.writer, NOW, sites), ring


def rows(ring: file.RingFile, end: int | None = None) -> list[dict[str, Any]]:
    """Published rows, up to a position if one is given."""
    reader = file.open_for_reader(ring.path)
    try:
        records, damaged = reader.records(0, reader.head if end is None else end, 100_000, 2**30)
        assert not damaged
        return [as_dict((r[2], r[3], r[4], r[5], bytes(r[6]))) for r in records]
    finally:
        reader.close()
