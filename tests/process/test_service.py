"""A daemon as a unit of a service manager: what it tells it, and what it takes from it. The manager is the test."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.harness import PATIENCE, Daemon, until
from tests.process.judge import flush
from trackflowd.listeners import Listeners

#: Puts the descriptors named first where a service manager puts them, and becomes the program behind them.
LAUNCHER = """
import os, sys
fds = sys.argv[1].split(",")
for place, fd in enumerate(map(int, fds)):
    os.dup2(fd, 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES="x")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


#: At one time: with a single one a connection is seldom accepted and not yet read when a drain begins.
SENDERS = 4


class Manager:
    """What a service manager has: a socket for what it is told."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)
        self.lines: list[str] = []

    def hears(self, line: str) -> None:
        """Return once it has been told this, or more that begins so."""
        while not any(one.startswith(line) for one in self.lines):
            self.lines += self._socket.recv(10_000).decode().split("\n")

    def close(self) -> None:
        """Hear nothing more."""
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """One."""
    one = Manager(tmp_path / "notify")
    yield one
    one.close()


def environment(pid: int) -> bytes:
    """Of a running process."""
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_it_says_that_it_is_ready_alive_and_stopping(tmp_path: Path, manager: Manager) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
    with Daemon(tmp_path, "store.url=null:", env=env) as daemon:
        manager.hears("READY=1")
        assert not any(line.startswith(("STOPPING", "WATCHDOG")) for line in manager.lines[:1])
        manager.hears("STATUS=ready: ")
        manager.lines.clear()
        for _ in range(3):
            manager.hears("WATCHDOG=1")
            manager.lines.clear()
        daemon.call("pause")
        manager.hears("STATUS=not ready: paused")
        daemon.call("resume")
        for name, pid in daemon.pids().items():
            if not name.startswith("supervisor"):
                assert b"NOTIFY_SOCKET" not in environment(pid), name  # it has nothing to say
        assert daemon.stop() == 0
        manager.hears("STOPPING=1")


def test_it_is_ready_while_the_store_is_away_and_says_what_is_wrong(tmp_path: Path, manager: Manager) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"clickhouse://127.0.0.1:{nobody.getsockname()[1]}/d"
        daemon = Daemon(tmp_path, f"store.url={url}", env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        try:
            daemon.start(ready=False)
            manager.hears("READY=1")
            manager.hears("STATUS=not ready: store away")
            assert daemon.post({"site": "s", "name": "n"})[0] == 200
        finally:
            daemon.end()


class Activated(Daemon):
    """A daemon whose sockets are the test's."""

    sockets: Listeners

    def launch(self) -> None:
        """As ``Daemon`` has it, through ``LAUNCHER``."""
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200) for fd in self.sockets.fds]  # above where they go to
        words = [sys.executable, "-c", LAUNCHER, ",".join(map(str, fds)), "-m", self.module, "run"]
        words += ["--data-dir", str(self.data_dir), *(word for text in self.sets for word in ("--set", text))]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds
            )
        for fd in fds:
            os.close(fd)


class Sender(threading.Thread):
    """Sends an event at a time, each on a connection of its own, and takes no error for an answer."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self._daemon = daemon
        self._over = threading.Event()
        self.sent = 0
        self.wrong: list[object] = []

    def run(self) -> None:
        while not self._over.is_set() and not self.wrong:
            try:
                status, answer = self._daemon.post({"site": "s", "name": "n"})
            except OSError as error:
                self.wrong.append(error)
                return
            if status == 200:
                self.sent += 1
            else:
                self.wrong.append(answer)

    def goes_on(self) -> None:
        """Return once some more are answered, or something is wrong."""
        wanted = self.sent + 20
        until(lambda: self.wrong or self.sent >= wanted)

    def end(self) -> None:
        """Return once the last event is answered."""
        self._over.set()
        self.join()


def test_a_restart_on_sockets_that_are_lent_refuses_no_connection(tmp_path: Path) -> None:
    daemon = Activated(tmp_path, "ring.size=64MiB")  # for as long as the store of a slow machine takes to open
    daemon.sockets = Listeners.open(["127.0.0.1:0"], 2, 1024)
    with daemon:
        assert daemon.status()["listen"]["http"] == daemon.sockets.addresses
        senders = [Sender(daemon) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.goes_on()
        assert daemon.stop() in (0, 3)  # what a slow machine has not stored in time, the next start stores
        daemon.start()
        for sender in senders:
            sender.goes_on()
        for sender in senders:
            sender.end()
        assert [sender.wrong for sender in senders] == [[]] * SENDERS
        flush(daemon)
        assert daemon.rows("SELECT count() AS n FROM events") == [{"n": sum(sender.sent for sender in senders)}]
        assert "http.listen is not looked at" in daemon.log()
        daemon.stop()
    daemon.sockets.close()


def test_more_workers_than_sockets_are_not_started_and_that_is_said(tmp_path: Path) -> None:
    daemon = Activated(tmp_path, "store.url=null:", "daemon.workers=3")
    daemon.sockets = Listeners.open(["127.0.0.1:0"], 1, 64)
    with daemon:
        assert sorted(daemon.pids()) == ["flusher 0", "supervisor 0", "worker 0"]
        assert "1 of 3 workers: the service manager hands over 1 sockets" in daemon.log()
        assert daemon.post({"site": "s", "name": "n"})[0] == 200
        daemon.stop(signal.SIGTERM)
    daemon.sockets.close()
