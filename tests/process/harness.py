"""A real daemon in a directory of its own, for tests.

::

    with Daemon(tmp_path, "store.url=null:") as daemon:
        daemon.post({"site": "s", "name": "pageview"})
        daemon.kill("worker 0")
        daemon.await_status(lambda status: ...)

Ports are free ones, everything it says goes to ``daemon.log``, whose end is part of every failure.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from trackflowd.client import Client
from trackflowd.errors import ControlError

ROOT = Path(__file__).parent.parent.parent

#: Seconds any single step may take before a test fails: far above what it takes on a slow machine.
PATIENCE = 60.0
_LOOK = 0.02
#: Small rings: quick to allocate, and they wrap in tests.
_SETS = (
    "http.listen=127.0.0.1:0",
    "admin.listen=127.0.0.1:0",
    "daemon.workers=2",
    "ring.size=1MiB",
    "batch.max_age=0.2",
    "log.level=debug",
)


class Daemon:
    """The daemon.

    Args:
        directory: the test's own; the data dir is ``data`` in it.
        sets: "section.name=value" each, over the harness's own.
        env: added to the environment.
        module: what is started: ``trackflowd.cli``, or a launcher that takes the same arguments.
        before: words of a command that ends by executing the words behind it (``unshare``, ``sh -c '… exec "$@"' sh``).
        file: text of its configuration file (``configure`` writes another), which then decides the number of workers.

    Attributes:
        http, admin: "http://host:port" of the listeners, once it is up.
    """

    def __init__(
        self,
        directory: Path,
        *sets: str,
        env: Mapping[str, str] | None = None,
        module: str = "trackflowd.cli",
        before: Sequence[str] = (),
        file: str | None = None,
    ) -> None:
        self.directory = directory
        self.file = None if file is None else directory / "trackflow.toml"
        self.data_dir = directory / "data"
        self.log_path = directory / "daemon.log"
        #: Not in the data directory where that may be mounted out of our sight.
        self.socket = (directory if before else self.data_dir) / "control.sock"
        own = _SETS if file is None else [text for text in _SETS if not text.startswith("daemon.workers=")]
        self.sets = (*own, *sets, *([f"control.socket={self.socket}"] if before else []))
        self.module = module
        self.before = before
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.http = ""
        self.admin = ""
        if file is not None:
            self.configure(file)

    def configure(self, text: str) -> None:
        """Write its configuration file; it reads it at its start and when it is told to."""
        assert self.file is not None
        self.file.write_text(text)

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if error is not None:
            error.add_note(f"--- end of {self.log_path}\n{self.log()[-6000:]}")

    # ----------------------------------------------------------------- life

    def start(self, ready: bool = True) -> None:
        """Start it; with ready, wait until it can deliver, else only until it answers."""
        self.launch()
        status = self.await_status(lambda status: bool(status["health"]["ready"]) or not ready)
        self.http = f"http://{status['listen']['http'][0]}"
        self.admin = f"http://{status['listen']['admin']}"

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        command = [*self.before, sys.executable, "-m", self.module, "run", "--data-dir", str(self.data_dir)]
        command += [word for text in self.sets for word in ("--set", text)]
        command += ["-c", str(self.file)] if self.file else []
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for it to end by itself; the exit code."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """Make sure that nothing of it runs any more (its children die with it)."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def log(self) -> str:
        """What it has said so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # ------------------------------------------------------------- children

    def pid(self, name: str) -> int:
        """Process id of "supervisor", "flusher" or "worker N"; waits until there is one that lives."""
        role, _, slot = name.partition(" ")

        def found(status: Mapping[str, Any]) -> int | None:
            for row in status["processes"]:
                if row["role"] == role and row["slot"] == int(slot or 0):
                    pid: int | None = row["pid"]
                    return pid if pid and not gone(pid) else None  # a status may name one that was just killed
            return None

        found_pid = found(self.await_status(found))
        assert found_pid is not None
        return found_pid

    def pids(self) -> dict[str, int]:
        """Every process of it that runs, by name."""
        rows = self.status()["processes"]
        return {f"{row['role']} {row['slot']}": row["pid"] for row in rows if row["pid"]}

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one process of it; its pid. Of one that is killed the supervisor knows when this returns."""
        pid = self.pid(name)
        os.kill(pid, number)
        if number == signal.SIGKILL:
            # A zombie's threads may still run, and it is asked things until it was waited for.
            until(lambda: gone(pid) if name == "supervisor" else not state(pid))
        return pid

    # ------------------------------------------------------------- questions

    def client(self) -> Client:
        """A new connection to its control socket."""
        return Client.connect(str(self.socket))

    def call(self, command: str, /, **args: Any) -> Any:
        """One command on a connection of its own."""
        with self.client() as client:
            return client.call(command, **args)

    def status(self) -> dict[str, Any]:
        """Its status."""
        status: dict[str, Any] = self.call("status")
        return status

    def await_status(self, good: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first status that is good, within ``PATIENCE``."""
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with code {self.process.returncode}\n{self.log()[-6000:]}")
            try:
                seen[:] = [self.status()]
            except ControlError:
                return False
            return bool(good(seen[0]))

        try:
            until(look)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast status: {seen}\n{self.log()[-6000:]}") from None
        return seen[0]

    def flush(self) -> None:
        """Return once everything accepted so far is stored."""
        self.call("flush", wait=PATIENCE)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query's answer."""
        answer: bytes = self.call("query", sql=sql, format="json")
        return [json.loads(line) for line in answer.splitlines() if line.strip()]

    def post(self, events: object, **headers: str) -> tuple[int, dict[str, Any]]:
        """POST to /v1/events; status and decoded answer."""
        return self.request("/v1/events", json.dumps(events).encode(), **headers)

    def request(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """One request on a connection of its own; status and decoded JSON ({} where there is none)."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return fetch(self.http + path, body, names)

    def ready(self) -> tuple[int, dict[str, Any]]:
        """What /readyz of the admin listener answers."""
        return fetch(self.admin + "/readyz")


def fetch(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """One HTTP request; status and decoded JSON."""
    request = urllib.request.Request(url, body, dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, _decoded(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _decoded(error.read())


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def until(good: Callable[[], object]) -> None:
    """Return once good() is true; AssertionError after ``PATIENCE`` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < deadline, f"not so within {PATIENCE:g} s"
        time.sleep(_LOOK)


def state(pid: int) -> str:
    """State of a process as ``ps`` has it: "R", "S", "T" (stopped), "Z"; "" when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(")")[2].split()[0]


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that waits for its parent has)."""
    return state(pid) in ("", "Z")


def slain(pid: int) -> bool:
    """Send SIGKILL to a process that may have ended, and been waited for, by now; whether it was still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
