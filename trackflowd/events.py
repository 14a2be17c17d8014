"""Events one by one: found by a selection, page by page, as rows of JSON; counted by month.

Nothing here knows how a store is reached: the caller hands in a function that runs SQL with parameters, like ``stats``.
A page is asked for from behind the last event of the page before (its time, id and site), never by an offset: what
lands or goes meanwhile shifts nothing.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from trackflowd.errors import QueryError
from trackflowd.event import FIELDS
from trackflowd.selection import Condition, Selection, Values, where

#: Runs SQL with the values of its ``{name:Type}`` parameters; gives the rows, by column name.
Run = Callable[[str, Mapping[str, str | int]], Sequence[Mapping[str, Any]]]

#: Events of a page, at most: 1000 of up to 4 KB pass the control socket in one frame.
MAX_PAGE = 1000

#: The newest of all time are looked for among those of so many ms first: a day, sixteen. A store sorts all that may be
#: meant, and a site's events of a month may be millions (5 million rows in PostgreSQL: 4,300 ms; of a day 146).
_WINDOWS = (86_400_000, 16 * 86_400_000)

#: What is shown of an event; the batch it came in is nothing to people.
SHOWN = tuple(field.name for field in FIELDS if field.name != "_batch")

_MONTH = {
    "clickhouse": "toYYYYMM(received)",
    "postgresql": "CAST(EXTRACT(YEAR FROM received) * 100 + EXTRACT(MONTH FROM received) AS int)",
}


class Page(NamedTuple):
    """Some events.

    Args:
        rows: by the names in ``SHOWN``; a visitor as 16 digits of hex, which JSON's numbers could not hold.
        next: what to ask for the next page with; "": there is none.
    """

    rows: list[dict[str, Any]]
    next: str


def page(run: Run, store: str, what: Selection, limit: int, after: str = "", newest: bool = True) -> Page:
    """The events of a selection, by the time they happened.

    Args:
        run: see ``Run``.
        store: "clickhouse" or "postgresql".
        what: which.
        limit: at most so many, 1 to ``MAX_PAGE``.
        after: ``Page.next`` of the page before; "": the first page.
        newest: begin with the newest; else with the oldest.

    Raises:
        QueryError: arguments that make no sense, or what run raises.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise QueryError(f"limit: {limit} is not between 1 and {MAX_PAGE}")
    conditions, behind, own, latest = what.conditions(), "", Values(), what.to_ms or time.time_ns() // 1_000_000
    if after:
        behind, own, latest = _behind(after, store, newest)
    narrow = newest and what.from_ms is None and not (what.event or what.user)  # these have an index
    for span in (*(_WINDOWS if narrow else ()), None):
        bound = [] if span is None else [Condition("time", ">=", max(latest - span, 0))]
        condition, values = where([*conditions, *bound], store)
        rows = _rows(run, f"{condition}{behind}", values | own | {"most": limit + 1}, newest)
        if len(rows) > limit:
            break
    more, rows = len(rows) > limit, rows[:limit]
    last = [milliseconds(rows[-1]["time"]), rows[-1]["event_id"], rows[-1]["site"]] if more else None
    return Page(rows, json.dumps(last) if last else "")


def _rows(run: Run, condition: str, values: Values, newest: bool) -> list[dict[str, Any]]:
    way = "DESC" if newest else "ASC"
    sql = (
        f"SELECT {', '.join(SHOWN)} FROM events WHERE {condition} "
        f"ORDER BY time {way}, event_id {way}, site {way} LIMIT {{most:UInt32}}"
    )
    return [shown(row) for row in run(sql, values)]


def _behind(after: str, store: str, newest: bool) -> tuple[str, Values, int]:
    """What comes behind an event in the order of the pages: SQL to be added, its values, the event's time."""
    try:
        at, event, site = json.loads(after)
        at = int(at)
        place = [
            Condition("time", "=", at), Condition("event_id", "=", uuid.UUID(event).bytes),
            Condition("site", "=", str(site)),
        ]  # fmt: skip
    except (TypeError, ValueError, AttributeError) as error:
        raise QueryError(
            "a page begins behind what the page before it said", "leave `after` out for the first"
        ) from error
    parts, values = [], Values()
    for n, one in enumerate(place):
        sql, own = where([one], store, f"after{n}_")
        parts.append(sql.partition(" = ")[2])
        values |= own
    return f" AND (time, event_id, site) {'<' if newest else '>'} ({', '.join(parts)})", values, at


def months(run: Run, store: str, conditions: Sequence[Condition]) -> dict[int, int]:
    """How many events fit, by the month (YYYYMM, UTC) they were received in; only months that have some."""
    condition, values = where(conditions, store)
    sql = f"SELECT {_MONTH[store]} AS month, count(*) AS events FROM events WHERE {condition} GROUP BY 1 ORDER BY 1"
    return {int(row["month"]): int(row["events"]) for row in run(sql, values)}


def oldest(run: Run, store: str, until_ms: int, sites: Collection[str] | None, most: int) -> dict[str, int]:
    """When the oldest event of each site was received, the oldest first; ms since 1970 UTC.

    Args:
        until_ms: only of events received up to then.
        sites: only these; None: all.
        most: sites in the answer.
    """
    condition, values = where([Condition("received", "<=", until_ms)], store)
    if sites is not None:
        names = {f"site{n}": site for n, site in enumerate(sites)}
        values |= names
        condition += f" AND site IN ({', '.join(f'{{{name}:String}}' for name in names)})"
    sql = (
        f"SELECT site, min(received) AS first FROM events WHERE {condition} "
        "GROUP BY site ORDER BY first, site LIMIT {most:UInt32}"
    )
    return {str(row["site"]): milliseconds(row["first"]) for row in run(sql, values | {"most": most})}


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the store as people get it."""
    return {**row, "visitor": f"{int(row['visitor']):016x}"}


def milliseconds(text: str) -> int:
    """ms since 1970 UTC of a time as stores write it: 2026-11-24 12:00:00.000."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def month_of(text: str) -> int:
    """YYYYMM of such a time."""
    return int(text[:4]) * 100 + int(text[5:7])
