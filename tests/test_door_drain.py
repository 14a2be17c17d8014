"""door: what becomes of connections when a worker ends. Of the rest there is test_door.py."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doors import House
from tests.workers import post, split_answers
from trackflowd.door import LAST_CALL

EVENT = b'{"site":"example.org","name":"n"}'


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.ring.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_comes_around_a_drain_may_ask_once_but_not_take_its_time(house: House, when: str) -> None:
    if when == "after":  # accepted, and told to us a turn later
        house.hall.drain()
    asks, asks_wire = house.come()
    _, silent_wire = house.come()
    if when == "before":
        house.hall.drain()
    assert not asks_wire.closed and not silent_wire.closed
    asks.data_received(post(EVENT, close=False))
    house.run_soon()
    ((status, headers, _),) = split_answers(asks_wire.sent)
    assert (status, headers[b"connection"]) == (200, b"close")
    house.after(LAST_CALL / 2)
    assert not silent_wire.closed
    house.after(LAST_CALL)
    assert silent_wire.closed


def test_a_request_that_has_arrived_at_an_idle_connection_is_answered_in_a_drain(house: House) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        door, wire = house.come()
        wire.socket = ours
        door.data_received(post(EVENT, close=False))
        house.run_soon()
        theirs.send(post(EVENT, close=False))
        house.hall.drain()
        assert not wire.closed
        door.data_received(ours.recv(65_536))
        house.run_soon()
        assert [status for status, _, _ in split_answers(wire.sent)] == [200, 200]
        assert wire.eof
