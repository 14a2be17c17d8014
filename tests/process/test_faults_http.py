"""Rows 48, 49, 50 and 53 of the fault list: hostile clients against the whole daemon, looked at from the store.

One daemon serves all of it: what must be in its store, and nothing else may be there, is counted at the end of each.
"""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from tests.process.harness import PATIENCE, Daemon, until
from tests.process.judge import flush
from tests.process.sender import event_of, id_of
from tests.test_bad_input import ROWS
from tests.workers import post, read_all, split_answers
from trackflowd.proto.refusals import STATUS

DEADLINES = ("http.header_timeout=1", "http.body_timeout=1", "http.idle_timeout=1")
SLOW = 75
HOST = b" HTTP/1.1\r\nHost: h\r\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("http")
    with Daemon(directory, *DEADLINES, "ring.size=64KiB", "batch.max_age=0.05") as daemon:
        yield daemon


def connect(daemon: Daemon) -> socket.socket:
    host, _, port = daemon.http.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), 30)


def exchange(daemon: Daemon, raw: bytes) -> list[int]:
    """Statuses of what is answered to these bytes."""
    with connect(daemon) as sock:
        with suppress(OSError):  # refused and closed before all was sent
            sock.sendall(raw)
            sock.shutdown(socket.SHUT_WR)
        return [status for status, _, _ in split_answers(read_all(sock))]


def names(daemon: Daemon, site: str) -> list[str]:
    flush(daemon)
    return sorted(row["name"] for row in daemon.rows(f"SELECT name FROM events WHERE site = '{site}'"))


def test_of_rejected_input_nothing_is_in_the_store_and_the_good_requests_around_it_are_once(daemon: Daemon) -> None:
    expected = []
    for n, (raw, code, goes_on) in enumerate(ROWS.values()):
        before, behind = f"before-{n}", f"behind-{n}"
        good = [b'{"site":"corpus","name":"%s"}' % name.encode() for name in (before, behind)]
        statuses = exchange(daemon, post(good[0], close=False) + raw + post(good[1]))
        assert statuses == [200, STATUS[code], *([200] if goes_on else [])], list(ROWS)[n]
        expected += [before, *([behind] if goes_on else [])]
    flush(daemon)
    rows = daemon.rows("SELECT site, name FROM events")
    assert sorted(row["name"] for row in rows) == sorted(expected)
    assert {row["site"] for row in rows} == {"corpus"}


#: Odd but right: keys of an event, and what has to be in its row.
ODD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"title": "a\0b"}, {"title": "ab"}),
    ({"title": "\U0001f600 \u202e \uffff \u0301"}, {"title": "\U0001f600 \u202e \uffff \u0301"}),
    ({"title": "'); DROP TABLE events; --\t\n\\N\\'\""}, {"title": "'); DROP TABLE events; --\t\n\\N\\'\""}),
    ({"title": "x" * 10_000}, {}),
    ({"props": {"n": 2**63 - 1, "m": -(2**63)}}, {"props": {"n": str(2**63 - 1), "m": str(-(2**63))}}),
    ({"props": {"f": 1e308, "t": True, "e": "", "{n:UInt8}": "{n:UInt8}"}}, {}),
    ({"revenue": {"amount": "99999999999.9999", "currency": "EUR"}}, {"revenue": 99999999999.9999}),
    ({"revenue": {"amount": -0.0001, "currency": "EUR"}}, {"revenue": -0.0001}),
    ({"engaged_ms": 86_400_000, "scroll": 100}, {"engaged_ms": 86_400_000, "scroll": 100}),
    ({"age_ms": 2**40}, {}),
    ({"id": "\U0001f600" * 30, "attempt": 2**63 - 1}, {}),
    ({"url": "https://odd.example/\\..//%00%zz?utm_source=%ff&=&&a#b"}, {}),
]
POISON = [
    b"5",
    b"null",
    b'{"site":"odd"}',
    b'{"site":"odd","name":"\xff"}',
    b'{"site":"odd","name":"n","color":"red"}',
    b'{"site":"odd","name":"n","age_ms":9223372036854775808}',
]


