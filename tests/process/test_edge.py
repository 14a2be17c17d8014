"""The daemon's other doors, from outside: unix sockets with workers that die, stop and become fewer."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

from tests.process.harness import PATIENCE, ROOT, Daemon, until

EVENT = json.dumps({"site": "example.org", "name": "pageview"})


class ByPath(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def post(path: Path) -> int:
    """Status of one event by a connection of its own."""
    connection = ByPath(path)
    try:
        connection.request("POST", "/v1/events", EVENT)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_unix_socket_is_served_by_whoever_lives_and_outlives_kills_but_not_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "events.sock"
    listen = f"unix:{path} mode=0666"
    file = f'[http]\nlisten = ["127.0.0.1:0", "{listen}"]\n[daemon]\nworkers = %d\n'
    daemon = Daemon(tmp_path, "store.url=null:", file=file % 2)
    daemon.sets = tuple(text for text in daemon.sets if not text.startswith("http.listen"))
    with daemon:
        assert daemon.status()["listen"]["http"][1] == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert [post(path) for _ in range(20)] == [200] * 20

        for name in ("worker 0", "worker 1"):
            daemon.kill(name)
            assert [post(path) for _ in range(20)] == [200] * 20
        daemon.configure(file % 1)
        daemon.call("reload", dry_run=False)
        daemon.await_status(lambda status: sum(row["role"] == "worker" for row in status["processes"]) == 1)
        assert [post(path) for _ in range(20)] == [200] * 20

        other = [sys.executable, "-m", "trackflowd.cli", "run", "--data-dir", str(tmp_path / "other")]
        other += ["--set", f"http.listen={listen}", "--set", "admin.listen=", "--set", "ring.size=1MiB"]
        refused = subprocess.run(other, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert refused.returncode == 2, refused.stderr
        assert f"http.listen: another daemon listens on {path}" in refused.stderr
        assert post(path) == 200

        assert daemon.process is not None
        daemon.stop(signal.SIGKILL)
        assert path.exists()
        daemon.start()
        until(lambda: post(path) == 200)
        assert daemon.stop() == 0
        assert not path.exists()
