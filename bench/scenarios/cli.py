"""``python -m bench run``: its options, its exit code, and what is left behind."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench import environment
from bench.faults.store import StoreFailed
from bench.scenarios.figures import FORMAT
from bench.scenarios.frame import Lender, Options, Pools, Scenario, Skipped, Stage
from bench.scenarios.processes import CORES, GENERATOR_CORE, SERVER_CORE, on
from bench.scenarios.registry import SCENARIOS
from bench.scenarios.tables import lines
from bench.traffic.target import TargetFailed
from trackflowd.cli_text import Style, duration, table
from trackflowd.errors import TrackflowError

KEPT, BROKEN, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
#: ``--quick``: that it works, in seconds. Its figures mean nothing.
QUICK = Options(seconds=1.0, repeat=1, warm_up=0.3, connections=16, pool=1000, rows=20_000, idle=300)
#: Lines of a daemon's log that are shown when something went wrong.
_LAST = 15
#: Seconds until what was started has let go of its files.
_GONE_WITHIN = 10.0

_ABOUT = """\
Runs scenarios, each against a daemon of its own in a temporary directory: how many events a second, latencies, CPU µs
an event of every process, memory, bytes on disk; medians with their spread. Without names all but growth, which fills
a store with 10 million rows first. What was acked is held against what is stored in each.
"""
_EXAMPLES = """\
exit code: 0 well, 1 acked and stored differ or a scenario failed, 2 wrong usage, 130 interrupted (Ctrl-C): what was
measured until then is printed all the same

examples:
  python -m bench run --list
  python -m bench run                        all but growth, within half an hour
  python -m bench run single open --repeat 9
  python -m bench run growth --rows 50000000
  python -m bench run --quick                a second each: does it work?
  python -m bench run --json > run.json      one document; progress on standard error
  python -m bench run slow away --server clickhouse://default@127.0.0.1:8123/bench

