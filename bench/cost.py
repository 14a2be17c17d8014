"""CPU per request of a worker taking single JSON events, beside nginx answering 204 with an access log.

One generator (wrk), one run, the two taking turns: A B A B …, the server on one core and the
generator on another. Figures are CPU time of the processes that serve (user + system, from the kernel)
over requests answered; the ratio of each pair is what to compare between machines. Rows stored are
counted and held against requests answered. bench/peers has the servers, and sends to others too.

A server slower than the generator also pays for waking it: an answer to a sleeping wrk costs the
kernel several µs more than one to a busy wrk. That is in the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import BenchFailed, cpu_s, load, program
from bench.peers import nginx
from bench.peers.base import Server
from bench.peers.trackflowd import Daemon, daemon


@dataclass(frozen=True)
class Turn:
    """One server's turn.

    Args:
        requests: answered well.
        rate: requests a second.
        cpu_us: CPU µs a request of the processes that serve.
        flusher_us: CPU µs an event of the flusher, until all is stored.
    """

    requests: int
    rate: float
    cpu_us: float
    flusher_us: float = 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench cost``."""
    parser = argparse.ArgumentParser(
        prog="python -m bench cost",
        description="CPU per request of a worker, beside nginx's, in one run.",
        epilog="example: python -m bench cost --pairs 5 --seconds 5 --json",
    )
    parser.add_argument("--pairs", type=int, default=3, help="turns of each server (default 3)")
    parser.add_argument("--seconds", type=int, default=5, help="length of a turn (default 5)")
    parser.add_argument("--connections", type=int, default=32, help="keep-alive connections (default 32)")
    parser.add_argument("--store", default="chdb:", help='store.url (default "chdb:")')
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse_args(argv)
    missing = [name for name in ("wrk", "nginx") if not program(name)]
    if missing:
        print(f"bench: {' and '.join(missing)} needed: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    try:
        return _run(args)
    except BenchFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="trackflow-bench-") as name:
        work = Path(name)
        with daemon(work, args.store) as running, nginx.PEER.serve(work, work) as baseline:
            ours, theirs = [], []
            load(work, running.server.url, 1, args.connections)  # caches and branches warm, as in service
            running.settle()
            for n in range(args.pairs):
                print(f"pair {n + 1} of {args.pairs}: trackflowd, nginx", file=sys.stderr)
                ours.append(_ours(running, work, args))
                theirs.append(_turn(baseline, work, args))
            stored, answered = running.stored, running.answered
    return _report(ours, theirs, stored, answered, args)


def _ours(running: Daemon, work: Path, args: argparse.Namespace) -> Turn:
    before = cpu_s([running.flusher])
    turn = _turn(running.server, work, args)
    return Turn(turn.requests, turn.rate, turn.cpu_us, (cpu_s([running.flusher]) - before) / turn.requests * 1e6)


def _turn(server: Server, work: Path, args: argparse.Namespace) -> Turn:
    turn = server.turn(work, args.seconds, args.connections)
    return Turn(turn.requests, turn.rate, turn.cpu_us)


def _report(ours: list[Turn], theirs: list[Turn], stored: int, answered: int, args: argparse.Namespace) -> int:
    ratios = [a.cpu_us / b.cpu_us for a, b in zip(ours, theirs, strict=True)]
    figures = {
        "worker_us": statistics.median(turn.cpu_us for turn in ours),
        "nginx_us": statistics.median(turn.cpu_us for turn in theirs),
        "ratio": statistics.median(ratios),
        "flusher_us": statistics.median(turn.flusher_us for turn in ours),
        "requests_s": statistics.median(turn.rate for turn in ours),
        "nginx_requests_s": statistics.median(turn.rate for turn in theirs),
        "answered": answered,
        "stored": stored,
    }
    if args.json:
        turns = {"trackflowd": [asdict(turn) for turn in ours], "nginx": [asdict(turn) for turn in theirs]}
        print(json.dumps({**figures, "turns": turns, "store": args.store, "seconds": args.seconds}))
    else:
        print(f"{'':24}{'CPU µs/request':>16}{'requests/s':>14}")
        print(f"{'trackflowd worker':24}{figures['worker_us']:16.1f}{figures['requests_s']:14,.0f}")
        print(f"{'nginx, 204 + access log':24}{figures['nginx_us']:16.1f}{figures['nginx_requests_s']:14,.0f}")
        print(f"{'flusher + ' + args.store:24}{figures['flusher_us']:16.1f}  (per event)")
        print(f"ratio worker : nginx, median of {len(ratios)} pairs: {figures['ratio']:.2f}"
              f" ({min(ratios):.2f}-{max(ratios):.2f})")  # fmt: skip
        print(f"answered 2xx {answered:,}, stored {stored:,}")
    return 0 if stored == answered else 1
