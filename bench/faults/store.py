"""The store's own process, where the runner is to start it: so that it can be killed and started again."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil

#: ``postgres: USER DATABASE HOST(PORT) WHAT IT DOES`` (ps_status.c).
_BACKEND = re.compile(r"postgres: \S+ \S+ \S+\(\d+\) (.*)")

#: Seconds a store may take until its port is open: a server with much to load.
START_WITHIN = 60.0


class StoreFailed(Exception):
    """It did not start; the text says how it went."""


class StoreProcess:
    """A running store.

    Args:
        command: as typed; ``{dir}`` is a directory of its own, ``{port}`` the port of the store's url.
        directory: what ``{dir}`` stands for; made.
        port: what ``{port}`` stands for.
        log: file for what it says.

    Raises:
        StoreFailed: it ended, or its port did not open.
    """

    def __init__(self, command: str, directory: Path, port: int, log: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._command = [word.replace("{dir}", str(directory)).replace("{port}", str(port)) for word in
                         shlex.split(command)]  # fmt: skip
        self._log = log
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._known: list[psutil.Process] = []
        self.start()

    def start(self) -> None:
        """Start it and wait until its port is open."""
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is for the runner, and a kill takes what it started along.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        try:
            self._await_port(self._process)
        except BaseException:
            self.kill()
            raise

    def _await_port(self, process: subprocess.Popen[bytes]) -> None:
        lines: list[bytes] = []
        said = threading.Event()

        def read() -> None:
            assert process.stdout is not None
            with self._log.open("ab", buffering=0) as log, process.stdout as out:
                for line in out:
                    lines[:] = lines or [line]
                    said.set()
                    log.write(line)

        threading.Thread(target=read, daemon=True).start()
        until = time.monotonic() + START_WITHIN
        while time.monotonic() < until:
            if said.is_set():
                self.port = _port_of(lines[0]) or self.port
            if process.poll() is not None:
                raise StoreFailed(f"the store ended with code {process.returncode}; its words are in {self._log}")
            if self.port and _answers(self.port):
                return
            time.sleep(0.05)
        raise StoreFailed(f"nobody listens on port {self.port} after {START_WITHIN:g} s; see {self._log}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and all it started, it first: PostgreSQL's server starts what it finds gone."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to all, and reap."""
        self.signal(signal.SIGSTOP)
        self.signal(signal.SIGKILL)  # whom it had started in between as well
        family = list(self._known)
        if self._process is not None:
            self._process.wait()
        psutil.wait_procs(family, timeout=START_WITHIN)

    def backends(self) -> list[tuple[psutil.Process, str]]:
        """PostgreSQL's processes for a client each, and what each does, by their titles: INSERT, idle, …"""
        found = [(process, _BACKEND.fullmatch(title_of(process))) for process in self._family()]
        return [(process, match[1]) for process, match in found if match is not None]

    def _family(self) -> list[psutil.Process]:
        """It and all it started, as far as they live; of one that has ended, what it left behind."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                first = psutil.Process(self._process.pid)
                self._known = [first, *first.children(recursive=True)]
        self._known = [process for process in self._known if process.is_running()]
        return self._known


def title_of(process: psutil.Process) -> str:
    """Its command line as ``ps`` shows it; "" when it is gone."""
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _port_of(line: bytes) -> int | None:
    """The port in a first line such as {"port": 8123}; None: it says none."""
    try:
        port = json.loads(line).get("port")
    except (ValueError, AttributeError):
        return None
    return port if isinstance(port, int) else None


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
