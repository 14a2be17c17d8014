"""What is sent to: a daemon of the run's own, one that runs already, or a responder that does nothing."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from trackflowd.client import CALL_TIMEOUT, Client
from trackflowd.errors import TrackflowError

#: Seconds a daemon may take to start, to store what it has, and to end.
_START_WITHIN, _FLUSH_WITHIN, _END_WITHIN = 60.0, 300.0, 60.0
#: Of the run's own daemon; ``--set`` overrides each. Loopback is its trusted proxy, so visitors' addresses count.
SETS: Mapping[str, str] = {
    "http.listen": "127.0.0.1:0",
    "http.trusted_proxies": "127.0.0.0/8",
    "admin.listen": "",
    "log.level": "warning",
}


class TargetFailed(Exception):
    """There is nothing to send to; the text says why."""


class BadUrl(ValueError):
    """A --url that will not be sent to; the text says why."""


@dataclass(frozen=True)
class Target:
    """Where requests go.

    Args:
        about: for people.
        address: IP address and port.
        host: for the Host header.
        daemon: the run's own daemon, if it is that.
    """

    about: str
    address: tuple[str, int]
    host: str
    daemon: Daemon | None = None


def remote(url: str, yes_remote: bool) -> Target:
    """A daemon that runs already.

    Args:
        yes_remote: other addresses than this machine's own loopback are meant.

    Raises:
        BadUrl: no such URL, nobody of that name, or not loopback without yes_remote.
    """
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError as error:
        raise BadUrl(f"{url}: {error}") from error
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise BadUrl(f"{url}: http://HOST:PORT is needed (no TLS, no path)")
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadUrl(f"{url}: {error.strerror}") from error
    address = str(found[0][4][0])
    if not yes_remote and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        raise BadUrl(
            f"{url}: {address} is not this machine's loopback. Traffic like this is an attack where it is not "
            "expected; if the machine is yours and ready for it, add --yes-remote"
        )
    return Target(f"http://{parts.netloc}", (address, port), parts.netloc)


@contextmanager
def null_responder(closing: bool) -> Iterator[tuple[Target, int]]:
    """A responder in a process of its own, and its id."""
    command = [sys.executable, "-m", "bench.traffic.null_responder", *(["--closing"] if closing else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Target("a responder that does nothing", ("127.0.0.1", port), f"127.0.0.1:{port}"), process.pid
        finally:
            process.kill()


_ROOT = Path(__file__).parent.parent.parent


class Daemon:
    """A daemon in a process of its own.

    Args:
        work: directory for its data and its log.
        workers, store, sets: its options.
        file: its configuration file, which then decides the number of workers; None: none.

    Attributes:
        rows_before: rows in the store when it had started.

    Raises:
        TargetFailed: it does not start.
    """

    def __init__(self, work: Path, workers: int, store: str, sets: Mapping[str, str], file: Path | None = None) -> None:
        self._socket = str(work / "data" / "control.sock")
        self._log = work / "daemon.log"
        self._counts = not store.startswith("null:")
        own = {} if file else {"daemon.workers": str(workers)}
        options = {**SETS, **own, "store.url": store, **sets}
        words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "trackflowd.cli", "run", "--data-dir", str(work / "data"), *words]
        command += ["-c", str(file)] if file else []
        with self._log.open("ab") as log:  # a session of its own: Ctrl-C is for the generator
            self._process = subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            self._before = self._await_ready()
            self.rows_before = self.rows()
        except BaseException:
            self.kill()
            raise

    def _await_ready(self) -> dict[str, Any]:
        until = time.monotonic() + _START_WITHIN
        while time.monotonic() < until:
            if self._process.poll() is not None:
                words = self._log.read_text(errors="replace").strip()[-2000:]
                raise TargetFailed(f"the daemon ended with code {self._process.returncode}:\n{words}")
            try:
                status = self.status()
                if status["health"]["ready"]:
                    return status
            except TrackflowError:
                pass
            time.sleep(0.05)
        raise TargetFailed(f"the daemon is not ready after {_START_WITHIN:g} s")

    @property
    def target(self) -> Target:
        """Where it takes events."""
        host = str(self._before["listen"]["http"][0])
        name, _, port = host.rpartition(":")
        return Target(f"a daemon of its own, {host}", (name.strip("[]"), int(port)), host, self)

    def pids(self, role: str) -> list[int]:
        """Process ids of a role: supervisor, worker or flusher."""
        return [row["pid"] for row in self._before["processes"] if row["role"] == role]

    def status(self) -> dict[str, Any]:
        """Its status. Raises TrackflowError."""
        found: dict[str, Any] = self.call("status", CALL_TIMEOUT)
        return found

    def rows(self, wait: float = _FLUSH_WITHIN) -> int:
        """Rows in the store, once all that was accepted is there; of a store that keeps none, those it took.

        Args:
            wait: seconds it may take.

        Raises:
            TrackflowError: it does not answer, or the store has not taken everything in time.
        """
        self.flush(wait)
        if self._counts:
            return int(self.query("SELECT count() AS n FROM events").split()[1])
        return int(self.status()["totals"]["rows_stored"])

    def flush(self, wait: float = _FLUSH_WITHIN) -> None:
        """Return when all that was accepted is stored. Raises TrackflowError: not within so many seconds."""
        self.call("flush", wait + 5, wait=wait)

    def query(self, sql: str) -> bytes:
        """A query's answer as CSV with a head line. Raises TrackflowError."""
        raw: bytes = self.call("query", 60.0, sql=sql, format="csv")
        return raw

    def call(self, command: str, timeout: float, /, **args: Any) -> Any:
        """One command of the control socket. Raises TrackflowError."""
        with Client.connect(self._socket) as client:
            return client.call(command, timeout=timeout, **args)

    def end(self) -> None:
        """Have it drain and end."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it now."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def pin(servers: list[int], others: list[int]) -> bool:
    """Keep servers on the first core this process may use, and itself and others on the last; False: there is one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return False
    for pids, core in ((servers, cores[0]), (others, cores[-1])):
        for pid in pids:
            for thread in psutil.Process(pid).threads():
                os.sched_setaffinity(thread.id, {core})
    os.sched_setaffinity(0, {cores[-1]})
    return True
