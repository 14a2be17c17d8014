"""``trackflow spool``: batches that wait on disk for the store, listed, read, given up.

Listing and reading need no daemon: they look into the files. Giving up is the daemon's to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trackflowd import segment, spool
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_tasks import moment
from trackflowd.cli_text import Style, clean, count, fit, say, size, table, to_json
from trackflowd.cli_tools import data_dir, positive
from trackflowd.client import Client
from trackflowd.errors import ConfigError, DataDirError, SegmentDamaged
from trackflowd.ring.tools import described
from trackflowd.segment import SUFFIX

File = Mapping[str, Any]

#: Columns of the words at the end of a line.
_WORDS = 60


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    group = commands.group(
        "spool",
        "batches that wait on disk because the store was away, slow or refused them",
        "trackflow spool list\ntrackflow spool dump --limit 5",
    )
    listed = group.add(
        "list",
        "the batches in the spool, oldest first; needs no daemon",
        _list,
        "trackflow spool list\ntrackflow spool list --json | jq 'map(.rows) | add'",
    )
    dump = group.add(
        "dump",
        "print the rows of batches: one JSON object per row; needs no daemon",
        _dump,
        "trackflow spool dump --limit 5\ntrackflow spool dump 0193b0c2a7d87e6fa4c1d2e3f4051627 | jq .event.path",
    )
    add_dump_arguments(dump, "batches, or paths of segment files (default: all in the spool)")
    drop = group.add(
        "drop",
        "give batches up: their rows are lost for good",
        _drop,
        "trackflow spool drop 0193b0c2a7d87e6fa4c1d2e3f4051627\ntrackflow spool drop --all --yes",
    )
    add_drop_arguments(drop, "batches; `trackflow spool list` shows them")
    release = group.add(
        "release",
        "send batches in doubt elsewhere, though the host of the cluster they wait for may have them: then they are "
        "stored twice",
        _release,
        "trackflow spool release 0193b0c2a7d87e6fa4c1d2e3f4051627\ntrackflow spool release --all --yes",
    )
    add_drop_arguments(release, "batches; `trackflow spool list` shows them and what they wait for")
    for parser in (listed, drop, release):
        parser.add_argument("--json", action="store_true", help="as JSON")


# ------------------------------------------------- shared with ``quarantine``


def add_dump_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Names, --limit and --json."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=what)
    parser.add_argument("--limit", type=positive, default=sys.maxsize, metavar="N", help="at most N rows of each file")
    parser.add_argument("--json", action="store_true", help="one JSON object per line, as without it")


def add_drop_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Names or --all, and --yes."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=what)
    parser.add_argument("--all", action="store_true", help="all there are")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def place(args: argparse.Namespace, name: str) -> Path:
    """A directory of the data directory the flags mean.

    Raises:
        DataDirError: there is no such data directory.
    """
    base = data_dir(args.data_dir, os.environ)
    if not base.is_dir():
        raise DataDirError(f"there is no data directory {base}", "name the daemon's with --data-dir")
    return base / name


def place_of(client: Client, name: str) -> Path:
    """The same of the daemon that answers."""
    return Path(str(client.call("config")["daemon.data_dir"])) / name


def dump_files(paths: Sequence[Path], limit: int) -> int:
    """Print the rows of segment files, one JSON object each; 1 if some cannot be read, else 0."""
    sound = True
    for path in paths:
        for n, row in enumerate(rows_of(path)):
            if n >= limit:
                break
            sound = sound and "error" not in row
            say(to_json(row))
    return 0 if sound else 1


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a segment file.

    Yields:
        ``file``, ``row`` (number) and what ``ring.tools.described`` says of it, or ``error`` where it is damaged;
        without ``row``: ``error`` says why nothing can be read. Nothing when the file is gone: its batch landed.
    """
    try:
        _, rows = segment.read(path)
    except FileNotFoundError:
        return
    except SegmentDamaged as error:
        yield {"file": path.name, "error": error.text}
        return
    for number, row in enumerate(rows):
        shown = described(row) if row else {"error": "damaged: its bytes fail their checksum"}
        yield {"file": path.name, "row": number, **shown}


