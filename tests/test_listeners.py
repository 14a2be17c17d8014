from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from trackflowd import listeners
from trackflowd.errors import ConfigError
from trackflowd.listeners import Listeners, PortTaken, shares


def dial(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), 10)


def accepted(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_all_sockets_of_an_address_share_one_port() -> None:
    opened = Listeners.open(["127.0.0.1:0"], 3, 64)
    assert {listeners.address_of(sock) for sock in opened.sockets} == set(opened.addresses)
    assert len(opened.fds) == 3
    clients = [dial(opened.addresses[0]) for _ in range(60)]
    shares = [accepted(sock) for sock in opened.sockets]
    assert sum(shares) == 60
    assert min(shares) > 0  # each missed 60 times in a row: (2/3)^60
    for client in clients:
        client.close()
    opened.close()


def test_two_addresses_have_their_sockets_each() -> None:
    opened = Listeners.open(["127.0.0.1:0", "127.0.0.1:0"], 2, 64)
    names = [listeners.address_of(sock) for sock in opened.sockets]
    assert names == [opened.addresses[0]] * 2 + [opened.addresses[1]] * 2
    opened.close()


def test_there_are_never_more_sockets_than_the_shared_page_has_room_for() -> None:
    opened = Listeners.open(["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"], 64, 64)
    assert len(opened.sockets) == 63
    opened.close()


def test_a_port_that_another_daemon_would_share_is_taken_all_the_same() -> None:
    opened = Listeners.open(["127.0.0.1:0"], 2, 64)
    with pytest.raises(PortTaken) as caught:
        Listeners.open(opened.addresses, 2, 64)
    port = opened.addresses[0].rpartition(":")[2]
    assert f"port {port} is taken" in caught.value.text
    assert f"ss -ltnp 'sport = :{port}'" in caught.value.hint
    opened.close()


def test_a_port_is_free_again_right_after_a_close_even_with_connections_in_time_wait() -> None:
    opened = Listeners.open(["127.0.0.1:0"], 2, 64)
    client = dial(opened.addresses[0])
    for sock in opened.sockets:
        try:
            sock.accept()[0].close()  # the server closes first: the TIME_WAIT is ours
        except BlockingIOError:
            continue
    client.recv(1)
    client.close()
    opened.close()
    again = Listeners.open(opened.addresses, 2, 64)
    assert again.addresses == opened.addresses
    again.close()


def test_a_close_also_ends_the_listening_of_whoever_inherited_the_sockets() -> None:
    opened = Listeners.open(["127.0.0.1:0"], 1, 64)
    inherited = opened.sockets[0].dup()
    opened.close()
    with pytest.raises(ConnectionRefusedError):
        dial(opened.addresses[0])
    inherited.close()


def test_nothing_stays_bound_when_one_address_fails() -> None:
    first = Listeners.open(["127.0.0.1:0"], 1, 64)
    free = Listeners.open(["127.0.0.1:0"], 1, 64)
    free.close()
    with pytest.raises(PortTaken):
        Listeners.open([free.addresses[0], first.addresses[0]], 2, 64)
    Listeners.open(free.addresses, 2, 64).close()
    first.close()


def test_a_unix_socket_is_one_many_times_and_its_file_goes_with_it(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 's'}"
    opened = Listeners.open(["127.0.0.1:0", f"{address} mode=0600"], 3, 64)
    assert [listeners.address_of(sock) for sock in opened.sockets] == [opened.addresses[0]] * 3 + [address] * 3
    assert opened.addresses[1] == address and opened.each == 3
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
    assert [accepted(sock) for sock in opened.sockets] == [0, 0, 0, 1, 0, 0]
    with pytest.raises(PortTaken, match="another daemon listens on"):
        Listeners.open([address], 3, 64)
    inherited = opened.sockets[4].dup()
    opened.close()
    assert list(tmp_path.iterdir()) == []
    Listeners.open([address], 1, 64).close()
    inherited.close()


def test_a_taken_port_is_waited_for_as_long_as_is_said() -> None:
    opened = Listeners.open(["127.0.0.1:0"], 1, 64)
    timer = threading.Timer(0.2, opened.close)
    timer.start()
    again = Listeners.open(list(opened.addresses), 1, 64, patience=60)
    timer.join()
    assert again.addresses == opened.addresses
    again.close()


def test_ipv6_is_served_apart_from_ipv4() -> None:
    try:
        opened = Listeners.open(["[::1]:0"], 2, 64)
    except ConfigError:
        pytest.skip("this machine cannot: no IPv6")
    assert opened.addresses[0].startswith("[::1]:")
    dial(opened.addresses[0]).close()
    opened.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [("192.0.2.1:0", "not an address of this machine"), ("no-such-host.invalid:80", "no such host")],
)
def test_an_address_that_cannot_be_had_says_why(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Listeners.open([address], 1, 64)


@pytest.mark.parametrize(
    ("workers", "cores", "each"),
    [(1, 2, 12), (2, 2, 12), (3, 2, 12), (5, 2, 15), (12, 2, 12), (13, 2, 13), (2, 32, 32)],
)
def test_there_are_as_many_sockets_for_each_worker_and_enough_for_more_of_them(
    workers: int, cores: int, each: int
) -> None:
    assert shares(workers, cores) == each
    with_all = Listeners.open(["127.0.0.1:0", "127.0.0.1:0"], each, 16)
    assert with_all.each == each
    with_all.close()
