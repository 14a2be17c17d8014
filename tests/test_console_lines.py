"""console.lines: texts fitted to columns, whatever characters are in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console_values import texts
from trackflowd.console.lines import (
    Line,
    Segment,
    beside,
    columns_of,
    fill,
    finish,
    framed,
    over,
    part,
    shares,
    table,
    text_of,
    title,
    wrap,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
LINES = st.lists(st.builds(Segment, TEXTS, st.sampled_from(["", "dim"])), max_size=5)


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", 5, "abc  "),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("ab  ", 3, "ab "),
        ("東京都", 5, "東京…"),
        ("東京都", 4, "東 …"),
        ("", 2, "  "),
    ],
)
def test_a_line_is_filled_or_cut_and_the_cut_is_marked(text: str, columns: int, shown: str) -> None:
    assert text_of(fill([Segment(text)], columns)) == shown


@given(LINES, st.integers(0, 30))
def test_a_filled_line_has_exactly_its_columns(line: list[Segment], columns: int) -> None:
    assert columns_of(fill(line, columns)) == columns


@given(LINES, st.integers(0, 20), st.integers(0, 20))
def test_the_parts_of_a_line_are_as_wide_as_they_were_cut(line: list[Segment], start: int, more: int) -> None:
    wide = columns_of(line)
    cut = part(line, start, start + more)
    assert columns_of(cut) == max(min(start + more, wide) - start, 0)


def test_a_cut_keeps_attribute_and_click() -> None:
    line = [Segment("ab", "good", "key a"), Segment("cd", "bad", "key c")]
    assert part(line, 1, 3) == [Segment("b", "good", "key a"), Segment("c", "bad", "key c")]


def test_blocks_stand_beside_each_other_at_their_widths() -> None:
    left: list[Line] = [[Segment("a")], [Segment("bb")]]
    assert texts(beside([(left, 4), ([[Segment("x")]], 3)], gap=1)) == ["a    x", "bb"]


def test_columns_are_shared_out_whole() -> None:
    assert shares(80, 3) == [26, 25, 25]
    assert sum(shares(117, 4, 5)) + 15 == 117


def test_a_table_gives_way_in_its_flexible_column() -> None:
    rows = [
        [Segment("worker 0"), Segment("a long note"), Segment("7")],
        [Segment("x"), Segment("short"), Segment("10")],
    ]
    assert texts(table(rows, ("name", "note", "n"), (2,))) == [
        "name      note          n",
        "worker 0  a long note   7",
        "x         short        10",
    ]
    assert texts(table(rows, ("name", "note", "n"), (2,), columns=19, flexible=1)) == [
        "name      note    n",
        "worker 0  a lo…   7",
        "x         short  10",
    ]


def test_words_are_wrapped() -> None:
    assert texts(wrap("store away for 40 s", 10)) == ["store away", "for 40 s"]


def test_a_title_fills_its_line() -> None:
    assert text_of(title("Rings", 20, "2")) == "Rings ──────────── 2"


def test_a_frame_has_its_name_in_the_edge() -> None:
    assert texts(framed([[Segment("ok")]], 14, "store")) == ["┌─ store ────┐", "│ ok         │", "└────────────┘"]


def test_a_box_is_laid_over_the_middle() -> None:
    under: list[Line] = [[Segment(letter * 7)] for letter in "abcde"]
    assert texts(over(under, [[Segment("###")]] * 3, 7)) == ["aaaaaaa", "bb###bb", "cc###cc", "dd###dd", "eeeeeee"]


@given(st.lists(LINES, max_size=6), st.integers(1, 30), st.integers(1, 8), st.booleans())
def test_a_finished_screen_is_whole_and_holds_nothing_a_terminal_acts_on(
    lines: list[list[Segment]], columns: int, rows: int, ascii_only: bool
) -> None:
    screen = finish(lines, columns, rows, ascii_only)
    assert len(screen) == rows
    assert all(columns_of(line) == columns for line in screen)
    shown = "".join(map(text_of, screen))
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    assert shown.isascii() or not ascii_only


def test_ascii_takes_as_many_columns() -> None:
    line = [Segment("┌─ 東京 é ▶ ▂█ …")]
    assert text_of(finish([line], columns_of(line), 1, ascii_only=True)[0]) == "+- ???? ? > _# ~"
