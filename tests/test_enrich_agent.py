"""Browser, operating system and device class of real agents."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackflowd.enrich import agent
from trackflowd.enrich.agent import MAX_AGENT, parse
from trackflowd.event import bound

_KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_KIT} Chrome/140.0.0.0 Safari/537.36",
         ("Chrome", "140", "Windows", "10", "desktop", "")),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_KIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
         ("Edge", "140", "Windows", "10", "desktop", "")),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0",
         ("Firefox", "143", "Mac OS X", "10", "desktop", "")),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_KIT} Chrome/140.0.0.0 Safari/537.36",
         ("Chrome", "140", "Chrome OS", "14541", "desktop", "")),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_APPLE} Version/18.6 Mobile/15E148 Safari/604.1",
         ("Mobile Safari", "18", "iOS", "18", "mobile", "")),
        (f"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) {_APPLE} Version/12.1 Mobile/15E148 Safari/604.1",
         ("Mobile Safari", "12", "iOS", "12", "tablet", "")),
        (f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {_KIT} Chrome/140.0.0.0 Mobile Safari/537.36",
         ("Chrome Mobile", "140", "Android", "15", "mobile", "")),
        (f"Mozilla/5.0 (Linux; Android 15; SM-X710) {_KIT} Chrome/140.0.0.0 Safari/537.36",
         ("Chrome", "140", "Android", "15", "tablet", "")),
        (f"Mozilla/5.0 (Linux; Android 9; AFTKA) {_KIT} Silk/130.4.1 like Chrome/130.0 Safari/537.36",
         ("Amazon Silk", "130", "Android", "9", "tv", "")),
        (f"Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) {_KIT} 94.0.4606.31/7.0 TV Safari/537.36",
         ("Safari", "", "Tizen", "7", "tv", "")),
        ("curl/8.5.0", ("curl", "8", "", "", "bot", "tool")),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
         ("Googlebot", "2", "", "", "bot", "crawler")),
        ("", ("", "", "", "", "bot", "empty")),
        ("something nobody knows", ("", "", "", "", "other", "")),
    ],
)  # fmt: skip
def test_an_agent_is_read(header: str, expected: tuple[str, ...]) -> None:
    assert parse(header) == expected


def test_a_console_is_not_taken_for_the_television_it_stands_by() -> None:
    assert parse(f"Mozilla/5.0 (PlayStation 5 3.03/SmartTV) {_APPLE}").device == "console"


def test_what_is_behind_the_bound_is_not_looked_at() -> None:
    assert parse("x" * MAX_AGENT + "Googlebot/2.1").bot == ""
    assert parse("ä" * MAX_AGENT + "Googlebot/2.1").bot == ""


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=600))
def test_no_text_makes_it_raise_or_grow(header: str) -> None:
    for field, value in parse(header)._asdict().items():
        assert len(value.encode()) <= bound(field)


def test_warming_loads_the_rules_once() -> None:
    agent.warm()
    loaded = agent._parser()
    parse("curl/8.5.0")
    assert agent._parser() is loaded
