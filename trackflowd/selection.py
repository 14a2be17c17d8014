"""Which events are meant: a selection, as conditions that every store and a row in memory can be held against. Pure.

A selection names what an event must have: site, name, user, visitor, id, and a period of its time. All that is named
has to hold. A *tombstone* is a selection and the moment it was asked for: it names the events that were received up
to then, and none that come later (``erasure`` says what for).

One list of conditions is the meaning; stores get it as SQL with values bound apart from it, rows in memory by
``Tombstone.names``. So that all of them agree, conditions only compare for equality, and times in whole milliseconds.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from trackflowd.errors import QueryError
from trackflowd.event import BY_NAME, bound

#: Bytes of an id that is no UUID; ``proto.native`` takes no longer one.
MAX_ID = 128
#: ms since 1970 UTC, end of the year 9999.
MAX_MS = 253_402_300_799_999

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_VISITOR = re.compile(r"[0-9a-f]{16}\Z")
_KEYS = ("site", "name", "user", "visitor", "id", "from", "to")


class Condition(NamedTuple):
    """``field op value``.

    Args:
        field: one of ``event.FIELDS``.
        op: "=", ">=", "<" or "<=".
        value: as ``Field.kind`` says: str, int (a visitor, ms since 1970 UTC) or 16 bytes.
    """

    field: str
    op: str
    value: str | int | bytes

    def holds(self, value: Any) -> bool:
        """Whether a row's value fits."""
        if self.op == "=":
            return bool(value == self.value)
        if self.op == "<":
            return bool(value < self.value)
        return bool(value >= self.value if self.op == ">=" else value <= self.value)


