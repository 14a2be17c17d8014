"""Options and the number of workers changed each second under load: what fails, and what of the answered is stored.

``python -m bench reload`` starts a daemon, sends single events at a rate, and meanwhile writes another number of
workers (1 to ``--workers``) and another limit into its configuration file and has it reload, again and again. The exit
code is 0 if no request failed, none was left unanswered, every reload was taken on, and as many events are stored as
were answered.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.environment import describe
from bench.traffic.loop import Loop
from bench.traffic.model import Model
from bench.traffic.model import Options as Traffic
from bench.traffic.network import Network
from bench.traffic.target import Daemon, TargetFailed
from bench.traffic.wire import Format, Pool
from trackflowd.errors import TrackflowError

#: Rings that hold seconds of traffic: a full one would answer 503, which is not what is tried.
SETS: Mapping[str, str] = {"ring.size": "64MiB"}
#: Events made beforehand, sent round and round with ids of their own; events one wait of the generator gives.
POOL, AT_ONCE = 20_000, 32
#: Seconds one reload may take.
WITHIN = 30.0


@dataclass
class Changes:
    """What was changed.

    Attributes:
        workers: numbers that were in effect, and how often.
        took: seconds of each reload.
        wrong: what was not as it should be.
    """

    workers: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Changer(threading.Thread):
    """Changes options of a daemon until it is told to end.

    Args:
        daemon: running.
        file: its configuration file.
        most: workers at most.
        every: seconds between two changes.
        seed: decides the numbers.
    """

    def __init__(self, daemon: Daemon, file: Path, most: int, every: float, seed: int) -> None:
        super().__init__(name="changer", daemon=True)
        self.changes = Changes()
        self._daemon = daemon
        self._file = file
        self._most = most
        self._every = every
        self._draws = random.Random(seed)
        self._over = threading.Event()

    def run(self) -> None:
        """Change them."""
        workers = 1
        while not self._over.wait(self._every):
            workers = self._draws.choice([n for n in range(1, self._most + 1) if n != workers])
            self._file.write_text(text_of(workers, 1 + len(self.changes.took)))
            began = time.monotonic()
            try:
                told = self._daemon.call("reload", WITHIN)
            except TrackflowError as error:
                self.changes.wrong.append(str(error))
                continue
            self.changes.took.append(time.monotonic() - began)
            self.changes.workers[workers] += 1
            if told["restart"] or not told["applied"]:
                self.changes.wrong.append(f"not taken on: {told}")

    def end(self) -> Changes:
        """Have it end; what it did."""
        self._over.set()
        self.join(WITHIN)
        return self.changes


def text_of(workers: int, number: int) -> str:
    """A configuration file."""
    return f"[daemon]\nworkers = {workers}\n[http]\nmax_events = {500 + number % 100}\n"


def measure(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One run, as a document.

    Raises:
        TargetFailed, TrackflowError: the daemon does not start, or does not answer.
    """
    file = work / "trackflow.toml"
    file.write_text(text_of(1, 0))
    pool = Pool.of(Model(Traffic(args.seed, bad=0.0)).hits(), Format("single"), args.seed, POOL)
    daemon = Daemon(work, 1, args.store, SETS, file)
    try:
        network = Network(daemon.target.address, AT_ONCE)
        requests = pool.ready(args.seed, 0)
        loop = Loop(network, requests, time.perf_counter_ns, args.connections, 1, args.rate)
        changer = Changer(daemon, file, args.workers, args.every, args.seed)
        changer.start()
        try:
            tally = loop.run(args.seconds)
        finally:
            network.close()
        changes = changer.end()
        stored = daemon.rows() - daemon.rows_before
        workers = [row["state"] for row in daemon.status()["processes"] if row["role"] == "worker"]
        daemon.end()
    finally:
        daemon.kill()
    return {
        "kind": "reload", **describe(), "seconds": args.seconds, "rate": args.rate, "connections": args.connections,
        "reloads": len(changes.took), "slowest_reload_s": round(max(changes.took, default=0.0), 3),
        "workers": dict(sorted(changes.workers.items())), "left": Counter(workers), "wrong": changes.wrong,
        "requests": tally.answered, "statuses": dict(tally.statuses), "failed": dict(tally.failed),
        "unanswered": tally.unanswered, "unsent": tally.unsent, "acked": tally.accepted, "stored": stored,
        "p50_ms": tally.latency.percentile(0.5) / 1e6, "p99_ms": tally.latency.percentile(0.99) / 1e6,
    }  # fmt: skip


def faults(found: Mapping[str, Any]) -> list[str]:
    """What is wrong with a run, in words; empty: nothing."""
    wrong = [f"a reload: {text}" for text in found["wrong"]]
    wrong += [f"{count} answers with status {status}" for status, count in found["statuses"].items() if status != 200]
    wrong += [f"{count} connections failed: {why}" for why, count in found["failed"].items()]
    if found["unanswered"]:
        wrong.append(f"{found['unanswered']} requests were not answered")
    if found["stored"] != found["acked"]:
        wrong.append(f"{found['acked']} events were answered and {found['stored']} are stored")
    if not found["reloads"]:
        wrong.append("the run was too short for a reload: nothing was tried")
    return wrong


def lines(found: Mapping[str, Any]) -> list[str]:
    """A run for people."""
    counts = ", ".join(f"{workers}: {count} times" for workers, count in found["workers"].items())
    wrong = faults(found)
    return [
        f"{found['reloads']} reloads in {found['seconds']:g} s, the slowest took {found['slowest_reload_s']} s; "
        f"numbers of workers {counts or 'none'}",
        f"{found['requests']:,} requests answered of {found['rate']:,.0f} a second on {found['connections']} "
        f"connections, {found['unsent']:,} not sent in time; p50 {found['p50_ms']:.1f}, p99 {found['p99_ms']:.1f} ms",
        f"{found['acked']:,} events answered, {found['stored']:,} stored",
        *wrong,
        "nothing failed and nothing is lost" if not wrong else f"{len(wrong)} things are wrong",
    ]


def main(argv: Sequence[str]) -> int:
    """Entry of ``python -m bench reload``; the exit code."""
    parser = argparse.ArgumentParser(prog="bench reload", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of traffic (default: 60)")
    parser.add_argument("--rate", type=float, default=5000.0, help="requests a second (default: 5000)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two reloads (default: 1)")
    parser.add_argument("--workers", type=int, default=3, help="most workers (default: 3)")
    parser.add_argument("--connections", type=int, default=64, help="of the generator (default: 64)")
    parser.add_argument("--store", default="chdb:", help="store.url of the daemon (default: chdb:)")
    parser.add_argument("--seed", type=int, default=1, help="of traffic and numbers (default: 1)")
    parser.add_argument("--json", metavar="FILE", help="write the document there too")
    args = parser.parse_args(argv)
    if args.workers < 2:
        parser.error("--workers must be at least 2: there would be nothing to change")
    with tempfile.TemporaryDirectory(prefix="bench-reload-") as work:
        try:
            found = measure(args, Path(work))
        except (TargetFailed, TrackflowError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    print("\n".join(lines(found)))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2) + "\n")
    return 1 if faults(found) else 0
