"""sink.pg_tables: every field has one place, and the schema's files make what is said here."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from trackflowd.event import FIELDS
from trackflowd.sink import migrations
from trackflowd.sink.pg_tables import DIMENSIONS, FACTS, OWN, columns, key_of


def test_every_field_is_in_one_dimension_or_in_facts() -> None:
    placed = [*chain.from_iterable(dimension.fields for dimension in DIMENSIONS), *(field.name for field in OWN)]
    assert sorted(placed) == sorted(field.name for field in FIELDS)


def test_a_dimension_holds_fields_of_one_part_of_the_event_so_their_codes_are_shared() -> None:
    part = {field.name: field.part for field in FIELDS}
    assert all(len({part[name] for name in dimension.fields}) == 1 for dimension in DIMENSIONS)


@pytest.mark.parametrize("name", ["events", "counted"])
def test_a_view_has_the_fields_in_their_order(name: str) -> None:
    statements = [one for migration in migrations.load("postgresql") for one in migration.statements]
    view = [statement for statement in statements if f"VIEW {name} " in statement][-1]
    listed = [
        line.strip(" ,").rpartition(" ")[2].rpartition(".")[2] for line in view.splitlines()[2:] if line[:1] == " "
    ]
    assert listed == [field.name for field in FIELDS]


def test_facts_are_made_with_the_columns_that_are_sent() -> None:
    statements = [one for migration in migrations.load("postgresql") for one in migration.statements]
    facts = next(text for text in statements if "EXISTS facts\n" in text)
    added = [
        name for text in statements for name in re.findall(r"^ALTER TABLE facts ADD COLUMN IF NOT EXISTS (\w+) ", text)
    ]
    assert sorted([*re.findall(r"^    (\w+) ", facts, re.MULTILINE), *added]) == sorted(FACTS)


def test_a_key_tells_fields_apart_that_read_alike_side_by_side() -> None:
    assert key_of(("ab", "c")) != key_of(("a", "bc"))
    assert key_of(("a", "")) != key_of(("", "a"))
    assert (key_of(("ä", 7)), len(key_of(()))) == (key_of(("ä", 7)), 16)


def test_a_key_never_changes_since_it_is_on_disk() -> None:
    assert key_of(("DE", "Hessen", "Frankfurt", 64496)).hex() == "ec5f8ed0a725544ba6f47b993fbf421c"


def test_types_are_those_the_server_writes() -> None:
    assert columns()["events"]["visitor"] == "numeric(20,0)"
    assert columns()["facts"]["visitor"] == "bigint"
    assert columns()["places"] == {
        "id": "bigint", "key": "uuid", "country": "text", "region": "text", "city": "text", "asn": "bigint"
    }  # fmt: skip
