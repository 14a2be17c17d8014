"""The tab Overview: is all well, how much comes in, how fast is it answered, what is refused, what wants a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackflowd.cli_text import count, duration
from trackflowd.console import words
from trackflowd.console.charts import SCALE, milliseconds, plot, ranking, short
from trackflowd.console.history import step_for
from trackflowd.console.knowledge import Knowledge, dig
from trackflowd.console.lines import Line, Segment, beside, pad, shares, title

#: Columns from which charts stand two, and three, beside each other.
_TWO, _THREE = 100, 150
#: Rows of the lists below the charts, at least; the least of a chart with its name.
_LISTS, _CHART = 6, 4


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart.

    Args:
        name: over it.
        series: of the history.
        most: what fills its height; 0: a round number that fits.
    """

    name: str
    series: str
    most: float = 0.0

    def now(self, know: Knowledge) -> str:
        """Its present value in words."""
        if self.series == "p99_ms":
            return milliseconds(dig(know.status, "latency", "p99_ms"))
        value = know.history.last(self.series)
        if self.series == "buffer":
            return "-" if value is None else f"{value:.1f} %"
        return "-" if value is None else count(round(value))

    def peak(self, know: Knowledge, seconds: int) -> str:
        """The greatest value it shows, in words."""
        most = know.history.most(self.series, seconds)
        if most is None:
            return ""
        if self.series == "p99_ms":
            return milliseconds(most)
        return f"{most:.1f} %" if self.series == "buffer" else short(most)


_PLOTS = (
    Plot("events/s", "events_s"),
    Plot("requests/s", "requests_s"),
    Plot("latency p99, ms", "p99_ms"),
    Plot("stored/s", "stored_s"),
    Plot("refused/s", "refused_s"),
    Plot("fullest ring, %", "buffer", 100.0),
)


def draw(know: Knowledge, columns: int, rows: int, now: float) -> list[Line]:
    """The tab.

    Args:
        columns, rows: of the room there is.
        now: wall clock, s.
    """
    if not know.status:
        return words.health(know, columns)
    top: list[Line] = [*words.health(know, columns), [], *_tiles(know, columns), []]
    across = 1 if columns < _TWO else 2 if columns < _THREE else 3
    lists = max(_LISTS, rows * 3 // 10)
    room = rows - len(top) - lists
    bands = max(min(room // _CHART, -(-len(_PLOTS) // across)), 1)
    drawn = [*top, *_charts(know, columns, across, bands, room)]
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


def _charts(know: Knowledge, columns: int, across: int, bands: int, rows: int) -> list[Line]:
    """Bands of charts; an empty line below each where they are high enough."""
    drawn: list[Line] = []
    widths = shares(columns, across, 3)
    for band, high in enumerate(shares(rows, bands, 0)):
        plots = _PLOTS[band * across : (band + 1) * across]
        apart = 1 if high > _CHART + 1 else 0
        blocks = [(_plot(know, one, wide, high - apart), wide) for one, wide in zip(plots, widths, strict=False)]
        drawn += [*beside(blocks, 3), *[[]] * apart]
    return drawn


def _plot(know: Knowledge, one: Plot, columns: int, high: int) -> Sequence[Line]:
    wide = columns - SCALE
    step = step_for(wide)
    peak = one.peak(know, wide * step)
    aside = f"peak {peak} in {duration(wide * step)}" if peak else ""
    return plot(one.name, one.now(know), know.history.columns(one.series, wide), columns, high, aside, one.most)


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
