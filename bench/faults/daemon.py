"""The daemon under test: started, signalled, asked and started again, always from outside."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackflowd.client import Client
from trackflowd.errors import TrackflowError

#: The command that runs this checkout's daemon.
COMMAND = (sys.executable, "-m", "trackflowd.cli")
#: Seconds a daemon may take until it answers, and until a drain has ended (``daemon.drain_timeout`` is lower).
START_WITHIN, DRAIN_WITHIN = 60.0, 30.0
#: Seconds a question may take; a stopped flusher costs the supervisor 1 s of it.
ASK_WITHIN = 3.0
_LOOK = 0.02

#: Small and quick, so that faults bite: rings that fill in seconds, batches that are nearly always on their way,
#: children that are replaced soon after they fall silent. ``--set`` overrides each.
SETS: Mapping[str, str] = {
    "admin.listen": "",
    "http.retry_after": "1",
    "daemon.stall_after": "6",
    "daemon.drain_timeout": "15",
    "ring.size": "1MiB",
    "batch.max_rows": "2000",
    "batch.max_age": "0.05",
    "store.timeout": "4",
    "query.max_rows": "100000",
    "log.level": "info",
}


class DaemonFailed(Exception):
    """It does not do what any daemon must; the text says what."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the daemon.

    Args:
        role: supervisor, worker or flusher.
    """

    role: str
    slot: int
    pid: int


class Daemon:
    """The daemon.

    Args:
        command: words before "run"; empty: ``COMMAND``.
        data_dir: its data directory.
        log: file for what it says.
        sets: options over ``SETS``.
        workers: how many to begin with.

    Attributes:
        port: of 127.0.0.1, the same in every life.
        lives: how often it was started.
        unexpected: how it ended where nobody made it, in words.
        may_fail: it may end by itself with code 1 now, saying why (a disk that is full at its start).
    """

    def __init__(self, command: str, data_dir: Path, log: Path, sets: Mapping[str, str], workers: int) -> None:
        self.data_dir = data_dir
        self.log = log
        self.workers = workers
        self.port = free_port()
        self.lives = 0
        self.unexpected: list[str] = []
        self.may_fail = False
        self._command = shlex.split(command) or list(COMMAND)
        self._sets = {**SETS, "http.listen": f"127.0.0.1:{self.port}", **sets}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = str(data_dir / "control.sock")
        self._file = log.with_suffix(".toml")

    # ----------------------------------------------------------------- life

    def launch(self) -> None:
        """Start it and wait for nothing."""
        self._configure()
        words = [*self._command, "run", "--data-dir", str(self.data_dir), "-c", str(self._file)]
        for name, value in self._sets.items():
            words += ["--set", f"{name}={value}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.lives += 1

    def _configure(self) -> None:
        """Write the configuration file, which has what may change while it runs."""
        self._file.write_text(f"[daemon]\nworkers = {self.workers}\n")

    def change_workers(self, workers: int) -> None:
        """Have another number of workers while it runs; one that does not answer now finds it at its next start."""
        self.workers = workers
        self._configure()
        with contextlib.suppress(TrackflowError):
            self.call("reload")

    def mend(self) -> bool:
        """Start it again if it has ended by itself, and note how; whether it had."""
        if self._process is None or (code := self._process.poll()) is None:
            return False
        if not (self.may_fail and code == 1):
            self.unexpected.append(f"ended by itself with code {code}")
        self.launch()
        return True

    def await_ready(self) -> dict[str, Any]:
        """Its status once it can deliver. Raises DaemonFailed: not within ``START_WITHIN``."""
        until = time.monotonic() + START_WITHIN
        while time.monotonic() < until:
            if self._process is not None and self._process.poll() is not None:
                raise DaemonFailed(f"the daemon ended with code {self._process.returncode}; its words are in its log")
            status = self.status()
            if status is not None and status["health"]["ready"]:
                return status
            time.sleep(_LOOK)
        raise DaemonFailed(f"the daemon is not ready after {START_WITHIN:g} s")

    def kill(self) -> None:
        """SIGKILL to the supervisor; the kernel kills its children after it."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """SIGTERM to the supervisor."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def drain(self) -> int:
        """SIGTERM, and its exit code; noted if a drain may not end so. Raises DaemonFailed: it does not end."""
        assert self._process is not None
        self.terminate()
        try:
            code = self._process.wait(DRAIN_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DaemonFailed(f"the daemon did not end within {DRAIN_WITHIN:g} s of SIGTERM") from None
        if code not in (0, 3):
            self.unexpected.append(f"answered SIGTERM with code {code}")
        return code

    # ------------------------------------------------------------- processes

    def processes(self) -> list[Process]:
        """Those that run, the supervisor first; only it while it does not answer."""
        if self._process is None or self._process.poll() is not None:
            return []
        own = Process("supervisor", 0, self._process.pid)
        try:
            rows = self.call("processes")
        except TrackflowError:
            return [own]
        children = [Process(row["role"], row["slot"], row["pid"]) for row in rows if row["pid"]]
        return [own, *(child for child in children if _parent(child.pid) == own.pid)]

    def children(self, role: str = "") -> list[Process]:
        """Those of a role (empty: all but the supervisor), once there are any and none is being replaced."""
        until = time.monotonic() + ASK_WITHIN
        while True:
            found = [one for one in self.processes() if one.role != "supervisor" and role in ("", one.role)]
            if len(found) >= self._expected(role) or time.monotonic() >= until:
                return found
            time.sleep(_LOOK)

    def await_insert(self, within: float) -> bool:
        """Wait until the flusher says that a batch is on its way to the store; False: none within so many seconds."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            status = self.status()
            if status is not None and status["totals"]["rows_pending"]:
                return True
        return False

    def _expected(self, role: str) -> int:
        return {"worker": self.workers, "flusher": 1}.get(role, self.workers + 1)

    def signal(self, process: Process, number: signal.Signals) -> bool:
        """Signal one of its processes; False: it is gone."""
        ours = self._process is not None and self._process.poll() is None
        if not ours or (process.role != "supervisor" and _parent(process.pid) != self.pid):
            return False
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return False
        return True

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid if self._process is not None else 0

    # ------------------------------------------------------------- questions

    def call(self, command: str, timeout: float = ASK_WITHIN, /, **args: Any) -> Any:
        """One command on a connection of its own. Raises TrackflowError."""
        with Client.connect(self._socket) as client:
            return client.call(command, timeout=timeout, **args)

    def status(self) -> dict[str, Any] | None:
        """Its status; None: it does not answer."""
        try:
            found: dict[str, Any] = self.call("status")
        except TrackflowError:
            return None
        return found

    def query(self, sql: str, timeout: float = 40.0) -> str:
        """A query's answer as CSV with a head line. Raises TrackflowError."""
        raw: bytes = self.call("query", timeout, sql=sql, format="csv")
        return raw.decode()


def _parent(pid: int) -> int:
    """Process id of a process's parent; 0: it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now, below those the kernel gives to clients.

    With one of those, a client that tries while nobody listens can be given that very port and reach itself.
    """
    least = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    draws = random.SystemRandom()
    while True:
        port = draws.randrange(1024, least) if least > 2048 else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
