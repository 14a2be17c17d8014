"""What happened in each of the last seconds: short series for the console, made from totals that only grow.

A look each second (``note``) gives one value of each series: how fast a total grew since the look before. Seconds
in which the supervisor did not get to look are null; the value after them is the average over all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

#: Seconds that are kept: an hour.
KEPT = 3600
#: Series of growth per second: name, and the total it is of.
RATES: Mapping[str, str] = {
    "events_s": "events_accepted",
    "requests_s": "requests",
    "stored_s": "rows_stored",
    "refused_s": "events_refused",
}
#: Series of values as they were, null where there is none.
VALUES = ("p50_ms", "p99_ms")

Value = float | None


class History:
    """The series."""

    def __init__(self) -> None:
        self._at: deque[int] = deque(maxlen=KEPT)
        self._series: dict[str, deque[Value]] = {name: deque(maxlen=KEPT) for name in (*RATES, *VALUES)}
        self._before: tuple[float, Mapping[str, int]] | None = None

    def note(self, now: float, at_ms: int, totals: Mapping[str, int], values: Mapping[str, Value]) -> None:
        """Take in a look.

        Args:
            now: monotonic clock, s.
            at_ms: wall clock, ms since 1970 UTC.
            totals: as they are now.
            values: of ``VALUES``, those that are known.
        """
        before, self._before = self._before, (now, totals)
        if before is None or now <= before[0]:
            return
        took = now - before[0]
        for back in range(min(round(took) - 1, KEPT), 0, -1):
            self._add(at_ms - 1000 * (back + 1), {})
        grown = {name: max(totals.get(of, 0) - before[1].get(of, 0), 0) / took for name, of in RATES.items()}
        self._add(at_ms - 1000, {**{name: round(value, 2) for name, value in grown.items()}, **values})

    def _add(self, begin_ms: int, values: Mapping[str, Value]) -> None:
        self._at.append(begin_ms)
        for name, series in self._series.items():
            series.append(values.get(name))

    def last(self, seconds: int) -> dict[str, Any]:
        """The last so many seconds, oldest first: ``at_ms`` (begin of each, ms since 1970 UTC) and ``series``."""
        return {
            "at_ms": list(self._at)[-seconds:],
            "series": {name: list(series)[-seconds:] for name, series in self._series.items()},
        }
