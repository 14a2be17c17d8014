"""console.live: events as they are accepted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.console_values import Answers, Stream, attr_of, desk, screen, texts
from trackflowd.console.desk import Console
from trackflowd.console.lines import columns_of
from trackflowd.console.live import Live

EVENT: dict[str, Any] = {
    "event_id": "0198c1d2-0000-7000-8000-000000000001",
    "received": 1_800_000_000_123,
    "time": 1_800_000_000_000,
    "site": "example.com",
    "name": "pageview",
    "url": "https://example.com/pricing?page=2",
    "path": "/pricing",
    "query": "page=2",
    "visitor": 0x3F9A1C0000000000,
    "country": "GB",
    "city": "London",
    "browser": "Chrome",
    "browser_version": "140",
    "os": "Linux",
    "device": "desktop",
    "source": "Google",
    "revenue": "0.0000",
    "currency": "",
    "props": {},
    "bot": "",
    "title": "",
}


def live(*events: dict[str, Any]) -> tuple[Console, Stream]:
    answers = Answers()
    console = desk(answers, tab="live")
    stream = answers.streams[0]
    for event in events:
        stream.heard(event)
    return console, stream


@pytest.mark.parametrize("columns", [78, 98, 118, 138, 198, 298])
def test_a_line_fills_its_columns_and_says_more_where_there_is_room(columns: int) -> None:
    console, _ = live()
    tab = console.tab
    assert isinstance(tab, Live)
    line = tab.line(EVENT, columns)
    assert columns_of(line) == columns == columns_of(tab.heads(columns))
    text = texts([line])[0]
    for part in ("example.com", "pageview", "/pricing?page=2"[: columns - 60], "GB London"):
        assert part in text
    assert ("Chrome 140" in text, "Google" in text, "3f9a1c" in text) == (columns >= 96, columns >= 112, columns >= 118)


def test_events_appear_the_newest_last() -> None:
    console, stream = live({**EVENT, "path": "/first", "query": ""}, {**EVENT, "path": "/second", "query": ""})
    assert stream.command == "tail"
    shown = screen(console)
    assert next(n for n, line in enumerate(shown) if "/first" in line) + 1 == next(
        n for n, line in enumerate(shown) if "/second" in line
    )


def test_a_filter_looks_at_all_fields_or_at_one() -> None:
    console, _ = live(EVENT, {**EVENT, "path": "/other", "query": "", "country": "DE", "city": "", "source": ""})
    for typed, there, gone in (("google", "/pricing", "/other"), ("country=de", "/other", "/pricing")):
        console.press("/")
        console.press("ctrl u")
        for letter in typed:
            console.press(letter)
        console.press("enter")
        shown = "\n".join(screen(console))
        assert (there in shown, gone in shown, f"filter {typed}" in shown) == (True, False, True)
    console.press("esc")
    assert "/other" in "\n".join(screen(console)) and "/pricing" in "\n".join(screen(console))


def test_space_holds_the_list_and_lets_it_go() -> None:
    console, stream = live(EVENT)
    console.press(" ")
    stream.heard({**EVENT, "path": "/later"})
    assert "held, 1 came since" in "\n".join(screen(console))
    assert "/later" not in "\n".join(screen(console))
    console.press(" ")
    assert "/later" in "\n".join(screen(console))


def test_one_is_inspected_by_enter_or_by_two_clicks() -> None:
    console, _ = live({**EVENT, "props": {"plan": "pro"}})
    console.press("up")
    assert attr_of(console.draw(80, 24), "pageview") == "select"
    console.press("enter")
    shown = "\n".join(screen(console))
    for text in ("┌─ Event", "3f9a1c0000000000", '{"plan": "pro"}', "https://example.com/pricing?page=2"):
        assert text in shown
    assert "currency" not in shown
    console.press("esc")
    console.press("end")
    console.click("row 1")
    console.click("row 1")
    assert "┌─ Event" in "\n".join(screen(console))


def test_bots_and_money_stand_out() -> None:
    console, _ = live({**EVENT, "bot": "curl"}, {**EVENT, "revenue": "49.9000", "currency": "EUR"})
    lines = console.draw(200, 24)
    assert attr_of(lines, "bot: curl") == "odd"
    assert attr_of(lines, "49.90 EUR") == "good"


def test_what_passed_unseen_is_counted() -> None:
    console, stream = live(EVENT)
    stream.heard({"dropped": 12})
    assert "12 passed unseen" in "\n".join(screen(console))


def test_only_while_it_is_shown_the_daemon_is_asked_for_events() -> None:
    console, stream = live(EVENT)
    assert not stream.stopped
    console.press("1")
    assert stream.stopped


def test_without_events_it_says_so() -> None:
    console, _ = live()
    assert "no events yet" in "\n".join(screen(console))
