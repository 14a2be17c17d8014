"""``trackflow stats``: which period is meant, what the daemon is asked, and the answer as text, JSON or CSV."""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any

from trackflowd import cli_stats_text
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, say, to_json
from trackflowd.errors import QueryError
from trackflowd.option import DURATION
from trackflowd.stats import STATISTICS, periods
from trackflowd.stats.catalogue import VALUES

_SPAN = re.compile(r"(\d{1,5})(m|h|d|w)\Z")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_WORDS = "try today, yesterday, week, month, last-month, 24h, 7d or 4w"


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
        span: today, yesterday, week (from Monday), month, last-month, or as many m, h, d, w back from now; not used if
            start is given.
        start, end: dates as ISO 8601 has them, or None.
        now: with its zone.

    Raises:
        QueryError: not a period, or it ends before it begins.
    """
    last = _date(end, now) if end else now
    first = _date(start, now) if start else None
    if first is None:
        first, last = _span(span, last, now)
    if first.timestamp() >= last.timestamp():
        raise QueryError(f"the period ends ({last:%Y-%m-%d %H:%M}) before it begins ({first:%Y-%m-%d %H:%M})")
    if first.timestamp() < 0:
        raise QueryError(f"the period begins in {first.year}, before 1970", _WORDS)
    return Period(first, last)


def _span(span: str, last: datetime, now: datetime) -> tuple[datetime, datetime]:
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    if match := _SPAN.match(span):
        back = int(match[1]) * _UNITS[match[2]]
        try:
            if match[2] in "mh":  # so long ago; days back mean the same time of the day
                return (last.astimezone(UTC) - back).astimezone(last.tzinfo), last
            return last - back, last
        except OverflowError as error:
            raise QueryError(f"{span} is longer than there are dates", _WORDS) from error
    if span == "today":
        return midnight, last
    if span == "yesterday":
        return midnight - timedelta(days=1), midnight
    if span == "week":
        return midnight - timedelta(days=midnight.weekday()), last
    first = midnight.replace(day=1)
    if span == "month":
        return first, last
    if span == "last-month":
        return (first - timedelta(days=1)).replace(day=1), first
    raise QueryError(f"no period is called {span!r}", _WORDS)


def _date(text: str, now: datetime) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise QueryError(f"{text!r} is no date", "write 2026-11-01 or 2026-11-01T12:00") from error
    return date if date.tzinfo else date.replace(tzinfo=now.tzinfo)


def local_zone(env: Mapping[str, str] = os.environ, localtime: Path = Path("/etc/localtime")) -> str:
    """IANA name of this machine's zone; UTC if it has none that the database knows."""
    named = env.get("TZ", "").removeprefix(":")
    if not named:
        named = str(localtime.resolve()).partition("zoneinfo/")[2]
    try:
        periods.zone(named)
    except QueryError:
        return "UTC"
    return named or "UTC"


def add_commands(commands: Commands) -> None:
    """Add this module's commands: one per statistic."""
    group = commands.group(
        "stats",
        "statistics over a period (docs/statistics.md)",
        "trackflow stats overview --site example.com --period 7d\n"
        "trackflow stats timeseries --by day --period 30d --zone Europe/Berlin\n"
        'trackflow stats sources --where "country is DE" --csv',
    )
    for name, one in STATISTICS.items():
        examples = f"trackflow stats {name}\ntrackflow stats {name} {one.sample}".rstrip()
        parser = group.add(name, one.about, _stats, f"{examples}\ntrackflow stats {name} --json")
        parser.set_defaults(statistic=name)
        if name != "refused":
            _add_scope(parser, one.period)
        _add_arguments(parser, one.takes)
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_const", const="json", dest="format", help="as JSON")
        form.add_argument("--csv", action="store_const", const="csv", dest="format", help="as CSV")


def _add_scope(parser: argparse.ArgumentParser, span: str) -> None:
    parser.add_argument("--site", default="", help="only this site (default: all)")
    if span:
        parser.add_argument(
            "--period",
            default=span,
            help=f"today, yesterday, week, month, last-month, or a span back from now: 24h, 7d, 4w (default: {span})",
        )
        parser.add_argument(
            "--from", dest="start", metavar="DATE", help="begin, as 2026-11-01 or 2026-11-01T12:00; instead of --period"
        )
        parser.add_argument("--to", dest="end", metavar="DATE", help="end, not included (default: now)")
    parser.add_argument("--zone", default="", help="IANA zone in which days begin (default: this machine's)")
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FILTER",
        help='"page is /pricing", "country is not DE", "source contains oogle", "property plan is pro"; '
        "may be repeated: all hold",
    )
    parser.add_argument("--bots", action="store_true", help="count bots too")


