"""``trackflow stack``: stores, monitoring and the daemon as containers, for development and tests; needs no daemon."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trackflowd.cli_parser import Commands
from trackflowd.cli_tasks import Meter, moment
from trackflowd.cli_text import Style, clean, fit, pad, say, size, table, to_json
from trackflowd.cli_tools import data_dir, positive
from trackflowd.errors import ConfigError, StackError
from trackflowd.stack import book, plan
from trackflowd.stack.book import Book, Record, shown
from trackflowd.stack.crew import Crew
from trackflowd.stack.engine import Engine
from trackflowd.stack.phase import Phase


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    stack = commands.group(
        "stack",
        "stores, monitoring and the daemon in Docker, for development and tests",
        "trackflow stack up\ntrackflow stack up --store postgresql --with monitoring\ntrackflow stack status\n"
        "trackflow stack down",
    )
    up = stack.add(
        "up",
        "start the containers and wait until they are healthy; exit code 1 if one is not",
        _up,
        "trackflow stack up\ntrackflow stack up --store chdb\ntrackflow stack up clickhouse postgresql   # only these\n"
        "trackflow stack up --file ./stack.toml --json",
    )
    status = stack.add(
        "status",
        "every container: state, what it uses, what happened to it; exit code 1 if one has failed",
        _status,
        "trackflow stack status\ntrackflow stack status --history\ntrackflow stack status --json | jq '.[].phase'",
    )
    logs = stack.add(
        "logs",
        "what a container has said",
        _logs,
        "trackflow stack logs daemon\ntrackflow stack logs clickhouse --tail 20 --follow",
    )
    down = stack.add(
        "down",
        "stop the containers; they and their data stay",
        _down,
        "trackflow stack down\ntrackflow stack down grafana",
    )
    away = stack.add(
        "rm",
        "stop and remove the containers; with --volumes their data, too",
        _rm,
        "trackflow stack rm\ntrackflow stack rm --volumes",
    )
    for parser in (up, status, logs, down, away):
        parser.add_argument("--file", metavar="FILE", help="the stack file ($TRACKFLOW_STACK; default: ours)")
    for parser in (up, status, down, away):
        parser.add_argument("--json", action="store_true", help="as JSON; up, down, rm: a line at each change")
    for parser in (up, down, away):
        parser.add_argument("name", nargs="*", metavar="NAME", help="only these containers")
    up.add_argument("--store", default="", metavar="STORE", help="the daemon's: clickhouse, postgresql or chdb")
    up.add_argument("--with", dest="extras", action="append", default=[], metavar="WORD", help="also: monitoring")
    status.add_argument("--history", action="store_true", help="with all that happened to each")
    logs.add_argument("name", metavar="NAME", help="of the container")
    logs.add_argument("--tail", type=positive, default=200, metavar="N", help="last lines (default: 200)")
    logs.add_argument("--follow", action="store_true", help="and what it says from now on, until Ctrl-C")
    away.add_argument("--volumes", action="store_true", help="remove what the containers have stored, for good")


def directory(args: argparse.Namespace) -> Path:
    """Where the stack has its records."""
    return book.place(data_dir(args.data_dir, os.environ))


def _plan(args: argparse.Namespace) -> plan.Plan:
    named = args.file or os.environ.get("TRACKFLOW_STACK")
    return plan.load(Path(named) if named else plan.SHIPPED, getattr(args, "store", ""))


def _up(args: argparse.Namespace) -> int:
    wanted = _plan(args)
    chosen = wanted.chosen(args.name, args.extras)
    told = _Told(args.json)
    with Engine(wanted) as engine, Book(directory(args), wanted.name) as records:
        well = Crew(wanted, engine, records, directory(args), told).up(chosen)
    told.end()
    if not args.json:
        style = Style.of(sys.stdout)
        for store, known in wanted.stores.items():
            if known.outside and (store in chosen or store == wanted.store):
                say(f"{style.dim(pad(store, 12))}{clean(known.outside)}")
    return 0 if well else 1


def _down(args: argparse.Namespace) -> int:
    return _end(args, remove=False)


def _rm(args: argparse.Namespace) -> int:
    return _end(args, remove=True)


def _end(args: argparse.Namespace, remove: bool) -> int:
    wanted = _plan(args)
    for name in args.name:
        if name not in wanted.containers:
            raise ConfigError(f"{wanted.path}: no container {name!r}", f"there are: {', '.join(wanted.containers)}")
    chosen = {name: one for name, one in wanted.containers.items() if not args.name or name in args.name}
    told = _Told(args.json)
    with Engine(wanted) as engine, Book(directory(args), wanted.name) as records:
        crew = Crew(wanted, engine, records, directory(args), told)
        if remove:
            crew.away(chosen, not args.name, args.volumes)
        else:
            crew.down(chosen)
    told.end()
    return 0


def _status(args: argparse.Namespace) -> int:
    wanted = _plan(args)
    busy = ""
    try:
        with Engine(wanted) as engine, Book(directory(args), wanted.name) as records:
            rows = Crew(wanted, engine, records, directory(args), lambda record: None).status()
    except StackError as error:
        # Another command has the records: what it wrote down last is the truth. Without an engine there is none.
        rows = [dict(row) for row in book.read(directory(args)) if row["args"]["stack"] == wanted.name]
        if "is at work" not in error.text:
            raise
        busy = error.text
    if args.json:
        say(to_json(rows, 2))
    elif not rows:
        say("nothing has been started; `trackflow stack up` does")
    else:
        _show(rows, args.history)
        if busy:
            print(f"as written down last: {busy}", file=sys.stderr)
    return 1 if any(row["phase"] == Phase.FAILED for row in rows) else 0


def _show(rows: list[dict[str, Any]], history: bool) -> None:
    style = Style.of(sys.stdout)
    lines = table(
        [_row(row, style) for row in rows], ("name", "state", "image", "cpu", "memory", "restarts", ""), (3, 4, 5)
    )
    say(style.dim(lines[0]))
    for row, line in zip(rows, lines[1:], strict=True):
        say(line)
        if (error := row["error"]) and error["hint"]:
            say(f"    {style.dim('→')} {clean(error['hint'])}")
        for event in row["history"] if history else ():
            say(f"    {style.dim(moment(event['at_ms']))}  {clean(event['text'])}")


def _row(row: Mapping[str, Any], style: Style) -> list[str]:
    used = row.get("container") or {}
    return [
        clean(row["args"]["name"]),
        phase_text(row["phase"], style),
        clean(row["args"]["image"]),
        f"{used['cpu']:.0%}" if "cpu" in used else "",
        size(used["memory"]) if "memory" in used else "",
        str(used.get("restarts") or ""),
        fit(clean((row["error"] or {}).get("text", "")), 100),
    ]


def phase_text(phase: str, style: Style) -> str:
    """A container's phase as people read it."""
    paint = {"healthy": style.good, "failed": style.bad, "stopped": style.dim}
    return paint.get(phase, style.odd)(clean(phase))


