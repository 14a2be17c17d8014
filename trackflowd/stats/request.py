"""What is asked of a statistic: arguments from outside, looked at before a store is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from trackflowd.errors import QueryError
from trackflowd.stats import filters, periods
from trackflowd.stats.catalogue import STATISTICS, paged
from trackflowd.stats.compose import Scope
from trackflowd.stats.filters import Filter

#: Rows of one list, unless asked otherwise, and at most.
DEFAULT_LIMIT = 10
MAX_LIMIT = 1000

#: Rows of a list that a page may leave out before its first: a store holds them while it sorts.
MAX_OFFSET = 1_000_000

#: Steps of a funnel at most: what a person can read, and a level of subqueries each.
MAX_STEPS = 8

#: Seconds a funnel may take, unless asked otherwise. A visitor is another one the next day.
DEFAULT_WINDOW = 24 * 3600

#: Steps of a funnel that nobody described: a page, a second one, an event of one's own.
DEFAULT_STEPS = ("event is pageview", "event is pageview", "event is not pageview")

#: Who sent an event in so many ms is there now.
THERE_MS = 5 * 60_000

#: Periods (ms) where a control client names none.
_SPANS = {"7d": 7 * 86_400_000, "8w": 56 * 86_400_000}

#: 2200-01-01: no clock is set later, and every store and calendar has it.
_LATEST_MS = 7_258_118_400_000


@dataclass(frozen=True, slots=True)
class Request:
    """A statistic as it is asked for.

    Args:
        name: of the statistic.
        scope: which events.
        zone: where days begin.
        limit: rows of each list.
        offset: rows left out before them; 0 where an answer has several lists.
        interval: width of a bucket of time; "" for what suits the period.
        property: name of the one whose values are asked for, or "".
        steps: of a funnel, as texts and as filters.
        window_ms: longest time from the first to the last step of a funnel.
    """

    name: str
    scope: Scope
    zone: tzinfo
    limit: int
    offset: int
    interval: str
    property: str
    steps: tuple[tuple[str, Filter], ...]
    window_ms: int


def read(name: str, args: Mapping[str, Any]) -> Request:
    """A request that makes sense.

    Args:
        name: of the statistic.
        args: ``site`` ("": all), ``from`` and ``to`` (ms since 1970 UTC; 0: the statistic's own period, to the end of
            this minute), ``zone`` (IANA), ``where`` (filters as texts), ``bots``, ``limit``, ``offset``, ``interval``,
            ``property``, ``steps`` (texts), ``window`` (seconds). Any may be absent, empty or 0.

    Raises:
        QueryError: it does not.
    """
    if name not in STATISTICS or name == "refused":
        raise QueryError(f"no statistic is called {name!r}", ", ".join(STATISTICS))
    start_ms, end_ms = period_of(name, args)
    where = tuple(filters.parse(text) for text in _texts(args, "where", filters.MAX_FILTERS))
    steps = tuple((text, filters.parse(text)) for text in _texts(args, "steps", MAX_STEPS) or DEFAULT_STEPS)
    if not_there := [text for text, step in steps if step.of_visit]:
        raise QueryError(f"step {not_there[0]!r}: a step is an event", "filter sources with --where")
    window = _number(args, "window", DEFAULT_WINDOW)
    limit = _number(args, "limit", DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"limit: {limit} is not between 1 and {MAX_LIMIT}")
    offset = _number(args, "offset", 0)
    if not 0 <= offset <= (MAX_OFFSET if paged(name) else 0):
        raise QueryError(
            f"offset: {offset} is not between 0 and {MAX_OFFSET}" if paged(name) else f"{name} has no pages: no offset"
        )
    if not 1 <= window <= _LATEST_MS // 1000:
        raise QueryError(f"window: {window} s is no span of time")
    site, named = str(args.get("site") or ""), str(args.get("property") or "")
    if "\0" in site + named:
        raise QueryError("a site and a property have no NUL in their name")
    return Request(
        name=name,
        scope=Scope(start_ms, end_ms, site, where, bool(args.get("bots"))),
        zone=periods.zone(str(args.get("zone") or "")),
        limit=limit,
        offset=offset,
        interval=str(args.get("interval") or ""),
        property=named,
        steps=steps,
        window_ms=window * 1000,
    )


def period_of(name: str, args: Mapping[str, Any]) -> tuple[int, int]:
    """Begin and end (ms since 1970 UTC) of what is asked for; see ``read``.

    Raises:
        QueryError: it makes no sense.
    """
    now = time.time_ns() // 1_000_000
    end = _number(args, "to", now if name == "live" else periods.minute_end(now))
    start = _number(args, "from", max(end - _SPANS.get(STATISTICS[name].period, 0), 0))
    if name == "live":
        start = max(end - THERE_MS, 0)
    if not start < end:
        raise QueryError("the period ends before it begins")
    if start < 0 or end > _LATEST_MS:
        raise QueryError("a period lies between 1970 and 2200")
    return start, end


def _number(args: Mapping[str, Any], name: str, default: int) -> int:
    try:
        return int(args.get(name) or default)
    except (TypeError, ValueError, OverflowError) as error:
        raise QueryError(f"{name}: {args[name]!r} is no number") from error


def _texts(args: Mapping[str, Any], name: str, most: int) -> tuple[str, ...]:
    found = args.get(name) or ()
    if not isinstance(found, list | tuple) or not all(isinstance(text, str) for text in found):
        raise QueryError(f"{name}: not a list of texts")
    if len(found) > most:
        raise QueryError(f"{name}: {len(found)} are more than {most}")
    return tuple(found)
