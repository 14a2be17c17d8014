"""What a move would take: what maps to what, how much there is, how long it may last. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trackflowd.event import FIELDS
from trackflowd.sink.pg_tables import DIMENSIONS, type_in_facts

#: Parts of the time of a copied row that the sample does not see, as a factor on reading and encoding it: the insert,
#: and the checksums of both stores (100,000 events from PostgreSQL 18 to chDB took 2.6 times the sample's pace).
BEYOND_SAMPLE = 2.6
#: Bytes of an event in ClickHouse (docs/schema.md: 67 with this schema).
TARGET_BYTES = 67


def mapping() -> list[dict[str, str]]:
    """Column by column: where it is in PostgreSQL, what it becomes."""
    tables = {name: dimension.table for dimension in DIMENSIONS for name in dimension.fields}
    rows = []
    for field in FIELDS:
        table = tables.get(field.name, "facts")
        kind = field.postgres if table != "facts" else type_in_facts(field)
        rows.append(
            {"from": f"{table}.{field.name}", "type": kind, "to": f"events.{field.name}", "as": field.clickhouse}
        )
    return rows


def plan(source: Mapping[int, int], size: int, sampled: int, seconds: float) -> dict[str, Any]:
    """The plan.

    Args:
        source: rows by month.
        size: bytes of the source.
        sampled: rows that were read and encoded for the guess.
        seconds: that this took.
    """
    rows = sum(source.values())
    pace = sampled / seconds / BEYOND_SAMPLE if sampled and seconds else 0.0
    return {
        "rows": rows,
        "bytes": size,
        "target_bytes": rows * TARGET_BYTES,
        "rows_per_second": round(pace),
        "seconds": round(rows / pace, 1) if pace else 0.0,
        "months": [{"month": month, "rows": count} for month, count in source.items()],
        "mapping": mapping(),
    }
