"""trackflowd.entrances: who serves which listener, and whose word is trusted at each."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests.doors import House
from tests.workers import Served, post, split_answers
from trackflowd import loop as loops
from trackflowd import unixsocket
from trackflowd.door import Door
from trackflowd.entrances import Entrances
from trackflowd.listeners import Listeners
from trackflowd.sections import Config, Http

EVENT = b'{"site":"example.org","name":"pageview"}'


def visitor(served: Served, *headers: bytes) -> int:
    ((status, _, _),) = split_answers(served.send(post(EVENT, b"User-Agent: a", *headers)))
    assert status == 200
    return int(served.rows()[0]["visitor"])


@pytest.mark.parametrize("word", ["", " trusted"])
def test_the_peer_of_a_unix_socket_is_a_proxy_only_where_the_listener_says_so(tmp_path: Path, word: str) -> None:
    path = str(tmp_path / "s")
    sets = [f"http.listen=unix:{path}{word}", "http.trusted_proxies=127.0.0.0/8"]
    served = Served(tmp_path / "data", sets, unixsocket.bind(path, "http.listen", 16))
    try:
        first = visitor(served, b"X-Forwarded-For: 203.0.113.1")
        other = visitor(served, b"X-Forwarded-For: 203.0.113.2")
        passed_on = visitor(served, b"X-Forwarded-For: 203.0.113.2, 127.0.0.1")
        node = visitor(served, b'Forwarded: for="203.0.113.1:99"')
        assert (first != other) == bool(word)
        assert passed_on == other and node == first
    finally:
        served.close()


def test_a_peer_that_is_no_trusted_proxy_cannot_choose_its_address(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", ["http.trusted_proxies=10.0.0.0/8"])
    try:
        forged = [b"X-Forwarded-For: 203.0.113.1", b"Forwarded: for=203.0.113.1", b"X-Forwarded-For: 10.0.0.1"]
        assert len({visitor(served), *(visitor(served, header) for header in forged)}) == 1
    finally:
        served.close()


async def asked(entrances: Entrances, loop: asyncio.AbstractEventLoop, path: str) -> bytes:
    """Answer at a unix socket while numbers 3 and 5 of (TCP 0 to 2, unix 3 to 5) are served."""
    await entrances.serve(loop, [3, 5])
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(post(EVENT))
    answer = await reader.read()
    writer.close()
    return answer


def test_of_the_sockets_that_are_one_only_one_is_served_and_what_is_not_ours_any_more_is_left(tmp_path: Path) -> None:
    house, path = House(tmp_path), str(tmp_path / "s")
    listen = ("127.0.0.1:0", f"unix:{path}")
    listeners = Listeners.open(listen, 3, 64)

    async def play() -> None:
        loop = asyncio.get_running_loop()
        hall, fds = house.hall, listeners.fds
        entrances = Entrances(Config(http=Http(listen=listen)), fds, hall, lambda call_soon: Door(hall, call_soon), 0.0)
        assert not entrances.open
        assert (await asked(entrances, loop, path)).startswith(b"HTTP/1.1 200")
        assert list(entrances._servers) == [3]
        await entrances.serve(loop, [0, 1, 4])
        assert sorted(entrances._servers) == [0, 1, 4]
        assert (await asked(entrances, loop, path)).startswith(b"HTTP/1.1 200")
        await entrances.serve(loop, [1])
        with socket.socket(socket.AF_UNIX) as client:  # queued for who comes next
            client.connect(path)
            client.sendall(post(EVENT))
            await entrances.serve(loop, [5])
            client.setblocking(False)
            assert (await loop.sock_recv(client, 100)).startswith(b"HTTP/1.1 200")
        entrances.close()
        assert not entrances.open and os.path.exists(path)

    loops.run(play())
    listeners.close()
    assert not os.path.exists(path)
    house.ring.close()
