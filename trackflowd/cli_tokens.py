"""``trackflow tokens``: bearer tokens of the admin listener, listed, made, rotated, revoked.

A token's text is all that ``add`` and ``rotate`` write on standard output, so that a script can take it from there;
what they say to a person goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_tasks import moment
from trackflowd.cli_text import Style, clean, duration, say, table, to_json
from trackflowd.option import DURATION

TokenDict = Mapping[str, Any]


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    group = commands.group(
        "tokens",
        "bearer tokens of the admin listener (docs/admin.md)",
        "trackflow tokens add grafana\ntrackflow tokens list\ntrackflow tokens rotate grafana --overlap 24h",
    )
    listed = group.add(
        "list",
        "the tokens, newest first: scope, when they were used last, when they end",
        _list,
        "trackflow tokens list\ntrackflow tokens list --json | jq '.[] | select(.used_ms == null)'",
    )
    add = group.add(
        "add",
        "make a token; it is printed this once",
        _add,
        "trackflow tokens add grafana\ntrackflow tokens add cleanup --scope admin --expires 90d\n"
        "TOKEN=$(trackflow tokens add grafana)",
    )
    rotate = group.add(
        "rotate",
        "make a successor of a token; the old one works beside it for a while",
        _rotate,
        "trackflow tokens rotate grafana\ntrackflow tokens rotate 7 --overlap 1h",
    )
    revoke = group.add(
        "revoke",
        "have a token not work any more, from now on",
        _revoke,
        "trackflow tokens revoke grafana\ntrackflow tokens revoke 7",
    )
    add.add_argument("name", metavar="NAME", help="whose it is or what for: letters, digits, ._-")
    add.add_argument(
        "--scope", choices=("read", "admin"), default="read", help="read: look; admin: change and erase, too"
    )
    add.add_argument(
        "--expires", type=span, default=0.0, metavar="SPAN", help="how long it lasts, as 90d (default: for ever)"
    )
    for parser in (rotate, revoke):
        parser.add_argument("which", metavar="ID|NAME", help="its number or its name: `trackflow tokens list`")
    rotate.add_argument(
        "--overlap", type=span, default=86_400.0, metavar="SPAN", help="how long the old one still works (default: 1d)"
    )
    for parser in (listed, add, rotate, revoke):
        parser.add_argument("--json", action="store_true", help="as JSON")


def span(text: str) -> float:
    """A span of time as a flag has it, in seconds."""
    try:
        seconds = DURATION.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert isinstance(seconds, float)
    return seconds


def _list(args: argparse.Namespace) -> int:
    with connect(args) as client:
        found: Sequence[TokenDict] = client.call("tokens")
    if args.json:
        say(to_json(found, 2))
    elif not found:
        say("no token so far; `trackflow tokens add NAME` makes one")
    else:
        style = Style.of(sys.stdout)
        heads = ("id", "name", "scope", *ROW_ENDS)
        rows = [[str(one["id"]), clean(one["name"]), clean(one["scope"]), *row_of(one, style)] for one in found]
        head, *lines = table(rows, heads, (0,))
        say("\n".join([style.dim(head), *lines]))
    return 0


#: Heads of what ``row_of`` gives.
ROW_ENDS = ("state", "made", "last used", "ends")


def row_of(token: TokenDict, style: Style) -> list[str]:
    """How it is with a token or key, as cells of a table."""
    state = clean(token["state"])
    ends = token["expires_ms"] if token["revoked_ms"] is None else token["revoked_ms"]
    return [
        style.good(state) if state == "active" else style.odd(state),
        moment(token["created_ms"]),
        moment(token["used_ms"]) if token["used_ms"] else "never",
        moment(ends) if ends else "never",
    ]


def _add(args: argparse.Namespace) -> int:
    with connect(args) as client:
        made = client.call("token_add", name=args.name, scope=args.scope, expires=args.expires)
    lasts = f"for {duration(args.expires)}" if args.expires else "until it is revoked"
    return _shown(args, made, f"token {made['id']} ({clean(made['name'])}, {clean(made['scope'])}) works {lasts}")


def _rotate(args: argparse.Namespace) -> int:
    with connect(args) as client:
        made = client.call("token_rotate", which=args.which, overlap=args.overlap)
    old = made["old"]
    until = f"works until {moment(old['expires_ms'])}" if old["state"] == "active" else "does not work any more"
    return _shown(args, made, f"token {made['id']} ({clean(made['name'])}) follows {old['id']}, which {until}")


def _shown(args: argparse.Namespace, made: TokenDict, text: str) -> int:
    if args.json:
        say(to_json(made, 2))
        return 0
    print(f"{text}; keep it now, nothing shows it again:", file=sys.stderr)
    say(clean(made["token"]))
    return 0


def _revoke(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("token_revoke", which=args.which)
    if args.json:
        say(to_json(value, 2))
    else:
        for token in value["revoked"]:
            say(f"token {token['id']} ({clean(token['name'])}) does not work any more")
    return 0
