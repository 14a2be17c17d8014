"""Selections and tombstones: what they mean, and what is no selection."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.rows import NOW, event_id
from trackflowd.errors import QueryError
from trackflowd.proto import native
from trackflowd.selection import MAX_MS, Condition, Selection, Tombstone, event_of, visitor_of, where

ID = str(uuid.UUID(bytes=event_id(1)))
ROW = {
    "site": "s", "name": "n", "user_id": "u", "visitor": 5, "event_id": event_id(1), "time": NOW, "received": NOW + 9,
}  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"site": "s"},
        {"user": "O'Brien", "visitor": "00000000000000ff", "id": ID, "name": "n", "from": 5, "to": 6},
        {"from": 0},
    ],
)
def test_a_selection_is_read_from_what_it_writes(given: dict[str, Any]) -> None:
    read = Selection.read(given)
    assert read.as_dict() == given
    assert Selection.read(read.as_dict()) == read
    assert read.empty is (not given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"where": "1 = 1"}, "not selected by 'where'"),
        ({1: "x"}, "not selected by 1"),
        ({"site": "x" * 65}, "at most 64 bytes"),
        ({"user": "ü" * 65}, "at most 128 bytes"),
        ({"user": "a\0"}, "a text"),
        ({"user": 7}, "a text"),
        ({"visitor": "xyz"}, "16 digits"),
        ({"visitor": "00000000000000ff\n"}, "16 digits"),
        ({"visitor": 5}, "16 digits"),
        ({"id": "x" * 129}, "UUID"),
        ({"id": 5}, "UUID"),
        ({"from": 1.5}, "whole number"),
        ({"from": True}, "whole number"),
        ({"to": -1}, "whole number"),
        ({"to": MAX_MS + 1}, "whole number"),
        ({"from": 6, "to": 6}, "before it begins"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_text(given: dict[Any, Any], why: str) -> None:
    with pytest.raises(QueryError, match=why):
        Selection.read(given)


@pytest.mark.parametrize(
    "text", [ID, ID.upper(), "order-1234", "ü", "x" * 36, "0" * 35 + "-", "-" * 36, "a" * 32, "urn:" + "a" * 32]
)
def test_an_id_means_the_event_its_sender_meant(text: str) -> None:
    assert event_of(text) == native.event_id(text)


def test_a_visitor_is_written_in_hex() -> None:
    assert visitor_of("FFFFFFFFFFFFFFFF") == 2**64 - 1


@pytest.mark.parametrize(
    ("what", "fits"),
    [
        (Selection(), True),
        (Selection(site="s", name="n", user="u", visitor=5, event=event_id(1), from_ms=NOW, to_ms=NOW + 1), True),
        (Selection(site="t"), False),
        (Selection(name="t"), False),
        (Selection(user="t"), False),
        (Selection(visitor=6), False),
        (Selection(visitor=0), False),
        (Selection(event=event_id(2)), False),
        (Selection(from_ms=NOW + 1), False),
        (Selection(to_ms=NOW), False),
    ],
)
def test_all_that_is_named_has_to_hold(what: Selection, fits: bool) -> None:
    assert Tombstone(what, NOW + 9).names(ROW) is fits
    assert not Tombstone(what, NOW + 8).names(ROW), "received after it"


@pytest.mark.parametrize("store", ["clickhouse", "postgresql"])
def test_no_value_is_ever_part_of_the_sql(store: str) -> None:
    odd = "'); DROP TABLE events --"
    what = Selection(odd, odd, odd, 2**64 - 1, event_id(1), 1, 2)
    sql, values = where(Tombstone(what, 3).conditions(), store, "x")
    assert "DROP" not in sql
    assert list(values.values()) == [odd, odd, odd, 2**64 - 1, ID, 1, 2, 3]
    assert all(f"{{{name}:" in sql for name in values)
    assert where([], store) == ("1 = 1", {})


def test_a_selection_says_what_it_is() -> None:
    assert str(Selection()) == "every event"
    assert str(Selection(site="s", visitor=1)) == "site s visitor 0000000000000001"
    assert Condition("time", ">=", 5).holds(5)
