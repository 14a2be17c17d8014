"""Bad input against one real worker: each gets its documented status and code, the good event beside it lands.

One process serves the whole table. Before and behind each bad request a good event is sent, on the
bad one's own connection where that stays open; the counter of the code must grow by one.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

import pytest

from tests.workers import Served, post, split_answers, until
from trackflowd.proto.refusals import STATUS

_REST = b'"site":"s","name":"n"'


def _event(more: bytes) -> bytes:
    return post(b"{" + _REST + b"," + more + b"}", close=False)


def _get(head: bytes) -> bytes:
    return b"GET " + head + b"\r\n\r\n"


def _chunked(rest: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /v1/events HTTP/1.1", b"Host: h", b"Transfer-Encoding: chunked", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + rest


_GZIP = b"Content-Encoding: gzip"
_GOOD = b"{" + _REST + b"}"
_BOMB = gzip.compress(b" " * 5_000_000)
_LONG = b"x" * 200
_HOST = b" HTTP/1.1\r\nHost: h"

#: name: bytes sent, code, whether the connection goes on after the answer.
ROWS: dict[str, tuple[bytes, str, bool]] = {
    # not HTTP, or HTTP two programs may read differently
    "garbage": (b"\0\1\2\3\r\n\r\n", "malformed", False),
    "tls hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "malformed", False),
    "no colon": (_get(b"/" + _HOST + b"\r\nno colon"), "malformed", False),
    "space before colon": (_get(b"/" + _HOST + b"\r\nA : b"), "malformed", False),
    "folded header": (_get(b"/" + _HOST + b"\r\nA: b\r\n c"), "malformed", False),
    "bare lf": (b"GET / HTTP/1.1\nHost: h\n\n", "malformed", False),
    "nul in header": (_get(b"/" + _HOST + b"\r\nA: \0"), "malformed", False),
    "no host": (_get(b"/ HTTP/1.1"), "bad_host", False),
    "two hosts": (_get(b"/" + _HOST + b"\r\nHost: h"), "bad_host", False),
    "host of spaces": (_get(b"/ HTTP/1.1\r\nHost: a b"), "bad_host", False),
    "absolute of another host": (_get(b"http://x/" + _HOST), "bad_host", False),
    "http 2": (_get(b"/ HTTP/2.0\r\nHost: h"), "bad_version", False),
    "http 0.9": (_get(b"/ HTTP/0.9\r\nHost: h"), "bad_version", False),
    "te and cl": (_chunked(b"0\r\n\r\n", b"Content-Length: 5"), "malformed", False),
    "te gzip, chunked": (_chunked(b"").replace(b" chunked", b" gzip, chunked"), "bad_transfer", False),
    "te in 1.0": (_chunked(b"").replace(b"HTTP/1.1", b"HTTP/1.0"), "bad_transfer", False),
    "te xchunked": (_chunked(b"").replace(b" chunked", b" xchunked"), "bad_transfer", False),
    "underscore cl": (post(_GOOD, b"Content_Length: 1"), "malformed", False),
    "two cl": (post(_GOOD, b"Content-Length: 1"), "malformed", False),
    "negative cl": (_get(b"/" + _HOST + b"\r\nContent-Length: -1"), "malformed", False),
    "two types": (post(_GOOD, b"Content-Type: a/b", b"Content-Type: a/b"), "malformed", False),
    "get with body": (_get(b"/" + _HOST + b"\r\nContent-Length: 1") + b"x", "malformed", False),
    "fragment": (_get(b"/#a" + _HOST), "malformed", False),
    "upgrade": (post(_GOOD, b"Upgrade: websocket", b"Connection: upgrade"), "upgrade", False),
    "connect": (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "upgrade", False),
    "expect": (post(_GOOD, b"Expect: the-unexpected"), "expectation", False),
    "chunk size 0x1": (_chunked(b"0x1\r\nx\r\n0\r\n\r\n"), "malformed", False),
    "chunk of 2^72": (_chunked(b"1" + b"0" * 18 + b"\r\nx"), "malformed", False),
    "chunk extension flood": (_chunked(b"1;" + b"e" * 100_000 + b"\r\nx\r\n0\r\n\r\n"), "malformed", False),
    # oversize
    "url": (_get(b"/" + b"a" * 9000 + _HOST), "url_too_long", False),
    "head": (_get(b"/" + _HOST + b"\r\nA: " + b"a" * 33_000), "head_too_large", False),
    "many headers": (_get(b"/" + _HOST + b"\r\nA: b" * 8000), "head_too_large", False),
    "body": (post(b" " * (1024 * 1024 + 1)), "body_too_large", False),
    "chunked body": (_chunked(b"110000\r\n" + b" " * 0x110000 + b"\r\n0\r\n\r\n"), "body_too_large", False),
    "bomb": (post(_BOMB, _GZIP, close=False), "inflated_too_large", True),
    "bomb without a word": (post(_BOMB, close=False), "inflated_too_large", True),
    "501 events": (post(b"[" + b",".join([_GOOD] * 501) + b"]", close=False), "too_many_events", True),
    "event above an eighth of the ring": (
        _event(b'"props":{' + b",".join(b'"%d":"%s"' % (n, b"p" * 1000) for n in range(10)) + b"}"),
        "event_too_large",
        True,
    ),
    "events above a quarter of the ring": (
        post(b"[" + b",".join(b'{"site":"s","name":"n","user":"%s"}' % _LONG for _ in range(200)) + b"]", close=False),
        "too_many_events",
        True,
    ),
    # routes
    "no such route": (_get(b"/nothing" + _HOST), "not_found", True),
    "path with a query": (_get(b"/v1/event?x" + _HOST), "not_found", True),
    "get for events": (_get(b"/v1/events" + _HOST), "method", True),
    "put for events": (post(_GOOD, close=False).replace(b"POST", b"PUT"), "method", True),
    "post for the script": (post(_GOOD, close=False, path=b"/t.js"), "method", True),
    # encodings
    "brotli": (post(_GOOD, b"Content-Encoding: br", close=False), "unsupported_encoding", True),
    "gzip that is none": (post(_GOOD, _GZIP, close=False), "bad_encoding", True),
    "gzip cut off": (post(gzip.compress(_GOOD)[:-4], close=False), "bad_encoding", True),
    "gzip with a wrong crc": (post(gzip.compress(_GOOD)[:-8] + b"\0" * 8, close=False), "bad_encoding", True),
    "two gzip members": (post(gzip.compress(_GOOD) * 2, close=False), "bad_encoding", True),
    "zlib": (post(zlib.compress(_GOOD), _GZIP, close=False), "bad_encoding", True),
    # not JSON, not text
    "empty": (post(b"", close=False), "empty", True),
    "spaces": (post(b" \r\n", close=False), "empty", True),
    "empty array": (post(b"[]", close=False), "empty", True),
    "gzip of nothing": (post(gzip.compress(b""), close=False), "empty", True),
    "cut off": (post(_GOOD[:-1], close=False), "bad_json", True),
    "two objects": (post(_GOOD * 2, close=False), "bad_json", True),
    "single quotes": (post(b"{'site':'s'}", close=False), "bad_json", True),
    "trailing comma": (post(_GOOD[:-1] + b",}", close=False), "bad_json", True),
    "byte order mark": (post(b"\xef\xbb\xbf" + _GOOD, close=False), "bad_json", True),
    "utf-16": (post(_GOOD.decode().encode("utf-16"), close=False), "bad_json", True),
    "form": (post(b"site=s&name=n", close=False), "bad_json", True),
    "NaN": (_event(b'"age_ms":NaN'), "bad_json", True),
    "NaN in props": (_event(b'"props":{"a":NaN}'), "bad_json", True),
    "Infinity": (_event(b'"revenue":{"amount":-Infinity,"currency":"EUR"}'), "bad_json", True),
    "raw NUL": (_event(b'"title":"a\0b"'), "bad_json", True),
    "latin-1": (_event(b'"title":"caf\xe9"'), "bad_utf8", True),
    "overlong": (_event(b'"title":"\xc0\x80"'), "bad_utf8", True),
    "surrogate as utf-8": (_event(b'"title":"\xed\xa0\x80"'), "bad_utf8", True),
    "lone high surrogate": (_event(b'"title":"\\ud800"'), "bad_utf8", True),
    "lone low surrogate": (_event(b'"title":"\\udc00."'), "bad_utf8", True),
    "high surrogate and a letter": (_event(b'"title":"\\ud83da"'), "bad_utf8", True),
    "bad utf-8 in a key": (_event(b'"\xff":1'), "bad_utf8", True),
    "a million brackets": (post(b"[" * 1_000_000, close=False), "too_deep", True),
    "a million brackets inside": (post(b"[" + _GOOD + b"," + b"[" * 900_000, close=False), "too_deep", True),
    # events
    "a number": (post(b"5", close=False), "bad_type", True),
    "null": (post(b"null", close=False), "bad_type", True),
    "array of numbers": (post(b"[5]", close=False), "bad_type", True),
    "no site": (post(b'{"name":"n"}', close=False), "missing_key", True),
    "no name": (post(b'{"site":"n"}', close=False), "missing_key", True),
    "null site": (post(b'{"site":null,"name":"n"}', close=False), "bad_type", True),
    "unknown key": (_event(b'"color":"red"'), "unknown_key", True),
    "unknown key of revenue": (_event(b'"revenue":{"amount":1,"currency":"EUR","x":1}'), "unknown_key", True),
    "ip": (_event(b'"ip":"203.0.113.9"'), "forbidden_key", True),
    "agent": (_event(b'"agent":"x"'), "forbidden_key", True),
    "time": (_event(b'"time":1763900000000'), "forbidden_key", True),
    "site with a slash": (post(b'{"site":"a/b","name":"n"}', close=False), "bad_value", True),
    "site too long": (post(b'{"site":"' + b"s" * 65 + b'","name":"n"}', close=False), "bad_value", True),
    "site of NUL": (post(b'{"site":"\\u0000","name":"n"}', close=False), "bad_value", True),
    "empty name": (post(b'{"site":"s","name":""}', close=False), "bad_value", True),
    "name too long": (post(b'{"site":"s","name":"' + b"\xc3\xa4" * 65 + b'"}', close=False), "bad_value", True),
    "number for a name": (post(b'{"site":"s","name":1}', close=False), "bad_type", True),
    "id too long": (_event(b'"id":"' + b"i" * 129 + b'"'), "bad_value", True),
    "id a number": (_event(b'"id":1'), "bad_type", True),
    "age below 0": (_event(b'"age_ms":-1'), "bad_value", True),
    "age of 2^63": (_event(b'"age_ms":9223372036854775808'), "bad_value", True),
    "age of 2^64": (_event(b'"age_ms":18446744073709551616'), "bad_value", True),
    "age with a fraction": (_event(b'"age_ms":1.5'), "bad_type", True),
    "age as text": (_event(b'"age_ms":"1"'), "bad_type", True),
    "attempt true": (_event(b'"attempt":true'), "bad_type", True),
    "screen": (_event(b'"screen":"wide"'), "bad_value", True),
    "viewport": (_event(b'"viewport":"1x2x3"'), "bad_value", True),
    "scroll of 101": (_event(b'"scroll":101'), "bad_value", True),
    "engaged for two days": (_event(b'"engaged_ms":172800000'), "bad_value", True),
    "31 props": (_event(b'"props":{' + b",".join(b'"%d":1' % n for n in range(31)) + b"}"), "bad_value", True),
    "nested props": (_event(b'"props":{"a":{}}'), "bad_type", True),
    "props an array": (_event(b'"props":[1]'), "bad_type", True),
    "prop of 2^63": (_event(b'"props":{"a":9223372036854775808}'), "bad_value", True),
    "prop of 1e400": (_event(b'"props":{"a":1e400}'), "bad_value", True),
    "prop of 5000 digits": (_event(b'"props":{"a":' + b"9" * 5000 + b"}"), "bad_value", True),
    "revenue without currency": (_event(b'"revenue":{"amount":1}'), "missing_key", True),
    "currency in small letters": (_event(b'"revenue":{"amount":1,"currency":"eur"}'), "bad_value", True),
    "amount of 1e12": (_event(b'"revenue":{"amount":1e12,"currency":"EUR"}'), "bad_value", True),
    "amount of words": (_event(b'"revenue":{"amount":"ten","currency":"EUR"}'), "bad_value", True),
    "a decision without a token": (post(_GOOD, b"X-Trackflow-Debug: tft_1_x", close=False), "bad_token", True),
    # the pixel
    "pixel without parameters": (_get(b"/v1/pixel.gif" + _HOST), "empty", True),
    "pixel without name": (_get(b"/v1/pixel.gif?site=s" + _HOST), "missing_key", True),
    "pixel with an unknown key": (_get(b"/v1/pixel.gif?site=s&name=n&color=red" + _HOST), "unknown_key", True),
    "pixel in latin-1": (_get(b"/v1/pixel.gif?site=s&name=%e9" + _HOST), "bad_utf8", True),
    "pixel with a bad number": (_get(b"/v1/pixel.gif?site=s&name=n&scroll=x" + _HOST), "bad_type", True),
    "pixel with bad props": (_get(b"/v1/pixel.gif?site=s&name=n&props=%7b" + _HOST), "bad_json", True),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("bad") / "data", ["ring.size=64KiB"])
    yield served
    served.close()


def test_the_table_is_long_enough_and_knows_every_code_a_request_can_bring_about() -> None:
    assert len(ROWS) >= 60
    of_others = {"timeout", "too_busy", "too_many_connections", "ring_full", "ring_failed"}  # test_door, test_worker
    of_policy = {"bad_key", "key_site", "unknown_site", "origin", "path"}  # test_admission
    of_policy |= {"opted_out", "bot", "excluded_address", "excluded_path"}
    of_policy |= {"rate_limited", "address_rate_limited"}
    assert set(STATUS) - {code for _, code, _ in ROWS.values()} == of_others | of_policy


@pytest.mark.parametrize("name", ROWS)
def test_bad_input_is_refused_as_documented_and_harms_nothing_beside_it(served: Served, name: str) -> None:
    raw, code, goes_on = ROWS[name]
    served.rows()
    before = served.slot.refusals().get(code, 0)
    first = post(b'{"site":"s","name":"before"}', close=False)
    last = post(b'{"site":"s","name":"behind"}')
    answers = split_answers(served.send(first + raw + last))
    statuses = [status for status, _, _ in answers]
    assert statuses == [200, STATUS[code], *([200] if goes_on else [])]
    refusal = json.loads(answers[1][2])
    assert refusal["error"] == code
    assert refusal["reason"] and len(refusal["reason"]) < 300
    if not goes_on:
        assert answers[1][1][b"connection"] == b"close"
        served.send(last)
    names = [row["name"] for row in served.rows()]
    assert names == ["before", "behind"]
    until("counted", lambda: served.slot.refusals().get(code, 0) > before)
    assert served.slot.refusals()[code] == before + 1


def test_bad_events_of_an_array_are_named_and_the_good_ones_land(served: Served) -> None:
    parts = [
        b'{"site":"s","name":"a"}',
        b'{"site":"s","name":"b","color":1}',
        b"5",
        b'{"site":"s","name":"\xff"}',
        b'{"site":"s","name":"c","ip":"1.1.1.1"}',
        b'{"site":"s","name":"d"}',
    ]
    ((status, _, body),) = split_answers(served.send(post(b"[" + b",".join(parts) + b"]")))
    answer = json.loads(body)
    assert (status, answer["accepted"]) == (200, 2)
    assert [(bad["index"], bad["error"]) for bad in answer["refused"]] == [
        (1, "unknown_key"),
        (2, "bad_type"),
        (3, "bad_utf8"),
        (4, "forbidden_key"),
    ]
    assert '"color"' in answer["refused"][0]["reason"]
    assert [row["name"] for row in served.rows()] == ["a", "d"]


def test_a_refused_head_request_has_no_body(served: Served) -> None:
    raw = b"HEAD /v1/events HTTP/1.1\r\nHost: h\r\n\r\n" + post(_GOOD)
    answers = split_answers(served.send(raw), bodiless=0)
    assert [status for status, _, _ in answers] == [405, 200]
    assert int(answers[0][1][b"content-length"]) > 0
    assert len(served.rows()) == 1


def test_nothing_was_said_on_standard_error_about_any_of_it(served: Served) -> None:
    assert (served.data_dir / "stderr").read_text() == ""
