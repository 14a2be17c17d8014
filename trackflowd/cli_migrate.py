"""``trackflow migrate``: move all events to another kind of store while others come in, and say what came of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_tasks import LEFT, TaskDict, moment, see_through, unfinished
from trackflowd.cli_text import Style, clean, count, duration, pad, size, table

_LABEL = 12  # columns of the labels at the left


def add_commands(commands: Commands) -> None:
    """Add this module's command."""
    migrate = commands.add(
        "migrate",
        "move all events from PostgreSQL to ClickHouse or chDB while others come in: each once, compared by checksums",
        _migrate,
        "trackflow migrate --plan\n"
        "trackflow migrate --to clickhouse://default@db.example:8123/trackflow\n"
        "trackflow migrate --from postgresql://postgres@localhost/trackflow --to chdb: --cutover\n"
        "trackflow migrate --to chdb: --cutover --detach && trackflow tasks list\n"
        "trackflow migrate --to chdb: --json | jq .result.equal",
    )
    migrate.add_argument(
        "--from", dest="source", default="", metavar="URL", help="store to move from; not given: the daemon's own"
    )
    migrate.add_argument(
        "--to", dest="target", default="", metavar="URL", help="store to move to; empty, or begun by a move"
    )
    migrate.add_argument(
        "--plan", action="store_true", help="change nothing; say what it would take and what maps to what"
    )
    migrate.add_argument(
        "--cutover", action="store_true", help="in the end, have the daemon store events in the new store"
    )
    migrate.add_argument("--detach", action="store_true", help="start it and do not wait: trackflow tasks show ID")
    migrate.add_argument("--json", action="store_true", help="the task and its result as JSON")


def _migrate(args: argparse.Namespace) -> int:
    with connect(args) as client:
        task: TaskDict = client.call(
            "migrate", source=args.source, target=args.target, cutover=args.cutover, plan=args.plan
        )
        code = see_through(client, task, args, summary)
    if code == LEFT:
        print(f"ended so, it goes on where it was with: trackflow tasks resume {task['id']}", file=sys.stderr)
    return code


def summary(task: TaskDict, style: Style) -> list[str]:
    """What came of a move, or its plan; task has ended."""
    result = task["result"]
    if result is None:
        return unfinished(task, style)
    if "plan" in result:
        return _planned(result["plan"], style)
    return _moved(result, style)


def _planned(plan: Mapping[str, Any], style: Style) -> list[str]:
    pace = (
        f"{count(plan['rows_per_second'])} rows a second, by a sample" if plan["rows_per_second"] else "no events yet"
    )
    lines = [
        _line("events", style.bold(count(plan["rows"])), style),
        _line("size", f"{size(plan['bytes'])} in PostgreSQL, about {size(plan['target_bytes'])} in the target", style),
        _line("time", f"about {duration(plan['seconds'])}: copy and verify, {pace}", style),
        "",
        *_months(plan["months"], style),
        "",
    ]
    rows = [[row["from"], row["type"], row["to"], row["as"]] for row in plan["mapping"]]
    head, *rest = table(rows, ("from", "type", "to", "type"))
    return [*lines, style.dim(head), *rest]


def _moved(result: Mapping[str, Any], style: Style) -> list[str]:
    equal = style.good("equal in both stores") if result["equal"] else style.bad("not equal in both stores")
    pace = result["verified"] / result["seconds"]
    lines = [
        _line("events", f"{style.bold(count(result['rows']))}, {equal}", style),
        _line("copied", f"{count(result['copied'])} now, the others were there", style)
        if result["copied"] < result["rows"]
        else _line("copied", count(result["copied"]), style),
        _line("verified", f"{count(result['verified'])} by a checksum of each column", style),
    ]
    if result["mended"]:
        lines.append(
            _line("mended", f"{count(result['mended'])} changed in the old store meanwhile: copied anew", style)
        )
    lines += [
        _line("took", f"{duration(result['seconds'])}, {count(round(pace))} events a second", style),
        _line("size", f"{size(result['source_bytes'])}, now {size(result['target_bytes'])}", style),
        *_cutover(result, style),
        "",
        *_months(result["months"], style),
    ]
    return lines


def _cutover(result: Mapping[str, Any], style: Style) -> list[str]:
    target = clean(result["target"])
    if not result["switched_ms"]:
        words = "not yet: the daemon stores where it did; the same command with --cutover switches it"
        return [_line("cutover", words, style)]
    held = duration(result["held_ms"] / 1000)
    return [
        _line(
            "cutover",
            f"{moment(result['switched_ms'])}; batches were held back for {held}, events taken all along",
            style,
        ),
        _line("to do", style.odd(f'set store.url = "{target}" in the daemon\'s options'), style),
    ]


def _months(months: Any, style: Style) -> list[str]:
    def row(month: Mapping[str, Any]) -> list[str]:
        name = f"{month['month'] // 100}-{month['month'] % 100:02d}"
        return [name, *(count(month[key]) for key in ("rows", "source", "target") if key in month)]

    heads = ("month", "events") if months and "rows" in months[0] else ("month", "old store", "new store")
    head, *rest = table([row(month) for month in months], heads, (1, 2))
    return [style.dim(head), *rest]


def _line(label: str, text: str, style: Style) -> str:
    return style.dim(pad(label, _LABEL)) + text
