"""stats.catalogue: columns are worked out from whole numbers; the table and the docs name the same."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trackflowd.stats.catalogue import STATISTICS, TOTALS, VALUES, Column
from trackflowd.stats.spans import period

DOCS = (Path(__file__).parent.parent / "docs" / "statistics.md").read_text()


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        (Column("page", "text"), {"page": "/"}, "/"),
        (Column("visitors"), {"visitors": Decimal(7)}, 7),
        (Column("visitors"), {"visitors": "7"}, 7),
        (Column("bounce_rate", "rate", "bounces", "visits"), {"bounces": 1, "visits": 3}, 0.3333),
        (Column("bounce_rate", "rate", "bounces", "visits"), {"bounces": 0, "visits": 0}, None),
        (Column("s", "seconds", "ms", "n"), {"ms": 3450, "n": 3}, 1.1),
        (Column("scroll", "average", "sum", "n"), {"sum": 155, "n": 2}, 77.5),
        (Column("revenue", "money", "amount"), {"amount": "1234567890123456"}, 123456789012.3456),
        (Column("average", "money", "amount", "n"), {"amount": "10000", "n": 3}, 0.3333),
    ],
)
def test_a_column_is_worked_out(column: Column, row: dict[str, Any], value: object) -> None:
    assert column.of(row) == value


def test_every_statistic_and_column_is_in_the_docs() -> None:
    for name, one in STATISTICS.items():
        assert f"| `{name}` |" in DOCS, name
        line = next(line for line in DOCS.splitlines() if line.startswith(f"| `{name}` |"))
        for column in TOTALS if name == "overview" else one.columns:
            assert f"`{column.name}`" in line, (name, column.name)
    assert all(f"`{column.name}`" in DOCS for column in VALUES)


def test_default_periods_are_periods() -> None:
    for one in STATISTICS.values():
        assert not one.period or period(one.period, None, None, datetime(2026, 11, 24, tzinfo=UTC))
