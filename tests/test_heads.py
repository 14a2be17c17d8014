"""Known heads: whatever comes again means what it meant, and nothing else passes for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trackflowd.config import load
from trackflowd.proto.heads import Heads, Last
from trackflowd.proto.http import Connection, Limits

HTTP = load(None, [], {}).http
LIMITS = Limits(HTTP.max_head, HTTP.max_url, HTTP.max_body)

BROWSER = (
    b"POST /v1/events HTTP/1.1\r\nHost: t.example\r\nUser-Agent: Mozilla/5.0\r\nContent-Type: text/plain\r\n"
    b"Origin: https://a.example\r\nContent-Length: %d\r\nAccept-Language: de\r\n\r\n%s"
)
PROXIED = (
    b"POST /v1/events HTTP/1.1\r\nHost: t.example\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Length: %d\r\n"
    b"User-Agent: Mozilla/5.0\r\n\r\n%s"
)
EMPTY_GET = b"GET /v1/pixel.gif?site=a HTTP/1.1\r\nHost: t.example\r\nContent-Length: %d\r\n\r\n%s"
CHUNKED = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def verdict(data: bytes, heads: Heads | None) -> tuple[Any, ...]:
    """What a fresh connection makes of data."""
    connection = Connection(LIMITS, heads)
    requests = [
        (one.method, one.target, {k: v for k, v in one.headers.items() if k != b"content-length"}, one.body,
         one.keep_alive, one.old)
        for one in connection.receive(data)
    ]  # fmt: skip
    failure = connection.failure
    return requests, failure and (failure.status, failure.code), connection.phase, connection.wants_continue


def warm(*seen: bytes, proxied: bool = False) -> Heads:
    heads = Heads(proxied)
    for data in seen:
        verdict(data, heads)
    return heads


@pytest.mark.parametrize("shape", [BROWSER, PROXIED])
def test_a_known_head_with_another_body_is_not_parsed_again(shape: bytes) -> None:
    heads = warm(shape % (5, b"hello"), proxied=True)
    found = Last(heads).recall(shape % (11, b"hello again"))
    assert found is not None
    assert found.body == b"hello again"
    assert verdict(shape % (11, b"hello again"), heads) == verdict(shape % (11, b"hello again"), None)


def test_a_head_with_an_admins_token_is_not_kept() -> None:
    data = (BROWSER % (5, b"hello")).replace(b"Accept-Language: de", b"X-Trackflow-Debug: tft_1_secret")
    heads = warm(data)
    assert Last(heads).recall(data) is None
    assert verdict(data, heads)[0][0][2][b"x-trackflow-debug"] == b"tft_1_secret"


def test_the_address_of_each_request_is_its_own_behind_a_proxy() -> None:
    heads = warm(PROXIED % (5, b"hello"), proxied=True)
    found = Last(heads).recall((PROXIED % (5, b"hello")).replace(b"203.0.113.9", b"2001:db8::1, 198.51.100.7"))
    assert found is not None
    assert found.headers[b"x-forwarded-for"] == b"2001:db8::1, 198.51.100.7"


def test_what_is_personal_or_changes_the_framing_is_not_kept() -> None:
    for extra in (b"Cookie: a=b", b"X-Mine: 1", b"Forwarded: for=1.2.3.4", b"X-Forwarded-For: 1.2.3.4", b"Upgrade: h2c",
                  b"Connection: close", b"Expect: 100-continue"):  # fmt: skip
        data = (BROWSER % (5, b"hello")).replace(b"Content-Type: text/plain", extra)
        assert Last(warm(data)).recall(data) is None, extra
    for data in (CHUNKED, (BROWSER % (5, b"hello")).replace(b"HTTP/1.1", b"HTTP/1.0"), EMPTY_GET % (0, b"")):
        assert Last(warm(data)).recall(data) is None, data


def test_a_get_with_a_body_is_refused_though_the_same_head_without_one_was_seen() -> None:
    heads = warm(EMPTY_GET % (0, b""))
    assert verdict(EMPTY_GET % (5, b"hello"), heads)[1] == (400, "malformed")


@pytest.mark.parametrize("value", [b"1.2.3.4\nX-Evil: 1", b"1.2.3.4\0", b"1.2.3.4\x01"])
def test_a_forwarded_value_that_the_parser_refuses_is_refused_behind_a_known_head(value: bytes) -> None:
    heads = warm(PROXIED % (5, b"hello"), proxied=True)
    data = (PROXIED % (5, b"hello")).replace(b"203.0.113.9", value)
    assert verdict(data, heads) == verdict(data, None)


SHAPES = st.sampled_from([BROWSER, PROXIED, EMPTY_GET])


@given(
    shape=SHAPES,
    length=st.one_of(st.integers(0, 30), st.sampled_from([5, 6, 4])),
    body=st.binary(max_size=30),
    at=st.integers(0, 200),
    cut=st.integers(0, 3),
    put=st.one_of(
        st.binary(max_size=4),
        st.sampled_from([b"\r\n", b"\r\n\r\n", b"\r\nContent-Length: 3", b"\r\ncontent-length: 5", b"\n", b" "]),
    ),
    proxied=st.booleans(),
)
@example(shape=BROWSER, length=5, body=b"a\r\n\r\nb", at=0, cut=0, put=b"", proxied=False)
@example(shape=BROWSER, length=5, body=b"hello", at=24, cut=0, put=b"\r\ncontent-length: 5", proxied=False)
def test_the_verdict_is_the_same_whether_the_head_was_seen_or_not(
    shape: bytes, length: int, body: bytes, at: int, cut: int, put: bytes, proxied: bool
) -> None:
    heads = warm(BROWSER % (5, b"hello"), PROXIED % (5, b"hello"), EMPTY_GET % (0, b""), CHUNKED, proxied=proxied)
    data = shape % (length, body)
    data = data[:at] + put + data[at + cut :]
    assert verdict(data, heads) == verdict(data, None)
