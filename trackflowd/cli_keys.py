"""``trackflow keys``: server keys of sites, listed, made, rotated, revoked.

A key's text is all that ``add`` and ``rotate`` write on standard output, so that a script can take it from there;
what they say to a person goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_sites import warn
from trackflowd.cli_tasks import moment
from trackflowd.cli_text import Style, clean, duration, say, table, to_json
from trackflowd.cli_tokens import ROW_ENDS, row_of, span

KeyDict = Mapping[str, Any]


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    group = commands.group(
        "keys",
        "server keys: what a site's own servers send with (docs/sites.md)",
        "trackflow keys add example.com\ntrackflow keys list\ntrackflow keys rotate example.com/server --overlap 24h",
    )
    listed = group.add(
        "list",
        "the keys, newest first: site, when they were used last, when they end",
        _list,
        "trackflow keys list\ntrackflow keys list --site example.com\n"
        "trackflow keys list --json | jq '.[] | select(.used_ms == null)'",
    )
    add = group.add(
        "add",
        "make a key of a site; it is printed this once",
        _add,
        "trackflow keys add example.com\ntrackflow keys add example.com --name shop --expires 90d\n"
        "KEY=$(trackflow keys add '*')",
    )
    rotate = group.add(
        "rotate",
        "make a successor of a key; the old one works beside it for a while",
        _rotate,
        "trackflow keys rotate example.com/server\ntrackflow keys rotate 481516234 --overlap 1h",
    )
    revoke = group.add(
        "revoke",
        "have a key not work any more, within a second",
        _revoke,
        "trackflow keys revoke example.com/server\ntrackflow keys revoke 481516234",
    )
    listed.add_argument("--site", default="", help="only of this site")
    add.add_argument("site", metavar="SITE", help="whose events it may send; *: of all sites")
    add.add_argument("--name", default="server", help="whose it is or what for: letters, digits, ._- (default: server)")
    add.add_argument("--expires", type=span, default=0.0, metavar="SPAN", help="how long it lasts (default: for ever)")
    for parser in (rotate, revoke):
        parser.add_argument("which", metavar="ID|NAME|SITE/NAME", help="which one: `trackflow keys list`")
    rotate.add_argument(
        "--overlap", type=span, default=86_400.0, metavar="SPAN", help="how long the old one still works (default: 1d)"
    )
    for parser in (listed, add, rotate, revoke):
        parser.add_argument("--json", action="store_true", help="as JSON")


def _list(args: argparse.Namespace) -> int:
    with connect(args) as client:
        found: Sequence[KeyDict] = client.call("keys", site=args.site)
    if args.json:
        say(to_json(found, 2))
    elif not found:
        say("no key so far; `trackflow keys add SITE` makes one")
    else:
        style = Style.of(sys.stdout)
        heads = ("id", "site", "name", *ROW_ENDS)
        rows = [[str(key["id"]), clean(key["site"]), clean(key["name"]), *row_of(key, style)] for key in found]
        head, *lines = table(rows, heads, (0,))
        say("\n".join([style.dim(head), *lines]))
    return 0


def _add(args: argparse.Namespace) -> int:
    with connect(args) as client:
        made = client.call("key_add", site=args.site, name=args.name, expires=args.expires)
    lasts = f"for {duration(args.expires)}" if args.expires else "until it is revoked"
    return _shown(args, made, f"key {made['id']} ({_named(made)}) works {lasts}")


def _rotate(args: argparse.Namespace) -> int:
    with connect(args) as client:
        made = client.call("key_rotate", which=args.which, overlap=args.overlap)
    old = made["old"]
    until = f"works until {moment(old['expires_ms'])}" if old["state"] == "active" else "does not work any more"
    return _shown(args, made, f"key {made['id']} ({_named(made)}) follows {old['id']}, which {until}")


def _named(key: KeyDict) -> str:
    return f"{clean(key['name'])} of {clean(key['site'])}"


def _shown(args: argparse.Namespace, made: KeyDict, text: str) -> int:
    warn(made)
    if args.json:
        say(to_json(made, 2))
        return 0
    print(f"{text}; keep it now, nothing shows it again:", file=sys.stderr)
    say(clean(made["key"]))
    return 0


def _revoke(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("key_revoke", which=args.which)
    warn(value)
    if args.json:
        say(to_json(value, 2))
    else:
        for key in value["revoked"]:
            say(f"key {key['id']} ({_named(key)}) does not work any more")
    return 0
