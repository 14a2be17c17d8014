"""``trackflow doctor``: is this machine fit for the daemon, and is the daemon well? Each finding with what to do."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from trackflowd import config
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, pad, say, to_json
from trackflowd.client import Client
from trackflowd.config import OPTIONS
from trackflowd.doctor import checks
from trackflowd.doctor.examine import Running, Subject, examine
from trackflowd.errors import ConfigError, ControlError, TrackflowError

#: Where the packaged service has its options.
SYSTEM_FILE = "/etc/trackflow/trackflow.toml"
#: Seconds a store that is asked directly may take.
PATIENCE = 10.0


def add_commands(commands: Commands) -> None:
    """Add this module's command."""
    doctor = commands.add(
        "doctor",
        "look at kernel, disk, clock, permissions, ports, store, geo database and libraries; exit code 1 if one fails",
        _doctor,
        "trackflow doctor\ntrackflow doctor -c /etc/trackflow/trackflow.toml   # before the first start\n"
        "trackflow doctor --json | jq '.checks[] | select(.state != \"ok\")'",
    )
    doctor.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help=f"options of a daemon that does not run yet (default: {SYSTEM_FILE}, where it is there)",
    )
    doctor.add_argument("--json", action="store_true", help="as JSON")


def _doctor(args: argparse.Namespace) -> int:
    found = examine(_subject(args), PATIENCE)
    well = checks.well(found)
    if args.json:
        say(to_json({"ok": well, "checks": [check._asdict() for check in found]}, 2))
    else:
        _show(found, well)
    return 0 if well else 1


def _subject(args: argparse.Namespace) -> Subject:
    named = args.config or (SYSTEM_FILE if os.path.exists(SYSTEM_FILE) else None)
    file = Path(named) if named else None
    if file and not (args.socket or args.data_dir):
        try:
            args.socket = config.load(str(file), (), os.environ).control.socket
        except ConfigError:
            pass  # said below, unless a daemon answers elsewhere
    try:
        client = connect(args)
    except ControlError:
        return _stopped(args, file)
    with client:
        options, running = client.call("config"), Running(client.call("status"), _store_version(client))
    return Subject(options, file, running)


def _stopped(args: argparse.Namespace, file: Path | None) -> Subject:
    """What a daemon would be started with; where that makes no sense, the defaults, and what is wrong."""
    sets = [f"daemon.data_dir={os.path.abspath(args.data_dir)}"] if args.data_dir else []
    try:
        return Subject(_options(config.load(str(file) if file else None, sets, os.environ)), file, None)
    except ConfigError as error:
        return Subject(_options(config.load(None, sets, {})), file, None, error.text)


def _options(cfg: config.Config) -> dict[str, Any]:
    return {key: getattr(getattr(cfg, row.section), row.name) for key, row in OPTIONS.items()}


def _store_version(client: Client) -> str:
    try:
        answer: bytes = client.call("query", sql="SELECT version() AS version")
    except TrackflowError:
        return ""  # the check of the store says what its flusher says of it
    return answer.decode("utf-8", "replace")


def _show(found: list[checks.Check], well: bool) -> None:
    style = Style.of(sys.stdout)
    paint = {checks.OK: style.good, checks.WARN: style.odd, checks.FAIL: style.bad}
    for check in found:
        say(f"{paint[check.state](pad(check.state, 6))}{pad(check.name, 17)}{clean(check.text)}")
        if check.mend:
            say(f"{'':23}{style.dim('→')} {clean(check.mend)}")
    warned = sum(check.state == checks.WARN for check in found)
    say()
    if not well:
        say(style.bad("Something stands in the daemon's way: mend what failed."))
    else:
        say(style.good("Nothing stands in the daemon's way") + (f"; {warned} to look at." if warned else "."))
