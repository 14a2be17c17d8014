"""cli_event: one event is one line."""

from __future__ import annotations

import re
from typing import Any

from trackflowd.cli_event import event_line
from trackflowd.cli_text import Style

PLAIN = Style(False)

VIEW: dict[str, Any] = {
    "received": 1_795_000_000_123,
    "site": "demo",
    "name": "pageview",
    "path": "/",
    "query": "page=pricing",
    "country": "GB",
    "city": "London",
    "browser": "Chrome",
    "browser_version": "140",
    "os": "Linux",
    "visitor": 0x3F9A1C00DEADBEEF,
    "revenue": "0.0000",
    "currency": "",
    "props": {},
    "source": "Google",
    "bot": "",
}


def line(**changes: Any) -> str:
    return event_line({**VIEW, **changes}, PLAIN)


def test_a_page_view_says_when_where_who_and_from_what() -> None:
    assert re.sub(r" {2,}", "|", line()).split("|")[1:] == [
        "demo",
        "pageview",
        "/?page=pricing",
        "GB London · Chrome 140 · Linux",
        "visitor 3f9a1c",
        "from Google",
    ]
    assert re.match(r"\d\d:\d\d:\d\d  ", line())


def test_money_properties_and_bots_are_said_where_there_are_any() -> None:
    shown = line(revenue="29.0000", currency="EUR", props={"plan": "pro", "n": "1"}, bot="curl", source="")
    assert shown.endswith("29.00 EUR  plan=pro n=1  bot: curl")


def test_an_event_of_which_nothing_is_known_is_a_line_too() -> None:
    assert "--" in event_line({}, PLAIN)
    assert "\n" not in event_line({}, PLAIN)


def test_a_sender_cannot_write_to_the_terminal() -> None:
    shown = event_line(
        {**VIEW, "name": "\x1b[2Jx", "path": "/a\nb", "props": {"\x1b]0;t": "\x07"}, "city": "\r"}, PLAIN
    )
    assert shown.isprintable()


def test_long_texts_are_cut() -> None:
    assert len(line(path="/" + "x" * 1000, props={"p": "y" * 1000})) < 300
