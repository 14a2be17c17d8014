"""``python -m bench traffic``: its options, its exit code, and what is left behind."""

from __future__ import annotations

import argparse
import gc
import json
import math
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from bench.traffic.loop import Loop, Tally
from bench.traffic.model import Model, Options
from bench.traffic.network import Network
from bench.traffic.report import Outcome, Progress, document, lines
from bench.traffic.target import BadUrl, Daemon, Target, TargetFailed, null_responder, pin, remote
from bench.traffic.wire import Format, Pool, Shape
from trackflowd.cli_text import Style
from trackflowd.errors import TrackflowError

KEPT, BROKEN, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
#: Events that a wait may give: few where sendings are due in between.
_MOST_CLOSED, _MOST_OPEN = 512, 32

_ABOUT = """\
Sends traffic that looks real: many sites, visits with pages in a sensible order, agents, languages and countries by
share, campaigns, orders with revenue, bots, and bad requests. Without --rate as fast as answers come (closed loop);
with it at a fixed rate, and latency counts from when a request was due, so a server that stalls is charged with all
who waited (open loop).
"""
_EXAMPLES = """\
exit code: 0 well, 1 acked and stored differ or nothing was answered, 2 wrong usage, 130 interrupted (Ctrl-C)

examples:
  python -m bench traffic                                  10 s against a daemon of its own
  python -m bench traffic --rate 5000 --duration 60        is 5,000 a second bearable? latency from the due time
  python -m bench traffic --shape array --array 100 --events 1000000
  python -m bench traffic --shape mixed --no-keep-alive --json
  python -m bench traffic --url http://127.0.0.1:8080 --site test.example
  python -m bench traffic --null                           what the generator itself can do

docs/performance.md explains the traffic, the figures and their limits.
"""


class Usage(Exception):
    """Wrong usage; the text says what."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench traffic``; the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        _check(args)
        running = remote(args.url, args.yes_remote) if args.url else None
    except (Usage, BadUrl) as error:
        parser.print_usage(sys.stderr)
        print(f"bench traffic: {error}", file=sys.stderr)
        return WRONG_USAGE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with nullcontext(running) if running else _target(args) as target:
            return _run(args, target)
    except (TargetFailed, TrackflowError) as error:
        print(f"bench traffic: {error}", file=sys.stderr)
        return BROKEN
    except KeyboardInterrupt:
        print("bench traffic: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench traffic", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument_group("how much").add_argument
    add("--duration", type=float, metavar="S", help="seconds (default 10, or no limit with --events)")
    add("--events", type=int, default=0, metavar="N", help="end after so many good events")
    add("--rate", type=float, default=0.0, metavar="N", help="requests a second: open loop (default: closed loop)")
    add("--connections", type=int, default=64, metavar="N", help="at the same time (default 64)")
    add = parser.add_argument_group("what").add_argument
    add("--shape", choices=get_args(Shape), default="single", help="single events, arrays, single events in pipelines, "
        "pixels, or mixed: 85 %% single, 10 %% pixel, 5 %% arrays of 2 to 10 (default single)")  # fmt: skip
    add("--array", type=int, default=100, metavar="N", help="events of an array (default 100)")
    add("--pipeline", type=int, default=16, metavar="N", help="requests in one go, with --shape pipeline (default 16)")
    add("--no-keep-alive", action="store_true", help="a connection for each request")
    add("--seed", type=int, default=1, metavar="N", help="decides everything that is sent (default 1)")
    add("--sites", type=int, default=50, metavar="N", help="how many (default 50)")
    add("--bots", type=float, default=0.06, metavar="SHARE", help="of the events (default 0.06)")
    add(
        "--bad",
        type=float,
        metavar="SHARE",
        help="events that must be refused (default 0.01; 0 with --null)",
    )
    add("--pool", type=int, default=20_000, metavar="N", help="events made beforehand, then sent over and over with "
        "fresh ids; 1 KB of memory each (default 20000)")  # fmt: skip
    add = parser.add_argument_group("where to (default: a daemon of its own, in a temporary directory)").add_argument
    add(
        "--url",
        metavar="URL",
        help="a daemon that runs; visitors' addresses count where it trusts this machine",
    )
    add("--site", metavar="NAME", help="the site of all events; needed with --url")
    add("--yes-remote", action="store_true", help="--url may be another machine")
    add("--null", action="store_true", help="a responder that does nothing, on a core of its own")
    add("--workers", type=int, default=1, metavar="N", help="of the own daemon (default 1)")
    add("--store", default="chdb:", metavar="URL", help='store.url of the own daemon (default "chdb:")')
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="option of the own daemon (may be repeated)")
    add("--pin", action="store_true", help="workers on the first core, generator and flusher on the last")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Complete the options. Raises Usage."""
    if args.duration is None:
        args.duration = math.inf if args.events else 10.0
    if args.bad is None:
        args.bad = 0.0 if args.null else 0.01
    for name, least, most in (
        ("events", 0, 10**12), ("rate", 0, 10**7), ("connections", 1, 50_000), ("array", 1, 500), ("pipeline", 1, 128),
        ("sites", 1, 2000), ("bots", 0, 0.9), ("bad", 0, 0.5), ("pool", 1, 2_000_000), ("workers", 1, 64),
    ):  # fmt: skip
        if not least <= getattr(args, name) <= most:
            raise Usage(f"--{name} {getattr(args, name):g}: not within {least:g} and {most:,}")
    if not 0 < args.duration:
        raise Usage(f"--duration {args.duration:g}: more than 0 s is needed")
    if args.bots + args.bad > 1:
        raise Usage("--bots and --bad: together they are more than everything")
    if args.shape == "pipeline" and args.no_keep_alive:
        raise Usage("--no-keep-alive: a pipeline needs a connection that is kept")
    if args.url and not args.site:
        raise Usage("--site NAME is needed with --url: the events go to a site that you choose, and stay there")
    if args.url and args.null:
        raise Usage("--url or --null: one of them")
    if strange := [text for text in args.set if "=" not in text]:
        raise Usage(f"--set {strange[0]}: NAME=VALUE is needed")


