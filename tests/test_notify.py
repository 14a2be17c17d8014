"""notify: datagrams to a socket of the test's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from trackflowd.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(30)
        yield sock


def test_lines_go_in_one_datagram_and_the_environment_is_cleared(manager: socket.socket) -> None:
    env = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "1500000",
        "WATCHDOG_PID": str(os.getpid()),
        "A": "b",
    }
    notifier = Notifier.take(env)
    assert (env, notifier.watchdog) == ({"A": "b"}, 1.5)
    notifier.say("READY=1", "STATUS=two\nlines")
    assert manager.recv(1000) == b"READY=1\nSTATUS=two lines"
    notifier.close()
    notifier.say("READY=1")


def test_an_abstract_name_is_one() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0trackflow-test-{os.getpid()}")
        sock.settimeout(30)
        with closing(Notifier(f"@trackflow-test-{os.getpid()}")) as notifier:
            notifier.say("STOPPING=1")
        assert sock.recv(1000) == b"STOPPING=1"


@pytest.mark.parametrize(
    "env", [{}, {"WATCHDOG_USEC": "5"}, {"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "5"}], ids=str
)
def test_where_nobody_listens_nobody_is_told(env: dict[str, str]) -> None:
    notifier = Notifier.take(env)
    notifier.say("READY=1")
    assert notifier.watchdog == 0


@pytest.mark.parametrize("more", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": ""}], ids=str)
def test_a_watchdog_that_is_another_s_or_no_number_asks_for_nothing(
    manager: socket.socket, more: dict[str, str]
) -> None:
    env = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "9", **more}
    with closing(Notifier.take(env)) as notifier:
        assert notifier.watchdog == 0


def test_a_manager_that_went_away_or_does_not_read_is_said_once(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier(manager.getsockname())
    told = [notifier.say("WATCHDOG=1") for _ in range(10_000)]
    assert (told[0], told[-1]) == (True, False)  # its queue is bounded; who does not read holds up nobody
    manager.close()
    notifier.say("WATCHDOG=1")
    notifier.close()
    assert sum("cannot be told" in record.getMessage() for record in caplog.records) == 1
