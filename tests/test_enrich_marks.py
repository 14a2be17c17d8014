"""Names by substrings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.enrich.marks import Marks

ROWS = (("first", ("ab", "c+c")), ("second", ("b", "(x)")))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("zabz", "first"),
        ("b ab", "first"),
        ("zb", "second"),
        ("c+c", "first"),
        ("ccc", ""),
        ("(x)", "second"),
        ("", ""),
    ],
)
def test_the_first_row_that_holds_decides_and_marks_are_plain_text(text: str, name: str) -> None:
    assert Marks(ROWS).find(text) == name


@given(st.text(alphabet="abcx+()", max_size=12))
def test_it_finds_what_a_loop_finds(text: str) -> None:
    expected = next((name for name, marks in ROWS if any(mark in text for mark in marks)), "")
    assert Marks(ROWS).find(text) == expected
