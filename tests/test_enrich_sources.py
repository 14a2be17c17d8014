"""The table of sources and how hosts and names are looked up in it."""

from __future__ import annotations

import pytest

from trackflowd.enrich import channels, sources
from trackflowd.event import bound


@pytest.mark.parametrize(
    ("host", "name", "kind"),
    [
        ("google.com", "Google", "search"),
        ("google.co.uk", "Google", "search"),
        ("google.de", "Google", "search"),
        ("maps.google.com.br", "Google", "search"),
        ("mail.google.com", "Gmail", "email"),
        ("news.google.com", "Google News", "news"),
        ("gemini.google.com", "Gemini", "ai"),
        ("com.google.android.gm", "Gmail", "email"),
        ("l.facebook.com", "Facebook", "social"),
        ("t.co", "X", "social"),
        ("out.reddit.com", "Reddit", "social"),
        ("m.youtube.com", "YouTube", "video"),
        ("chatgpt.com", "ChatGPT", "ai"),
        ("news.ycombinator.com", "Hacker News", "news"),
        ("amazon.co.jp", "Amazon", "shopping"),
        # What only looks like one of them.
        ("google.evil.example", "google.evil.example", ""),
        ("notgoogle.com", "notgoogle.com", ""),
        ("google.com.evil.example", "google.com.evil.example", ""),
        ("bing.com.example", "bing.com.example", ""),
        ("google", "google", ""),
        ("localhost", "localhost", ""),
        ("81.2.69.142", "81.2.69.142", ""),
        ("", "", ""),
    ],
)
def test_a_host_is_looked_up_by_its_longest_known_ending(host: str, name: str, kind: str) -> None:
    assert sources.by_host(host) == (name, kind)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("google", "Google"),
        ("FB", "Facebook"),
        ("Hacker News", "Hacker News"),
        ("www.linkedin.com", "LinkedIn"),
        ("chatgpt.com", "ChatGPT"),
        ("newsletter", "Newsletter"),
        ("Partner-42", "Partner-42"),
        ("shop.example", "shop.example"),
    ],
)
def test_a_utm_source_is_brought_to_the_tables_spelling_or_kept(text: str, name: str) -> None:
    assert sources.by_name(text).name == name


def test_the_table_names_every_domain_and_alias_once_and_its_kinds_have_a_medium() -> None:
    domains = [domain for _, _, each, _ in sources._TABLE for domain in each.split()]
    aliases = [alias for name, _, _, each in sources._TABLE for alias in {name.lower(), *each.split()}]
    assert len(domains) == len(set(domains))
    assert len(aliases) == len(set(aliases))
    for name, kind, _, _ in sources._TABLE:
        assert kind in channels.MEDIUM
        assert len(name.encode()) <= bound("source")