def _logs(args: argparse.Namespace) -> int:
    wanted = _plan(args)
    with Engine(wanted) as engine:
        found = engine.look().get(args.name)
        if found is None:
            raise StackError(f"there is no container {args.name!r}", "`trackflow stack status` shows those there are")
        for piece in engine.logs(found.id, args.tail, args.follow):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    return 0


class _Told:
    """Shows each change as it happens: a line each; on a terminal, how much of an image is there."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._begin = time.monotonic()
        self._style = Style.of(sys.stdout)
        self._shown: dict[str, int] = {}
        self._meter = Meter(sys.stderr)

    def __call__(self, record: Record) -> None:
        task = record.task
        if self._json:
            return say(to_json(shown(task)))
        if self._shown.get(record.name) == len(task.history) and record.phase is Phase.PULLING:
            return self._meter.draw({**shown(task), "kind": record.name}, time.monotonic())
        self._shown[record.name] = len(task.history)
        self._meter.clear()
        passed = f"{time.monotonic() - self._begin:6.1f} s"
        text = clean(task.history[-1][1]).removeprefix(f"{record.phase}: ") if task.history else ""
        told = "" if text == record.phase else text
        state = phase_text(record.phase, self._style)
        say(f"{self._style.dim(passed)}  {pad(record.name, 12)} {state}  {told}".rstrip())
        if task.hint:
            say(f"{'':10}{self._style.dim('→')} {clean(task.hint)}")
        sys.stdout.flush()

    def end(self) -> None:
        """Leave no half-drawn line."""
        self._meter.clear()
