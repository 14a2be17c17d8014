"""Charts over time of what the history holds: which there are, and how they share a room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trackflowd.cli_text import count, duration
from trackflowd.console.charts import SCALE, milliseconds, plot, short
from trackflowd.console.history import step_for
from trackflowd.console.knowledge import Knowledge, dig
from trackflowd.console.lines import Line, beside, shares

#: Columns from which charts stand two, and three, beside each other.
_TWO, _THREE = 100, 150
#: Rows of the least chart and of the highest, the name included.
LEAST, MOST = 4, 20


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


EVENTS = Plot("events/s", "events_s")
REQUESTS = Plot("requests/s", "requests_s")
LATENCY = Plot("latency p99, ms", "p99_ms")
STORED = Plot("stored/s", "stored_s")
REFUSED = Plot("refused/s", "refused_s")
RING = Plot("fullest ring, %", "buffer", 100.0)


def draw(know: Knowledge, plots: Sequence[Plot], columns: int, rows: int) -> list[Line]:
    """As many of the charts as there is room for, in bands beside and below each other.

    Args:
        plots: the most important first.
        columns, rows: of the room there is. Nothing is drawn in too few rows.
    """
    across = min(1 if columns < _TWO else 2 if columns < _THREE else 3, len(plots))
    bands = min(rows // LEAST, len(plots) // across)
    if not bands:
        return []
    drawn: list[Line] = []
    widths = shares(columns, across, 3)
    for band, high in enumerate(shares(min(rows, bands * MOST), bands, 0)):
        of_band = plots[band * across : (band + 1) * across]
        apart = 1 if high > LEAST + 1 else 0
        blocks = [(_plot(know, one, wide, high - apart), wide) for one, wide in zip(of_band, widths, strict=False)]
        drawn += [*beside(blocks, 3), *[[]] * apart]
    return drawn


def _plot(know: Knowledge, one: Plot, columns: int, high: int) -> Sequence[Line]:
    wide = columns - SCALE
    step = step_for(wide)
    peak = one.peak(know, wide * step)
    aside = f"peak {peak} in {duration(wide * step)}" if peak else ""
    return plot(one.name, one.now(know), know.history.columns(one.series, wide), columns, high, aside, one.most)
