"""What is measured: the daemon, and nginx as the yardstick beside it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from trackflowd.client import Client
from trackflowd.errors import ControlError

_DAEMON = "import sys; from trackflowd.cli import daemon; sys.exit(daemon())"

_NGINX = """
daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {at}/access.log combined; keepalive_requests 1000000000;
    client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""


def cpu(pids: list[int]) -> float:
    """CPU seconds of processes so far, in user and system."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


class Daemon:
    """A daemon of one worker in a directory of its own.

    Args:
        directory: where its data goes.
        store: ``store.url``.
    """

    def __init__(self, directory: Path, store: str) -> None:
        self.socket = directory / "control.sock"
        self.log = directory.with_suffix(".log")
        sets = {
            "http.listen": "127.0.0.1:0",
            "admin.listen": "",
            "daemon.workers": "1",
            "store.url": store,
            "log.level": "warning",
            "http.trusted_proxies": "127.0.0.0/8",
        }
        command = [sys.executable, "-c", _DAEMON, "run", "--data-dir", str(directory)]
        for key, value in sets.items():
            command += ["--set", f"{key}={value}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        status = self._ready()
        host, _, port = status["listen"]["http"][0].rpartition(":")
        self.address = (host, int(port))
        self.workers = [process["pid"] for process in status["processes"] if process["role"] == "worker"]
        self.flusher = [process["pid"] for process in status["processes"] if process["role"] == "flusher"]

    def _ready(self) -> dict[str, Any]:
        """Its status, once it can deliver; 60 s, since the embedded engine loads slowly from a cold disk."""
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                status: dict[str, Any] = self.call("status")
                if status["health"]["ready"]:
                    return status
            except ControlError:
                pass
            time.sleep(0.05)
        self.stop()
        raise SystemExit(f"the daemon did not get ready:\n{self.log.read_text()}")

    def call(self, command: str, **arguments: Any) -> Any:
        with Client.connect(str(self.socket)) as client:
            return client.call(command, **arguments)

    def stored(self) -> int:
        """Rows the store is known to hold, by the flusher's own count; waits for what is on its way."""
        self.call("flush", wait=60)
        return int(self.call("status")["totals"]["rows_stored"])

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Nginx:
    """nginx as it answers with next to nothing to do: one process, keep-alive, access log, 204."""

    def __init__(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        directory.mkdir()
        (directory / "nginx.conf").write_text(_NGINX.format(at=directory, port=port))
        command = [
            program(),
            "-c",
            str(directory / "nginx.conf"),
            "-p",
            str(directory),
            "-e",
            str(directory / "error.log"),
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.address = ("127.0.0.1", port)
        until = time.monotonic() + 10
        while time.monotonic() < until and self.process.poll() is None:
            with socket.socket() as attempt:
                if attempt.connect_ex(self.address) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise SystemExit("nginx did not get ready")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def program() -> str:
    """Path of nginx, or "" where there is none; Debian keeps it out of the users' PATH."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin") or ""
