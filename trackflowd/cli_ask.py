"""``trackflow``'s commands that speak to the running daemon: status, tail, query, flush, drain, stop."""

from __future__ import annotations

import argparse
import os
import sys

from trackflowd import cli_status
from trackflowd.cli_event import event_line
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, count, duration, say, size, to_json
from trackflowd.client import Client, find_socket
from trackflowd.errors import QueryError


def connect(args: argparse.Namespace) -> Client:
    """A connection to the daemon the flags mean.

    Raises:
        ControlError: nobody answers there.
    """
    beside = os.path.join(args.data_dir, "control.sock") if args.data_dir else None
    return Client.connect(find_socket(args.socket or beside, os.environ))


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    status = commands.add(
        "status",
        "processes, rates, rings, store, refusals",
        _status,
        "trackflow status\ntrackflow status --watch\ntrackflow status --json | jq .rates",
    )
    status.add_argument("--json", action="store_true", help="as JSON")
    status.add_argument("--watch", action="store_true", help="again every second, until Ctrl-C")
    tail = commands.add(
        "tail",
        "events as they are accepted, one line each, until Ctrl-C",
        _tail,
        "trackflow tail\ntrackflow tail --site example.com --name signup\ntrackflow tail --json | jq .path",
    )
    tail.add_argument("--site", default="", help="only this site")
    tail.add_argument("--name", default="", help="only events of this name")
    tail.add_argument("--json", action="store_true", help="one JSON object per line")
    query = commands.add(
        "query",
        "answer of one read-only SQL statement on the table events",
        _query,
        'trackflow query "SELECT name, path, country, browser FROM events"\n'
        'trackflow query "SELECT toDate(time) day, uniq(visitor) FROM events GROUP BY day" --format csv\n'
        "trackflow query - < report.sql",
    )
    query.add_argument("sql", metavar="SQL", help="the statement; - reads it from standard input")
    query.add_argument("--format", choices=("table", "json", "csv"), default="table", help="json: one object per row")
    query.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    flush = commands.add(
        "flush",
        "store what rings and spool hold now, and wait until it is stored",
        _flush,
        "trackflow flush\ntrackflow flush --wait 60",
    )
    flush.add_argument("--wait", type=float, default=10, metavar="SECONDS", help="longest to wait (default: 10)")
    flush.add_argument("--json", action="store_true", help="as JSON")
    drain = commands.add(
        "drain",
        "stop the daemon as SIGTERM does: answer what is in flight, store everything, end",
        _act,
        "trackflow drain",
    )
    drain.set_defaults(command="drain", told=_DRAINING, told_paused=_DRAINING_PAUSED)
    stop = commands.add(
        "stop",
        "stop the daemon at once; what is not stored yet stays in the rings for the next start",
        _act,
        "trackflow stop",
    )
    told = "stopping: what is not stored yet waits in the rings"
    stop.set_defaults(command="stop", told=told, told_paused=told)
    for parser in (drain, stop):
        parser.add_argument("--json", action="store_true", help="as JSON")


#: What is said to whoever drains.
_DRAINING = "draining: the daemon ends once everything is stored"
_DRAINING_PAUSED = (
    "draining: the daemon is paused, so what is not stored yet stays in rings and spool; the next start stores it"
)


def _status(args: argparse.Namespace) -> int:
    with connect(args) as client:
        cli_status.show(lambda: client.call("status"), args.json, args.watch)
    return 0


def _tail(args: argparse.Namespace) -> int:
    style = Style.of(sys.stdout)
    with connect(args) as client:
        for event in client.stream("tail", site=args.site, name=args.name):
            if "dropped" in event:
                print(f"({count(event['dropped'])} events passed unseen: too many to show)", file=sys.stderr)
            else:
                say(to_json(event) if args.json else event_line(event, style))
    return 0


def _query(args: argparse.Namespace) -> int:
    sql = sys.stdin.read() if args.sql == "-" else args.sql
    if not sql.strip():
        raise QueryError("no SQL given", 'try: trackflow query "SELECT count() FROM events"')
    with connect(args) as client:
        answer = client.call("query", sql=sql, format=args.format)
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    if sys.stdout.isatty():
        text = clean(text, keep="\n\t")
    sys.stdout.write(text if not text or text.endswith("\n") else text + "\n")
    return 0


def _flush(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("flush", wait=args.wait)
    if args.json:
        say(to_json(value))
    elif value["stored"]:
        say(f"stored, after {duration(value['seconds'])}")
    else:
        say(f"asked for; {size(value['left'])} still wait in the rings, {count(value['spooled'])} batches in the spool")
    return 0


def _act(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call(args.command) or {}
    paused = value.get("paused", False)
    say(to_json({"asked": args.command, **value}) if args.json else args.told_paused if paused else args.told)
    return 0