def _add_arguments(parser: argparse.ArgumentParser, takes: Sequence[str]) -> None:
    if "limit" in takes:
        parser.add_argument("--limit", type=int, default=10, help="rows, 1 to 1000 (default: 10)")
    if "interval" in takes:
        parser.add_argument("--by", choices=periods.INTERVALS, default="", help="width of a bucket of time")
    if "property" in takes:
        parser.add_argument("--property", default="", metavar="NAME", help="the values of this one")
    if "steps" in takes:
        parser.add_argument(
            "--step",
            action="append",
            default=[],
            metavar="FILTER",
            help="a step, in order, as --where has it: at most 8 (default: a page, a second page, an event)",
        )
        parser.add_argument(
            "--window", type=_window, metavar="SPAN", help="longest from first to last step, as 30m (default: 24h)"
        )


def _stats(args: argparse.Namespace) -> int:
    asked, span, zone = _request(args)
    with connect(args) as client:
        value: dict[str, Any] = client.call("stats", **asked)
    if "period" in value and span is None:
        span = _as_period(value["period"], zone)
    show(args.statistic, value, span, asked, args.format)
    return 0


def _request(args: argparse.Namespace) -> tuple[dict[str, Any], Period | None, tzinfo]:
    """Arguments of the command ``stats``, the period, the zone; what is left out has the daemon's default."""
    given = vars(args)
    asked: dict[str, Any] = {"name": args.statistic}
    if args.statistic == "refused":
        return asked, None, UTC
    name = args.zone or local_zone()
    zone = periods.zone(name)
    span = None
    if "period" in given:
        span = period(args.period, args.start, args.end, datetime.now(zone))
        asked |= {"from": span.start_ms, "to": span.end_ms}
    asked |= {"site": args.site, "zone": name, "where": args.where, "bots": args.bots}
    asked |= {key: given[flag] for flag, key in _FLAGS.items() if given.get(flag)}
    return asked, span, zone


#: Arguments of the command by the flags of the tool.
_FLAGS = {"limit": "limit", "by": "interval", "property": "property", "step": "steps", "window": "window"}


def _window(text: str) -> float:
    try:
        seconds = DURATION.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert isinstance(seconds, float)
    if seconds < 1:
        raise argparse.ArgumentTypeError('must be at least a second, such as "30m" or "2h"')
    return seconds


def _as_period(value: Mapping[str, Any], zone: tzinfo) -> Period:
    return Period(*(datetime.fromtimestamp(value[name] / 1000, zone) for name in ("from", "to")))


def show(name: str, value: Mapping[str, Any], span: Period | None, asked: Mapping[str, Any], form: str | None) -> None:
    """Print a statistic.

    Args:
        name: of the statistic.
        value: as the daemon answers.
        span: what it is of, or None.
        asked: arguments it was asked for with.
        form: "json", "csv" or None for people.
    """
    if form == "json":
        say(to_json({**_heading(span, asked), **_dated(value, span)}, 2))
    elif form == "csv":
        _write_csv(name, value, asked)
    else:
        style = Style.of(sys.stdout)
        wide = shutil.get_terminal_size().columns
        say("\n".join([*_head(span, asked, style), *cli_stats_text.lines(name, value, style, wide)]))


def _heading(span: Period | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    if span is None:
        return {}
    return {
        "site": asked.get("site") or None,
        "zone": asked.get("zone"),
        "period": {"from": span.start.isoformat(), "to": span.end.isoformat()},
        "where": list(asked.get("where") or ()),
    }


def _dated(value: Mapping[str, Any], span: Period | None) -> dict[str, Any]:
    """The answer without the period, which the heading has; the one before as dates too."""
    dated = {name: part for name, part in value.items() if name != "period"}
    if before := dated.get("previous_period"):
        found = _as_period(before, span.end.tzinfo if span and span.end.tzinfo else UTC)
        dated["previous_period"] = {"from": found.start.isoformat(), "to": found.end.isoformat()}
    return dated


def _head(span: Period | None, asked: Mapping[str, Any], style: Style) -> list[str]:
    if span is None:
        return []
    site = style.bold(clean(asked["site"]) if asked.get("site") else "all sites")
    where = [style.dim(clean(text)) for text in asked.get("where") or ()]
    return ["  ".join([site + style.dim(f"  {span}"), *where]), ""]


def _write_csv(name: str, value: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """A table as it is; where an answer has several, a line per figure, which is the same for all of them."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if name not in ("overview", "live"):
        columns = VALUES if asked.get("property") else STATISTICS[name].columns
        writer.writerow(column.name for column in columns)
        writer.writerows([row[column.name] for column in columns] for row in value[name])
        return
    writer.writerow(("section", "name", "measure", "value"))
    for section in ("totals", "previous"):
        writer.writerows((section, "", measure, number) for measure, number in (value.get(section) or {}).items())
    for section, rows in value.items():
        for row in rows if isinstance(rows, list) else ():
            label, *figures = row.items()
            writer.writerows((section, label[1], measure, number) for measure, number in figures)
