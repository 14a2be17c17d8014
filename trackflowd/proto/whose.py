"""Which sites the events of a JSON body name that could not be read as events; to count their refusals by.

Asked only after a refusal. Nothing is believed of it here: the names are what the sender wrote.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trackflowd.proto.request import Request


class _Named(msgspec.Struct):
    site: str = ""


_decode = msgspec.json.Decoder(_Named).decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_TROUBLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def of_json(request: Request, places: Sequence[int]) -> list[str]:
    """``Dialect.whose`` of one event or an array of them."""
    body = request.body
    parts = _split(body) if body.lstrip()[:1] == b"[" else [body]
    return [_site(parts[place]) for place in places]


def _site(part: bytes | msgspec.Raw) -> str:
    try:
        return _decode(part).site
    except _TROUBLE:
        return ""
