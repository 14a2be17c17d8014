"""console.terminal: lines as urwid draws them, keys and clicks as it hands them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
import urwid

from tests.console_values import Answers, desk, status, texts
from trackflowd.console.palette import PALETTE
from trackflowd.console.terminal import Sheet, colours, utf8

SIZE = (80, 24)


@pytest.fixture(autouse=True)
def encoding() -> None:
    urwid.set_encoding("utf-8")


def test_the_sheet_is_the_desks_lines() -> None:
    console = desk(Answers(), status(), tab="pipeline")
    canvas = Sheet(console).render(SIZE)
    assert [text.decode().rstrip() for text in canvas.text][1:] == texts(console.draw(*SIZE))[1:]
    assert all(urwid.calc_width(text, 0, len(text)) == SIZE[0] for text in canvas.text)


def test_every_run_has_its_attribute() -> None:
    canvas = Sheet(desk(Answers())).render(SIZE)
    for row, text in zip(canvas.content(), canvas.text, strict=True):
        assert b"".join(piece for _, _, piece in row) == text
    names = {attr for row in canvas.content() for attr, _, _ in row}
    assert {"head name", "tab on", "good", "key"} <= names


def test_wide_characters_do_not_break_the_screen() -> None:
    console = desk(Answers(), status(refusals={"東京都東京都": 3, "e\u0301a\ufe0f": 2}))
    canvas = Sheet(console).render(SIZE)
    assert len(canvas.text) == SIZE[1]


def test_keys_go_to_the_desk_and_draw_anew() -> None:
    console = desk(Answers())
    sheet = Sheet(console)
    before = sheet.render(SIZE)
    assert sheet.keypress(SIZE, "2") is None
    assert console.tab.name == "Pipeline"
    assert sheet.render(SIZE) is not before


def test_a_click_finds_what_it_is_on() -> None:
    console = desk(Answers())
    sheet = Sheet(console)
    text = sheet.render(SIZE).text[1].decode()
    assert sheet.mouse_event(SIZE, "mouse press", 1, text.index("Processes"), 1, True)
    assert console.tab.name == "Processes"
    sheet.mouse_event(SIZE, "mouse press", 1, 79, 1, True)  # beside them
    assert console.tab.name == "Processes"
    sheet.mouse_event(SIZE, "mouse press", 5, 0, 10, True)  # the wheel
    assert not sheet.mouse_event(SIZE, "mouse release", 0, 0, 0, True)


def test_leaving_ends_the_loop() -> None:
    with pytest.raises(urwid.ExitMainLoop):
        Sheet(desk(Answers())).keypress(SIZE, "q")


@pytest.mark.parametrize("count", [1, 16, 256])
def test_urwid_understands_the_palette(count: Literal[1, 16, 256]) -> None:
    screen = urwid.display.raw.Screen()
    screen.set_terminal_properties(colors=count)
    screen.register_palette(PALETTE)
    assert len({entry[0] for entry in PALETTE}) == len(PALETTE)


@pytest.mark.parametrize(
    ("mono", "env", "count"),
    [
        (False, {"TERM": "xterm-256color"}, 256),
        (False, {"TERM": "screen", "COLORTERM": "truecolor"}, 256),
        (False, {"TERM": "linux"}, 16),
        (False, {"TERM": "xterm-256color", "NO_COLOR": "1"}, 1),
        (True, {"TERM": "xterm-256color"}, 1),
        (False, {"TERM": "vt100"}, 1),
    ],
)
def test_colours_are_used_where_they_are_wanted(mono: bool, env: Mapping[str, str], count: int) -> None:
    assert colours(mono, env) == count


@pytest.mark.parametrize(
    ("env", "is_utf8"),
    [
        ({"LANG": "en_GB.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, True),
        ({"LC_CTYPE": "de_DE.UTF-8"}, True),
        ({"LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "C"}, False),
        ({}, False),
    ],
)
def test_the_locale_decides_about_utf8(env: Mapping[str, str], is_utf8: bool) -> None:
    assert utf8(env) == is_utf8
