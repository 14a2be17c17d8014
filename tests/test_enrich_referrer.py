"""Where a visit came from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.enrich import referrer, url
from trackflowd.event import bound

PAGE = "https://www.shop.example/p"


@pytest.mark.parametrize(
    ("before", "page", "expected"),
    [
        # referrer → source, medium, channel
        ("", PAGE, ("", "", "Direct")),
        ("https://www.google.co.uk/", PAGE, ("Google", "organic", "Organic Search")),
        ("https://l.facebook.com/", PAGE, ("Facebook", "social", "Organic Social")),
        ("android-app://com.google.android.gm/", PAGE, ("Gmail", "email", "Email")),
        ("https://chatgpt.com/", PAGE, ("ChatGPT", "ai", "AI Assistants")),
        ("https://www.blog.example/post", PAGE, ("blog.example", "referral", "Referral")),
        ("blog.example/post", PAGE, ("blog.example", "referral", "Referral")),
        # inside the site: no arrival
        ("https://www.shop.example/", PAGE, ("", "", "")),
        ("https://shop.example:8443/", PAGE, ("", "", "")),
        ("/cart", PAGE, ("", "", "")),
        # another host of the same company is a referral
        ("https://help.shop.example/", PAGE, ("help.shop.example", "referral", "Referral")),
        # no page: sent by a server, arrived nowhere
        ("", "", ("", "", "")),
        # the campaign decides
        ("https://www.google.com/", PAGE + "?utm_source=June&utm_medium=Email", ("June", "email", "Email")),
        ("https://www.google.com/", PAGE + "?utm_medium=cpc", ("Google", "cpc", "Paid Search")),
        ("", PAGE + "?utm_source=fb&utm_medium=paid", ("Facebook", "paid", "Paid Social")),
        ("", PAGE + "?utm_source=google", ("Google", "organic", "Organic Search")),
        ("", PAGE + "?utm_source=Partner", ("Partner", "", "Unassigned")),
        ("", PAGE + "?utm_campaign=June", ("", "", "Unassigned")),
        ("https://www.shop.example/", PAGE + "?utm_source=banner7&utm_medium=banner", ("banner7", "banner", "Display")),
        ("https://blog.example/", PAGE + "?utm_campaign=June", ("blog.example", "referral", "Referral")),
        # click ids
        ("", PAGE + "?gclid=x", ("Google", "cpc", "Paid Search")),
        ("https://www.google.com/", PAGE + "?gbraid=x", ("Google", "cpc", "Paid Search")),
        ("", PAGE + "?ttclid=x", ("TikTok", "cpc", "Paid Social")),
        ("https://l.facebook.com/", PAGE + "?fbclid=x", ("Facebook", "social", "Organic Social")),
        ("", PAGE + "?gclid=x&utm_source=spring&utm_medium=shopping", ("spring", "shopping", "Paid Other")),
    ],
)
def test_an_arrival_is_told_apart(before: str, page: str, expected: tuple[str, str, str]) -> None:
    assert referrer.origin(before, url.split(page))[2:] == expected


def test_a_page_of_the_same_site_is_still_named() -> None:
    origin = referrer.origin("https://www.shop.example/from?x=1", url.split(PAGE))
    assert origin[:2] == ("https://www.shop.example/from?x=1", "shop.example")


def test_a_referrer_is_stored_without_fragment_password_and_click_id() -> None:
    origin = referrer.origin("https://u:Secret@blog.example/a?gclid=Secret&x=1#Secret", url.split(PAGE))
    assert origin.referrer == "https://blog.example/a?x=1"


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_pair_of_texts_makes_it_raise_or_grow(before: str, page: str) -> None:
    for field, value in referrer.origin(before, url.split(page))._asdict().items():
        assert len(value.encode("utf-8", "surrogatepass")) <= bound(field)
