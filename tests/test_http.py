"""trackflowd.proto.http: what is a request, what is refused, and that cutting the bytes changes neither."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest

from trackflowd.proto.http import BODY, ENDED, HEAD, MAX_CHUNK_OVERHEAD, REST, Connection, Limits

Seen = tuple[list[tuple[bytes, bytes, bytes, bool]], str | None]

LIMITS = Limits(max_head=600, max_url=100, max_body=400)


def feed(pieces: Iterable[bytes], limits: Limits = LIMITS) -> Seen:
    """Requests and the code of the refusal, if any."""
    conn = Connection(limits)
    requests = []
    for piece in pieces:
        for request in conn.receive(piece):
            requests.append((request.method, request.target, request.body, request.keep_alive))
    return requests, conn.failure.code if conn.failure else None


def bytewise(raw: bytes) -> Iterator[bytes]:
    return (raw[i : i + 1] for i in range(len(raw)))


GET = b"GET /a?b=1 HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /e HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
TRAILED = CHUNKED[:-2] + b"X-Forwarded-For: 6.6.6.6\r\nHost: evil\r\n\r\n"

GOOD = {
    "get": GET,
    "post": POST,
    "chunked": CHUNKED,
    "trailers": TRAILED,
    "pipelined": POST + GET + CHUNKED + TRAILED + GET + POST,
    "crlf before": b"\r\n\r\n" + GET + b"\r\n" + POST,
    "blank lines in bodies": POST.replace(b"hello", b"\r\n\r\nh") + CHUNKED.replace(b"hel\r\n", b"\r\n\r\r\n") + GET,
    "http/1.0": b"POST /e HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
    "http/1.0 kept": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET,
    "close": GET.replace(b"h\r\n\r\n", b"h\r\nConnection: close\r\n\r\n"),
    "absolute": b"GET http://H/a?b HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute without path": b"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n",
    "options star": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "empty post": b"POST /e HTTP/1.1\r\nHost: h\r\n\r\n" + GET,
    "ipv6 host": b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "head of the most": b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * (600 - 32) + b"\r\n\r\n" + GET,
    "body of the most": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 400\r\n\r\n" + b"x" * 400 + GET,
    "odd spelling": b"POST / HTTP/1.1\r\nhOsT: h\r\ncONTENT-length: 1\r\n\r\nx",
}

BAD = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", "bad_host"),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", "bad_host"),
    "empty host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad_host"),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", "bad_host"),
    "host with user": (b"GET / HTTP/1.1\r\nHost: a@h\r\n\r\n", "bad_host"),
    "absolute form of another host": (b"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad_host"),
    "absolute form of another scheme": (b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "malformed"),
    "fragment": (b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "malformed"),
    "star for get": (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", "malformed"),
    "http/2.0": (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "bad_version"),
    "http/0.9": (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", "bad_version"),
    "no version": (b"GET /\r\nX-HTTP: HTTP/1.1\r\nHost: h\r\n\r\n", "bad_version"),
    "http/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad_version"),
    "te on 1.0": (b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_transfer"),
    "gzip, chunked": (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "bad_transfer",
    ),
    "te twice": (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "bad_transfer",
    ),
    "te and cl": (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "malformed",
    ),
    "cl twice": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "malformed"),
    "cl +5": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello", "malformed"),
    "cl 5, 5": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello", "malformed"),
    "cl of 2^64": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n", "malformed"),
    "underscore cl": (b"POST / HTTP/1.1\r\nHost: h\r\nContent_Length: 5\r\n\r\n", "malformed"),
    "underscore te": (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\n\r\n", "malformed"),
    "type twice": (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 1\r\n\r\nx",
        "malformed",
    ),
    "get with a body": (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "malformed"),
    "get chunked": (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed"),
    "upgrade with a body": (
        b"POST /e HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\nhello",
        "upgrade",
    ),
    "upgrade alone": (b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n", "upgrade"),
    "connect": (b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "upgrade"),
    "other expectation": (
        b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\nx",
        "expectation",
    ),
    "bare lf": (b"GET / HTTP/1.1\nHost: h\n\n", "malformed"),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "malformed"),
    "folded header": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "malformed"),
    "nul in a header": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", "malformed"),
    "no method": (b"/ HTTP/1.1\r\nHost: h\r\n\r\n", "malformed"),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "malformed"),
    "long url": (b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: h\r\n\r\n", "url_too_long"),
    "one header too long": (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * (600 - 31) + b"\r\n\r\n", "head_too_large"),
    "many headers": (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 200 + b"\r\n", "head_too_large"),
    "spaces without end": (b"GET / HTTP/1.1\r\nHost: h\r\nX:" + b" " * 5000, "head_too_large"),
    "long body": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 401\r\n\r\n", "body_too_large"),
    "long chunked body": (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n191\r\n" + b"x" * 401 + b"\r\n0\r\n\r\n",
        "body_too_large",
    ),
    "chunk size overflow": (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        "malformed",
    ),
    "chunk size 0x5": (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
        "malformed",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_requests_are_read_the_same_however_they_are_cut(name: str) -> None:
    raw = GOOD[name]
    whole = feed([raw])
    assert whole[0] and whole[1] is None
    assert feed(bytewise(raw)) == whole
    for at in range(1, len(raw)):
        assert feed([raw[:at], raw[at:]]) == whole, at


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_refused_the_same_however_they_are_cut(name: str) -> None:
    raw, code = BAD[name]
    assert feed([raw]) == ([], code)
    assert feed(bytewise(raw)) == ([], code)
    for at in range(1, len(raw)):
        assert feed([raw[:at], raw[at:]]) == ([], code), at


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_does_not_touch_the_good_one_before_it_and_hides_the_one_behind(name: str) -> None:
    raw, code = BAD[name]
    raw = POST + raw + POST
    want = feed([POST])[0], code
    assert feed([raw]) == want
    assert feed(bytewise(raw)) == want
    for at in range(1, len(raw), 3):
        assert feed([raw[:at], raw[at:]]) == want, at


def test_random_cuts_of_long_pipelines_change_nothing() -> None:
    source = random.Random(7)
    for _ in range(100):
        raw = b"".join(source.choices(list(GOOD.values()), k=6))
        cuts = sorted(source.choices(range(len(raw)), k=source.randrange(12)))
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if a < b]
        assert feed(pieces) == feed(bytewise(raw))


def test_what_is_read_of_a_request() -> None:
    conn = Connection(LIMITS)
    (request,) = conn.receive(
        b"POST /v1/events?x=1&y HTTP/1.1\r\nHost: h\r\nUser-Agent: me \r\nAccept: */*\r\nX-Forwarded-For: 1.1.1.1\r\n"
        b"x-forwarded-for: 2.2.2.2\r\nUser-Agent: you\r\nContent-Length: 2\r\n\r\nhi"
    )
    assert (request.path, request.query, request.body) == (b"/v1/events", b"x=1&y", b"hi")
    assert request.headers == {
        b"host": b"h",
        b"user-agent": b"me ",
        b"x-forwarded-for": b"1.1.1.1, 2.2.2.2",
        b"content-length": b"2",
    }


@pytest.mark.parametrize("pieces", [[TRAILED + GET], [*bytewise(TRAILED + GET)]])
def test_trailers_are_no_headers_of_this_request_nor_of_the_next(pieces: list[bytes]) -> None:
    conn = Connection(LIMITS)
    first, second = (request for piece in pieces for request in conn.receive(piece))
    assert set(first.headers) == {b"host", b"transfer-encoding"}
    assert first.headers[b"host"] == b"h"
    assert set(second.headers) == {b"host"}


def test_100_continue_is_wanted_until_the_body_comes() -> None:
    conn = Connection(LIMITS)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    assert conn.receive(head) == []
    assert conn.wants_continue and conn.phase == BODY
    assert len(conn.receive(b"hi")) == 1
    assert not conn.wants_continue
    assert len(conn.receive(head + b"hi")) == 1
    assert not conn.wants_continue


def test_an_expectation_of_http_1_0_is_none() -> None:
    requests, code = feed([b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"])
    assert (len(requests), code) == (1, None)


def test_phases_and_bytes_held() -> None:
    conn = Connection(LIMITS)
    assert conn.phase == REST
    conn.receive(POST[:10])
    assert conn.phase == HEAD
    conn.receive(POST[10:-3])
    assert (conn.phase, conn.held) == (BODY, 2)
    conn.receive(POST[-3:])
    assert (conn.phase, conn.held) == (REST, 0)
    conn.receive(b"\0")
    assert conn.phase == ENDED
    assert conn.receive(GET) == []


@pytest.mark.parametrize("size", [1, 7, 1000, 4096, 10**6])
def test_chunk_extensions_have_an_end(size: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = head + b"1;" + b"e" * (MAX_CHUNK_OVERHEAD + 1) + b"\r\nx\r\n0\r\n\r\n" + GET
    limits = Limits()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert feed(pieces, limits) == ([], "malformed")
    fits = raw.replace(b"e" * (MAX_CHUNK_OVERHEAD + 1), b"e" * (MAX_CHUNK_OVERHEAD - 100))
    assert len(feed([fits[at : at + size] for at in range(0, len(fits), size)], limits)[0]) == 2


def test_trailers_have_an_end() -> None:
    raw = CHUNKED[:-2] + b"X: y\r\n" * (MAX_CHUNK_OVERHEAD // 6) + b"\r\n"
    assert feed([raw]) == ([], "malformed")


def test_a_large_chunked_body_of_many_small_chunks_is_taken() -> None:
    limits = Limits()
    body = b"x" * 500_000
    chunks = b"".join(b"fa0\r\n" + body[at : at + 4000] + b"\r\n" for at in range(0, len(body), 4000))
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    requests, code = feed([raw[at : at + 65536] for at in range(0, len(raw), 65536)], limits)
    assert code is None and requests[0][2] == body


def test_a_mistake_in_a_callback_is_not_taken_for_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.proto.http.Request", None)
    with pytest.raises(Exception, match="callback"):
        Connection(LIMITS).receive(GET)


def test_a_closed_connection_reads_nothing() -> None:
    conn = Connection(LIMITS)
    conn.close()
    assert conn.receive(GET) == []
