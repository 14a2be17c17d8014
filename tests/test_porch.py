"""trackflowd.porch: connections that owe a PROXY header, on a transport that only takes notes and by a real worker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import intakes
from tests.doors import House, Wire
from tests.workers import Served, post, read_all, split_answers, until
from trackflowd.door import LAST_CALL, Door
from trackflowd.porch import Porch, Unannounced
from trackflowd.tlssection import Tls

EVENT = b'{"site":"example.org","name":"pageview"}'
LINE = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"


class Step(House):
    """A house with a porch."""

    def __init__(self, directory: Path, **options: object) -> None:
        super().__init__(directory, **options)
        self.porch = Porch(self.hall, Tls(), self.now)

    def knock(self, peer: tuple[str, int] | str = ("10.0.0.1", 4711)) -> tuple[Door, Wire]:
        door, wire = Door(self.hall, self.soon.append), Wire(peer)
        wire.set_protocol(Unannounced(self.porch, door))
        wire.protocol.connection_made(wire)
        return door, wire

    def after(self, seconds: float) -> None:
        super().after(seconds)
        self.porch.tick(self.now)


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Step]:
    step = Step(tmp_path, max_connections=4, max_connections_per_address=2, trusted_proxies=("192.0.2.0/24",))
    yield step
    step.ring.close()


@pytest.mark.parametrize("cut", [1, 20, len(LINE), len(LINE) + 5, len(LINE) + 60])
def test_a_connection_goes_on_as_its_clients(step: Step, cut: int) -> None:
    door, wire = step.knock()
    raw = LINE + post(EVENT, close=False)
    for piece in (raw[:cut], raw[cut:]):
        wire.protocol.data_received(piece)
    step.run_soon()
    assert [status for status, _, _ in split_answers(wire.sent)] == [200]
    assert (door.peer.address, door.peer.trusted) == ("203.0.113.9", False)
    assert wire.protocol is door and not step.porch.guests
    assert len(intakes.rows(step.ring)) == 1


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (b"PROXY UNKNOWN\r\n", ("10.0.0.1", False)),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", ("192.0.2.7", True)),
    ],
)
def test_who_is_announced_is_trusted_as_if_it_had_come_itself(
    step: Step, header: bytes, peer: tuple[str, bool]
) -> None:
    door, wire = step.knock()
    wire.protocol.data_received(header)
    assert door.peer == peer


def test_what_does_not_begin_with_a_header_is_closed_counted_and_said_once_a_minute(
    step: Step, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            _, wire = step.knock()
            wire.protocol.data_received(post(EVENT))
            assert wire.aborted and wire.sent == b""
            wire.protocol.data_received(LINE + post(EVENT))
            wire.protocol.connection_lost(None)
    assert step.porch.unannounced == 3 and not step.porch.guests
    assert [record.getMessage().count("PROXY header") for record in caplog.records] == [1]
    assert intakes.rows(step.ring) == [] and not step.hall.doors


def test_bytes_do_not_move_the_deadline_and_an_end_within_the_header_counts(step: Step) -> None:
    _, late = step.knock()
    late.protocol.data_received(LINE[:5])
    step.after(3)
    late.protocol.data_received(LINE[5:9])
    assert not late.aborted
    step.after(2.3)
    assert late.aborted and (step.hall.late, step.porch.unannounced) == (1, 1)
    _, half = step.knock()
    half.protocol.data_received(LINE[:5])
    half.protocol.eof_received()
    assert half.aborted and step.porch.unannounced == 2
    _, check = step.knock()  # a balancer's look at the port
    check.protocol.eof_received()
    assert step.porch.unannounced == 2


def test_those_on_the_porch_count_among_all_and_those_let_in_among_their_address(step: Step) -> None:
    doors = [step.knock() for _ in range(3)]  # one address, and not limited by it: the balancer's
    step.come()
    _, turned = step.knock()
    assert turned.aborted and step.hall.turned_away == 1
    turned.protocol.connection_lost(None)
    for _, wire in doors:
        wire.protocol.data_received(LINE)
    answers = [split_answers(wire.sent) for _, wire in doors]
    assert [len(each) for each in answers] == [0, 1, 1]  # with the one that came by itself: the third is one too many
    assert answers[2][0][0] == 503


def test_at_a_drain_who_is_on_the_way_in_may_ask_and_who_is_not_quick_is_dropped(step: Step) -> None:
    _, slow = step.knock()
    _, quick = step.knock()
    step.porch.drain()
    step.hall.drain()
    quick.protocol.data_received(LINE)
    quick.protocol.data_received(post(EVENT, close=False))
    ((status, headers, _),) = split_answers(quick.sent)
    assert (status, headers[b"connection"]) == (200, b"close")
    assert not slow.aborted
    step.after(LAST_CALL + 0.3)
    assert slow.aborted and (step.hall.late, step.porch.unannounced) == (0, 0)


def test_a_listener_that_asks_for_it_and_one_that_does_not(tmp_path: Path) -> None:
    asking = Served(tmp_path / "asking", ["http.listen=127.0.0.1:0 proxy", "http.header_timeout=0.5"])
    plain = Served(tmp_path / "plain")
    try:
        ((status, _, _),) = split_answers(asking.send(LINE + post(EVENT)))
        assert status == 200
        with asking.connect() as silent:  # closed by the deadline
            assert asking.send(post(EVENT)) == b""
            assert silent.recv(1) == b""
        until("counted", lambda: asking.slot.get("proxy_missing") == 2)
        with asking.connect() as sock:
            for at in range(len(LINE)):
                sock.sendall(LINE[at : at + 1])
            sock.sendall(post(EVENT))
            assert split_answers(read_all(sock))[0][0] == 200
        ((status, _, body),) = split_answers(plain.send(LINE + post(EVENT)))
        assert (status, b"malformed" in body) == (400, True)
        assert plain.slot.get("proxy_missing") == 0
        assert (len(asking.rows()), plain.rows()) == (2, [])
        assert asking.stop() == 0
    finally:
        asking.close()
        plain.close()
