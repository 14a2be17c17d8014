"""What a move would take."""

from __future__ import annotations

from trackflowd.event import FIELDS
from trackflowd.migrate.plan import BEYOND_SAMPLE, mapping, plan


def test_every_field_is_mapped_from_its_table_to_its_column() -> None:
    rows = {row["to"].removeprefix("events."): row for row in mapping()}
    assert list(rows) == [field.name for field in FIELDS]
    assert rows["path"] == {"from": "pages.path", "type": "text", "to": "events.path", "as": "String"}
    assert rows["visitor"] == {"from": "facts.visitor", "type": "bigint", "to": "events.visitor", "as": "UInt64"}


def test_the_time_is_that_of_the_sample_and_of_what_it_does_not_see() -> None:
    made = plan({202610: 40_000, 202611: 60_000}, 35_000_000, 10_000, 0.5)
    assert made["rows"] == 100_000
    assert made["seconds"] == round(100_000 / (10_000 / 0.5) * BEYOND_SAMPLE, 1)
    assert [month["rows"] for month in made["months"]] == [40_000, 60_000]


def test_of_an_empty_store_there_is_nothing_to_guess() -> None:
    assert (plan({}, 0, 0, 0.0)["seconds"], plan({}, 0, 0, 0.0)["rows_per_second"]) == (0.0, 0)
