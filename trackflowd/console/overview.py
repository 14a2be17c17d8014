"""The tab Overview: is all well, how much comes in, how fast is it answered, what is refused, what wants a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trackflowd.cli_text import count, duration
from trackflowd.console import plots, words
from trackflowd.console.charts import milliseconds, ranking, short
from trackflowd.console.knowledge import Knowledge, dig
from trackflowd.console.lines import Line, Segment, beside, pad, shares, title

#: Rows of the lists below the charts, at least.
_LISTS = 6


_PLOTS = (plots.EVENTS, plots.REQUESTS, plots.LATENCY, plots.STORED, plots.REFUSED, plots.RING)


def draw(know: Knowledge, columns: int, rows: int, now: float) -> list[Line]:
    """The tab.

    Args:
        columns, rows: of the room there is.
        now: wall clock, s.
    """
    if not know.status:
        return words.health(know, columns)
    top: list[Line] = [*words.health(know, columns), [], *_tiles(know, columns), []]
    lists = max(_LISTS, rows * 3 // 10)
    drawn = [*top, *plots.draw(know, _PLOTS, columns, rows - len(top) - lists)]
    return drawn + _lists(know, columns, rows - len(drawn), now)


def _tiles(know: Knowledge, columns: int) -> list[Line]:
    """The figures that say most, under their names."""
    status = know.status
    totals: Mapping[str, Any] = status.get("totals") or {}
    full = dig(status, "buffer", "full_in_s")
    tiles = [
        ("events/s", count(dig(status, "rates", "events_s") or 0)),
        ("requests/s", count(dig(status, "rates", "requests_s") or 0)),
        ("stored/s", count(dig(status, "rates", "stored_s") or 0)),
        ("p50", milliseconds(dig(status, "latency", "p50_ms"))),
        ("p99", milliseconds(dig(status, "latency", "p99_ms"))),
        ("buffer lasts", "-" if full is None else duration(full)),
        ("accepted", count(totals.get("events_accepted") or 0)),
        ("stored", count(totals.get("rows_stored") or 0)),
        ("repeats", count(totals.get("duplicates") or 0)),
        ("refused", count(totals.get("events_refused") or 0)),
        ("bots", count(totals.get("bots") or 0)),
    ]
    fitting = min(len(tiles), columns // 13)
    wide = columns // fitting
    names: Line = [Segment(pad(name, wide), "dim") for name, _ in tiles[:fitting]]
    return [names, [Segment(pad(text, wide), "bold") for _, text in tiles[:fitting]]]


def _lists(know: Knowledge, columns: int, rows: int, now: float) -> list[Line]:
    left, right = shares(columns, 2, gap=3)
    told = [title("Alerts", left), *words.alerts(know, left, rows - 1, now)]
    return beside([(told, left), (_refusals(know, right, rows), right)], gap=3)[:rows]


def _refusals(know: Knowledge, columns: int, rows: int) -> list[Line]:
    """By reason: since the start, and in the last minute."""
    since = {code: number for code, number in (know.status.get("refusals") or {}).items() if number}
    head = title("Refused", columns, "since the start, last minute")
    if not since:
        return [head, [Segment("nothing", "good")]]
    recent = know.recent_refusals()
    ordered = sorted(since.items(), key=lambda item: (-item[1], item[0]))
    kept = ordered if len(ordered) < rows else ordered[: max(rows - 2, 1)]
    figures = [f"{count(number)} {_plus(recent.get(code, 0))}" for code, number in kept]
    drawn: list[Line] = [head, *ranking(kept, columns, figures)]
    if len(kept) < len(ordered):
        drawn.append([Segment(f"and {len(ordered) - len(kept)} more reasons", "dim")])
    return drawn


def _plus(recent: int) -> str:
    return f"+{short(recent)}".rjust(6) if recent else " " * 6
