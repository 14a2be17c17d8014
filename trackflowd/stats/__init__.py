"""Named statistics: one ``.sql`` per store and part, and what puts the parts together.

Nothing here knows how a store is reached: the caller hands in a function that runs SQL with parameters. Every SQL
takes the same ones: ``site`` ("" for all), ``start_ms`` and ``end_ms`` (ms since 1970 UTC, end excluded; of the
time an event happened), ``late_ms`` and ``limit``. Bots are left out everywhere.

Visitors are counted by a hash whose salt is new every day: who comes on two days counts twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from trackflowd.errors import QueryError

#: Runs SQL with the values of its ``{name:Type}`` parameters; gives the rows, by column name.
Run = Callable[[str, Mapping[str, str | int]], Sequence[Mapping[str, Any]]]

#: Kinds of store that have SQL of their own; "clickhouse" also stands for chDB.
STORES = ("clickhouse", "postgresql")

#: Numbers of the overview, in the order they are shown.
TOTALS = ("visitors", "visits", "views", "events")

#: Parts of the overview that are lists, in the order they are shown.
LISTS = ("pages", "sources", "countries", "browsers")

#: An event may arrive so long after it happened (ms: seven days). Bounds the months that are read.
LATE_MS = 7 * 24 * 3600 * 1000

#: Rows of one list, unless asked otherwise, and at most.
DEFAULT_LIMIT = 10
MAX_LIMIT = 1000

_HERE = Path(__file__).parent


@cache
def load(store: str, name: str) -> str:
    """SQL of one part of a statistic.

    Args:
        store: one of ``STORES``.
        name: such as ``overview_pages``.

    Raises:
        QueryError: there is none of that name for that store.
    """
    path = _HERE / store / f"{name}.sql"
    if not name.isidentifier() or not store.isidentifier() or not path.is_file():
        raise QueryError(f"no statistic {name!r} for {store!r}")
    return path.read_text(encoding="utf-8")


def answer(run: Run, name: str, args: Mapping[str, Any], store: str = "clickhouse") -> dict[str, Any]:
    """A statistic by name, as it is asked for from outside.

    Args:
        run: see ``Run``.
        name: only "overview" so far.
        args: ``site`` ("" or absent: all), ``from`` and ``to`` (ms since 1970 UTC), ``limit`` (or absent).
        store: kind of store that run asks (see ``load``).

    Raises:
        QueryError: no such statistic, arguments that make no sense, or what run raises.
    """
    if name != "overview":
        raise QueryError(f"no statistic {name!r}", "overview")
    try:
        site, start, end = str(args.get("site") or ""), int(args["from"]), int(args["to"])
        limit = int(args.get("limit") or DEFAULT_LIMIT)
    except (KeyError, TypeError, ValueError) as error:
        raise QueryError(f"statistic {name}: {error!r}", "site, from and to in ms, limit") from error
    return overview(run, site, start, end, limit, store)


def overview(
    run: Run, site: str, start_ms: int, end_ms: int, limit: int = DEFAULT_LIMIT, store: str = "clickhouse"
) -> dict[str, Any]:
    """What went on at a site in a period.

    Args:
        run: see ``Run``.
        site: its name; "" for all sites together.
        start_ms, end_ms: the period, ms since 1970 UTC, end excluded.
        limit: rows of each list, 1 to 1000.
        store: kind of store that run asks (see ``load``).

    Returns:
        ``totals``: ``visitors``, ``visits`` (one ends after 30 minutes without an event), ``views`` (page views)
        and ``events`` (all others) as numbers; ``pages``, ``sources``, ``countries`` and ``browsers`` as lists of
        ``{"name", "visitors", "views"}``, most visitors first.

    Raises:
        QueryError: the period or limit makes no sense, or what run raises.
    """
    if not 0 <= start_ms < end_ms:
        raise QueryError("the period ends before it begins")
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"limit: {limit} is not between 1 and {MAX_LIMIT}")
    params: dict[str, str | int] = {
        "site": site,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "late_ms": LATE_MS,
        "limit": limit,
    }
    totals = run(load(store, "overview_totals"), params)[0]
    value: dict[str, Any] = {"totals": {name: int(totals[name]) for name in TOTALS}}
    for part in LISTS:
        value[part] = [
            {"name": str(row["name"]), "visitors": int(row["visitors"]), "views": int(row["views"])}
            for row in run(load(store, f"overview_{part}"), params)
        ]
    return value


def rows(answer: bytes) -> list[dict[str, Any]]:
    """Rows of an answer that has one JSON object per line, as a sink's ``json`` format has."""
    return [json.loads(line) for line in answer.splitlines() if line]
