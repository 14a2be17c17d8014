"""Row ↔ ring bytes.

A record's payload is one msgpack array of seven elements::

    [version, page, source, agent, place, client, event]

``version`` is a small integer. ``page`` to ``client`` are *bin* values, each holding a msgpack
array of that part's fields in the order of ``event.FIELDS``; as bytes they can be joined from a
cache by the worker and recognised by a dictionary in the flusher without being decoded again.
``event`` is a plain array of the per-event fields; in version 1 without the last of them, ``ip``, which
only records of sites that store it have. So what most sites send is as short as before, and earlier versions of this
program read it. Event id, site hash and received time are in
the ring's record header, the batch id is added by the flusher.

Adding, removing or reordering a field changes what is on disk: raise ``VERSION``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trackflowd.errors import RecordError
from trackflowd.event import CACHED_PARTS, PartName, part

VERSION, PLAIN = 2, 1

_ARRAY_7 = b"\x97"  # msgpack fixarray header, then the version as a positive fixint
_HEAD = _ARRAY_7 + bytes([VERSION])
_PLAIN_HEAD = _ARRAY_7 + bytes([PLAIN])
_pack = msgspec.msgpack.Encoder().encode  # same bytes as msgpack in a third of the time (0.14 µs an event)

#: Payload or part → its array as a list, unchecked, in half of msgpack's time; raises one of ``TROUBLE``.
unpack = msgspec.msgpack.Decoder().decode
TROUBLE = (msgspec.DecodeError, ValueError, TypeError, RecursionError)

EVENT_FIELDS = tuple(field.name for field in part("event"))
#: Those of version 1; whoever reads one gives the last the value "".
PLAIN_FIELDS = EVENT_FIELDS[:-1]
_PLAIN = len(PLAIN_FIELDS)
PART_FIELDS: dict[PartName, tuple[str, ...]] = {
    name: tuple(field.name for field in part(name)) for name in CACHED_PARTS
}

#: What ``decode`` returns: the five parts as bytes (for ``decode_part``), then the event's values.
Decoded = tuple[bytes, bytes, bytes, bytes, bytes, list[Any]]


def encode_part(values: Sequence[str | int]) -> bytes:
    """A cached part's values, in table order, as bytes ready for ``encode``."""
    return _pack(_pack(values))


def encode(page: bytes, source: bytes, agent: bytes, place: bytes, client: bytes, event: Sequence[Any]) -> bytes:
    """One record's payload.

    Args:
        page, source, agent, place, client: from ``encode_part``.
        event: values of ``EVENT_FIELDS`` or, for the last being empty, of ``PLAIN_FIELDS``, in that order.
    """
    head = _PLAIN_HEAD if len(event) == _PLAIN else _HEAD
    return b"".join((head, page, source, agent, place, client, _pack(event)))


def decode(payload: bytes | memoryview) -> Decoded:
    """Parts and event values of a payload.

    Raises:
        RecordError: not a payload, or of a version this code does not know.
    """
    try:
        values = unpack(payload)
    except TROUBLE as error:
        raise RecordError(f"a record that is not msgpack: {error}") from error
    if not isinstance(values, list) or len(values) != 7:
        raise RecordError("a record that is not an array of seven")
    if values[0] == PLAIN and isinstance(values[6], list):
        values[6].append("")
    elif values[0] != VERSION:
        raise RecordError(
            f"a record of format {values[0]!r}, this program knows {VERSION}",
            "drain the rings with the version that wrote them",
        )
    return values[1], values[2], values[3], values[4], values[5], values[6]


def decode_part(raw: bytes) -> tuple[Any, ...]:
    """Values of a part as ``decode`` returned it, in table order.

    Raises:
        RecordError: not a part.
    """
    try:
        values = unpack(raw)
    except TROUBLE as error:
        raise RecordError(f"a record part that is not msgpack: {error}") from error
    if not isinstance(values, list):
        raise RecordError("a record part that is not an array")
    return tuple(values)
