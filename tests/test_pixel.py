"""trackflowd.proto.pixel: an event in a query."""

from __future__ import annotations

import pytest

from trackflowd.errors import Refused
from trackflowd.proto import pixel
from trackflowd.proto.dialects import Event, Limits, RefusedEvent
from trackflowd.proto.request import Request


def read(query: str) -> Event:
    request = Request(b"GET", f"/v1/pixel.gif?{query}".encode(), {}, True, False)
    (event,), refused = pixel.read(request, Limits(500))
    assert not refused
    return event


def code_of(query: str) -> str:
    with pytest.raises(Refused) as caught:
        read(query)
    return caught.value.code


def test_the_native_keys_are_parameters() -> None:
    event = read(
        "site=example.org&name=open%20mail&url=https%3A%2F%2Fexample.org%2F%3Fa%3Db%26c&title=a+b&age_ms=5&scroll=50"
        "&props.plan=pro&props=%7B%22n%22%3A1%7D&revenue.amount=1.5&revenue.currency=EUR&id=x&lang=&&engaged_ms="
    )
    assert event.dialect == "pixel"
    assert (event.site, event.name, event.title) == ("example.org", "open mail", "a b")
    assert event.url == "https://example.org/?a=b&c"
    assert (event.age_ms, event.scroll, event.lang, event.engaged_ms) == (5, 50, "", 0)
    assert event.props == {"plan": "pro", "n": "1"}
    assert (event.revenue_e4, event.currency, event.client_id) == (15_000, "EUR", True)


def test_revenue_may_be_an_object() -> None:
    event = read("site=s&name=n&revenue=%7B%22amount%22%3A1.5%2C%22currency%22%3A%22EUR%22%7D")
    assert (event.revenue_e4, event.currency) == (15_000, "EUR")


@pytest.mark.parametrize("empty", ["props=", "revenue=", "revenue.amount=&revenue.currency="])
def test_an_empty_object_is_as_if_it_were_not_there(empty: str) -> None:
    event = read(f"site=s&name=n&{empty}&props.a=")
    assert (event.props, event.revenue_e4, event.currency) == ({"a": ""}, 0, "")


def test_of_a_repeated_parameter_the_last_counts() -> None:
    assert read("site=a&name=n&site=b").site == "b"


def test_nul_is_taken_out() -> None:
    assert read("site=s&name=a%00b&props.c=%00").name == "ab"
    assert read("site=s&name=a%00b&props.c=%00").props == {"c": ""}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "empty"),
        ("&&", "empty"),
        ("site=s", "missing_key"),
        ("site=&name=n", "bad_type"),
        ("site=s&name=n&color=red", "unknown_key"),
        ("site=s&name=n&ip=1.1.1.1", "forbidden_key"),
        ("site=s&name=n&age_ms=-1", "bad_type"),
        ("site=s&name=n&age_ms=%D9%A1", "bad_type"),
        ("site=s&name=n&scroll=101", "bad_value"),
        ("site=s&name=n&age_ms=" + "9" * 19, "bad_value"),
        ("site=s&name=%ff", "bad_utf8"),
        ("site=s&name=n&props={", "bad_json"),
        ("site=s&name=n&props=[]", "bad_type"),
        ("site=s&name=n&props=" + "[" * 5000, "bad_type"),
        ("site=s&name=n&revenue=5", "bad_type"),
        ("site=s&name=n&revenue=%7B%22tax%22%3A5%7D", "unknown_key"),
        ("site=s&name=n&revenue.amount=5", "missing_key"),
        ("site=s&name=n&revenue.tax=5&revenue.amount=1&revenue.currency=EUR", "unknown_key"),
    ],
)
def test_a_bad_query_is_refused(query: str, code: str) -> None:
    assert code_of(query) == code


def test_the_picture_is_43_bytes_and_not_kept_by_anybody() -> None:
    answer = pixel.reply(1, ())
    assert (answer.status, len(answer.body), answer.body[:6]) == (200, 43, b"GIF89a")
    assert b"no-store" in answer.headers
    assert pixel.reply(0, [RefusedEvent(0, "bad_type", "why")]).status == 400
