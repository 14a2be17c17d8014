"""The table of fields, and cutting text at a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trackflowd.event import BY_NAME, CACHED_PARTS, FIELDS, bound, cut, part


def test_names_are_unique_and_every_field_is_in_a_known_part() -> None:
    assert len(BY_NAME) == len(FIELDS)
    assert {field.part for field in FIELDS} == {"key", "event", *CACHED_PARTS}


def test_parts_divide_the_table() -> None:
    parts = [part(name) for name in ("key", "event", *CACHED_PARTS)]
    assert sorted(field.name for fields in parts for field in fields) == sorted(BY_NAME)


def test_every_text_has_a_bound_and_a_meaning() -> None:
    for field in FIELDS:
        assert field.meaning
        if field.kind == "text":
            assert bound(field.name) > 0


@given(st.text(), st.integers(0, 60))
def test_cut_text_is_a_prefix_without_nul_within_the_bound_and_no_shorter_than_need_be(text: str, limit: int) -> None:
    clean = text.replace("\0", "")
    result = cut(text, limit)
    assert clean.startswith(result)
    assert len(result.encode()) <= limit
    if result != clean:
        assert len((result + clean[len(result)]).encode()) > limit
