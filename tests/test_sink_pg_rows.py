"""sink.pg_rows: a batch as dimensions and facts."""

from __future__ import annotations

from array import array
from decimal import Decimal
from typing import Any

import pytest

from tests.batches import PARTITION, batch
from trackflowd.errors import StoreReject
from trackflowd.sink.base import Batch, Coded
from trackflowd.sink.pg_rows import signed, stage
from trackflowd.sink.pg_tables import DIMENSIONS, FACTS, key_of

PAGES = next(n for n, dimension in enumerate(DIMENSIONS) if dimension.table == "pages")
SENT = batch(7 << 64 | 9, range(20))


def changed(**columns: Any) -> Batch:
    return Batch(SENT.batch_id, 1, PARTITION, SENT.rows, {**SENT.columns, **columns})


def test_a_dimension_has_each_row_once_and_every_fact_points_to_its_own() -> None:
    staged = stage(SENT)
    pages = [row for row in staged.dimensions if row[0] == PAGES]
    assert [n for _, n, _, _ in pages] == list(range(7))
    for row, n in enumerate(staged.codes[PAGES]):
        values = [SENT.columns[name][row] for name in DIMENSIONS[PAGES].fields]
        assert pages[n][2:] == (key_of(tuple(values)), values)


@pytest.mark.parametrize("codes", [bytes([2, 0, 1, 2] * 5), array("I", [2, 0, 1, 2] * 5)])
def test_shared_codes_give_the_same_rows_as_the_values_they_stand_for(codes: Any) -> None:
    values = {name: [f"{name}1", f"{name}2", f"{name}1"] for name in DIMENSIONS[PAGES].fields}
    coded = stage(changed(**{name: Coded(each, codes) for name, each in values.items()}))
    plain = stage(changed(**{name: [each[code] for code in codes] for name, each in values.items()}))

    def pages(staged: Any) -> list[Any]:
        keys = {row[1]: row[2:] for row in staged.dimensions if row[0] == PAGES}
        return [keys[n] for n in staged.codes[PAGES]]

    assert pages(coded) == pages(plain)
    assert len([row for row in coded.dimensions if row[0] == PAGES]) == 2


def test_codes_that_are_not_shared_are_looked_up_row_by_row() -> None:
    one = Coded(["a", "b"], bytes([0, 1] * 10))
    other = Coded(["x", "y"], bytes([0] * 10 + [1] * 10))
    staged = stage(changed(path=one, title=other))
    assert len({row[2] for row in staged.dimensions if row[0] == PAGES}) == len(
        {(SENT.columns["url"][n], one[n], other[n]) for n in range(20)}
    )


def test_a_fact_has_its_ids_first_and_its_own_values_as_the_codecs_take_them() -> None:
    staged = stage(SENT)
    ids = [[100 * kind + n for n in range(20)] for kind in range(len(DIMENSIONS))]
    fact = dict(zip(FACTS, staged.facts(ids)[13], strict=True))
    assert fact["page_id"] == 100 * PAGES + 6
    assert fact["visitor"] == -14
    assert fact["revenue"] == Decimal(13)
    assert fact["props"] == '{"n":"13","ä":"ö"}'
    assert fact["_batch"] == SENT.batch_id.to_bytes(16, "big")
    assert fact["received"] == SENT.columns["received"][13]


def test_numbers_of_64_bits_keep_their_bits() -> None:
    assert signed([0, 2**63 - 1, 2**63, 2**64 - 1]) == [0, 2**63 - 1, -(2**63), -1]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("scroll", 101),
        ("engaged_ms", -1),
        ("visitor", 2**64),
        ("revenue", 10**18),
        ("revenue", -(10**18)),
        ("time", 2**60),
        ("asn", "1"),
        ("path", None),
        ("event_id", b"short"),
        ("event_id", "0" * 16),
        ("props", "{}"),
        ("scroll", True),
    ],
)
def test_a_value_that_its_field_cannot_have_is_refused_with_the_columns_name(column: str, value: Any) -> None:
    with pytest.raises(StoreReject, match=f"column {column}: "):
        stage(changed(**{column: [*SENT.columns[column][:19], value]}))


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(StoreReject, match="column name: 3 values, the batch has 20 rows"):
        stage(changed(name=["a"] * 3))


def test_a_negative_amount_is_one_too() -> None:
    assert Decimal("-1.5") in stage(changed(revenue=[-15_000] * 20)).facts([[1] * 20] * len(DIMENSIONS))[0]