@contextmanager
def _target(args: argparse.Namespace) -> Iterator[Target]:
    """What was started for this run, and ends with it."""
    if args.null:
        with null_responder(args.no_keep_alive) as (target, pid):
            pin([pid], [])
            yield target
    else:
        with tempfile.TemporaryDirectory(prefix="trackflow-traffic-") as name:
            sets = dict(text.split("=", 1) for text in args.set)
            daemon = Daemon(Path(name), args.workers, args.store, sets)
            try:
                if args.pin:
                    pin(daemon.pids("worker"), daemon.pids("flusher"))
                yield daemon.target
                daemon.end()
            finally:
                daemon.kill()


def _run(args: argparse.Namespace, target: Target) -> int:
    form = Format(args.shape, target.host, args.array, args.pipeline, keep_alive=not args.no_keep_alive)
    options = Options(args.seed, args.sites, args.site or "", args.bots, args.bad)
    print(f"making {args.pool:,} events", file=sys.stderr, flush=True)
    pool = Pool.of(Model(options).hits(), form, args.seed, args.pool)
    # A store that is there already may hold the ids of an earlier run with this seed.
    run = 0 if not args.url and args.store.startswith("chdb:") else secrets.randbelow(2**31)
    requests = pool.ready(args.seed, run)
    limit = pool.units_for(args.events) if args.events else 0
    network = Network(target.address, _MOST_OPEN if args.rate else _MOST_CLOSED)
    loop = Loop(
        network, islice(requests, limit) if limit else requests, time.perf_counter_ns, args.connections, form.depth,
        args.rate / form.depth,
    )  # fmt: skip
    tally, cpu_s, interrupted = _send(loop, args, limit, target.about)
    stored = None
    if target.daemon is not None:
        stored = target.daemon.rows(30.0 if interrupted else 300.0) - target.daemon.rows_before
    outcome = Outcome(*pool.sent(tally.units), cpu_s, stored, interrupted)
    said = document(_parameters(args, target, run), tally, outcome)
    print(json.dumps(said) if args.json else "\n".join(lines(said, Style.of(sys.stdout))))
    if interrupted:
        return INTERRUPTED
    return BROKEN if said["holds"] is False or not tally.answered else KEPT


def _send(loop: Loop, args: argparse.Namespace, limit: int, about: str) -> tuple[Tally, float, bool]:
    """Let it run; what came of it, the CPU seconds it took, and whether somebody ended it."""
    ended: list[int] = []

    def end(number: int, frame: object) -> None:
        if ended:
            raise KeyboardInterrupt
        ended.append(number)
        loop.stop()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    seconds = min(args.duration, 10.0**8)
    print(f"sending to {about}", file=sys.stderr, flush=True)
    progress = Progress(loop, 0 if math.isinf(args.duration) else seconds, limit)
    gc.collect()
    gc.freeze()  # the pool is there to stay
    began = time.process_time()
    try:
        tally = loop.run(seconds, progress.tick)
    finally:
        cpu_s = time.process_time() - began
        progress.end()
        for number, handler in before.items():
            signal.signal(number, handler)
    return tally, cpu_s, bool(ended)


def _parameters(args: argparse.Namespace, target: Target, run: int) -> dict[str, Any]:
    names = ("shape", "rate", "connections", "seed", "sites", "site", "bots", "bad", "pool", "array", "pipeline")
    return {
        "target": target.about,
        "run": run,
        **{name: getattr(args, name) for name in names},
        "duration_s": None if math.isinf(args.duration) else args.duration,
        "keep_alive": not args.no_keep_alive,
    }
