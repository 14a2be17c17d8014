"""trackflowd.proto.responses: answers as bytes."""

from __future__ import annotations

from trackflowd.proto.refusals import refused
from trackflowd.proto.responses import JSON, Responses, cors, preflight

NOW = 1_763_900_000.5
R = Responses(NOW, 7)


def test_an_answer_is_status_date_headers_length_and_body() -> None:
    assert R.write(200, JSON, b"{}") == (
        b"HTTP/1.1 200 OK\r\nDate: Sun, 23 Nov 2025 12:13:20 GMT\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )


def test_the_connection_is_named_where_the_client_would_guess_wrong() -> None:
    assert b"Connection" not in R.write(200, b"", b"")
    assert b"\r\nConnection: close\r\n" in R.write(200, b"", b"", keep_alive=False, old=True)
    assert b"\r\nConnection: keep-alive\r\n" in R.write(200, b"", b"", old=True)


def test_an_answer_to_head_says_the_length_and_leaves_out_the_body() -> None:
    assert R.write(200, b"", b"abc", bodiless=True).endswith(b"Content-Length: 3\r\n\r\n")


def test_204_and_304_have_no_length() -> None:
    assert b"Content-Length" not in R.write(204, b"", b"") + R.write(304, b"", b"")


def test_the_date_is_new_each_second() -> None:
    responses = Responses(NOW, 7)
    assert not responses.tick(NOW + 0.4)
    assert responses.tick(NOW + 0.6)
    assert b"12:13:21" in responses.write(200, b"", b"")


def test_a_refusal_is_json_and_503_says_when_to_come_back() -> None:
    raw = R.refuse(refused("ring_full", "later"), origin=b"https://a.example")
    assert raw.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 7\r\n" in raw
    assert b"\r\nAccess-Control-Allow-Origin: https://a.example\r\n" in raw
    assert raw.endswith(b'\r\n\r\n{"error":"ring_full","reason":"later"}')
    assert b"Retry-After: 7" not in R.refuse(refused("bad_json", "never"))


def test_the_origin_is_echoed_with_credentials_and_vary() -> None:
    lines = cors(b"https://a.example")
    for line in (
        b"Access-Control-Allow-Origin: https://a.example\r\n",
        b"Access-Control-Allow-Credentials: true\r\n",
        b"Vary: Origin\r\n",
    ):
        assert line in lines
    assert b"null" in cors(b"null")


def test_an_origin_that_cannot_be_one_is_not_echoed() -> None:
    for origin in (None, b"", b"a b", b"\xff", b"x" * 513):
        assert cors(origin) == b""


def test_a_preflight_grants_what_was_asked() -> None:
    lines = preflight({b"origin": b"https://a.example", b"access-control-request-headers": b"content-type, x-mine"})
    assert b"Access-Control-Allow-Headers: content-type, x-mine\r\n" in lines
    assert b"Access-Control-Allow-Credentials: true\r\n" in lines
    assert b"POST" in lines.partition(b"Access-Control-Allow-Methods:")[2]
    assert int(lines.partition(b"Max-Age: ")[2].partition(b"\r\n")[0]) >= 600
    assert b"Vary: Origin, " in lines


def test_a_preflight_without_origin_or_with_odd_headers_grants_less() -> None:
    assert preflight({}) == b"Allow: GET, HEAD, POST, OPTIONS\r\n"
    lines = preflight({b"origin": b"https://a.example", b"access-control-request-headers": b"a\xffb"})
    assert b"Allow-Headers" not in lines
