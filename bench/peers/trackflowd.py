"""trackflowd with one worker: the worker on the server's core, flusher and store on the generator's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import trackflowd
from bench.load import GENERATOR_CORE, SERVER_CORE, BenchFailed, pin
from bench.peers.base import Peer, Server, end
from trackflowd.client import Client
from trackflowd.errors import ControlError

_ROOT = Path(__file__).parent.parent.parent
#: Seconds the store may take to have everything, and the daemon to be ready.
_SETTLE_WITHIN, _READY_WITHIN = 300, 60.0
#: A worker publishes its counts every 0.1 s: after this, all that came before is in them.
_COUNTED_WITHIN = 0.25


class Daemon:
    """A running trackflowd with one worker.

    Args:
        process: its supervisor.
        socket: path of its control socket.

    Raises:
        BenchFailed: it does not get ready.
    """

    def __init__(self, process: subprocess.Popen[bytes], socket: str) -> None:
        self._socket = socket
        self.answered = 0
        until = time.monotonic() + _READY_WITHIN
        status = self._status()
        while not status or not status["health"]["ready"]:
            if process.poll() is not None or time.monotonic() > until:
                raise BenchFailed("the daemon did not start; its words are above")
            time.sleep(0.1)
            status = self._status()
        pids = {row["role"]: row["pid"] for row in status["processes"]}
        worker, self.flusher = psutil.Process(pids["worker"]), psutil.Process(pids["flusher"])
        pin(worker, SERVER_CORE)
        pin(self.flusher, GENERATOR_CORE)
        url = f"http://{status['listen']['http'][0]}/"
        self.server = Server(url, [psutil.Process(process.pid)], [worker], self.settle)

    def _status(self) -> dict[str, Any]:
        try:
            with Client.connect(self._socket) as client:
                found: dict[str, Any] = client.call("status")
                return found
        except ControlError:
            return {}

    def settle(self) -> None:
        """Return when everything answered is stored, also what wrk had sent and did not wait for."""
        seen = -1
        while (accepted := int(self._status()["totals"]["events_accepted"])) != seen:
            seen = accepted
            with Client.connect(self._socket) as client:
                client.call("flush", timeout=_SETTLE_WITHIN + 5, wait=_SETTLE_WITHIN)
            time.sleep(_COUNTED_WITHIN)
        self.answered = accepted

    @property
    def stored(self) -> int:
        """Rows in the store."""
        with Client.connect(self._socket) as client:
            return int(client.call("query", sql="SELECT count() AS n FROM events", format="csv").split()[1])


@contextmanager
def daemon(work: Path, store: str = "chdb:") -> Iterator[Daemon]:
    """A trackflowd of its own. Raises BenchFailed.

    Args:
        work: directory for its data.
        store: store.url.
    """
    data = work / "data"
    sets = ("daemon.workers=1", "http.listen=127.0.0.1:0", "admin.listen=", f"store.url={store}", "log.level=warning")
    command = [sys.executable, "-m", "trackflowd.cli", "run", "--data-dir", str(data)]
    process = subprocess.Popen([*command, *(word for text in sets for word in ("--set", text))], cwd=_ROOT)
    try:
        yield Daemon(process, str(data / "control.sock"))
    finally:
        end(process)


@contextmanager
def _serve(work: Path, cache: Path) -> Iterator[Server]:
    with daemon(work) as running:
        yield running.server
        if running.stored != running.answered:
            raise BenchFailed(f"trackflowd answered {running.answered:,} with 2xx and stored {running.stored:,}")


def _version(cache: Path) -> str:
    return f"trackflowd/{trackflowd.__version__}"


PEER = Peer(
    name="trackflowd",
    about="one worker, every default: validates, enriches, answers from the ring; the flusher stores in chDB on the "
    "generator's core",
    durability="the event in an mmap'd ring before the answer: survives the death of every process; with "
    'ring.durability = "disk" a power cut too (not measured here)',
    serve=_serve,
    version=_version,
)