def chosen(found: Sequence[File], args: argparse.Namespace, suffix: str = "") -> list[File]:
    """The files that are named, or all.

    Args:
        found: those there are.
        suffix: of a name; may be left out.

    Raises:
        ConfigError: neither names nor --all, or both.
        DataDirError: no such file.
    """
    if bool(args.names) is args.all:
        raise ConfigError("name what is to go, or say --all", "the list command shows the names")
    if args.all:
        return list(found)
    known = {str(one["name"]).removesuffix(suffix): one for one in found}
    missing = [name for name in args.names if name.removesuffix(suffix) not in known]
    if missing:
        raise DataDirError(f"no {missing[0]!r} there", "the list command shows the names")
    return [known[name] for name in dict.fromkeys(name.removesuffix(suffix) for name in args.names)]


def confirmed(what: str, yes: bool, fate: str = "be lost for good") -> bool:
    """Whether the person at the terminal says yes to what is lost, or else becomes of it.

    Raises:
        ConfigError: there is no terminal to ask at, and --yes was not given.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{what} would {fate}: nothing was done", "say --yes to go on unasked")
    print(f"{what} will {fate}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def amount(files: Sequence[File], noun: str) -> str:
    """Files and their rows in words: 2 batches with 1,234 rows."""
    return numbers(len(files), sum(int(one.get("rows") or 0) for one in files), noun)


def numbers(files: int, rows: int, noun: str) -> str:
    """The same of numbers."""
    nouns = noun if files == 1 else f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count(files)} {nouns} with {count(rows)} row{'' if rows == 1 else 's'}"


def words(text: object) -> str:
    """What is said of a file, as one short line."""
    return fit(clean(" ".join(str(text).split())), _WORDS)


# ------------------------------------------------------------------- commands


def _list(args: argparse.Namespace) -> int:
    directory = place(args, "spool")
    found = spool.look(directory)
    if args.json:
        say(to_json(found, 2))
    elif not found:
        say(f"nothing in {directory}: the store keeps up, or the rings hold what waits")
    else:
        style = Style.of(sys.stdout)
        head, *rows = table([_row(one, style) for one in found], ("batch", "rows", "size", "since", "why"), (1, 2))
        total = f"{amount(found, 'batch')}, {size(sum(one['bytes'] for one in found))}, in {directory}"
        say("\n".join([style.dim(head), *rows, style.dim(total)]))
    return 0


def _row(one: File, style: Style) -> list[str]:
    name = clean(str(one["name"]).removesuffix(SUFFIX))
    if "error" in one:
        return [name, "-", size(one["bytes"]), "", style.bad(clean(one["error"]))]
    return [name, count(one["rows"]), size(one["bytes"]), moment(one["at"]), words(one["reason"])]


def _dump(args: argparse.Namespace) -> int:
    if not args.names:
        directory = place(args, "spool")
        return dump_files([directory / one["name"] for one in spool.look(directory)], args.limit)
    paths = []
    for name in args.names:
        path = Path(name) if "/" in name else place(args, "spool") / (name.removesuffix(SUFFIX) + SUFFIX)
        if not path.is_file():
            raise DataDirError(f"there is no {path}", "it may have landed: see `trackflow spool list`")
        paths.append(path)
    return dump_files(paths, args.limit)


def _drop(args: argparse.Namespace) -> int:
    with connect(args) as client:
        found = chosen(spool.look(place_of(client, "spool")), args, SUFFIX)
        if not found:
            say(to_json({"dropped": 0, "rows": 0}) if args.json else "the spool is empty")
            return 0
        if not confirmed(amount(found, "batch"), args.yes):
            say("nothing was dropped")
            return 1
        value = client.call("spool_drop", names=[one["name"] for one in found])
    if args.json:
        say(to_json(value))
    else:
        say(f"dropped: {numbers(value['dropped'], value['rows'], 'batch')}, lost for good")
    return 0


def _release(args: argparse.Namespace) -> int:
    with connect(args) as client:
        found = chosen(spool.look(place_of(client, "spool")), args, SUFFIX)
        if not found:
            say(to_json({"released": 0, "rows": 0}) if args.json else "the spool is empty")
            return 0
        if not confirmed(amount(found, "batch"), args.yes, "be stored twice if the host they wait for has them"):
            say("nothing was released")
            return 1
        value = client.call("spool_release", names=[one["name"] for one in found])
    if args.json:
        say(to_json(value))
    else:
        say(f"released: {numbers(value['released'], value['rows'], 'batch')}; they go to any host that takes them")
    return 0