def test_odd_values_and_bad_events_in_one_request_leave_the_batch_around_them_unharmed(daemon: Daemon) -> None:
    good = [json.dumps({"site": "odd", "name": f"odd-{n}", **keys}).encode() for n, (keys, _) in enumerate(ODD)]
    mixed = [part for pair in zip(good, POISON * 2, strict=True) for part in pair]
    status, answer = daemon.request("/v1/events", b"[" + b",".join(mixed) + b"]")
    assert (status, answer.get("accepted")) == (200, len(ODD)), answer
    assert [bad["index"] for bad in answer["refused"]] == list(range(1, 2 * len(ODD), 2))
    flush(daemon)
    rows = {row["name"]: row for row in daemon.rows("SELECT * FROM events WHERE site = 'odd'")}
    assert sorted(rows) == sorted(f"odd-{n}" for n in range(len(ODD)))
    for n, (_, wanted) in enumerate(ODD):
        assert {key: rows[f"odd-{n}"][key] for key in wanted} == wanted
    assert daemon.status()["totals"]["records_quarantined"] == 0


def test_clients_that_drip_idle_or_never_read_are_closed_in_the_end_and_others_are_served_meanwhile(
    daemon: Daemon,
) -> None:
    head = b"POST /v1/events" + HOST
    before = daemon.status()["totals"]["deadline_closed"]
    with ExitStack() as stack:
        deaf = [stack.enter_context(connect(daemon)) for _ in range(SLOW)]
        for sock in deaf:
            sock.setblocking(False)
            with suppress(OSError):  # the kernel takes no more, or the daemon has had enough
                while True:
                    sock.send((b"GET /t.js" + HOST + b"\r\n") * 100)
        idle = [stack.enter_context(connect(daemon)) for _ in range(SLOW)]
        begins = [head] * SLOW + [head + b"Content-Length: 900\r\n\r\n"] * SLOW
        drips = [(stack.enter_context(connect(daemon)), begin) for begin in begins]
        for sock, begin in drips:
            sock.sendall(begin)
        left = {sock for sock, _ in drips} | set(idle) | set(deaf)
        served = 0
        end = time.monotonic() + PATIENCE
        while left:
            assert time.monotonic() < end, f"{len(left)} of them are still open"
            assert daemon.post({"site": "slow", "name": f"good-{served:04}"})[0] == 200
            served += 1
            for sock, _ in drips:
                with suppress(OSError):
                    sock.send(b"x")
            left = {sock for sock in left if not _closed(sock, reads=sock not in deaf)}
    totals = daemon.await_status(lambda status: status["totals"]["connections_open"] == 0)["totals"]
    assert totals["deadline_closed"] - before >= 3 * SLOW
    assert names(daemon, "slow") == [f"good-{n:04}" for n in range(served)]


def _closed(sock: socket.socket, reads: bool) -> bool:
    """Whether the other side has closed it; one that does not read finds out by sending."""
    sock.setblocking(False)
    try:
        return sock.recv(65536) == b"" if reads else not sock.send(b"GET / ")
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_kill_in_the_middle_of_a_drain_loses_nothing_that_was_answered(daemon: Daemon) -> None:
    daemon.kill("flusher", signal.SIGSTOP)
    for n in range(0, 100, 20):
        assert daemon.post([event_of(m, 0) for m in range(n, n + 20)])[0] == 200
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    until(lambda: daemon.ready()[1].get("reason") == "stopping")
    until(lambda: "worker 0" in daemon.log().rpartition("draining")[2])
    daemon.stop(signal.SIGKILL)
    daemon.start()
    flush(daemon)
    rows = daemon.rows("SELECT toString(event_id) AS id FROM events WHERE site = 'kill.example'")
    assert sorted(row["id"] for row in rows) == sorted(id_of(n) for n in range(100))
    assert daemon.stop() == 0
