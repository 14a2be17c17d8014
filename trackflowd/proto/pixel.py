"""The no-script pixel: ``GET /v1/pixel.gif?site=…&name=…``, the native keys as query parameters.

For pages without scripts and for mail. ``props`` comes as ``props.NAME=value`` or as a JSON object
in ``props``, revenue as ``revenue.amount`` and ``revenue.currency`` or as an object in ``revenue``.
Everything else is as in ``native``. The answer is a transparent GIF of 43 bytes, which is the smallest
picture every browser and mail program shows; a refusal is JSON with its own status, for whoever looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from trackflowd.errors import Refused
from trackflowd.proto.dialects import Dialect, Event, Limits, RefusedEvent, Reply, Route, Taken
from trackflowd.proto.native import Scalar, Wire, check, none_good, translate
from trackflowd.proto.refusals import refused
from trackflowd.proto.request import Request

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    b"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
#: Pages that isolate themselves (Cross-Origin-Embedder-Policy) load only pictures that allow it.
_GIF_HEADERS = (
    b"Content-Type: image/gif\r\nCache-Control: no-store, max-age=0\r\nCross-Origin-Resource-Policy: cross-origin\r\n"
)
_NUMBERS = frozenset({"age_ms", "attempt", "engaged_ms", "scroll"})
#: Parts of an object that are the same empty as missing.
_OF_REVENUE = frozenset({"revenue.amount", "revenue.currency"})
_object = msgspec.json.Decoder(dict[str, Scalar]).decode


def read(request: Request, limits: Limits) -> Taken:
    """The event of a request (``Dialect.read``); its status is the refusal's own."""
    return (_event(_parameters(request.query)),), ()


def _parameters(query: bytes) -> dict[str, str]:
    """Query parameters; of a repeated one the last."""
    found: dict[str, str] = {}
    for pair in query.split(b"&"):
        if not pair:
            continue
        name, _, value = pair.partition(b"=")
        found[_decoded(name)] = _decoded(value)
    if not found:
        raise refused("empty", "no parameters, at least site and name were expected")
    return found


def _decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise refused("bad_utf8", f"not UTF-8: {error.reason}") from None


def _event(parameters: dict[str, str]) -> Event:
    fields: dict[str, Any] = {}
    props: dict[str, Scalar] = {}
    revenue: dict[str, Scalar] = {}
    for key, value in parameters.items():
        if key == "props":
            if value:
                props.update(_json_object(key, value))
        elif key.startswith("props."):
            props[key[6:]] = value
        elif key.startswith("revenue."):
            if value or key not in _OF_REVENUE:
                revenue[key[8:]] = value
        elif key == "revenue":
            if value:
                revenue.update(_json_object(key, value))
        else:
            fields[key] = _number(key, value) if key in _NUMBERS and value else value or None
    if revenue:
        fields["revenue"] = revenue
    try:
        wire = msgspec.convert(fields, Wire)
    except msgspec.ValidationError as error:
        raise translate(error, b"") from None
    wire.props = props
    return check(wire, "pixel", nul=any("\0" in text for pair in parameters.items() for text in pair))


def _number(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise refused("bad_type", f"{key}: digits were expected")
    return int(value)


def _json_object(key: str, text: str) -> dict[str, Scalar]:
    raw = text.encode()
    try:
        return _object(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        refusal = translate(error, raw)
        raise Refused(refusal.status, refusal.code, f"{key}: {refusal}") from None


def whose(request: Request, places: Sequence[int]) -> Sequence[str]:
    """The site that the event names (``Dialect.whose``)."""
    return [_parameters(request.query).get("site", "")]


def reply(accepted: int, bad: Sequence[RefusedEvent]) -> Reply:
    """The picture (``Dialect.reply``), also for what is only not counted."""
    refusal = None if accepted else none_good(bad)
    return Reply(200, _GIF_HEADERS, GIF) if refusal is None or refusal.status == 200 else refusal


DIALECT = Dialect("pixel", (Route(b"GET", "pixel_path"),), read, reply, whose)
