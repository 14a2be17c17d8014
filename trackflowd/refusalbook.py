"""Refusals by hour, site and code: rows of ``state.sqlite``, which the supervisor writes from what its workers tell.

They are counts and no promise: a worker that is killed takes those of its last second along, a killed supervisor those
of its last ``SAVE_EVERY`` seconds. Sites are what senders write, so an hour has at most ``MAX_ROWS`` pairs of site and
code of its own; the rest counts as those of ``ledger.OTHERS``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from trackflowd.bearer import veiled
from trackflowd.errors import DataDirError
from trackflowd.ledger import OTHERS
from trackflowd.proto.refusals import MEANING, REMEDIES, STATUS
from trackflowd.state import State

log = logging.getLogger(__name__)

HOUR_MS = 3_600_000
#: Days an hour is kept, seconds between two writes, pairs of site and code an hour may have.
KEEP_DAYS = 90
SAVE_EVERY = 10.0
MAX_ROWS = 1000
#: Characters of a site's name; those that may send events have no more.
_MAX_SITE = 64

_ADD = (
    "INSERT INTO refusals (hour, site, code, count) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (hour, site, code) DO UPDATE SET count = count + excluded.count"
)


class RefusalBook:
    """The table; the supervisor owns it.

    Args:
        state: the opened database.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._pending: Counter[tuple[int, str, str]] = Counter()
        self._hour = -1
        self._known: set[tuple[str, str]] = set()
        self._saved = 0.0
        self._trouble = False

    def add(self, rows: Any, now_ms: int) -> None:
        """Count what a worker tells.

        Args:
            rows: ``[site, code, number]`` each; what is anything else is left out.
            now_ms: ms since 1970 UTC.
        """
        hour = now_ms // HOUR_MS
        if hour != self._hour:
            self._begin(hour)
        for row in rows if isinstance(rows, list | tuple) else ():
            match row:
                case [str(site), str(code), int(number)] if code in STATUS and number > 0:
                    self._pending[hour, self._place(veiled(site)[:_MAX_SITE], code), code] += number

    def _begin(self, hour: int) -> None:
        """Begin an hour: know what it has by now, and let go of those that are over."""
        self._hour = hour
        self._known.clear()
        with suppress(DataDirError):  # the next write says so, and the next hour tries again
            rows = self._state.execute("SELECT site, code FROM refusals WHERE hour = ?", (hour,))
            self._known.update((site, code) for site, code in rows)
            self._state.execute("DELETE FROM refusals WHERE hour < ?", (hour - KEEP_DAYS * 24,))

    def _place(self, site: str, code: str) -> str:
        if (site, code) in self._known:
            return site
        if len(self._known) >= MAX_ROWS:
            return OTHERS
        self._known.add((site, code))
        return site

    def tick(self, now: float, now_ms: int) -> None:
        """Write what is due, and let go of what is too old even if nothing is refused any more.

        Args:
            now: monotonic seconds.
            now_ms: ms since 1970 UTC.
        """
        if now_ms // HOUR_MS != self._hour:
            self._begin(now_ms // HOUR_MS)
        if self._pending and now - self._saved >= SAVE_EVERY:
            self._saved = now
            self.save()

    def save(self) -> None:
        """Write what is not written yet. A disk that refuses keeps it for later, which is logged once."""
        try:
            with self._state.together():
                for (hour, site, code), number in self._pending.items():
                    self._state.execute(_ADD, (hour, site, code, number))
        except DataDirError as error:
            if not self._trouble:
                log.warning("refusals by the hour are not written, and kept in memory: %s", error)
            self._trouble = True
            return
        self._trouble = False
        self._pending.clear()

    def answer(self, start_ms: int, end_ms: int, site: str = "") -> dict[str, Any]:
        """The statistic "refused": no store has a row of it.

        Args:
            start_ms, end_ms: ms since 1970 UTC; the hours that begin in it, and the one it begins in.
            site: only its; "": all.
        """
        found: Counter[tuple[str, str]] = Counter()
        first, end = start_ms // HOUR_MS, -(-end_ms // HOUR_MS)
        for one, code, number in self._state.execute(
            "SELECT site, code, sum(count) FROM refusals WHERE hour >= ? AND hour < ? GROUP BY site, code", (first, end)
        ):
            found[one, code] += number
        for (hour, one, code), number in self._pending.items():
            if first <= hour < end:
                found[one, code] += number
        rows = [
            {
                "reason": code,
                "site": one,
                "count": number,
                "meaning": MEANING.get(code, ""),
                "remedy": REMEDIES.get(code, ""),
            }
            for (one, code), number in found.items()
            if site in ("", one)
        ]
        rows.sort(key=lambda row: (-int(str(row["count"])), row["reason"], row["site"]))
        return {"period": {"from": start_ms, "to": end_ms}, "totals": _totals(rows), "refused": rows}


def _totals(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many were refused, and how many answered 2xx and not counted, as the site's settings have it."""
    left_out = sum(row["count"] for row in rows if STATUS.get(row["reason"]) == 200)
    return {"refused": sum(row["count"] for row in rows) - left_out, "left_out": left_out}
