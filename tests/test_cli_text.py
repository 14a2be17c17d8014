"""cli_text: widths, tables, bars, figures, and nothing that drives a terminal."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.cli_text import Style, bar, clean, count, duration, fit, pad, size, table, to_json, width


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "env", "on"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_whose_owner_wants_them(stream: io.StringIO, env: dict[str, str], on: bool) -> None:
    assert Style.of(stream, env).on is on


def test_a_style_that_is_off_leaves_text_alone() -> None:
    assert Style(False).bad("x") == "x"
    assert Style(True).bad("x") == "\x1b[31mx\x1b[0m"
    assert Style(True).bad("") == ""


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x9bb", "a\u202eb", "a\rb", "\x07", "a\nb", "a\ud800b"])
def test_what_a_terminal_acts_on_is_taken_out(text: str) -> None:
    assert clean(text).isprintable()


def test_what_is_to_be_kept_is_kept() -> None:
    assert clean("a\tb\n\x1b", keep="\n\t") == "a\tb\n�"
    assert clean("Zürich 東京 😀") == "Zürich 東京 😀"


@given(st.text())
def test_clean_text_holds_no_control_character(text: str) -> None:
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in clean(text))


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("東京", 4), ("é", 1), ("e\u0301", 1), ("\x1b[1mab\x1b[0m", 2)]
)
def test_width_counts_columns(text: str, columns: int) -> None:
    assert width(text) == columns


def test_pad_fills_to_the_right_or_the_left() -> None:
    assert pad("東", 4) == "東  "
    assert pad("1", 3, right=True) == "  1"
    assert pad("long", 2) == "long"


@given(st.text(), st.integers(1, 20))
def test_fit_never_exceeds_its_columns(text: str, columns: int) -> None:
    assert width(fit(clean(text), columns)) <= columns


def test_a_table_aligns_names_left_and_figures_right() -> None:
    rows = [["a", "1"], ["\x1b[1mlonger\x1b[0m", "1,000"]]
    assert table(rows, ["name", "n"], right=(1,)) == [
        "name        n",
        "a           1",
        "\x1b[1mlonger\x1b[0m  1,000",
    ]
    assert table([]) == []


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, ""), (0.0001, "▏"), (0.5, "██"), (0.53, "██▏"), (1, "████"), (7, "████")]
)
def test_a_bar_shows_eighths_and_never_hides_something(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (12.34, "12.3"), (12.0, "12"), (1234567, "1,234,567"), (123.4, "123")]
)
def test_counts_have_their_thousands_apart(number: float, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 * 2**20, "64 MiB"), (3 * 2**50, "3072 TiB")],
)
def test_sizes_are_in_binary_units(number: int, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0354, "35 ms"), (4.21, "4.2 s"), (59.6, "1 m 0 s"), (192, "3 m 12 s"), (3600, "1 h 0 m"), (191_000, "2 d 5 h")],
)
def test_durations_show_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_json_says_bytes_as_hex() -> None:
    assert json.loads(to_json({"id": b"\x01\xff", "name": "Zürich"})) == {"id": "01ff", "name": "Zürich"}
    assert "Zürich" in to_json(["Zürich"])
