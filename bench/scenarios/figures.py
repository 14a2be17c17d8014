"""Measurements → figures: medians with their spread, percentile curves, the document. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.traffic.histogram import Histogram

Better = Literal["lower", "higher"] | None

#: Version of the document's shape.
FORMAT = 1
#: Percentiles that are figures, and those a curve has, in percent.
FIGURES = (50.0, 90.0, 99.0, 99.9)
CURVE = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0)
#: Stands between a figure's name and the label of the load it was measured under.
AT = "@"

#: Unit of a figure and which way is better, by its name up to the first dot of ``cpu_us.worker``.
UNITS: Mapping[str, tuple[str, Better]] = {
    "rate": ("events/s", "higher"),
    "requests": ("requests/s", "higher"),
    "offered": ("requests/s", None),
    "p50": ("ms", "lower"),
    "p90": ("ms", "lower"),
    "p99": ("ms", "lower"),
    "p99.9": ("ms", "lower"),
    "late": ("ms", None),
    "unsent": ("requests", "lower"),
    "refused": ("requests", None),
    "cpu_us": ("µs/event", "lower"),
    "core": ("% of a core", None),
    "idle": ("% of a core", "lower"),
    "rss_mb": ("MB", "lower"),
    "kb": ("kB/connection", "lower"),
    "held": ("connections", "higher"),
    "disk_bytes": ("bytes/event", "lower"),
    "settle": ("s", "lower"),
    "spool_mb": ("MB", None),
    "stats": ("ms", "lower"),
    "fill": ("µs/event", "lower"),
    "rows": ("rows", None),
    "ratio": ("× the empty store", "lower"),
}


@dataclass(frozen=True)
class Turn:
    """One measurement.

    Args:
        label: the load it was under, where a scenario has several; "" for the one it is named after.
        figures: by name; see ``UNITS``.
        acked: events promised by 2xx answers.
        stored: rows the store has more than before.
        unanswered: events whose request got no answer: each may be stored or not.
        latency: of the answers, ns.
        points: lines over the time of the measurement, by name.
        warm_up: it does not count for the figures.
    """

    label: str
    figures: Mapping[str, float]
    acked: int = 0
    stored: int = 0
    unanswered: int = 0
    latency: Histogram | None = None
    points: Mapping[str, Series] = field(default_factory=dict)
    warm_up: bool = False

    @property
    def holds(self) -> bool:
        """Whether acked = stored, but for what got no answer."""
        return self.acked <= self.stored <= self.acked + self.unanswered

    def raw(self) -> dict[str, Any]:
        """As the document has it."""
        return {
            "label": self.label,
            "warm_up": self.warm_up,
            "acked": self.acked,
            "stored": self.stored,
            "unanswered": self.unanswered,
            "figures": {name: _round(value) for name, value in self.figures.items()},
        }


@dataclass(frozen=True)
class Series:
    """A line.

    Args:
        x, y: what is along the axes, with units.
        points: in order of x.
    """

    x: str
    y: str
    points: Sequence[tuple[float, float]]

    def raw(self) -> dict[str, Any]:
        """As the document has it."""
        return {"x": self.x, "y": self.y, "points": [[_round(x), _round(y)] for x, y in self.points]}


def percentiles(latency: Histogram) -> dict[str, float]:
    """``FIGURES`` of a histogram of ns, in ms, by name: p50, p99.9."""
    return {f"p{percent:g}": latency.percentile(percent / 100) / 1e6 for percent in FIGURES}


def named(turns: Iterable[Turn]) -> dict[str, list[float]]:
    """Every value of each figure, in the order the figures were first seen; labels are part of the name."""
    found: dict[str, list[float]] = {}
    for turn in turns:
        if not turn.warm_up:
            for name, value in turn.figures.items():
                found.setdefault(f"{name}{AT}{turn.label}" if turn.label else name, []).append(value)
    return found


def summary(values: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Median and spread of each figure; names must be known to ``UNITS``."""
    found = {}
    for name, several in values.items():
        unit, better = unit_of(name)
        spread = {"median": statistics.median(several), "min": min(several), "max": max(several)}
        found[name] = {"unit": unit, **{key: _round(value) for key, value in spread.items()}, "better": better}
    return found


def unit_of(name: str) -> tuple[str, Better]:
    """Unit of a figure by its name, and which way is better."""
    plain = name.partition(AT)[0]
    return UNITS[plain] if plain in UNITS else UNITS[plain.partition(".")[0]]


def curves(turns: Iterable[Turn], load: str) -> dict[str, Any] | None:
    """Percentile curves, one a label, over all its measurements together; None: nothing was answered.

    Args:
        load: the label of turns that have none.
    """
    together: dict[str, Histogram] = {}
    for turn in turns:
        if turn.latency is None or turn.warm_up or not turn.latency.total:
            continue
        label = turn.label or load
        if label not in together:
            together[label] = Histogram()
        merge(together[label], turn.latency)
    if not together:
        return None
    return {"unit": "ms", "curves": {label: curve(one) for label, one in together.items()}}


def merge(into: Histogram, other: Histogram) -> None:
    """Add what another histogram has counted."""
    into.counts[:] = [a + b for a, b in zip(into.counts, other.counts, strict=True)]
    into.most = max(into.most, other.most)


def curve(latency: Histogram) -> list[list[float]]:
    """Percentile and ms, for each of ``CURVE``."""
    return [[percent, _round(latency.percentile(percent / 100) / 1e6)] for percent in CURVE]


def series(turns: Sequence[Turn]) -> dict[str, Any] | None:
    """The lines of the last measurement that has each."""
    found: dict[str, Any] = {}
    for turn in turns:
        if not turn.warm_up:
            found |= {name: line.raw() for name, line in turn.points.items()}
    return found or None


def scenario_document(
    name: str, about: str, load: str, parameters: Mapping[str, Any], turns: Sequence[Turn]
) -> dict[str, Any]:
    """One scenario as the document has it; load says what turns without a label were measured under."""
    return {
        "name": name,
        "about": about,
        "parameters": {"load": load, **parameters},
        "runs": [turn.raw() for turn in turns],
        "figures": summary(named(turns)),
        "latency": curves(turns, load),
        "series": series(turns),
        "acked": sum(turn.acked for turn in turns),
        "stored": sum(turn.stored for turn in turns),
        "holds": all(turn.holds for turn in turns),
    }


def _round(value: float) -> float:
    """To five digits or, above 100,000, to a whole number: no figure here is known better."""
    return float(f"{value:.5g}") if abs(value) < 1e5 else round(value)
