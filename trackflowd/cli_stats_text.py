"""Statistics for people: tables with bars, lines over time, steps of a funnel, cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from trackflowd import cli_chart
from trackflowd.cli_text import Style, bar, clean, count, duration, fit, table
from trackflowd.stats.catalogue import STATISTICS, TOTALS, VALUES, Kind

Rows = Sequence[Mapping[str, Any]]

_BAR = 16
_NAME = 48  # columns of a page, a source, …
_NOTHING = "(none)"

#: A line over time is so many lines high; below it a row for each bucket, if they are no more than this.
_HIGH, _ROWS = 8, 62

#: Kind of a column, by its name.
_KINDS: Mapping[str, Kind] = {
    column.name: column.kind for columns in (*(one.columns for one in STATISTICS.values()), TOTALS, VALUES)
    for column in columns
}  # fmt: skip

#: Columns whose growth is no good news.
_ILL = ("bounce_rate",)

_NOBODY = "nothing of people in this period (bots are left out; --bots counts them)"
_NO_IDS = "no event of this period has a user id; a visitor without one is another one every day"


def lines(name: str, value: Mapping[str, Any], style: Style, columns: int = 80) -> list[str]:
    """The statistic for people.

    Args:
        name: of the statistic.
        value: as the daemon answers.
        style: colours.
        columns: of the terminal.
    """
    totals = value.get("totals") or {}
    if name == "refused":
        return _refused(value, style)
    if name in ("overview", "live") and not any(totals.values()):
        return [_NOBODY] if name == "overview" else ["nobody in the last five minutes"]
    if name == "timeseries":
        return _series(value[name], style, columns)
    if name == "retention":
        return _cohorts(value[name], style)
    drawn = _totals(totals, value.get("previous") or {}, style) if totals else []
    for part, rows in _sections(value):
        drawn += [""] if drawn else []
        drawn += _minutes(rows, style) if part == "minutes" else section(part, rows, style)
    return drawn


def _sections(value: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    return [(name, rows) for name, rows in value.items() if isinstance(rows, list) and name != "where"]


def _totals(totals: Mapping[str, Any], previous: Mapping[str, Any], style: Style) -> list[str]:
    """Numbers under their names, and how they changed."""
    names = [title(name) for name in totals]
    rows = [[figure(name, number) for name, number in totals.items()]]
    if any(previous.values()):
        rows.append([_change(name, number, previous.get(name), style) for name, number in totals.items()])
    head, numbers, *changes = table(rows, names, right=range(len(names)), gap="   ")
    against = style.dim("   against the period before")
    return [style.dim(head), style.bold(numbers), *(change + against for change in changes)]


def _change(name: str, number: Any, before: Any, style: Style) -> str:
    """In percent of the period before."""
    if not before or number is None:
        return style.dim("new" if number else "-")
    by = (number - before) / before
    text = f"{by:+.0%}"
    if abs(by) < 0.005:
        return style.dim("±0%")
    return style.bad(text) if (by < 0) != (name in _ILL) else style.good(text)


def section(part: str, rows: Rows, style: Style) -> list[str]:
    """A table with bars for its first figure."""
    if not rows:
        return [style.bold(title(part)), style.dim("  " + _NOTHING)]
    labels = [name for name in rows[0] if _KINDS.get(name) == "text"] or list(rows[0])[:1]
    first, *others = [name for name in rows[0] if name not in labels]
    most = max(float(row[first] or 0) for row in rows) or 1.0
    drawn = []
    for row in rows:
        texts = [_label(row[name], style) for name in labels]
        share = style.name(bar(float(row[first] or 0) / most, _BAR))
        others_of = [figure(other, row[other]) for other in others]
        drawn.append([f"  {texts[0]}", *texts[1:], figure(first, row[first]), share, *others_of])
    heads = [title(part), *(title(name) for name in labels[1:])]
    head = [*heads, title(first), " " * _BAR, *(title(other) for other in others)]
    at = len(labels)
    top, *body = table(drawn, head, right=(at, *range(at + 2, len(head))))
    return [style.bold(top), *body]


def _label(text: Any, style: Style) -> str:
    return fit(clean(text), _NAME) if text not in ("", None) else style.dim(_NOTHING)


def _minutes(rows: Rows, style: Style) -> list[str]:
    views = [row["views"] for row in rows]
    return [
        style.bold("views by the minute"),
        f"  {style.name(cli_chart.row(views))}  {count(sum(views))} in half an hour",
    ]


def _series(rows: Rows, style: Style, columns: int) -> list[str]:
    """A line of visitors, then the numbers, if they are not too many."""
    if not any(number for row in rows for number in row.values() if isinstance(number, int)):
        return [_NOBODY]
    times = _times([row["time"] for row in rows])
    drawn = [style.bold("visitors")]
    drawn += [style.name(text) for text in cli_chart.line([row["visitors"] for row in rows], columns, _HIGH)]
    between = max(columns - len(times[0]) - len(times[-1]) - 2, 1)
    drawn += [style.dim(f"  {times[0]}{' ' * between}{times[-1]}"), ""]
    if len(rows) > _ROWS:
        return [*drawn, style.dim(f"{len(rows)} rows: --csv or --json shows them, --by takes wider ones")]
    return drawn + section("time", [{**row, "time": time} for row, time in zip(rows, times, strict=True)], style)


def _times(texts: Sequence[str]) -> list[str]:
    """As short as tells them apart: days without a time of the day if none has one."""
    times = [datetime.fromisoformat(text) for text in texts]
    whole = all((at.hour, at.minute) == (0, 0) for at in times)
    return [f"{at:%Y-%m-%d}" if whole else f"{at:%Y-%m-%d %H:%M}" for at in times]


def _cohorts(rows: Rows, style: Style) -> list[str]:
    """A line for each cohort, a column for each bucket after its own."""
    if not rows:
        return [_NO_IDS]
    names = dict(zip((row["cohort"] for row in rows), _times([row["cohort"] for row in rows]), strict=True))
    wide = max(row["after"] for row in rows) + 1
    drawn = []
    for cohort, name in names.items():
        of_it = [row for row in rows if row["cohort"] == cohort]
        cells = [figure("rate", row["rate"]) if row["seen"] else style.dim("·") for row in of_it]
        drawn.append([name, count(of_it[0]["people"]), *cells, *[""] * (wide - len(cells))])
    head = ["first seen", "people", *(f"+{n}" if n else "same" for n in range(wide))]
    top, *body = table(drawn, head, right=range(1, len(head)))
    return [style.bold(top), *body]


def _refused(value: Mapping[str, Any], style: Style) -> list[str]:
    totals = value["totals"]
    told = f"{count(totals['refused'])} refused"
    if totals["left_out"]:
        told += f"; {count(totals['left_out'])} more answered 200 and not counted, as their site's settings have it"
    if not value["refused"]:
        return [told]
    cells = [[row["reason"], clean(row["site"]), count(row["count"]), row["meaning"]] for row in value["refused"]]
    top, *body = table(cells, ["reason", "site", "count", "what it means"], right=[2])
    remedies = {row["reason"]: row["remedy"] for row in value["refused"]}
    top_too, *todo = table(remedies.items(), ["reason", "what to do"])
    return [told, "", style.bold(top), *body, "", style.bold(top_too), *todo]


def title(name: str) -> str:
    """A column's name for people."""
    for unit in ("_seconds", "_rate"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def figure(name: str, number: Any) -> str:
    """A column's value for people."""
    if number is None:
        return "-"
    kind = _KINDS.get(name, "count")
    if kind == "rate":
        return f"{float(number):.0%}"
    if kind == "seconds":
        return duration(float(number))
    if kind == "money":
        return f"{float(number):,.2f}"
    return count(float(number)) if isinstance(number, int | float) else clean(number)
