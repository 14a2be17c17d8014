"""``trackflow``'s commands that steer the daemon: pause, resume, reload, loglevel."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, count, say, to_json
from trackflowd.sections import LOG_LEVELS


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    pause = commands.add(
        "pause",
        "send nothing to the store until `trackflow resume`; events are taken on and wait in rings and spool",
        _pause,
        "trackflow pause\ntrackflow pause && systemctl restart clickhouse-server && trackflow resume",
    )
    pause.set_defaults(command="pause")
    resume = commands.add("resume", "end a pause", _pause, "trackflow resume")
    resume.set_defaults(command="resume")
    reload = commands.add(
        "reload",
        "read the configuration again and take on what has changed; where it is wrong nothing changes",
        _reload,
        "trackflow reload --dry-run\ntrackflow reload",
    )
    reload.add_argument("--dry-run", action="store_true", help="only say what would change")
    level = commands.add(
        "loglevel",
        "what is logged from now on, until a reload or restart",
        _level,
        "trackflow loglevel debug\ntrackflow loglevel info",
    )
    level.add_argument("level", choices=LOG_LEVELS)
    for parser in (pause, resume, reload, level):
        parser.add_argument("--json", action="store_true", help="as JSON")


def _pause(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call(args.command)
    if args.json:
        say(to_json(value))
    elif not value["paused"]:
        say("resumed: what has waited is sent now")
    else:
        sending = f"; {count(value['sending'])} rows were on their way" if value.get("sending") else ""
        say(f"paused: nothing more is sent to the store until `trackflow resume`{sending}")
    return 0


def _reload(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("reload", dry_run=args.dry_run)
    say(to_json(value, 2) if args.json else "\n".join(reload_lines(value, Style.of(sys.stdout))))
    return 0


def reload_lines(value: Mapping[str, Any], style: Style) -> list[str]:
    """What a reload did, or would do: an option a line."""
    if not value["changed"]:
        return ["nothing has changed"]
    lines = []
    for change in value["changed"]:
        old, new = (clean(json.dumps(change[key], ensure_ascii=False)) for key in ("old", "new"))
        late = change["key"] in value["restart"]
        lines.append(f"{change['key']}: {old} → {new}" + (style.odd("  takes a restart") if late else ""))
    live = len(value["changed"]) - len(value["restart"])
    if not value["applied"]:
        return [*lines, style.dim("a dry run: nothing was changed")]
    return [*lines, style.good(f"{count(live)} taken on")] if live else lines


def _level(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("loglevel", level=args.level)
    say(to_json(value) if args.json else f"logging from {clean(value['level'])} on")
    return 0
