"""unit: what a service manager is told by a supervisor with fake children; with real ones: process/test_service.py."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supervised import Running, play
from trackflowd import fleet, unit


class Manager:
    """A service manager's socket, and what it was told."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(str(path))
        self._told: list[str] = []

    def told(self, *names: str) -> list[str]:
        """Every line so far that begins with one of these names."""
        while True:
            try:
                self._told += self.socket.recv(65_536).decode().split("\n")
            except BlockingIOError:
                return [line for line in self._told if line.split("=")[0] in names]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """One, of which daemons of this process know."""
    made = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setattr(unit, "STATUS_EVERY", 0.1)
    yield made
    made.socket.close()


def test_a_reload_is_told_from_its_begin_to_its_end_and_a_stop_with_its_time(tmp_path: Path, manager: Manager) -> None:
    async def story(running: Running) -> None:
        await running.until(lambda: manager.told("READY"))
        assert manager.told("MAINPID") == [f"MAINPID={os.getpid()}"]
        await running.supervisor.reloader.reload(True)
        assert not manager.told("RELOADING")  # a question changes nothing
        await running.supervisor.reloader.reload(False)
        (tmp_path / "options.toml").write_text("[http]\nlisten = 5\n")
        await running.supervisor.reloader.by_signal()
        states = [line.partition("=")[0] for line in manager.told("READY", "RELOADING", "STOPPING")]
        assert states == ["READY", "RELOADING", "READY", "RELOADING", "READY"]
        assert len(manager.told("MONOTONIC_USEC")) == 2

    play(tmp_path, story)
    assert manager.told("READY", "STOPPING")[-1] == "STOPPING=1"
    assert manager.told("EXTEND_TIMEOUT_USEC") == ["EXTEND_TIMEOUT_USEC=40000000"]


def test_a_hung_worker_is_our_business_while_it_is_replaced(tmp_path: Path, manager: Manager) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        hung = running.pid("worker 0")
        assert hung
        os.kill(hung, signal.SIGSTOP)
        before = len(manager.told("WATCHDOG"))
        await running.until(lambda: running.pid("worker 0") not in (None, hung))
        assert len(manager.told("WATCHDOG")) > before

    play(tmp_path, story, "daemon.stall_after=3")


def test_there_is_no_sign_of_life_when_a_child_neither_works_nor_is_replaced(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        await running.until(lambda: manager.told("WATCHDOG"))
        monkeypatch.setattr(fleet, "STUCK", -1.0)  # every look is too long ago
        await running.until(lambda: "no sign of life until it does" in caplog.text)
        signs, lines = len(manager.told("WATCHDOG")), len(manager.told("STATUS"))
        await running.until(lambda: len(manager.told("STATUS")) >= lines + 6)  # about twice the time it has for one
        assert len(manager.told("WATCHDOG")) == signs

    play(tmp_path, story)
