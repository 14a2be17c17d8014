"""``trackflow stats``: which period is meant, what the daemon is asked, and the answer as text, JSON or CSV."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from trackflowd import cli_stats_text
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, say, to_json
from trackflowd.errors import QueryError
from trackflowd.option import DURATION
from trackflowd.stats import STATISTICS, periods
from trackflowd.stats.catalogue import paged
from trackflowd.stats.document import as_csv, document
from trackflowd.stats.spans import Period, period


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
        _add_period(parser, one.period)
        if name != "refused":
            _add_filters(parser)
        _add_arguments(parser, one.takes)
        if paged(name):
            parser.add_argument("--offset", type=int, default=0, help="rows left out before them (default: 0)")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_const", const="json", dest="format", help="as JSON")
        form.add_argument("--csv", action="store_const", const="csv", dest="format", help="as CSV")


def _add_period(parser: argparse.ArgumentParser, span: str) -> None:
    parser.add_argument("--site", default="", help="only this site (default: all)")
    if span:
        begin = parser.add_mutually_exclusive_group()
        begin.add_argument(
            "--period",
            help=f"today, yesterday, week, month, last-month, or a span back from now: 24h, 7d, 4w (default: {span})",
        )
        begin.add_argument(
            "--from", dest="start", metavar="DATE", help="begin, as 2026-11-01 or 2026-11-01T12:00; instead of --period"
        )
        parser.set_defaults(usual=span)
        parser.add_argument("--to", dest="end", metavar="DATE", help="end, not included (default: that of this minute)")
    parser.add_argument("--zone", default="", help="IANA zone in which days begin (default: this machine's)")


def _add_filters(parser: argparse.ArgumentParser) -> None:
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
        span = Period.of(value["period"], zone)
    show(args.statistic, value, span, asked, args.format)
    return 0


def _request(args: argparse.Namespace) -> tuple[dict[str, Any], Period | None, tzinfo]:
    """Arguments of the command ``stats``, the period, the zone; what is left out has the daemon's default."""
    given = vars(args)
    asked: dict[str, Any] = {"name": args.statistic}
    name = args.zone or local_zone()
    zone = periods.zone(name)
    span = None
    if "period" in given:
        span = period(args.period or args.usual, args.start, args.end, datetime.now(zone), whole=True)
        asked |= {"from": span.start_ms, "to": span.end_ms}
    asked |= {"site": args.site, "zone": name}
    if args.statistic != "refused":
        asked |= {"where": args.where, "bots": args.bots}
    asked |= {key: given[flag] for flag, key in _FLAGS.items() if given.get(flag)}
    return asked, span, zone


#: Arguments of the command by the flags of the tool.
_FLAGS = {
    **{name: name for name in ("limit", "offset", "property", "window")},
    "by": "interval",
    "step": "steps",
}


def _window(text: str) -> float:
    try:
        seconds = DURATION.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert isinstance(seconds, float)
    if seconds < 1:
        raise argparse.ArgumentTypeError('must be at least a second, such as "30m" or "2h"')
    return seconds


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
        say(to_json(document(value, span, asked), 2))
    elif form == "csv":
        sys.stdout.write(as_csv(name, value, asked))
    else:
        style = Style.of(sys.stdout)
        wide = shutil.get_terminal_size().columns
        more = [style.dim(f"more: --offset {value['next']}")] if "next" in value else []
        say("\n".join([*_head(span, asked, style), *cli_stats_text.lines(name, value, style, wide), *more]))


def _head(span: Period | None, asked: Mapping[str, Any], style: Style) -> list[str]:
    if span is None:
        return []
    site = style.bold(clean(asked["site"]) if asked.get("site") else "all sites")
    where = [style.dim(clean(text)) for text in asked.get("where") or ()]
    return ["  ".join([site + style.dim(f"  {span}"), *where]), ""]
