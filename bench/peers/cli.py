"""``python -m bench peers``: its options and its run."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.environment import describe
from bench.load import BenchFailed, program
from bench.peers.base import Peer, Server
from bench.peers.document import Measured, document, lines
from bench.peers.registry import DENOMINATOR, PEERS
from trackflowd.cli_text import Style

WELL, BROKEN, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_ABOUT = """\
The same traffic to trackflowd's worker and to other servers, on the same cores in the same run: CPU per request as a
ratio to nginx's. Each server runs alone beside nginx, and the two take turns: nginx, A, nginx, A, … A ratio belongs to
one pair of turns; medians and spreads are of the pairs. wrk sends single events with a browser's headers from a core
of its own. CPU time is of all processes that answer (master, workers, children); the second figure is of every
process of the server until it has nothing left to do: for trackflowd until everything is in the store.
"""
_EXAMPLES = """\
exit code: 0 well (what is missing is skipped, and named), 1 something failed, 2 wrong usage, 130 interrupted

examples:
  python -m bench peers                                    what is here, within 5 minutes
  python -m bench peers --install                          fetch what is missing first (pip, npm, go), outside trackflow
  python -m bench peers trackflowd nginx-body --pairs 9
  python -m bench peers --json > peers.json; python -m bench report peers.json

docs/performance.md says what each is and how it is configured; --list too.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench peers``; the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    known = {peer.name: peer for peer in PEERS}
    try:
        if strange := [name for name in args.names if name not in known]:
            raise ValueError(f"there is no peer {strange[0]!r}; known: {', '.join(known)}")
        for name in ("pairs", "seconds", "connections"):
            if getattr(args, name) < 1:
                raise ValueError(f"--{name} {getattr(args, name)}: 1 at least")
    except ValueError as error:
        parser.print_usage(sys.stderr)
        print(f"bench peers: {error}", file=sys.stderr)
        return WRONG_USAGE
    chosen = [known[name] for name in args.names] or list(PEERS)
    if args.list:
        print("\n".join(_described((DENOMINATOR, *chosen), args.cache)))
        return WELL
    if missing := [name for name in ("wrk", "nginx") if not program(name)]:
        print(f"bench: {' and '.join(missing)} needed: apt-get install {' '.join(missing)}", file=sys.stderr)
        return BROKEN
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(args, chosen)
    except BenchFailed as error:
        print(f"bench peers: {error}", file=sys.stderr)
        return BROKEN
    except KeyboardInterrupt:
        print("bench peers: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench peers", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(peer.name for peer in PEERS)}")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="turns of each server (default 5)")
    parser.add_argument("--seconds", type=int, default=2, metavar="S", help="length of a turn (default 2)")
    parser.add_argument("--connections", type=int, default=32, metavar="N", help="keep-alive connections (default 32)")
    parser.add_argument("--install", action="store_true", help="fetch what is missing into --cache, by pip, npm and go")
    parser.add_argument("--cache", type=Path, default=caches / "trackflow-bench", metavar="DIR",
                        help="where that is kept (default %(default)s)")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="say what each is and what it lacks, and measure nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


def _described(peers: Sequence[Peer], cache: Path) -> list[str]:
    found = []
    for peer in peers:
        found += [f"{peer.name}: {peer.about}", f"  keeps: {peer.durability}"]
        found += [f"  skipped: {peer.lacks(cache)}"] if peer.lacks(cache) else []
    return found


def _run(args: argparse.Namespace, chosen: Sequence[Peer]) -> int:
    place = {**describe(), "began": datetime.now(UTC).isoformat(timespec="seconds")}
    args.cache = args.cache.resolve()
    broken = _install(chosen, args.cache) if args.install else {}
    measured = []
    with tempfile.TemporaryDirectory(prefix="trackflow-peers-") as name:
        work = Path(name)
        with DENOMINATOR.serve(work, args.cache) as baseline:
            baseline.turn(work, args.seconds, args.connections)
            for number, peer in enumerate(chosen):
                print(f"{peer.name} ({number + 1} of {len(chosen)})", file=sys.stderr, flush=True)
                measured.append(_measure(peer, baseline, work, args, broken.get(peer.name)))
    parameters = {name: getattr(args, name) for name in ("pairs", "seconds", "connections")}
    parameters |= {"traffic": "single events, a browser's headers, keep-alive, by wrk"}
    said = document(measured, DENOMINATOR, DENOMINATOR.version(args.cache), place, parameters)
    print(json.dumps(said, ensure_ascii=False) if args.json else "\n".join(lines(said, Style.of(sys.stdout))))
    return BROKEN if any(one.failed for one in measured) else WELL


def _install(chosen: Sequence[Peer], cache: Path) -> dict[str, str]:
    """Fetch what is missing; why it did not succeed, by the peer's name."""
    cache.mkdir(parents=True, exist_ok=True)
    broken = {}
    for peer in chosen:
        if peer.install and peer.lacks(cache):
            print(f"installing {peer.name} into {cache}", file=sys.stderr, flush=True)
            try:
                peer.install(cache)
            except BenchFailed as error:
                broken[peer.name] = f"could not be installed: {error}"
    return broken


def _measure(peer: Peer, baseline: Server, work: Path, args: argparse.Namespace, broken: str | None) -> Measured:
    if reason := broken or peer.lacks(args.cache):
        print(f"  skipped: {reason}", file=sys.stderr, flush=True)
        return Measured(peer, skipped=reason)
    one = Measured(peer, version=peer.version(args.cache))
    try:
        with peer.serve(work, args.cache) as server:
            server.turn(work, args.seconds, args.connections, peer.request)  # caches, branches and compilers warm
            for _ in range(args.pairs):
                base = baseline.turn(work, args.seconds, args.connections)
                one.pairs.append((server.turn(work, args.seconds, args.connections, peer.request), base))
                print(f"  {one.pairs[-1][0].cpu_us:.1f} µs, nginx {base.cpu_us:.1f}", file=sys.stderr, flush=True)
    except BenchFailed as error:
        print(f"  failed: {error}", file=sys.stderr, flush=True)
        return Measured(peer, [], one.version, str(error), failed=True)
    return one
