"""SQL of the statistics: the ``.sql`` files of a store, and what is put into their slots.

A file is a statement, or (its name begins with ``_``) a part of several. In both stand parameters, ``{name:Type}``,
whose values go to the store beside the statement, and slots, ``{{name}}``, which only this module fills:

================== =============================================================================================
slot               what stands there then
================== =============================================================================================
``{{kept}}``       a WITH element: events of the period that pass the filters
``{{visits C}}``   a WITH element: visits that began in the period; ``label`` is of column C
``{{paths}}``      the same with ``entry`` and ``exit`` instead
``{{period}}``     condition: the event is of the site and the period, and not a bot's
``{{site}}``       condition: the event is of the site
``{{read}}``       as ``{{period}}``, with what lies up to ``LOOK_BACK_MS`` before it, so that visits are seen whole
``{{filters}}``    condition: the event passes the filters on events
``{{begin}}``      condition: a visit that begins with this event passes those on how visits began
``{{day}}``        a column ``day``, where rows of each day that visitors' numbers end with are asked for; else nothing
``{{by_day}}``     with it: one more word of a GROUP BY; ``{{group_by_day}}``: where there is none else
``{{bucket T}}``   start (ms) of the bucket in which the instant T (ms) is
``{{matches}}`` …  conditions and columns of a funnel's steps
================== =============================================================================================

No value from outside is ever written into SQL: slots get names of columns and parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trackflowd.errors import QueryError
from trackflowd.stats.filters import Filter

#: Kinds of store that have SQL of their own; "clickhouse" also stands for chDB.
STORES = ("clickhouse", "postgresql")

#: An event may arrive so long after it happened (ms: seven days). Bounds the months that are read.
LATE_MS = 7 * 24 * 3600 * 1000

#: So long before a period is read, to see which visits were under way as it began (ms: four hours). A visit that went
#: on for longer than that before the period counts as begun in there.
LOOK_BACK_MS = 4 * 3600 * 1000

#: The last instant (ms) whose hour ClickHouse's toStartOfHour knows, in 2106; of later ones it gives this instant.
_LAST_HOUR_MS = (2**32 - 1) * 1000

Params = dict[str, str | int]

_DAYS = {"day": " bitAnd(visitor, 1023) AS day,", "by_day": ", day", "group_by_day": "\nGROUP BY day"}
_SLOT = re.compile(r"\{\{(\w+)(?: (\w+))?\}\}")
_COMMENT = re.compile(r"^--[^\n]*\n", re.MULTILINE)
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Scope:
    """Which events are meant.

    Args:
        start_ms, end_ms: the period, ms since 1970 UTC, end excluded; of the time an event happened.
        site: its name; "" for all sites together.
        filters: all of them hold.
        bots: events of bots count too.
        until_ms: what was received then or later is not looked for; 0: seven days after the period.
        back_ms: so long before the period is read, to see which visits were under way.
        by_day: rows of each day that visitors' numbers end with, with a column ``day``.
    """

    start_ms: int
    end_ms: int
    site: str = ""
    filters: Sequence[Filter] = ()
    bots: bool = False
    until_ms: int = 0
    back_ms: int = LOOK_BACK_MS
    by_day: bool = False

    @property
    def of_visits(self) -> bool:
        """Whether a filter looks at how visits began."""
        return any(one.of_visit for one in self.filters)


@cache
def load(store: str, name: str) -> str:
    """A file's text without its comments.

    Args:
        store: one of ``STORES``.
        name: such as ``pages``.

    Raises:
        QueryError: there is none of that name for that store.
    """
    path = _HERE / store / f"{name}.sql"
    if not name.isidentifier() or store not in STORES or not path.is_file():
        raise QueryError(
            f"no statistic {name!r} for {store!r}", "a store of events is needed: ClickHouse or PostgreSQL"
        )
    return _COMMENT.sub("", path.read_text(encoding="utf-8")).strip()


def compose(
    store: str,
    name: str,
    scope: Scope,
    more: Mapping[str, str | int] | None = None,
    steps: Sequence[Sequence[Filter]] = (),
) -> tuple[str, Params]:
    """A statement for a store, and the values of its parameters.

    Args:
        store: one of ``STORES``.
        name: of the file.
        scope: which events.
        more: values of parameters that only this file has.
        steps: of a funnel, each the filters an event has to pass.

    Raises:
        QueryError: there is no such file.
    """
    filled = _Filled(store, scope)
    sql = filled.fill(load(store, name), filled.funnel(steps) if steps else {})
    return sql, {**filled.params, **(more or {})}


class _Filled:
    """One statement while its slots are filled; gathers the values of its parameters."""

    def __init__(self, store: str, scope: Scope) -> None:
        self._store = store
        self._scope = scope
        self._clickhouse = store == "clickhouse"
        self.params: Params = {
            "start_ms": scope.start_ms,
            "end_ms": scope.end_ms,
            "read_ms": max(scope.start_ms - scope.back_ms, 0),
            "until_ms": scope.until_ms or scope.end_ms + LATE_MS,
        }
        self._texts: dict[str, str] = {}

    def fill(self, text: str, slots: Mapping[str, str]) -> str:
        """The text with its slots filled, and those of what was put there."""

        def one(match: re.Match[str]) -> str:
            name, argument = match[1], match[2] or ""
            found = slots[name] if name in slots else self._slot(name, argument)
            return self.fill(found, {**slots, "label": argument or "''"} if name == "visits" else slots)

        return _SLOT.sub(one, text)

    def _slot(self, name: str, argument: str) -> str:
        if name == "kept":
            return load(self._store, "_kept_of_visits" if self._scope.of_visits else "_kept")
        if name in ("visits", "paths"):
            return load(self._store, f"_{name}")
        if name in _DAYS:
            return _DAYS[name] if self._scope.by_day else ""
        if name == "site":
            return f"site = {self._text(self._scope.site)}" if self._scope.site else "1 = 1"
        if name in ("period", "read"):
            return self._bounds("start_ms" if name == "period" else "read_ms")
        if name == "bucket":
            return self._bucket(argument)
        if name in ("filters", "begin"):
            return self.conditions([one for one in self._scope.filters if one.of_visit == (name == "begin")])
        raise KeyError(name)  # a slot that no file may have

    def _bounds(self, start: str) -> str:
        """received is never before time, and bounds the months that are read."""
        pairs = (("time >=", start), ("time <", "end_ms"), ("received >=", start), ("received <", "until_ms"))
        found = [f"{word} {self._instant(name)}" for word, name in pairs]
        if self._clickhouse:
            found.append(self._hour(">=", start))
            if self._scope.end_ms < _LAST_HOUR_MS:
                found.append(self._hour("<=", "end_ms"))
        if self._scope.site:
            found.append(f"site = {self._text(self._scope.site)}")
        if not self._scope.bots:
            found.append("bot = ''")
        return " AND ".join(found)

    def _hour(self, compare: str, name: str) -> str:
        """A bound of time once more, in the words of the table's order: the engine does not see that it is one.

        Without them a day of a site reads all of its month.
        """
        self.params[f"{name}_hour"] = min(int(self.params[name]), _LAST_HOUR_MS)
        return f"toStartOfHour(time) {compare} toStartOfHour({self._instant(f'{name}_hour')})"

    def _instant(self, name: str) -> str:
        if self._clickhouse:
            return f"fromUnixTimestamp64Milli({{{name}:Int64}})"
        return f"timestamptz 'epoch' + {{{name}:Int64}} * interval '1 ms'"

    def _bucket(self, instant: str) -> str:
        """Both find it by halving; the edges are put in order by who made them."""
        if self._clickhouse:
            return f"roundDown({instant}, arrayMap(edge -> toInt64(edge), splitByChar(',', {{edges:String}})))"
        edges = "string_to_array({edges:String}, ',')::bigint[]"
        return f"({edges})[width_bucket({instant}, {edges})]"

    def conditions(self, filters: Sequence[Filter]) -> str:
        """A condition in brackets that holds where all the filters pass; of none, one that always holds."""
        if not filters:
            return "1 = 1"
        return "(" + " AND ".join(self._condition(one) for one in filters) + ")"

    def _condition(self, one: Filter) -> str:
        value = self._text(one.value)
        column = one.column
        if one.key:
            key = self._text(one.key)
            column = f"{column}[{key}]" if self._clickhouse else f"coalesce({column} ->> {key}, '')"
        if one.operator in ("is", "is not"):
            return f"{column} {'=' if one.operator == 'is' else '<>'} {value}"
        found = f"position({column}, {value})" if self._clickhouse else f"strpos({column}, {value})"
        return f"{found} {'>' if one.operator == 'contains' else '='} 0"

    def _text(self, value: str) -> str:
        """A parameter that has the value; one for all places that have the same."""
        name = self._texts.setdefault(value, f"text_{len(self._texts)}")
        self.params[name] = value
        return f"{{{name}:String}}"

    def funnel(self, steps: Sequence[Sequence[Filter]]) -> Mapping[str, str]:
        """Slots of a funnel with these steps."""
        numbers = range(1, len(steps) + 1)
        levels = [load(self._store, "_level_first")]
        for number in numbers[1:]:
            text = load(self._store, "_level")
            levels.append(self.fill(text, {"step": str(number), "before": str(number - 1)}))
        return {
            "matches": ", ".join(
                f"{self.conditions(step)} AS match_{number}" for number, step in zip(numbers, steps, strict=True)
            ),
            "levels": ",\n".join(levels),
            "latest": ", ".join(f"max(began_{number}) AS began_{number}" for number in numbers),
            "reached": ", ".join(f"count(r.began_{number}) AS step_{number}" for number in numbers),
            "last": f"level_{len(steps)}",
        }
