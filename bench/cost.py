"""CPU per request of a worker taking single JSON events, beside nginx answering 204 with an access log.

One generator (wrk), one run, the two taking turns: A B A B …, the server on one core and the
generator on another. Figures are CPU time of the serving process (user + system, from the kernel)
over requests answered; the ratio of each pair is what to compare between machines. Rows stored are
counted and held against requests answered.

A server slower than the generator also pays for waking it: an answer to a sleeping wrk costs the
kernel several µs more than one to a busy wrk. That is in the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from trackflowd.client import Client
from trackflowd.errors import ControlError

#: What a current desktop browser sends with fetch(keepalive), in its order.
HEADERS = {
    "Connection": "keep-alive",
    "sec-ch-ua-platform": '"Windows"',
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36",
    "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
    "Content-Type": "text/plain;charset=UTF-8",
    "sec-ch-ua-mobile": "?0",
    "Accept": "*/*",
    "Origin": "https://shop.example",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Referer": "https://shop.example/",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "de-DE,de;q=0.9,en;q=0.8",
}

_NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {dir}/access.log combined;
  keepalive_requests 1000000000;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""

#: wrk's script: ids made in Lua, 2000 pages of one site, bodies built per request.
_WRK = """
wrk.method = "POST"
{headers}
local n = 0
local run = {run}
function setup(thread) thread:set("id", math.random(1, 1000000)) end
function request()
  n = n + 1
  local page = n % 2000
  local body = string.format(
    '{{"site":"shop.example","name":"pageview","id":"%08x-%04x-4000-8000-%012x",' ..
    '"url":"https://shop.example/product/%d?utm_source=mail&utm_campaign=autumn","title":"Product %d",' ..
    '"referrer":"https://www.google.com/","screen":"1920x1080","viewport":"1280x720","lang":"de-DE","tz":"Europe/Berlin"}}',
    run, id % 65536, n, page, page)
  return wrk.format(nil, "/v1/events", nil, body)
end
"""


#: Which of the cores this process may use serve, and which generate (and store).
SERVER_CORE, GENERATOR_CORE = 0, 1


@dataclass(frozen=True)
class Turn:
    """One server's turn.

    Args:
        requests: answered well.
        rate: requests a second.
        cpu_us: CPU µs a request of the process that serves.
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
    missing = [name for name in ("wrk", "nginx") if not _program(name)]
    if missing:
        print(f"bench: {' and '.join(missing)} needed: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    try:
        return _run(args)
    except KeyboardInterrupt:
        return 130


def _run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="trackflow-bench-") as name:
        work = Path(name)
        with _daemon(work, args.store) as daemon, _nginx(work) as nginx:
            ours, theirs = [], []
            _load(work, daemon.url, 1, args.connections)  # caches and branches warm, as in service
            daemon.settle()
            for n in range(args.pairs):
                print(f"pair {n + 1} of {args.pairs}: trackflowd, nginx", file=sys.stderr)
                ours.append(daemon.turn(work, args))
                theirs.append(_nginx_turn(work, nginx, args))
            stored, answered = daemon.stored, daemon.answered
    return _report(ours, theirs, stored, answered, args)


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


class _Daemon:
    """A running trackflowd with one worker."""

    def __init__(self, process: subprocess.Popen[bytes], socket: str) -> None:
        self.process = process
        self._socket = socket
        self.answered = 0
        status = self._status()
        while not status or not status["health"]["ready"]:
            if process.poll() is not None:
                raise SystemExit("bench: the daemon did not start; its words are above")
            time.sleep(0.1)
            status = self._status()
        self.url = f"http://{status['listen']['http'][0]}/"
        pids = {row["role"]: row["pid"] for row in status["processes"]}
        self._worker, self._flusher = psutil.Process(pids["worker"]), psutil.Process(pids["flusher"])
        _pin(self._worker, SERVER_CORE)
        _pin(self._flusher, GENERATOR_CORE)

    def _status(self) -> dict[str, Any]:
        try:
            with Client.connect(self._socket) as client:
                found: dict[str, Any] = client.call("status")
                return found
        except ControlError:
            return {}

    def settle(self) -> None:
        """Return when everything answered is stored."""
        with Client.connect(self._socket) as client:
            client.call("flush", wait=300)
        self.answered = int(self._status()["totals"]["events_accepted"])

    @property
    def stored(self) -> int:
        """Rows in the store."""
        with Client.connect(self._socket) as client:
            return int(client.call("query", sql="SELECT count() AS n FROM events", format="csv").split()[1])

    def turn(self, work: Path, args: argparse.Namespace) -> Turn:
        """One turn of load."""
        worker, flusher = _cpu(self._worker), _cpu(self._flusher)
        requests, rate = _load(work, self.url, args.seconds, args.connections)
        used = _cpu(self._worker) - worker
        self.settle()
        return Turn(requests, rate, used / requests * 1e6, (_cpu(self._flusher) - flusher) / requests * 1e6)


@contextmanager
def _daemon(work: Path, store: str) -> Iterator[_Daemon]:
    data = work / "data"
    sets = ("daemon.workers=1", "http.listen=127.0.0.1:0", "admin.listen=", f"store.url={store}", "log.level=warning")
    command = [sys.executable, "-m", "trackflowd.cli", "run", "--data-dir", str(data)]
    process = subprocess.Popen([*command, *(word for text in sets for word in ("--set", text))])
    try:
        yield _Daemon(process, str(data / "control.sock"))
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def _nginx(work: Path) -> Iterator[tuple[psutil.Process, str]]:
    port = _free_port()
    config = work / "nginx.conf"
    config.write_text(_NGINX.format(dir=work, port=port))
    process = subprocess.Popen([_program("nginx"), "-c", str(config), "-e", str(work / "error.log")])
    try:
        deadline = time.monotonic() + 10
        while not (children := psutil.Process(process.pid).children()):
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit("bench: nginx did not start; its words are above")
            time.sleep(0.05)
        _pin(children[0], SERVER_CORE)
        yield children[0], f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def _nginx_turn(work: Path, nginx: tuple[psutil.Process, str], args: argparse.Namespace) -> Turn:
    process, url = nginx
    before = _cpu(process)
    requests, rate = _load(work, url, args.seconds, args.connections)
    return Turn(requests, rate, (_cpu(process) - before) / requests * 1e6)


_RUNS = iter(range(1, 2**31))


def _load(work: Path, url: str, seconds: int, connections: int) -> tuple[int, float]:
    """Requests answered with 2xx, and how many a second."""
    script = work / "load.lua"
    headers = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in HEADERS.items())
    script.write_text(_WRK.format(headers=headers, run=next(_RUNS)))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
        _pin(psutil.Process(wrk.pid), GENERATOR_CORE)
        said = wrk.communicate()[0]
    found = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", said)
    if not found or not rate or "Non-2xx" in said:
        raise SystemExit(f"bench: wrk says\n{said}")
    return int(found[1]), float(rate[1])


def _pin(process: psutil.Process, core: int) -> None:
    """Keep all threads of a process on one core, where the machine has two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {cores[core]})


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _program(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
