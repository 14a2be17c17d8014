"""An event from the call to the bytes that are sent (docs/protocol.md of TrackFlow has the keys)."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Union

#: What it was paid: (19.99, "EUR"), or the wire's own {"amount": …, "currency": …}.
Revenue = Union["tuple[Amount, str]", Mapping[str, Any]]
Amount = Union[int, float, str, Decimal]
#: When it happened: with or without zone (then local time), or seconds since 1970.
Time = Union[datetime, int, float]
#: How long ago it happened: or seconds.
Age = Union[timedelta, int, float]


def encode(site: str, name: str, id: str, fields: Mapping[str, Any]) -> bytes:
    """An event's JSON object without its closing brace: what is known only at sending is still to come.

    Args:
        fields: the other keys; those with None are left out. What JSON has no word for (Decimal, datetime, UUID)
            becomes its text.

    Raises:
        ValueError, TypeError, RecursionError: a value that cannot be written even so.
    """
    event = {"site": site, "name": name, "id": id}
    event.update((key, value) for key, value in fields.items() if value is not None)
    return json.dumps(event, default=str, allow_nan=False, separators=(",", ":"))[:-1].encode()


def decode(body: bytes) -> dict[str, Any]:
    """The event that ``encode`` wrote."""
    event: dict[str, Any] = json.loads(body + b"}")
    return event


def revenue_of(revenue: Revenue | None) -> dict[str, Any] | None:
    """The wire's form: the amount as text, which keeps every digit."""
    if revenue is None:
        return None
    if not isinstance(revenue, Mapping):
        amount, currency = revenue
        revenue = {"amount": amount, "currency": currency}
    return {key: str(value) if key == "amount" else value for key, value in revenue.items()}


def age_of(time: Time | None, age: Age | None) -> float:
    """Seconds since it happened, at least 0; of both arguments the time counts."""
    if time is not None:
        when = time.timestamp() if isinstance(time, datetime) else float(time)
        seconds = clock.time() - when
    elif age is not None:
        seconds = age.total_seconds() if isinstance(age, timedelta) else float(age)
    else:
        return 0.0
    if seconds != seconds:
        raise ValueError("time or age is not a number")
    return min(max(seconds, 0.0), 1e12)


class Pending:
    """An event that waits for its answer.

    Args:
        number: its place in the order of ``track()``.
        body: of ``encode``.
        age: seconds since it happened.

    Attributes:
        attempt: how often it was sent before.
        alone: it must not share a request: one that it was in was refused as a whole.
    """

    __slots__ = ("_born", "alone", "attempt", "body", "number")

    def __init__(self, number: int, body: bytes, age: float) -> None:
        self.number = number
        self.body = body
        self._born = clock.monotonic() - age
        self.attempt = 0
        self.alone = False

    def wire(self) -> bytes:
        """As it is sent now: with its age, so that the server dates it right, and the number of earlier attempts."""
        age_ms = int((clock.monotonic() - self._born) * 1000)
        return b'%s,"age_ms":%d,"attempt":%d}' % (self.body, age_ms, self.attempt)
