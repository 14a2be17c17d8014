"""``trackflow quarantine``: what the store refused or could not be read, listed, tried again, deleted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trackflowd import quarantine
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_spool import (
    File,
    add_drop_arguments,
    add_dump_arguments,
    amount,
    chosen,
    confirmed,
    dump_files,
    numbers,
    place,
    place_of,
    words,
)
from trackflowd.cli_tasks import moment
from trackflowd.cli_text import Style, clean, count, say, size, table, to_json
from trackflowd.errors import DataDirError


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    group = commands.group(
        "quarantine",
        "rows the store refused, and bytes that could not be read",
        "trackflow quarantine list\ntrackflow quarantine retry",
    )
    listed = group.add(
        "list",
        "the files in quarantine, and why they are there; needs no daemon",
        _list,
        "trackflow quarantine list\ntrackflow quarantine list --json | jq '.[].reason'",
    )
    dump = group.add(
        "dump",
        "print what is in them: one JSON object per row; needs no daemon",
        _dump,
        "trackflow quarantine dump | jq .event\n"
        "trackflow quarantine dump rows-0193b0c2a7d87e6fa4c1d2e3f4051627-17.segment",
    )
    add_dump_arguments(dump, "files (default: all)")
    retry = group.add(
        "retry",
        "send rows the store refused again; those it refuses again come back",
        _retry,
        "trackflow quarantine retry\ntrackflow quarantine retry rows-0193b0c2a7d87e6fa4c1d2e3f4051627-17.segment",
    )
    retry.add_argument("names", nargs="*", metavar="NAME", help="files (default: all that can be)")
    drop = group.add(
        "drop",
        "delete files: what is in them is lost for good",
        _drop,
        "trackflow quarantine drop rows-0193b0c2a7d87e6fa4c1d2e3f4051627-17.segment\n"
        "trackflow quarantine drop --all --yes",
    )
    add_drop_arguments(drop, "files; `trackflow quarantine list` shows them")
    for parser in (listed, retry, drop):
        parser.add_argument("--json", action="store_true", help="as JSON")


def _list(args: argparse.Namespace) -> int:
    directory = place(args, "quarantine")
    found = quarantine.look(directory)
    if args.json:
        say(to_json(found, 2))
    elif not found:
        say(f"nothing in {directory}: everything could be read and stored")
    else:
        style = Style.of(sys.stdout)
        head, *rows = table([_row(one) for one in found], ("file", "rows", "size", "since", "retry", "why"), (1, 2))
        total = f"{amount(found, 'file')}, {size(sum(one['bytes'] for one in found))}, in {directory}"
        say("\n".join([style.dim(head), *rows, style.dim(total)]))
    return 0


def _row(one: File) -> list[str]:
    return [
        clean(one["name"]),
        count(one["rows"]) if one["rows"] else "-",
        size(one["bytes"]),
        moment(one["at"]),
        "yes" if one["retry"] else "no",
        words(one["reason"]),
    ]


def _dump(args: argparse.Namespace) -> int:
    directory = place(args, "quarantine")
    paths = [directory / name for name in args.names]
    for path in paths:
        if path.parent != directory or not path.is_file():
            raise DataDirError(f"there is no {path}", "see `trackflow quarantine list`")
    code = 0
    for path in paths or [directory / one["name"] for one in quarantine.look(directory)]:
        code = max(code, _dump_one(path, args.limit))
    return code


def _dump_one(path: Path, limit: int) -> int:
    about = quarantine.describe(path)
    if path.suffix == ".bin" and about["kind"] != "segment":  # that one is a segment: rows of it may be sound
        say(to_json({"file": path.name, "kind": about["kind"], "bytes": about["bytes"], "what": about["reason"]}))
        return 0
    return dump_files([path], limit)


def _retry(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("quarantine_retry", names=args.names)
    if args.json:
        say(to_json(value))
    else:
        rows = value["rows"]
        say(
            f"{count(rows)} row{' goes' if rows == 1 else 's go'} to the store again; "
            "what it refuses again is back here: trackflow quarantine list"
            if rows
            else "nothing to send again"
        )
        for one in value["skipped"]:
            say(f"left as it is: {clean(one['name'])}: {clean(one['reason'])}")
    return 1 if value["skipped"] else 0


def _drop(args: argparse.Namespace) -> int:
    with connect(args) as client:
        found = chosen(quarantine.look(place_of(client, "quarantine")), args)
        if not found:
            say(to_json({"dropped": 0, "rows": 0}) if args.json else "nothing is in quarantine")
            return 0
        if not confirmed(amount(found, "file"), args.yes):
            say("nothing was dropped")
            return 1
        value = client.call("quarantine_drop", names=[one["name"] for one in found])
    if args.json:
        say(to_json(value))
    else:
        say(f"dropped: {numbers(value['dropped'], value['rows'], 'file')}, lost for good")
    return 0
