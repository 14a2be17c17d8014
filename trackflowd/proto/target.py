"""A request target of the admin listener: bytes of the request line → path segments and query. Pure.

RFC 9112 knows four forms; only the origin form (``/path?query``) is taken here. What some servers and proxies read
differently from others is refused, not tidied up: a proxy in front that lets ``/healthz`` through and nothing else
must not be talked past by ``/healthz/..%2fv1/events``. So there are no dot segments, plain or encoded, no empty
segments, and no encoded slash, backslash, or control character.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from trackflowd.proto.control import BadRequest

#: Bytes of a target; 20 filters of a statistic, encoded, take half of it.
MAX_TARGET = 8192
#: Query parameters: above what any route knows, with its lists full.
MAX_PARAMETERS = 64

#: What RFC 3986 lets stand in a path and a query, and percent signs only before two hex digits.
_PATH = re.compile(rb"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+\Z")
_QUERY = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*\Z")
_INSIDE = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")


class Target(NamedTuple):
    """What is asked for.

    Args:
        segments: of the path, decoded; of "/": one, empty.
        query: names and values, decoded, in their order.
    """

    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...]


def read(raw: bytes) -> Target:
    """The target of a request line.

    Raises:
        BadRequest: ``bad_target``.
    """
    if len(raw) > MAX_TARGET:
        raise _bad(f"longer than {MAX_TARGET} bytes")
    path, _, query = raw.partition(b"?")
    if not path.startswith(b"/"):
        raise _bad("not a path: it begins with /, without scheme and host")
    if not _PATH.match(path) or not _QUERY.match(query):
        raise _bad("a character that has to be percent-encoded")
    segments = tuple(_decoded(segment) for segment in path[1:].split(b"/"))
    if "" in segments[:-1]:
        raise _bad("an empty segment: //")
    for segment in segments:
        if segment in (".", ".."):
            raise _bad("a dot segment: it is not resolved here")
        if _INSIDE.search(segment):
            raise _bad("an encoded slash, backslash or control character; ask by a query parameter instead")
    pairs = query.split(b"&") if query else []
    if len(pairs) > MAX_PARAMETERS:
        raise _bad(f"more than {MAX_PARAMETERS} query parameters")
    return Target(segments, tuple(_pair(pair) for pair in pairs))


def _pair(raw: bytes) -> tuple[str, str]:
    """As a form sends it: + is a space."""
    name, _, value = raw.replace(b"+", b" ").partition(b"=")
    return _decoded(name), _decoded(value)


def _decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise _bad("percent-encoded bytes that are not UTF-8") from error


def _bad(what: str) -> BadRequest:
    return BadRequest("bad_target", f"the request's target: {what}")