@dataclass(frozen=True, slots=True)
class Selection:
    """What the events meant have in common; what is not named is "" or None.

    Args:
        site: name of the site.
        name: event name.
        user: the site's own id of a person.
        visitor: the daily hash of one.
        event: 16 bytes, the event's id.
        from_ms, to_ms: when it happened, ms since 1970 UTC; the end is not included.
    """

    site: str = ""
    name: str = ""
    user: str = ""
    visitor: int | None = None
    event: bytes = b""
    from_ms: int | None = None
    to_ms: int | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Selection:
        """A selection as it comes from outside: the keys of ``as_dict``, any of them absent.

        Raises:
            QueryError: a key or a value that makes no sense.
        """
        if strange := sorted(set(given) - set(_KEYS), key=str):
            raise QueryError(f"events are not selected by {strange[0]!r}", f"by {', '.join(_KEYS)}")
        texts = {key: _text(key, given.get(key) or "") for key in ("site", "name", "user")}
        times = {f"{key}_ms": _time(key, given[key]) if given.get(key) is not None else None for key in ("from", "to")}
        start, end = times["from_ms"], times["to_ms"]
        if start is not None and end is not None and start >= end:
            raise QueryError("the period ends before it begins", "from is its begin, to its end, not included")
        event = given.get("id") or ""
        visitor = given.get("visitor") or ""
        return cls(
            texts["site"], texts["name"], texts["user"],
            visitor_of(visitor) if visitor else None, event_of(event) if event else b"", start, end,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; ``read`` makes the same selection of it."""
        value: dict[str, Any] = {"site": self.site, "name": self.name, "user": self.user}
        value["visitor"] = "" if self.visitor is None else f"{self.visitor:016x}"
        value["id"] = str(uuid.UUID(bytes=self.event)) if self.event else ""
        value |= {"from": self.from_ms, "to": self.to_ms}
        return {key: one for key, one in value.items() if one not in ("", None)}

    @property
    def empty(self) -> bool:
        """Nothing is named: every event is meant."""
        return all(getattr(self, one.name) in ("", None, b"") for one in fields(self))

    def conditions(self) -> list[Condition]:
        """What an event has to fit, all of it."""
        found = [
            Condition(field, "=", value)
            for field, value in (("site", self.site), ("name", self.name), ("user_id", self.user))
            if value
        ]
        if self.visitor is not None:
            found.append(Condition("visitor", "=", self.visitor))
        if self.event:
            found.append(Condition("event_id", "=", self.event))
        if self.from_ms is not None:
            found.append(Condition("time", ">=", self.from_ms))
        if self.to_ms is not None:
            found.append(Condition("time", "<", self.to_ms))
        return found

    def __str__(self) -> str:
        return " ".join(f"{key} {value}" for key, value in self.as_dict().items()) or "every event"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What was asked to be erased, and when.

    Args:
        what: which events.
        until_ms: received up to then, inclusive; ms since 1970 UTC.
        number: its own; 0: it was not written down (a dry run).
    """

    what: Selection
    until_ms: int
    number: int = 0

    def conditions(self) -> list[Condition]:
        """What a row has to fit, all of it."""
        return [*self.what.conditions(), Condition("received", "<=", self.until_ms)]

    def names(self, row: Mapping[str, Any]) -> bool:
        """Whether it names a row, given by the fields that conditions can have."""
        return all(one.holds(row[one.field]) for one in self.conditions())


def event_of(text: Any) -> bytes:
    """16 bytes of an event's id as a person or a sender writes it: a UUID, or a text that stands for its hash.

    Raises:
        QueryError: longer than any sender's.
    """
    if not isinstance(text, str) or not 0 < len(text.encode("utf-8", "replace")) <= MAX_ID:
        raise QueryError("an event's id is a UUID, or the text of at most 128 bytes that its sender gave it")
    if _UUID.match(text):
        return bytes.fromhex(text.replace("-", ""))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()  # as proto.native does


def visitor_of(text: Any) -> int:
    """A visitor's hash, written as 16 digits of hex.

    Raises:
        QueryError: it is not.
    """
    if not isinstance(text, str) or not _VISITOR.match(text.lower()):
        raise QueryError(f"visitor {text!r}: 16 digits of hex were expected", "as `trackflow events list` shows them")
    return int(text, 16)


def _text(key: str, value: Any) -> str:
    limit = bound("user_id" if key == "user" else key)
    if not isinstance(value, str) or "\0" in value or len(value.encode("utf-8", "replace")) > limit:
        raise QueryError(f"{key}: a text of at most {limit} bytes was expected")
    return value


def _time(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_MS:
        raise QueryError(f"{key}: ms since 1970 UTC were expected, as a whole number")
    return value


# ------------------------------------------------------------------------ SQL

#: Values of ``{name:Type}`` parameters (``sink.base.Params``).
Values = dict[str, str | int]


def where(conditions: Sequence[Condition], store: str, prefix: str = "p") -> tuple[str, Values]:
    """Conditions as SQL on ``events`` with ``{name:Type}`` parameters, and their values.

    Args:
        conditions: all of them have to hold; none: always.
        store: "clickhouse" or "postgresql" (the view).
        prefix: of the parameters' names.
    """
    parts, values = [], Values()
    for n, (field, op, value) in enumerate(conditions):
        name = f"{prefix}{n}"
        values[name] = str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else value
        parts.append(f"{field} {op} {_PARAMETERS[store][BY_NAME[field].kind].format('{' + name, '}')}")
    return " AND ".join(parts) or "1 = 1", values


#: How a parameter of a kind is written.
_PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "clickhouse": {
        "text": "{0}:String{1}",
        "uint": "{0}:UInt64{1}",
        "time": "fromUnixTimestamp64Milli({0}:Int64{1}, 'UTC')",
        "uuid": "toUUID({0}:String{1})",
    },
    "postgresql": {
        "text": "{0}:String{1}",
        "uint": "{0}:UInt64{1}",
        "time": "timestamptz 'epoch' + {0}:Int64{1} * interval '1 millisecond'",
        "uuid": "{0}:String{1}::uuid",
    },
}
