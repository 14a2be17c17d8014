"""Named statistics: one ``.sql`` per store and name, and what puts questions and answers together.

Nothing here knows how a store is reached: the caller hands in a function that runs SQL with parameters.

Visitors are counted by a hash whose salt is new every day: who comes on two days counts twice. docs/statistics.md says
what a visit, a bounce and each column is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trackflowd.errors import QueryError
from trackflowd.stats import periods
from trackflowd.stats.catalogue import LIVE, OVERVIEW, STATISTICS, TOTALS, VALUES, Column
from trackflowd.stats.compose import STORES, Scope, compose, load
from trackflowd.stats.pieces import SUMMED, Sums, Use
from trackflowd.stats.request import Request, read
from trackflowd.stats.summed import Summed

__all__ = ["STATISTICS", "STORES", "Run", "Sums", "Use", "answer", "rows"]

#: Runs SQL with the values of its ``{name:Type}`` parameters; gives the rows, by column name.
Run = Callable[[str, Mapping[str, str | int]], Sequence[Mapping[str, Any]]]

#: Minutes for which "live" shows views.
_MINUTES = 30

#: Cohorts of a retention at most.
_MAX_COHORTS = 60


def answer(
    run: Run, name: str, args: Mapping[str, Any], store: str = "clickhouse", sums: Sums | None = None
) -> dict[str, Any]:
    """A statistic by name, as it is asked for from outside.

    Args:
        run: see ``Run``.
        name: one of ``STATISTICS`` but "refused", which no store knows (see ``refusalbook``).
        args: see ``request.read``.
        store: kind of store that run asks, one of ``STORES``.
        sums: days that were added up before, of this store; None where nothing is kept, as of PostgreSQL.

    Returns:
        ``period`` (``from`` and ``to``, ms since 1970 UTC), the rows under the statistic's name, or, for "overview" and
        "live", under those of their parts; there ``totals`` are numbers by name, and ``previous`` the same of the
        ``previous_period``. ``next``, where a list goes on: the offset of its next page.

    Raises:
        QueryError: no such statistic, arguments that make no sense, no such site, or what run raises.
    """
    request = read(name, args)
    asked = _Asked(run, store, request, sums)
    value = {"period": {"from": request.scope.start_ms, "to": request.scope.end_ms}, **asked.answer()}
    if request.scope.site and not _anything(value):
        _check_site(run, store, request.scope.site)
    return value


class _Asked:
    """One request to one store."""

    def __init__(self, run: Run, store: str, request: Request, sums: Sums | None) -> None:
        self._run = run
        self._store = store
        self._request = request
        self._scope = request.scope
        self._previous = self._period_before() if request.name == "overview" else None
        self._summed: Summed | None = None
        if sums is not None and request.name in SUMMED and not request.scope.filters:
            scopes = [self._scope] if self._previous is None else [self._scope, self._previous]
            self._summed = Summed(self._ask, sums, scopes)

    def answer(self) -> dict[str, Any]:
        """Everything but the period."""
        value = self._answer()
        if self._summed is not None:
            self._summed.keep()
        return value

    def _answer(self) -> dict[str, Any]:
        special = {
            "overview": self._overview,
            "timeseries": self._timeseries,
            "properties": self._properties,
            "live": self._live,
            "funnels": self._funnels,
            "retention": self._retention,
        }
        name = self._request.name
        return special[name]() if name in special else self._page(name, name, STATISTICS[name].columns)

    def _ask(self, file: str, scope: Scope, **more: Any) -> Sequence[Mapping[str, Any]]:
        sql, params = compose(self._store, file, scope, more)
        return self._run(sql, params)

    def _list(self, file: str, columns: Sequence[Column], more_rows: int = 0, **more: Any) -> list[Any]:
        request = self._request
        page = {"limit": request.limit + more_rows, "offset": request.offset}
        summed = self._summed.rows(file, self._scope, **page) if self._summed else None
        found = self._ask(file, self._scope, **page, **more) if summed is None else summed
        return [{column.name: column.of(row) for column in columns} for row in found]

    def _page(self, name: str, file: str, columns: Sequence[Column], **more: Any) -> dict[str, Any]:
        """A page of a list, and ``next``, the offset of the one behind it, if there is one."""
        limit = self._request.limit
        found = self._list(file, columns, 1, **more)
        return {name: found[:limit], **({"next": self._request.offset + limit} if len(found) > limit else {})}

    def _overview(self) -> dict[str, Any]:
        value: dict[str, Any] = {"totals": self._totals(self._scope)}
        if before := self._previous:
            value["previous"] = self._totals(before)
            value["previous_period"] = {"from": before.start_ms, "to": before.end_ms}
        return value | {name: self._list(file, columns) for name, file, columns in OVERVIEW}

    def _period_before(self) -> Scope | None:
        start_ms, end_ms = periods.previous(self._scope.start_ms, self._scope.end_ms, self._request.zone)
        return self._moved(start_ms, end_ms) if start_ms >= 0 else None

    def _totals(self, scope: Scope) -> dict[str, Any]:
        file = "overview_of_visits" if scope.of_visits else "overview"
        found = self._summed.rows(file, scope, 1, 0) if self._summed else None
        [row] = found or self._ask(file, scope)  # found: nothing of days with none but bots
        return {column.name: column.of(row) for column in TOTALS}

    def _moved(self, start_ms: int, end_ms: int) -> Scope:
        return replace(self._scope, start_ms=start_ms, end_ms=end_ms)

    def _timeseries(self) -> dict[str, Any]:
        return {"timeseries": self._series(self._scope, self._request.interval)}

    def _series(self, scope: Scope, interval: str) -> list[dict[str, Any]]:
        """A row for every bucket, those without an event too."""
        width = interval or periods.choose(scope.start_ms, scope.end_ms)
        found = periods.buckets(scope.start_ms, scope.end_ms, width, self._request.zone)
        by_start = {int(row["bucket"]): row for row in self._ask("timeseries", scope, edges=_edges(found))}
        _, *numbers = STATISTICS["timeseries"].columns
        nothing = {column.name: 0 for column in numbers}
        return [
            {
                "time": bucket.begins.isoformat(),
                **{column.name: column.of(by_start.get(bucket.start_ms, nothing)) for column in numbers},
            }
            for bucket in found
        ]

    def _properties(self) -> dict[str, Any]:
        if not self._request.property:
            return self._page("properties", "properties", STATISTICS["properties"].columns)
        return self._page("properties", "property", VALUES, property=self._request.property)

    def _live(self) -> dict[str, Any]:
        end = self._scope.end_ms
        [row] = self._ask("live", self._scope)
        minutes = self._series(self._moved(max(end - _MINUTES * 60_000, 0), end), "minute")
        return {
            "totals": {column.name: column.of(row) for column in LIVE},
            "minutes": [{"time": row["time"], "visitors": row["visitors"], "views": row["views"]} for row in minutes],
            **{name: self._list(file, columns) for name, file, columns in OVERVIEW if name in ("pages", "countries")},
        }

    def _funnels(self) -> dict[str, Any]:
        steps = [[step] for _, step in self._request.steps]
        sql, params = compose(self._store, "funnels", self._scope, {"window_ms": self._request.window_ms}, steps)
        [row] = self._run(sql, params)
        found = [int(row[f"step_{number}"]) for number in range(1, len(steps) + 1)]
        return {
            "funnels": [
                {
                    "step": text,
                    "visitors": number,
                    "of_first": _rate(number, found[0]),
                    "of_previous": _rate(number, found[max(at - 1, 0)]),
                }
                for at, ((text, _), number) in enumerate(zip(self._request.steps, found, strict=True))
            ]
        }

    def _retention(self) -> dict[str, Any]:
        """A row for every cohort that has people, and every bucket from its own to the last."""
        scope = self._scope
        width = self._request.interval or "week"
        found = periods.buckets(scope.start_ms, scope.end_ms, width, self._request.zone)
        if len(found) > _MAX_COHORTS:
            raise QueryError(f"{len(found)} cohorts are more than {_MAX_COHORTS}", "a shorter period, or wider buckets")
        people = {
            (int(row["cohort"]), int(row["bucket"])): int(row["people"])
            for row in self._ask("retention", scope, edges=_edges(found))
        }
        columns = STATISTICS["retention"].columns
        counted = [
            {
                "cohort": begun.begins.isoformat(),
                "people": people[begun.start_ms, begun.start_ms],
                "after": later - at,
                "seen": people.get((begun.start_ms, found[later].start_ms), 0),
            }
            for at, begun in enumerate(found)
            if (begun.start_ms, begun.start_ms) in people
            for later in range(at, len(found))
        ]
        return {"retention": [{column.name: column.of(row) for column in columns} for row in counted]}


def _edges(found: Sequence[periods.Bucket]) -> str:
    return ",".join(str(bucket.start_ms) for bucket in found)


def _rate(number: int, whole: int) -> float | None:
    return round(number / whole, 4) if whole else None


def _anything(value: Mapping[str, Any]) -> bool:
    """Whether any number of an answer is not 0."""
    lists = [part for name, part in value.items() if isinstance(part, list)]
    found = [row for part in lists for row in part] + [value.get("totals") or {}]
    return any(number for row in found for number in row.values() if isinstance(number, int | float))


def _check_site(run: Run, store: str, site: str) -> None:
    """Raise QueryError for a site of which there is no event at all: its name is most likely misspelled."""
    sites = [str(row["site"]) for row in run(load(store, "sites"), {})]
    if site not in sites:
        shown = ", ".join(sites[:10]) + (", …" if len(sites) > 10 else "")
        raise QueryError(f"no event of a site {site!r} is stored", f"sites: {shown}" if sites else "no event is stored")


def rows(answer: bytes) -> list[dict[str, Any]]:
    """Rows of an answer that has one JSON object per line, as a sink's ``json`` format has."""
    return [json.loads(line) for line in answer.splitlines() if line]
