"""sink.native_block: held against the driver's own reader of the format (the engine's is in test_sink_clickhouse)."""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.ctypes import RespBuffCls
from clickhouse_connect.driver.query import QueryContext
from clickhouse_connect.driver.transform import NativeTransform
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.batches import PARTITION, batch, columns, repeated
from trackflowd.errors import StoreReject
from trackflowd.event import FIELDS, Field
from trackflowd.sink.base import Batch, Coded
from trackflowd.sink.native_block import encode

TEXT = st.text(max_size=12).filter(lambda text: "\0" not in text)


class Source:
    """What the driver's buffer reads from."""

    last_message = None
    exception_tag = None

    def __init__(self, raw: bytes) -> None:
        self.gen: Iterator[bytes] = iter([raw])

    def close(self) -> None:
        pass


def decoded(raw: bytes) -> dict[str, list[Any]]:
    buffer: Any = RespBuffCls
    result: Any = NativeTransform.parse_response(buffer(Source(raw)), QueryContext(column_oriented=True))
    types = [kind.name for kind in result.column_types]
    assert types == [field.clickhouse for field in FIELDS]
    return dict(zip(result.column_names, map(list, result.result_columns), strict=True))


def as_the_driver_has_it(field: Field, value: Any) -> Any:
    if field.kind == "uuid":
        return uuid.UUID(bytes=value)
    if field.kind == "money":
        return Decimal(value) / 10_000
    return value


def assert_same(sent: Batch) -> None:
    found = decoded(encode(sent))
    for field in FIELDS:
        want = [as_the_driver_has_it(field, value) for value in sent.columns[field.name]]
        have = found[field.name]
        if field.kind == "time":
            have = [round(moment.replace(tzinfo=moment.tzinfo).timestamp() * 1000) for moment in have]
        assert have == want, field.name


@pytest.mark.parametrize("rows", [1, 2, 7, 300])
def test_every_column_reads_back_as_it_was(rows: int) -> None:
    assert_same(batch(2**127 + 5, range(rows)))


@pytest.mark.parametrize("distinct", [1, 255, 256, 257, 65_536, 65_537])
def test_a_dictionary_of_any_size_reads_back(distinct: int) -> None:
    values = [f"v{n}" for n in range(distinct)]
    sent = batch(1, range(1))
    wide = {name: list(column) * distinct for name, column in sent.columns.items()} | {"country": values}
    found = decoded(encode(Batch(1, 1, PARTITION, distinct, wide)))
    assert found["country"] == values


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_values_read_back(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 5))
    largest = {"UInt8": 100, "UInt32": 2**32 - 1, "UInt64": 2**64 - 1}
    made: dict[str, list[Any]] = {}
    for field in FIELDS:
        values: st.SearchStrategy[Any] = TEXT
        if field.kind == "uint":
            values = st.integers(0, largest[field.clickhouse])
        elif field.kind == "money":
            values = st.integers(-(10**18) + 1, 10**18 - 1)
        elif field.kind == "time":
            values = st.integers(0, 4_000_000_000_000)
        elif field.kind == "uuid":
            values = st.binary(min_size=16, max_size=16)
        elif field.kind == "map":
            values = st.dictionaries(TEXT, TEXT, max_size=3)
        made[field.name] = data.draw(st.lists(values, min_size=rows, max_size=rows))
    made["_batch"] = [data.draw(st.integers(0, 2**128 - 1))] * rows
    assert_same(Batch(made["_batch"][0], 1, PARTITION, rows, made))


@pytest.mark.parametrize("size", [3, 300])
def test_a_coded_column_writes_what_its_values_would(size: int) -> None:
    plain = columns(range(2 * size), 1)
    values = [f"v{n % (size - 1)}" for n in range(size)]  # the last one repeats the first
    codes = [(7 * n) % size for n in range(2 * size)]
    coded = Coded(values, bytes(codes) if size <= 256 else array("H", codes))
    for name in ("country", "url", "referrer"):
        plain[name] = list(coded)
    want = decoded(encode(Batch(1, 1, PARTITION, 2 * size, plain)))
    assert (
        decoded(encode(Batch(1, 1, PARTITION, 2 * size, {**plain, "country": coded, "url": coded, "referrer": coded})))
        == want
    )


def test_one_batch_is_one_block() -> None:
    raw = encode(repeated(batch(1, range(700)), 100))
    assert raw[0] == len(FIELDS)
    assert len(decoded(raw)["site"]) == 70_000  # the reader would give the rows of the first block only


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scroll", 256),
        ("asn", -1),
        ("visitor", 2**64),
        ("revenue", 2**63),
        ("time", "now"),
        ("country", "\ud800"),
        ("country", None),
        ("url", b"x"),
        ("props", {"a": 1}),
        ("props", None),
        ("event_id", b"short"),
    ],
)
def test_a_value_its_column_cannot_hold_is_a_reject_that_names_the_column(name: str, value: Any) -> None:
    made = columns(range(3), 1) | {name: [columns(range(1), 1)[name][0], value, columns(range(1), 1)[name][0]]}
    with pytest.raises(StoreReject, match=name):
        encode(Batch(1, 1, PARTITION, 3, made))


def test_columns_of_another_length_are_a_reject() -> None:
    with pytest.raises(StoreReject, match="3 values, the batch has 4"):
        encode(Batch(1, 1, PARTITION, 4, columns(range(3), 1)))
