"""trackflowd.worker: the real process, spoken to as browsers and the supervisor do."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers import PATIENCE, Served, post, read_all, split_answers, until, write_snapshot
from trackflowd.counters import REQUEST
from trackflowd.errors import DataDirError
from trackflowd.published import read_snapshot
from trackflowd.ring import file
from trackflowd.shared import State

EVENT = b'{"site":"example.org","name":"pageview","url":"https://example.org/a?utm_source=mail","id":"e-%d"}'


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "data", ["http.demo=true", "http.trusted_proxies=127.0.0.0/8", "http.max_pipeline=4"])
    yield served
    served.close()


def test_an_answered_event_is_in_the_ring_as_a_finished_row(served: Served) -> None:
    agent = b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    raw = served.send(post(EVENT % 1, agent, b"X-Forwarded-For: 203.0.113.77"))
    ((status, headers, body),) = split_answers(raw)
    assert (status, json.loads(body)) == (200, {"accepted": 1, "refused": []})
    assert headers[b"content-type"] == b"application/json"
    (row,) = served.rows()
    assert (row["site"], row["name"], row["path"], row["browser"]) == ("example.org", "pageview", "/a", "Firefox")
    assert row["utm_source"] == "mail"


def test_pipelined_requests_are_answered_in_order_beyond_one_turn(served: Served) -> None:
    raw = b"".join(
        post(EVENT % n, close=False) + b"GET /no-%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(10)
    ) + post(EVENT % 10)
    statuses = [status for status, _, _ in split_answers(served.send(raw))]
    assert statuses == [200, 404] * 10 + [200]
    assert len(served.rows()) == 11


def test_what_stands_before_an_error_is_answered_and_stored_and_what_stands_behind_is_not(served: Served) -> None:
    raw = post(EVENT % 1, close=False) + b"GET / HTTP/1.1\r\nno colon\r\n\r\n" + post(EVENT % 2)
    answers = split_answers(served.send(raw))
    assert [status for status, _, _ in answers] == [200, 400]
    assert answers[1][1][b"connection"] == b"close"
    assert len(served.rows()) == 1


def test_expect_100_continue_is_answered_before_the_body_is_sent(served: Served) -> None:
    body = EVENT % 1
    head, _, _ = post(body, b"Expect: 100-continue").partition(b"\r\n\r\n")
    with served.connect() as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert split_answers(read_all(sock))[0][0] == 200


def test_a_body_announced_too_large_is_refused_at_once(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"POST /v1/events HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        ((status, _, body),) = split_answers(read_all(sock))
    assert (status, json.loads(body)["error"]) == (413, "body_too_large")


def test_counters_are_in_the_shared_page(served: Served) -> None:
    served.send(post(EVENT % 1))
    served.send(post(b"{"))
    until("counted", lambda: served.slot.get("requests") == 2)
    assert served.slot.get("events_accepted") == 1
    assert served.slot.get("events_refused") == 1
    assert served.slot.refusals() == {"bad_json": 1}
    assert (served.slot.get("responses_2xx"), served.slot.get("responses_4xx")) == (1, 1)
    assert served.slot.get("ring_capacity") == 2**20
    until("all closed", lambda: served.slot.get("connections_open") == 0)
    assert served.slot.get("connections_total") == 2
    assert (served.slot.get("accepted_native"), served.slot.get("refused_native")) == (1, 1)
    until("timed", lambda: sum(served.slot.histogram(REQUEST)[:-1]) == 2)
    assert 0 < served.slot.histogram(REQUEST)[-1] < 60e9


def test_a_drain_answers_what_is_under_way_and_exits_0(served: Served) -> None:
    body = EVENT % 1
    with served.connect() as busy, served.connect() as idle:
        idle.sendall(post(EVENT % 2, close=False))
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        busy.sendall(post(body, close=False)[:-5])
        until("body is awaited", lambda: served.slot.get("inflight_bytes") > 0)
        served.process.send_signal(signal.SIGTERM)
        assert idle.recv(1000) == b""
        busy.sendall(body[-5:])
        ((status, headers, _),) = split_answers(read_all(busy))
    assert (status, headers[b"connection"]) == (200, b"close")
    assert served.process.wait(PATIENCE) == 0
    assert served.slot.state == State.DRAINED
    assert served.next_message("ready") and served.next_message("drained")
    assert len(served.rows()) == 2


def test_drain_by_the_channel_and_by_its_loss(served: Served) -> None:
    assert served.call("drain")["ok"]
    assert served.process.wait(PATIENCE) == 0
    served.channel.close()
    served.start()
    served.channel.close()
    assert served.process.wait(PATIENCE) == 0


def test_killed_and_restarted_it_goes_on_in_the_same_ring_and_counts_on(served: Served) -> None:
    served.send(post(EVENT % 1))
    until("counted", lambda: served.slot.get("events_accepted") == 1)
    served.process.kill()
    served.process.wait()
    served.channel.close()
    served.start()
    served.send(post(EVENT % 2))
    until("counted", lambda: served.slot.get("events_accepted") == 2)
    assert len(served.rows()) == 2


def test_under_durability_disk_an_answered_event_is_synced_also_by_the_worker_after_a_killed_one(
    tmp_path: Path,
) -> None:
    served = Served(tmp_path / "data", ["ring.durability=disk"])
    try:
        for n in range(3):
            assert split_answers(served.send(post(EVENT % n, close=n > 0)))[0][0] == 200
            found = file.info(served.ring_path())
            assert found.synced == found.head > 0
        served.process.kill()
        served.process.wait()
        served.channel.close()
        path = served.ring_path()
        served.start()
        assert split_answers(served.send(post(EVENT % 4)))[0][0] == 200
        assert served.ring_path() == path
        assert served.stop() == 0
        found = file.info(path)
        assert found.synced == found.head
        assert len(served.rows()) == 4
    finally:
        served.close()


def test_a_listener_that_is_not_ours_any_more_is_left_alone(served: Served) -> None:
    served.send(post(EVENT % 1))
    served.page.owners[0] = None
    beats = served.slot.heartbeat
    until("ticks later", lambda: served.slot.heartbeat > beats + 250_000_000)
    with served.connect() as sock:
        sock.sendall(post(EVENT % 2))
        beats = served.slot.heartbeat
        until("ticks later", lambda: served.slot.heartbeat > beats + 250_000_000)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        served.page.owners[0] = 0
        sock.settimeout(PATIENCE)
        assert split_answers(read_all(sock))[0][0] == 200


def test_rows_are_sent_while_somebody_watches_and_hold_no_address(served: Served) -> None:
    assert served.call("tail", on=True)["ok"]
    served.send(post(EVENT % 1, b"X-Forwarded-For: 203.0.113.77"))
    (row,) = served.next_message("event")["rows"]
    assert row["site"] == "example.org"
    assert "203.0.113.77" not in str(row)
    assert served.call("tail", on=False)["ok"]
    assert served.call("geo") == {"type": "reply", "id": 7, "ok": True, "value": None}
    assert served.call("nonsense")["error"]["code"] == "unknown_command"
    assert served.call("tail", wrong=1)["error"]["code"] == "bad_arguments"


def test_a_ring_that_was_removed_ends_the_2xx(served: Served) -> None:
    os.unlink(served.ring_path())
    until("noticed", lambda: b"503" in served.send(post(EVENT % 1))[:20])
    served.send(post(EVENT % 2))
    until("counted", lambda: served.slot.refusals().get("ring_failed", 0) > 0)


def test_a_full_ring_is_503_with_retry_after_and_nothing_of_the_request_is_kept(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", ["ring.size=64KiB", "http.retry_after=7"])
    try:
        many = b"[" + b",".join(EVENT % n for n in range(20)) + b"]"
        seen = 0
        while True:
            ((status, headers, body),) = split_answers(served.send(post(many)))
            if status != 200:
                break
            seen += 20
        assert (status, headers[b"retry-after"], json.loads(body)["error"]) == (503, b"7", "ring_full")
        assert len(served.rows()) == seen
        assert split_answers(served.send(post(many)))[0][0] == 200
        until("counted", lambda: served.slot.get("ring_full") == 1)
    finally:
        served.close()


def test_new_salts_are_read_when_the_generation_changes(served: Served) -> None:
    def visitor() -> int:
        served.send(post(EVENT % 1))
        return int(served.rows()[0]["visitor"])

    first = visitor()
    assert visitor() == first
    write_snapshot(served.data_dir, 2)
    served.page.generation = 2
    until("another visitor number", lambda: visitor() != first)


def test_without_a_snapshot_it_says_so_and_exits_1(served: Served) -> None:
    served.stop()
    (served.data_dir / "snapshot.msgpack").write_bytes(b"\x80")
    with pytest.raises(DataDirError, match="snapshot"):
        read_snapshot(served.data_dir / "snapshot.msgpack")
    served.channel.close()
    with pytest.raises(AssertionError):
        served.slot.clear()
        _start_and_die(served)
    assert b"not a snapshot" in (served.data_dir / "stderr").read_bytes()


def _start_and_die(served: Served) -> None:
    import tests.workers as harness

    patience, harness.PATIENCE = harness.PATIENCE, 5.0
    try:
        served.start()
    finally:
        harness.PATIENCE = patience
        assert served.process.wait(PATIENCE) == 1
