"""trackflowd.redirect: everybody is sent to HTTPS, and nothing is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import intakes
from tests.doors import DiskHouse, House, Wire
from tests.workers import Served, post, split_answers
from trackflowd.redirect import Signpost

EVENT = b'{"site":"example.org","name":"pageview"}'
LINE = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 80\r\n"


@pytest.fixture(params=[House, DiskHouse])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    house: House = request.param(tmp_path, max_pipeline=4)
    yield house
    house.ring.close()


def come(house: House, port: int = 443) -> tuple[Signpost, Wire]:
    door, wire = Signpost(house.hall, house.soon.append, port), Wire(("203.0.113.9", 4711))
    door.connection_made(wire)
    return door, wire


def request(target: bytes, host: bytes, method: bytes = b"GET", *headers: bytes) -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: " + host, *headers]) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "host", "port", "location"),
    [
        (b"/t.js", b"t.example", 443, b"https://t.example/t.js"),
        (b"/v1/pixel.gif?site=a&url=https%3A%2F%2Fa", b"t.example:80", 443, b"https://t.example/v1/pixel.gif?site=a&url="
         b"https%3A%2F%2Fa"),
        (b"/", b"t.example:8080", 8443, b"https://t.example:8443/"),
        (b"/x", b"[2001:db8::1]:80", 443, b"https://[2001:db8::1]/x"),
        (b"/x", b"[2001:db8::1]", 8443, b"https://[2001:db8::1]:8443/x"),
        (b"http://t.example/x?y", b"t.example", 443, b"https://t.example/x?y"),
        (b"//evil.example/x", b"t.example", 443, b"https://t.example//evil.example/x"),
    ],
)  # fmt: skip
def test_the_same_path_and_query_on_the_same_host(
    house: House, target: bytes, host: bytes, port: int, location: bytes
) -> None:
    door, wire = come(house, port)
    door.data_received(request(target, host))
    ((status, headers, body),) = split_answers(wire.sent)
    assert (status, headers[b"location"], body) == (308, location, b"")
    assert not wire.eof


def test_events_are_sent_on_with_what_browsers_ask_for_and_preflights_are_answered(house: House) -> None:
    door, wire = come(house)
    door.data_received(post(EVENT, b"Origin: http://a.example", close=False))
    door.data_received(request(b"/v1/events", b"t.example", b"OPTIONS", b"Origin: http://a.example"))
    door.data_received(post(EVENT, b"Origin: http://a.example", close=False))
    answers = split_answers(wire.sent)
    assert [status for status, _, _ in answers] == [308, 204, 308]
    assert all(headers[b"access-control-allow-origin"] == b"http://a.example" for _, headers, _ in answers)
    assert intakes.rows(house.ring) == [] and house.intake.accepted == 0
    assert (house.intake.requests, house.intake.answers[3]) == (3, 2)


def test_pipelines_garbage_and_ends_are_as_everywhere(house: House) -> None:
    door, wire = come(house)
    door.data_received(request(b"/", b"h") * 6)
    house.run_soon()
    assert [status for status, _, _ in split_answers(wire.sent)] == [308] * 6
    door.data_received(b"\0")
    assert split_answers(wire.sent)[6][0] == 400 and wire.eof
    old, wire = come(house)
    old.data_received(b"GET / HTTP/1.0\r\n\r\n")
    assert split_answers(wire.sent)[0][0] == 400 and wire.eof
    last, wire = come(house)
    last.data_received(request(b"/", b"h", b"GET", b"Connection: close"))
    assert split_answers(wire.sent)[0][0] == 308 and wire.eof
    house.after(80)
    assert wire.aborted


@pytest.mark.parametrize("proxy", [b"", LINE])
def test_a_worker_does_so_at_a_listener_of_the_kind(tmp_path: Path, proxy: bytes) -> None:
    words = "redirect=8443" + (" proxy" if proxy else "")
    served = Served(tmp_path / "data", [f"http.listen=127.0.0.1:0 {words}"])
    try:
        ((status, headers, _),) = split_answers(served.send(proxy + post(EVENT)))
        assert (status, headers[b"location"]) == (308, b"https://h:8443/v1/events")
        assert served.rows() == []
        assert served.stop() == 0
    finally:
        served.close()
