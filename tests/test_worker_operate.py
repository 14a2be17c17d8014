"""The worker as an operator steers it: given other options while it runs, retired, taken back, asked for a place."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.geo_files import write
from tests.workers import PATIENCE, Served, post, read_all, split_answers, until
from trackflowd import config
from trackflowd.shared import State

EVENT = b'{"site":"example.org","name":"pageview","url":"https://example.org/a","id":"e-%d"}'


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "data")
    yield served
    served.close()


def reload(served: Served, section: str, **values: Any) -> None:
    """Have the worker take on options, beside those it has."""
    fresh = dataclasses.replace(getattr(served.cfg, section), **values)
    served.cfg = dataclasses.replace(served.cfg, **{section: fresh})
    assert served.call("reload", config=config.dump(served.cfg))["ok"]


class Talk:
    """A connection that stays open."""

    def __init__(self, served: Served) -> None:
        self.sock: socket.socket = served.connect()
        self.sock.settimeout(PATIENCE)

    def ask(self, raw: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        self.sock.sendall(raw)
        (answer,) = split_answers(self.sock.recv(65536))
        return answer


def test_what_applies_to_requests_applies_at_once_also_on_connections_that_are_there(served: Served) -> None:
    talk = Talk(served)
    with talk.sock:
        for n in range(3):  # its head is known by now
            assert talk.ask(post(EVENT % n, close=False))[0] == 200
        reload(served, "http", max_body=100, event_path=("/hit", "/v1/events"), retry_after=77)
        assert talk.ask(post(EVENT % 4, close=False, path=b"/hit"))[0] == 200
        assert talk.ask(post(EVENT % 5, close=False))[0] == 200
        reload(served, "http", event_path=("/hit",), demo=True)
        assert talk.ask(post(EVENT % 6, close=False))[0] == 404
        assert talk.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")[0] == 200
        assert talk.ask(post(EVENT % 7 + b" " * 100, close=False, path=b"/hit"))[0] == 413
    assert len(served.rows()) == 5


def test_limits_on_events_and_connections_are_those_of_the_last_reload(served: Served) -> None:
    many = b"[" + b",".join(EVENT % n for n in range(3)) + b"]"
    assert split_answers(served.send(post(many)))[0][0] == 200
    reload(served, "http", max_events=2)
    assert split_answers(served.send(post(many)))[0][0] == 413
    with served.connect() as one:
        one.sendall(post(EVENT % 9, close=False))
        assert one.recv(1000).startswith(b"HTTP/1.1 200")
        reload(served, "http", max_connections=1)
        assert split_answers(served.send(post(EVENT % 10)))[0][0] == 503


def test_an_idle_connection_ends_by_the_new_deadline(served: Served) -> None:
    reload(served, "http", idle_timeout=0.2)
    with served.connect() as sock:
        sock.settimeout(PATIENCE)
        assert sock.recv(1) == b""


def test_a_geo_database_is_exchanged_and_an_address_looked_up_in_it(served: Served, tmp_path: Path) -> None:
    def asked() -> dict[str, Any]:
        value: dict[str, Any] = served.call("lookup", address="81.2.69.142")["value"]
        return value

    nowhere = {"country": "", "region": "", "city": "", "asn": 0, "database": None, "built": None}
    assert asked() == nowhere
    path = tmp_path / "a.mmdb"
    write(path, {"81.2.69.0/24": {"country": {"iso_code": "GB"}}})
    reload(served, "geo", database=str(path))
    found = asked()
    assert (found["country"], found["database"]) == ("GB", str(path))
    assert found["built"] > 0
    served.send(post(EVENT % 1))


def test_the_level_of_the_log_changes(served: Served) -> None:
    reload(served, "log", level="error", format="json")
    Path(served.ring_path()).unlink()
    until("said", lambda: b"is gone or was changed" in (served.data_dir / "stderr").read_bytes())
    line = (served.data_dir / "stderr").read_bytes().splitlines()[-1]
    assert json.loads(line)["level"] == "error"


def test_what_cannot_be_taken_on_is_an_error_and_ends_nothing(served: Served) -> None:
    assert served.call("reload", config="{")["error"]["code"] == "config"
    assert split_answers(served.send(post(EVENT % 1)))[0][0] == 200


def test_a_retired_worker_closes_each_connection_after_its_next_answer_and_ends_with_the_last(served: Served) -> None:
    talks = [Talk(served) for _ in range(3)]
    for n, talk in enumerate(talks):
        assert talk.ask(post(EVENT % n, close=False))[1].get(b"connection") is None
    assert served.call("retire", on=True)["ok"]
    assert served.slot.state == State.DRAINING
    served.page.owners[0] = None
    for n, talk in enumerate(talks):
        assert served.process.poll() is None
        status, headers, _ = talk.ask(post(EVENT % (10 + n), close=False))
        assert (status, headers[b"connection"]) == (200, b"close")
        with talk.sock:
            assert talk.sock.recv(1) == b""
    assert served.process.wait(PATIENCE) == 0
    assert served.next_message("drained")
    assert len(served.rows()) == 6


def test_a_connection_that_asks_nothing_more_is_left_to_its_deadline(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", ["http.idle_timeout=0.5"])
    try:
        talk = Talk(served)
        with talk.sock:
            talk.ask(post(EVENT % 1, close=False))
            served.call("retire", on=True)
            served.page.owners[0] = None
            assert talk.sock.recv(1) == b""
        assert served.process.wait(PATIENCE) == 0
        assert served.slot.get("deadline_closed") == 1
    finally:
        served.close()


def test_one_that_is_taken_back_goes_on_as_before(served: Served) -> None:
    talk = Talk(served)
    with talk.sock:
        talk.ask(post(EVENT % 1, close=False))
        served.call("retire", on=True)
        served.page.owners[0] = None
        served.call("retire", on=False)
        served.page.owners[0] = 0
        assert served.slot.state == State.READY
        assert talk.ask(post(EVENT % 2, close=False))[1].get(b"connection") is None
        assert split_answers(served.send(post(EVENT % 3)))[0][0] == 200
    assert served.process.poll() is None


def test_connections_that_come_to_a_retired_worker_are_served_while_its_listener_is_its_own(served: Served) -> None:
    assert split_answers(served.send(post(EVENT % 0)))[0][0] == 200  # it has the listener
    served.call("retire", on=True)
    status, headers, _ = split_answers(served.send(post(EVENT % 1, close=False)))[0]
    assert (status, headers[b"connection"]) == (200, b"close")
    with served.connect() as sock:
        sock.sendall(post(EVENT % 2))
        assert split_answers(read_all(sock))[0][0] == 200
    served.page.owners[0] = None
    assert served.process.wait(PATIENCE) == 0


def test_under_durability_disk_a_retired_worker_owes_nobody_an_answer_when_it_ends(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", ["ring.durability=disk"])
    try:
        talk = Talk(served)
        with talk.sock:
            talk.ask(post(EVENT % 1, close=False))
            served.call("retire", on=True)
            served.page.owners[0] = None
            assert talk.ask(post(EVENT % 2, close=False))[0] == 200
            assert talk.sock.recv(1) == b""
        assert served.process.wait(PATIENCE) == 0
    finally:
        served.close()
