"""``python -m bench``: CPU per event of worker and flusher, from one run with one generator.

Before the run is measured, a tenth of it warms the caches. nginx, where it is installed, gets the
very same requests. Generator and servers share the machine: read the CPU column; events per second
are what this machine could do beside the generator.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from pathlib import Path

from bench import load
from bench.servers import Daemon, Nginx, cpu, program

_PATH = "/v1/events"


def main() -> int:
    """Measure and print; 1 if an event is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=50_000, help="events to send (default: 50000)")
    parser.add_argument("--connections", type=int, default=32, help="keep-alive connections (default: 32)")
    parser.add_argument(
        "--store", default="chdb:", help='store.url (default: "chdb:"; "null:" measures without a store)'
    )
    arguments = parser.parse_args()
    print(
        f"{arguments.events} requests of one JSON event, {arguments.connections} keep-alive connections, closed loop, "
        f"store {arguments.store.partition(':')[0]}\n"
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}\n"
    )
    print(f"{'':28}{'CPU µs/event':>14}{'events/s':>12}")
    with tempfile.TemporaryDirectory(prefix="trackflow-bench-") as name:
        if program():
            _nginx(Path(name), arguments.connections, arguments.events)
        else:
            print(f"{'nginx':28}{'not installed':>14}")
        return _daemon(Path(name), arguments.store, arguments.connections, arguments.events)


def _line(name: str, seconds: float, events: int, rate: str = "") -> None:
    print(f"{name:28}{seconds / events * 1e6:>14.1f}{rate:>12}")


def _nginx(directory: Path, connections: int, events: int) -> None:
    server = Nginx(directory / "nginx")
    try:
        asyncio.run(load.run(*server.address, _PATH, connections, events // 10, 0))
        before = cpu([server.process.pid])
        result = asyncio.run(load.run(*server.address, _PATH, connections, events, 0))
        used = cpu([server.process.pid]) - before
    finally:
        server.stop()
    _line("nginx (204, access log)", used, events, f"{events / result.seconds:.0f}")


def _daemon(directory: Path, store: str, connections: int, events: int) -> int:
    daemon = Daemon(directory / "data", store)
    try:
        warm = events // 10
        asyncio.run(load.run(*daemon.address, _PATH, connections, warm, 0))
        daemon.stored()
        before = cpu(daemon.workers), cpu(daemon.flusher)
        result = asyncio.run(load.run(*daemon.address, _PATH, connections, events, warm))
        worker = cpu(daemon.workers) - before[0]
        stored = daemon.stored()
        flusher = cpu(daemon.flusher) - before[1]
    finally:
        daemon.stop()
    _line("worker", worker, events, f"{events / result.seconds:.0f}")
    _line("flusher and store", flusher, events)
    print(f"\nanswered 2xx: {result.answered} of {events}; stored with the warm-up: {stored} of {events + warm}")
    return 0 if (result.answered, stored) == (events, events + warm) else 1


if __name__ == "__main__":
    sys.exit(main())
