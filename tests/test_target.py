"""proto.target: what of a request's target is read, and which tricks are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.proto import target
from trackflowd.proto.control import BadRequest


@pytest.mark.parametrize(
    ("raw", "segments", "query"),
    [
        (b"/", ("",), ()),
        (b"/healthz", ("healthz",), ()),
        (b"/healthz/", ("healthz", ""), ()),
        (b"/v1/stats/pages?limit=5&where=page+is+%2Fa%20b&where=", ("v1", "stats", "pages"),
         (("limit", "5"), ("where", "page is /a b"), ("where", ""))),
        (b"/v1/events/a%20b?site", ("v1", "events", "a b"), (("site", ""),)),
        (b"/v1/events/%C3%A4@x.y", ("v1", "events", "ä@x.y"), ()),
        (b"/v1/geo/2001:db8::1?", ("v1", "geo", "2001:db8::1"), ()),
        (b"/v1/x?a=b=c&d?e=/", ("v1", "x"), (("a", "b=c"), ("d?e", "/"))),
        (b"/...", ("...",), ()),
    ],
)  # fmt: skip
def test_a_path_and_a_query_are_read(raw: bytes, segments: tuple[str, ...], query: tuple[tuple[str, str], ...]) -> None:
    assert target.read(raw) == (segments, query)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"*", b"healthz", b"?x=1", b"http://127.0.0.1/healthz", b"//evil.example/v1", b"127.0.0.1:80",
        b"/v1//events", b"/healthz//", b"/./healthz", b"/healthz/../v1/events", b"/healthz/..", b"/%2e%2e/v1/events",
        b"/healthz/%2E%2e/v1", b"/healthz/.%2e/v1", b"/%2e/v1", b"/healthz%2fv1", b"/healthz%2Fv1", b"/v1%5cevents",
        b"/v1\\events", b"/v1/a%00b", b"/v1/a%0d%0ab", b"/v1/%7f", b"/v1/%c2%85", b"/v1/%", b"/v1/%2", b"/v1/%zz",
        b"/v1/%ff", b"/v1/%c0%af", b"/v1/\xc3\xa4", b"/v1/a b", b"/v1/a#b", b"/v1/<a>", b"/v1?a=%zz", b"/v1?a=%ff",
        b"/v1?a=\"", b"/v1?" + b"&" * target.MAX_PARAMETERS, b"/" + b"a" * target.MAX_TARGET,
    ],
)  # fmt: skip
def test_what_others_might_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        target.read(raw)
    assert caught.value.code == "bad_target"


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(tail: bytes) -> None:
    try:
        found = target.read(b"/" + tail)
    except BadRequest:
        return
    assert all("/" not in segment and segment not in (".", "..") for segment in found.segments)
    assert "" not in found.segments[:-1]
