"""What is said of a scenario to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.scenarios.figures import AT
from trackflowd.cli_text import Style, count, table


def lines(said: Mapping[str, Any], style: Style) -> list[str]:
    """A scenario of the document as a table: a figure a line, a load a column."""
    figures: Mapping[str, Mapping[str, Any]] = said["figures"]
    names = list(dict.fromkeys(name.partition(AT)[0] for name in figures))
    labels = list(dict.fromkeys(name.partition(AT)[2] for name in figures))
    units = {name.partition(AT)[0]: one["unit"] for name, one in figures.items()}
    rows = [
        (name, *(_cell(figures.get(f"{name}{AT}{label}" if label else name)) for label in labels), units[name])
        for name in names
    ]
    repeated = max((len(_same(said, label)) for label in labels), default=0)
    drawn = table(
        rows, ("", *(label or said["parameters"]["load"] for label in labels), ""), right=range(1, len(labels) + 1)
    )
    if labels == [""]:
        drawn = table(rows, right=[1])
    return [
        f"{style.bold(said['name'])}  {said['about']}",
        style.dim(f"medians of {repeated}, in brackets least and most"),
        *(f"  {line}" for line in drawn),
        f"  {_promise(said, style)}",
    ]


def _same(said: Mapping[str, Any], label: str) -> list[Any]:
    return [run for run in said["runs"] if run["label"] == label and not run["warm_up"]]


def _cell(figure: Mapping[str, Any] | None) -> str:
    """Median, and the spread where there is one."""
    if figure is None:
        return ""
    median, least, most = (_number(figure[key]) for key in ("median", "min", "max"))
    return median if least == most else f"{median} ({least} – {most})"


def _number(value: float) -> str:
    """Three digits where it is small."""
    return count(value) if abs(value) >= 100 else f"{value:.3g}"


def _promise(said: Mapping[str, Any], style: Style) -> str:
    acked, stored = f"{said['acked']:,}", f"{said['stored']:,}"
    if not said["holds"]:
        return style.bad(f"acked and stored DIFFER: {acked} acked, {stored} stored")
    open_ones = sum(run["unanswered"] for run in said["runs"])
    note = f" ({open_ones:,} more got no answer)" if open_ones else ""
    return style.good(f"acked = stored: {acked}, {stored}{note}" if note else f"acked = stored: {acked}")
