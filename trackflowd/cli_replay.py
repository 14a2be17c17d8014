"""``trackflow replay``: send again what the store has lost, and say what came of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from trackflowd import option
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_tasks import TaskDict, moment, see_through, unfinished
from trackflowd.cli_text import Style, clean, count, duration, pad, table

#: Why a batch is out of reach, by its outcome.
_WHY = {
    "partly": "a part of it is no more in the rings",
    "gone": "it is no more in the rings",
    "other_store": "it was stored in another store than the present one",
}


def add_commands(commands: Commands) -> None:
    """Add this module's command."""
    replay = commands.add(
        "replay",
        "send again what the store has lost, as far back as the rings reach; what it has is not sent",
        _replay,
        "trackflow replay --since 10m --dry-run\ntrackflow replay --since 1h\n"
        "trackflow replay --since 1h --detach && trackflow tasks list\n"
        "trackflow replay --since 1h --json | jq .result.rows_restored",
    )
    replay.add_argument(
        "--since", type=_span, required=True, metavar="DURATION", help="how far back, as 90s, 10m, 1h or 1d"
    )
    replay.add_argument("--dry-run", action="store_true", help="change nothing; say what would be done")
    replay.add_argument("--detach", action="store_true", help="start it and do not wait: trackflow tasks show ID")
    replay.add_argument("--json", action="store_true", help="the task and its result as JSON")


def _span(text: str) -> float:
    try:
        seconds = option.DURATION.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert isinstance(seconds, float)
    if not 0 < seconds <= time.time():
        raise argparse.ArgumentTypeError('must be above 0, such as "10m" or "1h"')
    return seconds


def _replay(args: argparse.Namespace) -> int:
    with connect(args) as client:
        task: TaskDict = client.call("replay", since=args.since, dry_run=args.dry_run)
        return see_through(client, task, args, lambda ended, style: summary(ended, style, time.time()), complete)


def complete(task: TaskDict) -> bool:
    """Whether it went to its end and found nothing out of reach."""
    return task["state"] == "done" and not task["result"]["out_of_reach"]


def summary(task: TaskDict, style: Style, now: float) -> list[str]:
    """What came of a replay.

    Args:
        task: ended.
        now: wall clock, s since 1970 UTC.
    """
    result = task["result"]
    if result is None:
        return unfinished(task, style)
    dry = task["args"]["dry_run"]
    sent = result["restored"] + result["partly"]
    rows = [
        ("looked at", result["looked_at"], result["rows"], style.bold),
        ("already there", result["held"], None, style.bold),
        ("would be restored" if dry else "restored", sent, result["rows_restored"], style.good),
        ("out of reach", result["out_of_reach"], result["rows_lost"], style.bad),
    ]
    cells = [
        [
            style.dim(label),
            (paint if batches else style.bold)(_amount(batches, "batch", "es")),
            "" if of is None else _amount(of, "row"),
        ]
        for label, batches, of, paint in rows
    ]
    lines = table(cells, right=(1, 2))
    width = len("would be restored" if dry else "already there")
    lines.append(style.dim(pad("reach", width)) + "  " + _reach(result, now))
    return lines + [style.odd(line) for line in _losses(result)]


def _amount(number: int, noun: str, plural: str = "s") -> str:
    return f"{count(number)} {noun}{'' if number == 1 else plural}"


def _reach(result: Mapping[str, Any], now: float) -> str:
    if not result["reach_ms"]:
        return "no stored batch is whole in the rings any more"
    ago = max(now - result["reach_ms"] / 1000, 0)
    return (
        f"back to {moment(result['reach_ms'])}, {duration(ago)} ago: older batches are not whole in the rings any more"
    )


def _losses(result: Mapping[str, Any]) -> list[str]:
    """Why what is out of reach is so."""
    lines = []
    for batch in result["named"]:
        lost = f"{_amount(batch['lost'], 'row')} lost: " if batch["lost"] else ""
        why = clean(batch["text"]) or _WHY.get(batch["outcome"], clean(batch["outcome"]))
        lines.append(f"batch {clean(batch['batch'])}: {lost}{why}")
    unnamed = result["out_of_reach"] - result["forgotten"] - len(result["named"])
    if unnamed > 0:
        lines.append(f"and {count(unnamed)} more")
    if result["forgotten"]:
        lines.append(f"{count(result['forgotten'])} left the journal before they were looked at")
    return lines
