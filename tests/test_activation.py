"""activation: descriptors handed over, and those that are not what they should be."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from trackflowd import activation
from trackflowd.activation import Handed
from trackflowd.config import load
from trackflowd.errors import ConfigError
from trackflowd.listeners import Listeners, address_of

#: Puts the descriptors it is given where a service manager puts them, and says what ``take`` makes of them.
CODE = """
import os, sys
from trackflowd import activation
from trackflowd.config import load
for place, fd in enumerate(map(int, sys.argv[1:])):
    os.dup2(fd, 3 + place)
env = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sys.argv) - 1), "LISTEN_FDNAMES": "a:b"}
for sock in activation.take(env, load(None, [], {})).events:
    print(sock.fileno(), sock.getsockname()[1], sock.getblocking(), sock.get_inheritable())
print(env)
"""


def taken(*socks: socket.socket) -> subprocess.CompletedProcess[str]:
    """What a process says that was handed these sockets."""
    fds = [fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 200) for sock in socks]  # above where they go to
    try:
        return subprocess.run(
            [sys.executable, "-c", CODE, *map(str, fds)], pass_fds=fds, capture_output=True, text=True
        )
    finally:
        for fd in fds:
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
    for one in (env, {"LISTEN_PID": str(os.getpid())}, {}):
        assert activation.take(one, load(None, [], {})) == Handed()
    assert env == {}


def test_what_is_of_no_use_is_refused_in_words() -> None:
    with (
        socket.socket() as idle,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
    ):
        for sock in (idle, datagrams):
            assert "descriptor 3 that the service manager hands over" in taken(sock).stderr


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
    assert activation.fitting(cfg, list(cfg.http.listen), 4) == cfg
    assert not caplog.records
    assert activation.fitting(cfg, ["127.0.0.1:1"], 3).daemon.workers == 3
    assert "3 of 4 workers" in caplog.text


def free(count: int) -> int:
    """The first of so many descriptors in a row that nothing has."""
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    return next(first for first in range(300, 100_000) if taken.isdisjoint(range(first, first + count)))


def handed(monkeypatch: pytest.MonkeyPatch, names: str, sockets: Sequence[socket.socket], *sets: str) -> Handed:
    """What these are taken for, in this process."""
    first = free(len(sockets))
    for place, sock in enumerate(sockets):
        os.dup2(sock.fileno(), first + place)
    monkeypatch.setattr(activation, "FIRST", first)  # at 3 there is something of pytest's
    env = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names}
    return activation.take(env, load(None, list(sets), {}))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[socket.socket]:
    """A listening unix socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "control.sock"))
        sock.listen()
        yield sock


def test_names_say_what_each_is_for(
    monkeypatch: pytest.MonkeyPatch, open_sockets: Listeners, local: socket.socket
) -> None:
    control = f"control.socket={local.getsockname()}"
    sockets = [*open_sockets.sockets[:2], local, open_sockets.sockets[2], local]
    got = handed(monkeypatch, "events:admin:control", sockets, control)
    first = activation.FIRST
    assert [sock.fileno() for sock in got.events] == [first, first + 3, first + 4]
    assert got.admin is not None and got.admin.fileno() == first + 1
    assert got.control is not None and got.control.getsockname() == local.getsockname()
    for sock in (*got.events, got.admin, got.control):
        sock.close()


def test_a_unix_socket_that_is_lent_is_one_many_times_and_its_file_stays(
    open_sockets: Listeners, local: socket.socket
) -> None:
    lent = Listeners.borrow([*(sock.dup() for sock in open_sockets.sockets), local.dup()])
    assert (lent.addresses[1], lent.each) == (f"unix:{local.getsockname()}", 3)
    lent.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(local.getsockname())


@pytest.mark.parametrize(
    ("names", "sets", "said"),
    [
        ("admin", ("admin.listen=",), "admin.listen is off"),
        ("admin:admin", (), "two sockets as admin"),
        ("control", (), "as control that is TCP"),
    ],
)
def test_a_socket_that_does_not_fit_its_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, open_sockets: Listeners, names: str, sets: Sequence[str], said: str
) -> None:
    count = len(names.split(":"))
    with pytest.raises(ConfigError, match=said):
        handed(monkeypatch, names, open_sockets.sockets[:count], *sets)


def test_a_control_socket_is_where_the_options_have_it(monkeypatch: pytest.MonkeyPatch, local: socket.socket) -> None:
    with pytest.raises(ConfigError, match="is /elsewhere/s, but the service manager hands over one at"):
        handed(monkeypatch, "control", [local], "control.socket=/elsewhere/s")
    with pytest.raises(ConfigError, match="as admin that is a unix socket"):
        handed(monkeypatch, "admin", [local])


def test_what_is_said_of_an_address_holds_for_its_sockets_in_whatever_order_they_come(
    open_sockets: Listeners, local: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    unix, tcp = f"unix:{local.getsockname()}", open_sockets.addresses[0]
    cfg = load(None, [f"http.listen={tcp} proxy,{unix} trusted"], {})
    lent = Listeners.borrow([local.dup(), *(sock.dup() for sock in open_sockets.sockets)], cfg.http.listen)
    assert lent.addresses == [tcp, unix]
    assert activation.fitting(cfg, lent.addresses, 64).http.listen == cfg.http.listen
    assert not caplog.records
    lent.close()


def test_words_that_would_be_lost_end_the_start() -> None:
    cfg = load(None, ["http.listen=127.0.0.1:8443 proxy,127.0.0.1:8080"], {})
    with pytest.raises(ConfigError, match=r"127.0.0.1:8443 proxy: the service manager hands over no socket of this"):
        activation.fitting(cfg, ["[::]:8443", "127.0.0.1:8080"], 64)
    assert activation.fitting(cfg, ["127.0.0.1:8443"], 64).http.listen == ("127.0.0.1:8443 proxy",)
