"""Dates in query parameters of the admin listener: ISO 8601, or ms since 1970 UTC."""

from __future__ import annotations

from datetime import datetime, tzinfo

from trackflowd.admin_words import Parameters
from trackflowd.errors import QueryError
from trackflowd.proto.control import BadRequest
from trackflowd.stats import periods
from trackflowd.stats.spans import Period, period


def read_period(given: Parameters, usual: str, zone: str, whole: bool = False) -> Period:
    """The period that ``period``, ``from`` and ``to`` mean, as the flags of `trackflow stats` do.

    Args:
        given: the parameters.
        usual: the period where nothing is given.
        zone: IANA name; days begin there.
        whole: of statistics: see ``stats.spans.period``.

    Raises:
        BadRequest: it is said twice when the period begins.
        QueryError: none.
    """
    if given.text("period") and given.text("from"):
        raise BadRequest("bad_arguments", "period and from both say when the period begins", "leave one of them out")
    now = datetime.now(periods.zone(zone))
    start, end = (
        read_instant(name, given.text(name), now.tzinfo).isoformat() if given.text(name) else None
        for name in ("from", "to")
    )
    return period(given.text("period") or usual, start, end, now, whole)


def read_instant(name: str, text: str, where: tzinfo | None) -> datetime:
    """One instant.

    Args:
        name: of the parameter, for messages.
        text: digits alone are ms since 1970 UTC, all else is a date as ISO 8601 has it.
        where: zone of a date that names none.

    Raises:
        QueryError: it is neither.
    """
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text) / 1000, where)
        date = datetime.fromisoformat(text)
    except (OverflowError, ValueError, OSError):
        hint = "in a query, + is written %2B" if " " in text else "write 2026-11-01, 2026-11-01T12:00, or ms since 1970"
        raise QueryError(f"{name}: {text[:40]!r} is no date", hint) from None
    return date if date.tzinfo else date.replace(tzinfo=where)
