"""``trackflow verify``: is the tracker in a page there, reachable, allowed and counted, or what is to be mended?"""

from __future__ import annotations

import argparse
import sys

from trackflowd import static
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, pad, say, to_json
from trackflowd.config import OPTIONS
from trackflowd.errors import ConfigError
from trackflowd.verify import checks
from trackflowd.verify.fetch import Fetcher, Unreachable, split

_MOST_SECONDS = 600.0


def add_commands(commands: Commands) -> None:
    """Add this module's command."""
    verify = commands.add(
        "verify",
        "fetch a page and say whether its tracker is there, reachable, allowed and counted; exit code 1 if not",
        _verify,
        "trackflow verify https://example.com\ntrackflow verify https://example.com/shop --send\n"
        "trackflow verify https://example.com --script https://stats.example.com/t.js   # put in by a tag manager\n"
        "trackflow verify https://example.com --json | jq '.checks[] | select(.state == \"fail\")'",
    )
    verify.add_argument("url", metavar="URL", help="a page; https:// may be left out")
    verify.add_argument("--script", metavar="URL", default="", help="the script, where its tag is not in the HTML")
    verify.add_argument("--site", default="", help="site of the event that --send sends (default: the tag's)")
    verify.add_argument("--send", action="store_true", help=f"send one event, {checks.EVENT_NAME}; it is stored")
    verify.add_argument(
        "--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="of each request (default: 10)"
    )
    verify.add_argument("--json", action="store_true", help="as JSON")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0 and up to {_MOST_SECONDS:g}")
    return value


def _verify(args: argparse.Namespace) -> int:
    url = args.url if "://" in args.url else f"https://{args.url}"
    try:
        split(url)
    except Unreachable as error:
        raise ConfigError(str(error), "write it as https://example.com/page") from None
    asked = checks.Asked(url, args.script, args.site, args.send, _own_version())
    report = checks.verify(asked, Fetcher(args.timeout))
    if args.json:
        say(to_json({**report._asdict(), "checks": [check._asdict() for check in report.checks]}))
    else:
        _show(report)
    return 0 if report.ok else 1


def _own_version() -> str:
    """Version of the script as a daemon of this version serves it without options of its own."""
    paths = {name: OPTIONS[f"http.{name}"].default[0] for name in static.PATHS.values()}  # type: ignore[index]
    return static.Scripts("/t.js", paths).version


def _show(report: checks.Report) -> None:
    style = Style.of(sys.stdout)
    paint = {checks.OK: style.good, checks.NOTE: style.odd, checks.FAIL: style.bad, checks.SKIPPED: style.dim}
    for check in report.checks:
        say(f"{paint[check.state](pad(check.state, 9))}{pad(check.name, 10)}{clean(check.text)}")
        if check.mend:
            say(f"{'':19}{style.dim('→')} {clean(check.mend)}")
    event = report.facts.get("event")
    if event:
        sql = f"SELECT * FROM events WHERE site = '{event['site']}' AND name = '{event['name']}'"
        say(f"\nSee it:  trackflow query {clean(chr(34) + sql + chr(34))}")
    say()
    good = "The tracker works." if event else "Nothing stands in the tracker's way."
    say(style.good(good) if report.ok else style.bad("The tracker does not work: mend what failed."))
