"""``trackflow stats``: which period is meant, and the answer drawn."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from trackflowd.cli_text import Style, bar, clean, count, fit, say, table, to_json
from trackflowd.errors import QueryError

_SPAN = re.compile(r"(\d{1,5})(m|h|d|w)\Z")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_BAR = 16
_NAME = 48  # columns of a page, a source, …
_NOTHING = "(none)"


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time.

    Args:
        start, end: the end is not included; both know their zone.
    """

    start: datetime
    end: datetime

    @property
    def start_ms(self) -> int:
        """ms since 1970 UTC."""
        return round(self.start.timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        """ms since 1970 UTC."""
        return round(self.end.timestamp() * 1000)

    def __str__(self) -> str:
        form = "%Y-%m-%d %H:%M"
        return f"{self.start.strftime(form)} to {self.end.strftime(form)} {self.end.strftime('%Z')}".rstrip()


def period(span: str, start: str | None, end: str | None, now: datetime) -> Period:
    """The period the flags mean; days begin at midnight of now's zone.

    Args:
        span: today, yesterday, or as many m, h, d, w back from now; not used if start is given.
        start, end: dates as ISO 8601 has them, or None.
        now: with its zone.

    Raises:
        QueryError: not a period, or it ends before it begins.
    """
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    last = _date(end, now) if end else now
    if start:
        first = _date(start, now)
    elif span == "today":
        first = midnight
    elif span == "yesterday":
        first, last = midnight - timedelta(days=1), midnight
    elif match := _SPAN.match(span):
        first = last - int(match[1]) * _UNITS[match[2]]
    else:
        raise QueryError(f"no period is called {span!r}", "try today, yesterday, 24h, 7d or 4w")
    if first >= last:
        raise QueryError(f"the period ends ({last:%Y-%m-%d %H:%M}) before it begins ({first:%Y-%m-%d %H:%M})")
    return Period(first, last)


def _date(text: str, now: datetime) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise QueryError(f"{text!r} is no date", "write 2026-11-01 or 2026-11-01T12:00") from error
    return date if date.tzinfo else date.replace(tzinfo=now.tzinfo)


def show(value: Mapping[str, Any], span: Period, site: str, form: str | None) -> None:
    """Print a statistic.

    Args:
        value: as the daemon answers: ``totals``, and lists of rows by the name of their section, in each row
            first what it is about, then figures.
        span, site: what it was asked for; "" is all sites.
        form: "json", "csv" or None for people.
    """
    if form == "json":
        period = {"from": span.start.isoformat(), "to": span.end.isoformat()}
        say(to_json({"site": site or None, "period": period, **value}, 2))
    elif form == "csv":
        _write_csv(value)
    else:
        say("\n".join(lines(value, span, site, Style.of(sys.stdout))))


def _write_csv(value: Mapping[str, Any]) -> None:
    """One line per figure: the sections have different columns, this form has the same for all."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("section", "name", "measure", "value"))
    for name, number in (value.get("totals") or {}).items():
        writer.writerow(("totals", "", name, number))
    for section, rows in _sections(value):
        for row in rows:
            label, *figures = row.items()
            for measure, number in figures:
                writer.writerow((section, label[1], measure, number))


def _sections(value: Mapping[str, Any]) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    return [(name, rows) for name, rows in value.items() if name != "totals" and isinstance(rows, list)]


def lines(value: Mapping[str, Any], span: Period, site: str, style: Style) -> list[str]:
    """The statistic for people: totals, then each section with bars for its first figure."""
    shown = [style.bold(clean(site) if site else "all sites") + style.dim(f"  {span}"), ""]
    totals = value.get("totals") or {}
    if not any(totals.values()):
        return [*shown, "no events of people in this period (bots are left out)"]
    names, numbers = zip(*((_title(name), _figure(name, number)) for name, number in totals.items()), strict=True)
    head, figures = table([numbers], names, right=range(len(names)), gap="   ")
    shown += [style.dim(head), style.bold(figures)]
    for section, rows in _sections(value):
        shown += ["", *_section(section, rows, style)]
    return shown


def _section(section: str, rows: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    if not rows:
        return [style.bold(_title(section)), style.dim("  " + _NOTHING)]
    _, first, *others = rows[0]
    most = max(float(row[first]) for row in rows) or 1.0
    drawn = []
    for row in rows:
        label, figure, *rest = row.items()
        name = fit(clean(label[1]), _NAME) if label[1] not in ("", None) else style.dim(_NOTHING)
        share = style.name(bar(float(figure[1]) / most, _BAR))
        drawn.append([f"  {name}", _figure(*figure), share, *(_figure(*other) for other in rest)])
    head = [_title(section), _title(first), " " * _BAR, *(_title(other) for other in others)]
    top, *body = table(drawn, head, right=(1, *range(3, len(head))))
    return [style.bold(top), *body]


def _title(name: str) -> str:
    return name.replace("_", " ")


def _figure(name: str, number: Any) -> str:
    if number is None:
        return "-"
    if name.endswith("_rate"):
        return f"{float(number):.0%}"
    return count(float(number)) if isinstance(number, int | float) else clean(number)
