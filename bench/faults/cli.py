"""``python -m bench faults``: its options, its exit code, and what is left behind."""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bench.faults.client import TrafficFailed
from bench.faults.daemon import DaemonFailed
from bench.faults.kinds import KINDS
from bench.faults.report import Screen, document, lines
from bench.faults.result import Options
from bench.faults.run import Run, Usage
from bench.faults.store import StoreFailed
from trackflowd.cli_text import Style, table
from trackflowd.option import SIZE

KEPT, BROKEN, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_ABOUT = """\
Starts a daemon of its own, sends it events from a process of its own, kills, stops and starves it by a plan that the
seed decides, then compares what was answered 2xx with what is in the store.
"""
_EXAMPLES = """\
exit code: 0 the promise was kept, 1 it was broken (or could not be tried), 2 wrong usage, 130 interrupted

examples:
  python -m bench faults --seconds 60 --seed 1
  python -m bench faults --faults kill-flusher,kill-all --seconds 30 --json
  python -m bench faults --store clickhouse://default@127.0.0.1:8123/trackflow_faults
  python -m bench faults --store clickhouse://default@127.0.0.1/trackflow_faults \\
      --store-command 'clickhouse server -- --path {dir} --http_port {port}'
  python -m bench faults --store postgresql://postgres@127.0.0.1/postgres \\
      --store-command 'postgres -D /srv/cluster -k {dir} -p {port}'
  python -m bench faults --list

docs/reliability.md explains the invariants (I1 to I8) and the table.
"""

#: Options that the runner gives itself.
_OURS = ("daemon.data_dir", "daemon.workers", "http.listen", "store.url", "control.socket")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench faults``; the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.list:
        _list(args.json)
        return KEPT
    try:
        options = _options(args)
    except Usage as error:
        parser.print_usage(sys.stderr)
        print(f"bench faults: {error}", file=sys.stderr)
        return WRONG_USAGE
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    return _run(options, as_json=args.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench faults", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--seconds", type=float, default=60.0, metavar="N", help="length of the run with faults (default 60)")
    add("--seed", type=int, metavar="S", help="decides plan and events (default: drawn, and printed)")
    add("--store", default="chdb:", metavar="URL", help='store.url of the daemon (default "chdb:", embedded)')
    add("--store-command", default="", metavar="CMD", help="starts the store, so that it can be killed: {dir} in it is "
        "a directory of its own, {port} the port of --store, or a free one; a first line such as {\"port\": 8123} on "
        "its standard output names the port")  # fmt: skip
    add("--daemon-command", default="", metavar="CMD", help="the command that runs the daemon, before its argument "
        '"run" (default: this checkout\'s)')  # fmt: skip
    add("--connections", type=int, default=16, metavar="N", help="clients at the same time (default 16)")
    add("--rate", type=float, default=1000.0, metavar="N", help="fresh events a second (default 1000)")
    add("--workers", type=int, default=2, metavar="N", help="worker processes to begin with (default 2)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the daemon (may be repeated)")
    add("--faults", metavar="KIND,…", help="only these kinds (default: all that apply)")
    add("--disk", default="1GiB", metavar="SIZE", help="size of the disk the daemon's data is on, which is filled; it "
        "takes memory. 0: none, data on the disk of --keep (default 1GiB)")  # fmt: skip
    add("--keep", metavar="DIR", help="work in this directory, new or empty, and leave it (default: a temporary one, "
        "left only when the promise was broken)")  # fmt: skip
    add("--json", action="store_true", help="one JSON document on standard output")
    add("--list", action="store_true", help="list the kinds of faults and end")
    return parser


def _options(args: argparse.Namespace) -> Options:
    """What the flags ask for. Raises Usage."""
    kinds = [name.strip() for name in args.faults.split(",")] if args.faults else list(KINDS)
    if strange := [name for name in kinds if name not in KINDS]:
        raise Usage(f"--faults: there is no {strange[0]!r}; --list names those there are")
    for name, value, least, most in (
        ("seconds", args.seconds, 5, 86_400), ("connections", args.connections, 1, 1000),
        ("rate", args.rate, 1, 50_000), ("workers", args.workers, 1, 16),
    ):  # fmt: skip
        if not least <= value <= most:
            raise Usage(f"--{name}: {value:g} is not within {least} and {most:,}")
    _check_store(args.store, args.store_command)
    sets = {}
    for text in args.set:
        name, found, value = text.partition("=")
        if not found or name in _OURS:
            raise Usage(f"--set {text}: " + (f"{name} is the runner's own" if found else "NAME=VALUE is needed"))
        sets[name] = value
    try:
        disk = int(str(SIZE.read(args.disk)))
    except ValueError as error:
        raise Usage(f"--disk {args.disk}: {error}") from error
    seed = args.seed if args.seed is not None else secrets.randbelow(2**31)
    return Options(
        args.seconds, seed, args.store, args.store_command, args.daemon_command, args.connections, args.rate,
        args.workers, sets, disk, kinds, _work(args.keep), args.keep is not None,
    )  # fmt: skip


def _check_store(url: str, command: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Usage(f"--store: {error}") from error
    if parts.scheme not in ("chdb", "clickhouse", "clickhouses", "postgresql", "postgres"):
        raise Usage(
            f"--store {parts.scheme}: rows must be read back from it: chdb:, clickhouse://host:port/database or "
            "postgresql://user@host:port/database"
        )
    if command and parts.scheme == "chdb":
        raise Usage("--store-command: an embedded store is started by the daemon")
    if parts.scheme == "clickhouses" and command:
        raise Usage("--store-command: give --store as clickhouse://; on this machine no TLS is needed")


def _work(keep: str | None) -> Path:
    """The directory of the run."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="trackflow-faults-"))
    path = Path(keep).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise Usage(f"--keep {keep}: it is not empty")
    except OSError as error:
        raise Usage(f"--keep {keep}: {error.strerror}") from error
    return path


def _list(as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: {"about": kind.about, "lasts_s": kind.lasts} for name, kind in KINDS.items()}))
        return
    rows = [(name, kind.about, "{:g}–{:g} s".format(*kind.lasts) if kind.lasts[1] else "") for name, kind in
            KINDS.items()]  # fmt: skip
    print("\n".join(table(rows, ("fault", "what happens", "lasts"))))


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _run(options: Options, as_json: bool) -> int:
    screen = Screen()
    screen.say(f"seed {options.seed}; working in {options.work}")
    screen.start()
    code, kept = BROKEN, True
    try:
        result = Run(options, screen.progress).go()
        said = document(result, options.work)
        code = KEPT if said["promise"] == "kept" else BROKEN
        kept = options.keep or code == BROKEN
        if not kept:
            said |= {"directory": None}
        screen.end()
        print(json.dumps(said) if as_json else "\n".join(lines(said, Style.of(sys.stdout))))
    except KeyboardInterrupt:
        screen.say("interrupted; everything that was started has ended")
        code, kept = INTERRUPTED, options.keep
    except Usage as error:
        screen.say(f"bench faults: {error}")
        code, kept = WRONG_USAGE, options.keep
    except (DaemonFailed, StoreFailed, TrafficFailed) as error:
        screen.say(f"bench faults: {error}\nlog and data: {options.work}")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the rest takes no time, and is to be done
        screen.end()
        if not kept:
            shutil.rmtree(options.work, ignore_errors=True)
    return code
