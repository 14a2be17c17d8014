"""Which agents are flagged, and which are left alone."""

from __future__ import annotations

import pytest

from trackflowd.enrich import bots
from trackflowd.event import bound

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    ("agent", "rule"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("-", "empty"),
        ("curl/8.5.0", "tool"),
        ("Wget/1.21.4", "tool"),
        ("python-requests/2.32.3", "tool"),
        ("Go-http-client/2.0", "tool"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "crawler"),
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "crawler"),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "ai",
        ),
        ("Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "ai"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "preview"),
        ("WhatsApp/2.23.20.0 A", "preview"),
        ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "monitor"),
        (CHROME.replace("Chrome/", "HeadlessChrome/"), "headless"),
        ("Mozilla/5.0 zgrab/0.x", "scanner"),
        ("Feedly/1.0 (+http://www.feedly.com/fetcher.html)", "feed"),
    ],
)
def test_an_agent_that_is_no_person_is_flagged_by_a_rule(agent: str, rule: str) -> None:
    assert bots.rule(agent) == rule


@pytest.mark.parametrize(
    "agent",
    [
        CHROME,
        CHROME + " Edg/140.0.0.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
        "Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
        "Mozilla/5.0 (Linux; Android 14; CUBOT_X90) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0 Mobile Safari",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22F76 "
        "[FBAN/FBIOS;FBAV/514.0;FBDV/iPhone15,3]",
        "Mozilla/5.0 (PlayStation; PlayStation 5/8.20) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16 Safari/605",
        "Opera/9.80 (Android; Opera Mini/62.3/191.273; U; en) Presto/2.12.423 Version/12.16",
        "okhttp/4.12.0",
        "MyApp/3.1 CFNetwork/1490 Darwin/24.0",
    ],
)
def test_people_are_not_flagged(agent: str) -> None:
    assert bots.rule(agent) == ""


def test_the_agent_parsers_word_counts_where_no_rule_holds() -> None:
    assert bots.rule(CHROME, spider=True) == "spider"
    assert bots.rule("curl/8", spider=True) == "tool"


def test_rules_are_lower_case_and_their_names_fit_the_column() -> None:
    for name, marks in bots.RULES:
        assert 0 < len(name.encode()) <= bound("bot")
        assert all(mark and mark == mark.lower() for mark in marks)
        assert len(marks) == len(set(marks))
