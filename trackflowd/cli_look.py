"""``trackflow``'s commands that look at the daemon: version, watch, history, processes, rings, config, log, audit."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from trackflowd import __version__, cli_chart, cli_status
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, count, pad, say, table, to_json

#: Names of the series, as people read them.
_SERIES = {
    "events_s": "events/s",
    "requests_s": "requests/s",
    "stored_s": "rows/s stored",
    "refused_s": "refused/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
}
_WIDE = 60  # characters of a series


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    version = commands.add("version", "versions of the daemon and of this tool", _version, "trackflow version --json")
    watch = commands.add(
        "watch",
        "the status again and again, as the daemon sends it, until Ctrl-C",
        _watch,
        "trackflow watch\ntrackflow watch --interval 5 --json | jq .rates",
    )
    watch.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="0.2 to 60 (default: 1)")
    history = commands.add(
        "history",
        "what happened in each of the last seconds",
        _history,
        "trackflow history\ntrackflow history --seconds 3600 --json | jq '.series.events_s | add'",
    )
    history.add_argument("--seconds", type=int, default=600, metavar="N", help="how many, 1 to 3600 (default: 600)")
    processes = commands.add("processes", "the processes of the daemon", _processes, "trackflow processes --json")
    rings = commands.add("rings", "the ring files and how full they are", _rings, "trackflow rings --json")
    config = commands.add(
        "config",
        "the options in effect",
        _config,
        "trackflow config\ntrackflow config --json | jq '.\"batch.max_age\"'",
    )
    _add_logs(commands)
    for parser in (version, history, processes, rings, config):
        parser.add_argument("--json", action="store_true", help="as JSON")
    watch.add_argument("--json", action="store_true", help="one JSON object per line")


def _add_logs(commands: Commands) -> None:
    log = commands.add(
        "log",
        "what the daemon's processes have logged lately",
        _log,
        "trackflow log\ntrackflow log --follow --lines 20\ntrackflow log --json | jq 'select(.level == \"error\")'",
    )
    log.add_argument("--lines", type=int, default=200, metavar="N", help="the last N, 0 to 2000 (default: 200)")
    log.add_argument("-f", "--follow", action="store_true", help="go on with those to come, until Ctrl-C")
    audit = commands.add(
        "audit",
        "who gave the daemon which orders, newest first",
        _audit,
        "trackflow audit\ntrackflow audit --limit 1000 --json | jq '.[] | select(.ok | not)'",
    )
    audit.add_argument("--limit", type=int, default=100, metavar="N", help="the last N, 1 to 1000 (default: 100)")
    log.add_argument("--json", action="store_true", help="one JSON object per line")
    audit.add_argument("--json", action="store_true", help="as JSON")


def _version(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("version")
    if args.json:
        say(to_json({**value, "tool": __version__}, 2))
    else:
        say(f"trackflowd {clean(value['version'])}, protocol {value['protocol']}; this tool {__version__}")
    return 0


def _watch(args: argparse.Namespace) -> int:
    with connect(args) as client:
        stream = client.stream("watch", interval=args.interval)
        # What waited while the last one was drawn is drawn too: the daemon leaves out what is not read.
        cli_status.show(lambda: next(stream), args.json, True, wait=0.0)
    return 0


def _history(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("history", seconds=args.seconds)
    say(to_json(value) if args.json else "\n".join(history_lines(value, Style.of(sys.stdout))))
    return 0


def history_lines(value: Mapping[str, Any], style: Style) -> list[str]:
    """A line for each series: its course, its greatest and its last value."""
    at = value["at_ms"]
    if not at:
        return ["nothing yet: the daemon has just started"]
    rows = []
    for name, series in value["series"].items():
        known = [number for number in series if number is not None]
        if not known:
            continue
        drawn = cli_chart.row(_peaks(series, _WIDE))
        rows.append([_SERIES.get(name, name), style.name(drawn), count(max(known)), count(known[-1])])
    head, *lines = table(rows, ["", f"{_clock(at[0])} to {_clock(at[-1])}", "most", "last"], right=(2, 3))
    return [style.dim(head), *lines]


def _peaks(series: Sequence[float | None], most: int) -> list[float]:
    """At most so many values: the greatest of neighbours, 0 where none is known."""
    step = -(-len(series) // most)
    return [max((one or 0.0) for one in series[at : at + step]) for at in range(0, len(series), step)]


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S")


def _processes(args: argparse.Namespace) -> int:
    with connect(args) as client:
        rows = client.call("processes")
    style = Style.of(sys.stdout)
    say(to_json(rows, 2) if args.json else "\n".join(cli_status.process_lines({"processes": rows}, style)))
    return 0


def _rings(args: argparse.Namespace) -> int:
    with connect(args) as client:
        rows = client.call("rings")
    style = Style.of(sys.stdout)
    say(to_json(rows, 2) if args.json else "\n".join(cli_status.ring_lines({"rings": rows}, style)))
    return 0


def _config(args: argparse.Namespace) -> int:
    with connect(args) as client:
        values: Mapping[str, Any] = client.call("config")
    if args.json:
        say(to_json(values, 2))
        return 0
    for key, value in values.items():
        say(f"{key} = {clean(json.dumps(value, ensure_ascii=False))}")
    return 0


def _log(args: argparse.Namespace) -> int:
    style = Style.of(sys.stdout)
    with connect(args) as client:
        for line in client.stream("log", lines=args.lines, follow=args.follow):
            if "dropped" in line:
                print(f"({count(line['dropped'])} lines passed unseen)", file=sys.stderr)
            else:
                say(to_json(line) if args.json else log_line(line, style))
    return 0


def log_line(line: Mapping[str, Any], style: Style) -> str:
    """A logged line as people read it: time, level, process, text."""
    level = clean(line["level"])
    paint = {"warning": style.odd, "error": style.bad, "critical": style.bad, "debug": style.dim}.get(level, str)
    text = clean(line["text"], keep="\n")
    return f"{style.dim(_clock(line['at_ms']))} {paint(pad(level, 7))} {clean(line['process'])}: {text}"


def _audit(args: argparse.Namespace) -> int:
    with connect(args) as client:
        entries: Sequence[Mapping[str, Any]] = client.call("audit", limit=args.limit)
    if args.json:
        say(to_json(entries, 2))
    elif not entries:
        say("no order was given so far")
    else:
        style = Style.of(sys.stdout)
        head, *rows = table([_entry(entry, style) for entry in entries], ["when", "who", "command", "", "outcome"])
        say("\n".join([style.dim(head), *rows]))
    return 0


def _entry(entry: Mapping[str, Any], style: Style) -> list[str]:
    when = datetime.fromtimestamp(entry["at_ms"] / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    who = entry["user"] or f"user {entry['uid']}"
    given = entry["args"].items()
    args = " ".join(
        f"{clean(key)}={clean(value if isinstance(value, str) else to_json(value))}" for key, value in given
    )
    outcome = style.good("done") if entry["ok"] else style.bad(clean(entry["code"]))
    return [when, clean(who), clean(entry["command"]), args, outcome]
