"""``trackflow alerts``: what is worth waking somebody for, if anything."""

from __future__ import annotations

import argparse
import sys

from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_status import alert_lines
from trackflowd.cli_text import Style, say, to_json


def add_commands(commands: Commands) -> None:
    """Add this module's command."""
    alerts = commands.add(
        "alerts",
        "what needs a person, and what to do; exit code 1 if something of it is critical",
        _alerts,
        "trackflow alerts\ntrackflow alerts --json | jq '.[].name'\ntrackflow alerts >/dev/null || page-somebody",
    )
    alerts.add_argument("--json", action="store_true", help="as a JSON list")


def _alerts(args: argparse.Namespace) -> int:
    with connect(args) as client:
        alerts = client.call("status").get("alerts") or []
    if args.json:
        say(to_json(alerts, 2))
    else:
        say("\n".join(alert_lines(alerts, Style.of(sys.stdout))) or "none: all is well")
    return int(any(alert["severity"] == "critical" for alert in alerts))
