"""Rates and latencies second by second: what the daemon remembers, continued by what the console sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Seconds that are kept: the widest chart shows no more.
KEPT = 900
#: Seconds a chart should show at least; a column stands for as few of these as that takes.
SPAN = 300
_STEPS = (1, 2, 5, 10, 30)

#: Series that are the growth of a total of ``status``.
_GROWTH = {
    "events_s": "events_accepted",
    "requests_s": "requests",
    "stored_s": "rows_stored",
    "refused_s": "events_refused",
}
#: Series of which a column shows the worst second, not the average.
_WORST = ("p50_ms", "p99_ms", "buffer")


def step_for(columns: int) -> int:
    """Seconds that one of so many columns stands for."""
    return next((step for step in _STEPS if columns * step >= SPAN), _STEPS[-1])


class History:
    """Values by series and second (s since 1970 UTC)."""

    def __init__(self) -> None:
        self._values: dict[int, dict[str, float]] = {}
        self._before: tuple[float, Mapping[str, Any]] | None = None
        self.newest = 0

    def recall(self, told: Mapping[str, Any]) -> None:
        """Take in what ``history`` of the daemon answered; what was seen here stays as it was seen."""
        times = told.get("at_ms") or ()
        for name, values in (told.get("series") or {}).items():
            for at_ms, value in zip(times, values, strict=False):
                if value is not None:
                    self._values.setdefault(int(at_ms // 1000), {}).setdefault(str(name), float(value))
        self._trim()

    def take(self, status: Mapping[str, Any], now: float) -> None:
        """Take in a status.

        Args:
            now: wall clock, s.
        """
        totals = status.get("totals") or {}
        seen: dict[str, float] = {}
        if self._before is not None and now > self._before[0]:
            since, before = now - self._before[0], self._before[1]
            for name, total in _GROWTH.items():
                grown = (totals.get(total) or 0) - (before.get(total) or 0)
                if grown >= 0:  # less: another daemon, which counts from 0
                    seen[name] = grown / since
        self._before = (now, totals)
        latency = status.get("latency") or {}
        seen |= {name: float(latency[name]) for name in ("p50_ms", "p99_ms") if latency.get(name) is not None}
        seen["buffer"] = fill_of(status)
        self._values.setdefault(int(now), {}).update(seen)
        self._trim()

    def break_off(self) -> None:
        """The connection is gone: the next status is not the continuation of the last."""
        self._before = None

    def _trim(self) -> None:
        self.newest = max(self._values, default=0)
        for second in [second for second in self._values if second <= self.newest - KEPT]:
            del self._values[second]

    def last(self, name: str) -> float | None:
        """The newest value of a series."""
        return self._values.get(self.newest, {}).get(name)

    def most(self, name: str, seconds: int) -> float | None:
        """The greatest value of a series in the last seconds."""
        found = (self._values.get(self.newest - back, {}).get(name) for back in range(seconds))
        return max((value for value in found if value is not None), default=None)

    def columns(self, name: str, count: int) -> Sequence[float | None]:
        """A series as so many columns, the newest last; None where nothing is known.

        A column begins at a whole multiple of its seconds, so that values move from right to left and do not change
        on their way.
        """
        step = step_for(count)
        end = self.newest // step
        return [self._column(name, at * step, step) for at in range(end - count + 1, end + 1)]

    def _column(self, name: str, start: int, step: int) -> float | None:
        found = [
            value
            for second in range(start, start + step)
            if (value := self._values.get(second, {}).get(name)) is not None
        ]
        if not found:
            return None
        return max(found) if name in _WORST else sum(found) / len(found)


def fill_of(status: Mapping[str, Any]) -> float:
    """How full the fullest ring is, in percent."""
    return 100 * max((float(ring.get("fill") or 0) for ring in status.get("rings") or ()), default=0.0)
