"""console.desk: header, tabs, footer, dialogs; where keys and clicks go."""

from __future__ import annotations

import time

import pytest

from tests.console_values import Answers, attr_of, desk, screen, status, texts
from trackflowd.console.desk import NAMES
from trackflowd.console.lines import columns_of, text_of
from trackflowd.console.palette import NAMES as ATTRIBUTES
from trackflowd.errors import ControlError

SIZES = [(80, 24), (100, 30), (120, 40), (200, 60)]


@pytest.mark.parametrize("tab", NAMES)
@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("ascii_only", [False, True], ids=["utf-8", "ascii"])
def test_every_tab_fills_every_screen_exactly(tab: str, columns: int, rows: int, ascii_only: bool) -> None:
    console = desk(Answers(), status(), status(), tab=tab, ascii_only=ascii_only)
    lines = console.draw(columns, rows)
    assert len(lines) == rows
    assert {columns_of(line) for line in lines} == {columns}
    assert all(text_of(line).isascii() for line in lines) or not ascii_only
    assert {segment.attr for line in lines for segment in line} - {""} <= ATTRIBUTES


@pytest.mark.parametrize(("columns", "rows"), [(79, 24), (80, 23), (20, 5), (1, 1)])
def test_a_screen_that_is_too_small_says_so(columns: int, rows: int) -> None:
    shown = screen(desk(Answers()), columns, rows)
    assert len(shown) == rows
    if columns > 20:
        assert f"This terminal has {columns}×{rows}" in " ".join(shown)


def test_tabs_are_gone_to_by_number_by_tab_by_arrow_and_by_click() -> None:
    console = desk(Answers())
    for key, name in (("2", "Pipeline"), ("tab", "Audience"), ("right", "Live"), ("left", "Audience"),
                      ("shift tab", "Pipeline"), ("7", "Log"), ("tab", "Overview"), ("left", "Log")):  # fmt: skip
        console.press(key)
        assert console.tab.name == name
    console.click("front 4")
    assert console.tab.name == "Processes"
    assert attr_of(console.draw(80, 24), " 5 Processes ") == "tab on"


def test_the_help_names_every_key_and_closes() -> None:
    console = desk(Answers(), tab="live")
    console.press("?")
    shown = "\n".join(screen(console, 100, 50))
    for text in ("In Live", "filter", "space", "quit", "flush", "replay", "mouse"):
        assert text in shown, text
    console.press("2")  # the dialog has the keys
    assert console.tab.name == "Live"
    console.press("esc")
    assert "In Live" not in "\n".join(screen(console, 100, 50))


def test_a_click_on_a_key_presses_it() -> None:
    console = desk(Answers())
    lines = console.draw(80, 24)
    assert any(segment.does == "key ?" for segment in lines[-1])
    console.click("key ?")
    assert "Everywhere" in "\n".join(screen(console))
    console.click("front 2")  # under the dialog
    assert console.tab.name == "Overview"
    console.click("dialog esc")
    assert "Everywhere" not in "\n".join(screen(console))


def test_q_ends_it() -> None:
    console = desk(Answers())
    console.press("q")
    assert console.ended


def test_the_header_says_what_it_looks_at() -> None:
    first = screen(desk(Answers()), 120, 40)[0]
    assert "TrackFlow" in first and "0.1.0" in first and "up 1 h 6 m" in first and " ready " in first
    assert time.strftime("%H:%M") in first or time.strftime("%M")  # the minute may have changed meanwhile


def test_alerts_are_counted_in_the_header_of_every_tab() -> None:
    alert = {"name": "disk_low", "severity": "warning", "since_ms": 0, "text": "", "hint": ""}
    console = desk(Answers(), status(alerts=[alert]), tab="log")
    assert "1 alert" in screen(console)[0] and attr_of(console.draw(80, 24), "1 alert") == "head odd"
    console = desk(Answers(), status(alerts=[{**alert, "severity": "critical"}, alert]))
    assert attr_of(console.draw(80, 24), "2 alerts") == "head bad"
    assert "alert" not in screen(desk(Answers()))[0]


def test_a_lost_connection_is_said_above_every_tab() -> None:
    console = desk(Answers())
    console.know.lose(ControlError("no trackflowd listens on /x"), time.time() - 12)
    for number in range(7):
        console.go(number)
        lines = console.draw(120, 40)
        assert "no connection for 12 s: no trackflowd listens on /x" in "\n".join(texts(lines))
    assert attr_of(lines, "no connection for 12 s ") == "head bad"


def test_what_is_said_goes_away_by_itself() -> None:
    console = desk(Answers())
    console.say("flush: all stored", "good")
    assert "flush: all stored" in screen(console)[-1]
    assert not console.tick(time.monotonic())
    assert console.tick(time.monotonic() + 60)
    assert "flush" not in screen(console)[-1] or "? help" in screen(console)[-1]


def test_a_long_list_of_processes_is_scrolled() -> None:
    workers = [{**status()["processes"][1], "slot": n} for n in range(60)]
    console = desk(Answers(), status(processes=workers), tab="processes")
    assert "more lines" in "\n".join(screen(console))
    console.press("end")
    assert "requests" in "\n".join(screen(console))
    console.press("wheel up")
    assert "more lines" in "\n".join(screen(console))


def test_names_from_outside_cannot_act_on_the_terminal() -> None:
    console = desk(Answers(), status(refusals={"x\x1b[2J\u202e": 5}))
    assert all(text.isprintable() for text in screen(console))
