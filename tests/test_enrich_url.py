"""Addresses taken apart, the good and the bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.enrich import url
from trackflowd.event import bound


@pytest.mark.parametrize(
    ("text", "stored", "hostname", "path", "query"),
    [
        ("https://a.example/b?c=d#e", "https://a.example/b?c=d", "a.example", "/b", "c=d"),
        ("https://a.example", "https://a.example", "a.example", "/", ""),
        ("https://a.example?x=1", "https://a.example?x=1", "a.example", "/", "x=1"),
        ("HTTPS://User:pw@Shop.Example:8443/A", "https://Shop.Example:8443/A", "shop.example", "/A", ""),
        ("http://[2001:DB8::1]:80/x", "http://[2001:DB8::1]:80/x", "2001:db8::1", "/x", ""),
        ("http://[::1/x", "http://[::1/x", "::1", "/x", ""),
        ("//a.example/b", "//a.example/b", "a.example", "/b", ""),
        ("/b?c", "/b?c", "", "/b", "c"),
        ("pricing", "pricing", "", "pricing", ""),
        ("?x=1", "?x=1", "", "", "x=1"),
        ("https://münchen.example/ü?ß", "https://münchen.example/ü?ß", "xn--mnchen-3ya.example", "/ü", "ß"),
        ("https://XN--MNCHEN-3YA.example./", "https://XN--MNCHEN-3YA.example./", "xn--mnchen-3ya.example", "/", ""),
        ("https://..ü../", "https://..ü../", "..ü", "/", ""),
        ("https://a@b@c.example/@x", "https://c.example/@x", "c.example", "/@x", ""),
        ("https://a.example/x?u=http://b.example/?y", "https://a.example/x?u=http://b.example/?y", "a.example", "/x",
         "u=http://b.example/?y"),
        ("  https://a.example/\n\tb \0", "https://a.example/b", "a.example", "/b", ""),
        ("about:blank", "about:", "", "", ""),
        ("data:text/html,secret", "data:", "", "", ""),
        ("file:///home/x", "file:///home/x", "", "/home/x", ""),
        ("android-app://com.example.app/", "android-app://com.example.app/", "com.example.app", "/", ""),
        ("https://", "https://", "", "", ""),
        ("#", "", "", "", ""),
        ("", "", "", "", ""),
        (" \t", "", "", "", ""),
    ],
)  # fmt: skip
def test_an_address_comes_apart(text: str, stored: str, hostname: str, path: str, query: str) -> None:
    assert url.split(text)[:4] == (stored, hostname, path, query)


def test_campaign_parameters_leave_the_address_and_are_decoded() -> None:
    split = url.split(
        "https://a.example/?x=1&utm_source=News+letter&UTM_Medium=e%2Dmail&utm_campaign=%C3%A4&utm_term=a%ZZ"
        "&utm_content=%FF&utm_id=7"
    )
    assert split.campaign == ("News letter", "e-mail", "ä", "a%ZZ", "\N{REPLACEMENT CHARACTER}")
    assert split.query == "x=1&utm_id=7"
    assert split.url == "https://a.example/?x=1&utm_id=7"


def test_the_first_filled_campaign_parameter_counts() -> None:
    assert url.split("/?utm_source=&utm_source=a&utm_source=b").campaign[0] == "a"


@pytest.mark.parametrize("kind", url.CLICK_IDS)
def test_a_click_id_leaves_its_kind_and_never_its_value(kind: str) -> None:
    split = url.split(f"https://a.example/p?a=1&{kind.upper()}=Secret123&b=2")
    assert split.click_id == kind
    assert split.url == "https://a.example/p?a=1&b=2"
    assert "Secret123" not in repr(split)
    assert len(kind) <= bound("click_id")


def test_a_paid_click_id_wins_over_an_unpaid_one_and_an_empty_one_is_none() -> None:
    assert url.split("/?srsltid=1&gclid=2").click_id == "gclid"
    assert url.split("/?gclid=2&fbclid=1").click_id == "gclid"
    assert url.split("/?gclid=&a=1").click_id == ""


def test_ids_of_mail_recipients_are_dropped() -> None:
    assert url.split("/?mc_eid=person&mkt_tok=person&_hsenc=person&a=1") == url.split("/?a=1")


def test_a_click_id_behind_more_parameters_than_are_looked_at_is_not_stored() -> None:
    text = "/?" + "&".join(["a"] * (url.MAX_PARAMS + 5)) + "&gclid=Secret123"
    assert "Secret123" not in repr(url.split(text))


def test_texts_are_cut_at_their_bounds() -> None:
    split = url.split("https://" + "h" * 300 + ".example/" + "ä" * 1000 + "?" + "q" * 2000)
    assert len(split.hostname) <= 255
    assert len(split.path.encode()) <= 1024
    assert len(split.query) <= 1024
    assert len(split.url.encode()) <= 2048


@given(st.text(max_size=300) | st.from_regex(r"[a-z]{0,5}:?/{0,3}[\[\]@:.\w%?&=#\\-]{0,60}"))
def test_no_text_makes_it_raise_or_grow(text: str) -> None:
    split = url.split(text)
    for field in ("url", "hostname", "path", "query"):
        assert len(getattr(split, field).encode("utf-8", "surrogatepass")) <= bound(field)
        assert "\0" not in getattr(split, field)
    assert "#" not in split.url


@given(st.text(max_size=100))
def test_what_was_split_once_splits_the_same_again(text: str) -> None:
    once = url.split("https://a.example/" + text)
    assert url.split(once.url)[:4] == once[:4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("news.example", True),
        ("news.example/item?id=1", True),
        ("news.example:8080", True),
        ("localhost", False),
        ("/path", False),
        ("newsletter", False),
        ("1.5", False),
        ("two words.example", False),
        ("", False),
    ],
)
def test_a_bare_host_is_known(text: str, expected: bool) -> None:
    assert url.bare_host(text) is expected
