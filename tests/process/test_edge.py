"""The daemon's other doors, from outside: unix sockets and TLS, while workers die and certificates change."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import tlsfiles
from tests.process.harness import PATIENCE, ROOT, Daemon, until
from trackflowd.errors import TrackflowError

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


class Load(threading.Thread):
    """Clients over TLS that post one event after another, each by a new connection or by one that is kept.

    Args:
        port: on loopback.
        trusted: certificates they believe.
        kept: whether the connection is.
    """

    def __init__(self, port: int, trusted: Sequence[Path], kept: bool) -> None:
        super().__init__()
        self._port, self._context, self._kept = port, tlsfiles.client(*trusted), kept
        self.over = threading.Event()
        self.answered = 0
        self.shown: list[str] = []
        self.start()

    def run(self) -> None:
        connection = None
        while connection is not None or not self.over.is_set():
            if connection is None:
                connection = http.client.HTTPSConnection(
                    "localhost", self._port, timeout=PATIENCE, context=self._context
                )
                connection.connect()
                assert isinstance(connection.sock, ssl.SSLSocket)
                serial = str((connection.sock.getpeercert() or {})["serialNumber"])
                self.shown += [serial] if serial not in self.shown else []
            connection.request("POST", "/v1/events", EVENT)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            self.answered += 1
            if not self._kept or self.over.is_set():
                connection.close()
                connection = None

    def more(self, requests: int) -> None:
        """Return once so many more were answered."""
        before = self.answered
        until(lambda: self.answered - before >= requests or not self.is_alive())
        assert self.is_alive()


def swap(made: tuple[Path, Path], place: tuple[Path, Path]) -> None:
    """Put certificate and key where the daemon reads them."""
    for source, target in zip(made, place, strict=True):
        shutil.copy(source, target.with_suffix(".new"))
        target.with_suffix(".new").rename(target)


def certificate(daemon: Daemon) -> str:
    """Text of the alert of this name, or ""."""
    return "".join(alert["text"] for alert in daemon.status()["alerts"] if alert["name"] == "certificate")


def test_a_certificate_changes_under_load_and_no_request_is_lost(tmp_path: Path) -> None:
    made = [tlsfiles.make(tmp_path, name, ["localhost"]) for name in ("one", "two", "three")]
    place = tmp_path / "it.pem", tmp_path / "it.key"
    swap(made[0], place)
    file = f'[tls]\ncertificate = ["{place[0]}"]\nkey = ["{place[1]}"]\n[daemon]\nworkers = 2\n'
    sets = ("http.listen=127.0.0.1:0,127.0.0.1:0 tls", "store.url=null:")
    with Daemon(tmp_path, *sets, file=file) as daemon:
        port = int(daemon.status()["listen"]["http"][1].rpartition(":")[2])
        loads = [Load(port, [certificate for certificate, _ in made], kept) for kept in (False, True)]
        try:
            for load in loads:
                load.more(20)
            swap(made[1], place)  # the daemon looks by itself
            until(lambda: len(loads[0].shown) == 2)

            place[1].write_text("broken")
            until(lambda: "cannot be used" in certificate(daemon))
            with pytest.raises(TrackflowError, match="its key cannot be used"):
                daemon.call("reload", dry_run=False)
            before = daemon.pid("worker 0")
            loads[0].more(5)
            swap(made[2], place)
            daemon.call("reload", dry_run=False)  # told, it waits for nothing
            until(lambda: len(loads[0].shown) == 3)
            assert daemon.pid("worker 0") == before
        finally:
            for load in loads:
                load.over.set()
                load.join(PATIENCE)
        assert [len(load.shown) for load in loads] == [3, 1]
        answered = sum(load.answered for load in loads)
        daemon.await_status(lambda status: status["totals"]["events_accepted"] == answered)
        assert daemon.status()["totals"]["tls_failed"] == 0

        # A worker that is started while the files are broken shows what the others show.
        place[0].write_text("broken")
        until(lambda: daemon.log().count("certificates stay as they are") == 2)
        for name in ("worker 0", "worker 1"):
            daemon.kill(name)
            daemon.await_status(lambda status: all(row["state"] == "ready" for row in status["processes"]))
        last = Load(port, [made[2][0]], False)
        last.more(10)
        last.over.set()
        last.join(PATIENCE)
        daemon.await_status(lambda status: status["totals"]["events_accepted"] == answered + last.answered)
        assert daemon.stop() == 0


def test_a_daemon_does_not_start_with_a_certificate_that_is_broken(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trackflowd.cli", "run", "--data-dir", str(tmp_path / "data")]
    command += ["--set", "http.listen=127.0.0.1:0 tls", "--set", f"tls.certificate={tmp_path / 'no.pem'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert f"tls.certificate: {tmp_path / 'no.pem'} cannot be read: No such file" in done.stderr