docs/performance.md explains each scenario, the figures and their limits.
"""


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Usage(Exception):
    """Wrong usage; the text says what."""


@dataclass
class Session:
    """All that was asked for, as it goes.

    Args:
        options: see there.
        style: of standard output.
        as_json: the tables are not wanted.
        quick: scenarios share what they start.
    """

    options: Options
    style: Style
    as_json: bool
    quick: bool
    documents: list[dict[str, Any]] = field(default_factory=list)
    #: Why, by name.
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def code(self) -> int:
        """The exit code."""
        if self.interrupted:
            return INTERRUPTED
        return BROKEN if self.failed or not all(said["holds"] for said in self.documents) else KEPT


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench run``; the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.list:
            _list(args.json)
            return KEPT
        chosen, options = _chosen(args.names), _options(args)
    except Usage as error:
        parser.print_usage(sys.stderr)
        print(f"bench run: {error}", file=sys.stderr)
        return WRONG_USAGE
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    began = datetime.now(UTC)
    found = environment.describe()
    session = Session(options, Style.of(sys.stdout), args.json, args.quick)
    try:
        with on(GENERATOR_CORE):
            _run_all(session, chosen)
    except KeyboardInterrupt:
        session.interrupted = True
    _end(session, {**found, "began": began.isoformat(timespec="seconds")})
    return session.code


def _interrupt(number: int, frame: object) -> None:
    for each in _SIGNALS:  # the rest takes no time, and is to be done
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m bench run", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios (default: all but growth)")
    add = parser.add_argument
    add("--list", action="store_true", help="list the scenarios and end")
    add("--seconds", type=float, metavar="S", help=f"of one measurement (default {default.seconds:g})")
    add("--repeat", type=int, metavar="N", help=f"measurements of a kind (default {default.repeat})")
    add("--quick", action="store_true", help="one measurement of a second: does it work? The figures mean nothing")
    add("--connections", type=int, metavar="N", help=f"of the generator (default {default.connections})")
    add("--workers", type=int, default=default.workers, metavar="N", help=f"of the daemon (default {default.workers})")
    add("--seed", type=int, default=default.seed, metavar="N", help=f"of the traffic (default {default.seed})")
    add("--rows", type=int, metavar="N", help=f"growth: of the filled store (default {default.rows})")
    add("--idle", type=int, metavar="N", help=f"idle-connections: how many (default {default.idle})")
    add("--store", default=default.store, metavar="URL", help='store.url of the daemon (default "chdb:", embedded)')
    add("--server", default="", metavar="URL", help="slow, away: a ClickHouse server (default: in a checkout one "
        "that the tests have, chDB with a server's face)")  # fmt: skip
    add("--server-command", default="", metavar="CMD", help="starts that server: {dir} in it is a directory of its "
        "own, {port} the port of --server")  # fmt: skip
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="option of the daemon (may be repeated)")
    add("--json", action="store_true", help="one JSON document on standard output")
    return parser


def _chosen(names: Sequence[str]) -> list[Scenario]:
    """The scenarios named. Raises Usage."""
    if strange := [name for name in names if name not in SCENARIOS]:
        raise Usage(f"there is no scenario {strange[0]!r}: {', '.join(SCENARIOS)}")
    return [one for name, one in SCENARIOS.items() if (name in names if names else one.by_default)]


def _options(args: argparse.Namespace) -> Options:
    """What the flags ask for. Raises Usage."""
    for name, least, most in (
        ("seconds", 0.2, 3600), ("repeat", 1, 1000), ("connections", 1, 5000), ("workers", 1, 64),
        ("rows", 1000, 10**10), ("idle", 1, 1_000_000),
    ):  # fmt: skip
        value = getattr(args, name)
        if value is not None and not least <= value <= most:
            raise Usage(f"--{name} {value:g}: not within {least:g} and {most:,}")
    if strange := [text for text in args.set if "=" not in text]:
        raise Usage(f"--set {strange[0]}: NAME=VALUE is needed")
    if args.server and not args.server.startswith("clickhouse://"):
        raise Usage(f"--server {args.server}: clickhouse://user:password@host:port/database is needed (no TLS)")
    if args.server_command and not args.server:
        raise Usage("--server-command: --server names its address")
    names = ("seconds", "repeat", "connections", "rows", "idle")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return replace(
        QUICK if args.quick else Options(), **given, workers=args.workers, seed=args.seed, store=args.store,
        server=args.server, server_command=args.server_command, sets=dict(text.split("=", 1) for text in args.set),
    )  # fmt: skip


def _list(as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: {"about": one.about, "by_default": one.by_default} for name, one in SCENARIOS.items()}))
        return
    rows = [(name, one.about + ("" if one.by_default else "; by name only")) for name, one in SCENARIOS.items()]
    print("\n".join(table(rows)))


def _run_all(session: Session, chosen: Sequence[Scenario]) -> None:
    """One after another; what fails or cannot be is noted, and the others go on."""
    if len(CORES) < 2:
        _tell("this process may use one core only: generator and server share it, and each slows the other")
    pools = Pools.of(session.options)
    with _directory() as common, Lender(keeps=session.quick) as lender:
        for number, scenario in enumerate(chosen):
            about = f"[{number + 1}/{len(chosen)}] {scenario.name}"
            with nullcontext(common) if session.quick else _directory() as work:
                _run_one(session, scenario, Stage(session.options, work, pools, lender, _sayer(about)), about)


def _run_one(session: Session, scenario: Scenario, stage: Stage, about: str) -> None:
    began = time.monotonic()
    try:
        scenario.measure(stage)
        _tell(f"{about}: took {duration(time.monotonic() - began)}")
    except Skipped as why:
        session.skipped[scenario.name] = str(why)
        _tell(f"{about}: skipped: {why}")
    except (TargetFailed, StoreFailed, TrackflowError, psutil.Error) as error:
        session.failed[scenario.name] = str(error)
        _tell(f"{about}: FAILED: {error}{_last_words(stage.work)}")
    except Exception as error:  # a mistake of the bench's own must not cost what the others have measured
        session.failed[scenario.name] = f"{type(error).__name__}: {error}"
        _tell(f"{about}: FAILED: {traceback.format_exc()}")
    finally:
        _add(session, stage, scenario)


def _add(session: Session, stage: Stage, scenario: Scenario) -> None:
    """What a scenario has measured, complete or not."""
    if any(not turn.warm_up for turn in stage.turns):
        said = stage.document(scenario)
        session.documents.append(said)
        if not session.as_json:
            print("\n".join([*lines(said, session.style), ""]), flush=True)


def _sayer(about: str) -> Callable[[str], None]:
    return lambda text: _tell(f"{about}: {text}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _directory() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="trackflow-run-"))
    try:
        yield path
    finally:
        until = time.monotonic() + _GONE_WITHIN
        while path.exists() and time.monotonic() < until:  # a killed daemon's children write for some ms more
            shutil.rmtree(path, ignore_errors=True)
            time.sleep(0.01)


def _last_words(work: Path) -> str:
    """The end of what the daemons and the store have said; the directory goes with the scenario."""
    found = ""
    for log in sorted((*work.glob("*.log"), *work.glob("*/daemon.log"))):
        said = log.read_text(errors="replace").strip().splitlines()[-_LAST:]
        found += "".join(f"\n  {log.parent.name}/{log.name}: {line}" for line in said)
    return found


def _end(session: Session, about: dict[str, Any]) -> None:
    """The document, or what is left to say."""
    if session.as_json:
        parameters = {
            **session.options.as_dict(),
            "quick": session.quick,
            "pinned": {"server": SERVER_CORE, "generator": GENERATOR_CORE} if len(CORES) > 1 else None,
            "interrupted": session.interrupted,
            "skipped": session.skipped,
            "failed": session.failed,
        }
        head = {"format": FORMAT, "kind": "run", **about, "parameters": parameters}
        print(json.dumps({**head, "scenarios": session.documents}, ensure_ascii=False))
        return
    style, notes = session.style, []
    notes += [style.odd(f"{name} was skipped: {why}") for name, why in session.skipped.items()]
    notes += [style.bad(f"{name} failed: {why}") for name, why in session.failed.items()]
    if session.quick:
        notes.append(style.odd("--quick: the figures mean nothing"))
    if session.interrupted:
        notes.append(style.odd("interrupted"))
    if notes:
        print("\n".join(notes))
