"""activation: descriptors handed over, and those that are not what they should be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trackflowd import activation
from trackflowd.config import load
from trackflowd.errors import ConfigError
from trackflowd.listeners import Listeners, address_of

#: Puts the descriptors it is given where a service manager puts them, and says what ``take`` makes of them.
CODE = """
import os, sys
from trackflowd import activation
for place, fd in enumerate(map(int, sys.argv[1:])):
    os.dup2(fd, 3 + place)
env = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sys.argv) - 1), "LISTEN_FDNAMES": "a:b"}
for sock in activation.take(env):
    print(sock.fileno(), sock.getsockname()[1], sock.getblocking(), sock.get_inheritable())
print(env)
"""


def taken(*socks: socket.socket) -> subprocess.CompletedProcess[str]:
    """What a process says that was handed these sockets."""
    high = [os.dup(sock.fileno()) for sock in socks]
    fds = [os.dup2(fd, 200 + place) for place, fd in enumerate(high)]
    try:
        return subprocess.run(
            [sys.executable, "-c", CODE, *map(str, fds)], pass_fds=fds, capture_output=True, text=True
        )
    finally:
        for fd in (*high, *fds):
            os.close(fd)


@pytest.fixture
def open_sockets() -> Iterator[Listeners]:
    """Three of one address."""
    opened = Listeners.open(["127.0.0.1:0"], 3, 8)
    yield opened
    opened.close()


def test_listening_sockets_are_taken_in_order(open_sockets: Listeners) -> None:
    port = open_sockets.sockets[0].getsockname()[1]
    lines = taken(*open_sockets.sockets).stdout.splitlines()
    assert lines == [*(f"{fd} {port} False False" for fd in (3, 4, 5)), "{}"]


def test_what_is_another_s_is_left_alone() -> None:
    env = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert activation.take(env) == []
    assert activation.take({"LISTEN_PID": str(os.getpid())}) == activation.take({}) == []
    assert env == {}


def test_what_is_no_listening_tcp_socket_is_refused_in_words() -> None:
    with (
        socket.socket() as idle,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as local,
    ):
        local.bind("")
        local.listen()
        for sock in (idle, datagrams, local):
            assert "descriptor 3 that the service manager hands over is no listening TCP socket" in taken(sock).stderr


def test_sockets_are_lent_and_stay_open(open_sockets: Listeners) -> None:
    lent = Listeners.borrow([sock.dup() for sock in open_sockets.sockets])
    assert (lent.addresses, lent.each, lent.lent) == (open_sockets.addresses, 3, True)
    lent.close()
    host, _, port = open_sockets.addresses[0].rpartition(":")
    socket.create_connection((host, int(port)), 10).close()  # waits in a queue, refused by nobody


def test_addresses_with_other_numbers_of_sockets_are_refused(open_sockets: Listeners) -> None:
    other = Listeners.open(["127.0.0.1:0"], 1, 8)
    with pytest.raises(ConfigError, match=f"3 of {open_sockets.addresses[0]}, 1 of {address_of(other.sockets[0])}"):
        Listeners.borrow([*open_sockets.sockets, *other.sockets])
    other.close()


def test_there_are_no_more_workers_than_sockets(caplog: pytest.LogCaptureFixture) -> None:
    cfg = load(None, ["daemon.workers=4"], {})
    assert activation.fitting(cfg, list(cfg.http.listen), 4) is cfg
    assert not caplog.records
    assert activation.fitting(cfg, ["127.0.0.1:1"], 3).daemon.workers == 3
    assert "3 of 4 workers" in caplog.text
