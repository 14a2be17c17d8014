"""trackflowd.door: connections, deadlines, caps, on a transport that only takes notes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import intakes
from tests.doors import House, Wire
from tests.workers import post, split_answers
from trackflowd.door import LINGER, SPARE, WRITE_LIMIT
from trackflowd.histogram import GRAIN
from trackflowd.sections import Http

EVENT = b'{"site":"example.org","name":"n"}'
GET = b"GET /t.js HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(
        tmp_path,
        max_connections=3,
        max_connections_per_address=2,
        max_inflight=2**20,
        max_pipeline=4,
        trusted_proxies=("10.0.0.0/8",),
    )
    yield house
    house.ring.close()


def codes(wire: Wire) -> list[str]:
    return [json.loads(body).get("error", "") if body else "" for _, _, body in split_answers(wire.sent)]


def statuses(wire: Wire) -> list[int]:
    return [status for status, _, _ in split_answers(wire.sent)]


def test_a_burst_is_answered_with_one_write_after_its_rows_are_published(house: House) -> None:
    door, wire = house.come()
    door.data_received(post(EVENT, close=False) * 3)
    assert (statuses(wire), wire.writes) == ([200] * 3, 1)
    assert len(intakes.rows(house.ring)) == 3
    assert wire.high == WRITE_LIMIT


def test_a_long_pipeline_is_answered_in_turns_and_in_order(house: House) -> None:
    door, wire = house.come()
    bad = b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n"
    door.data_received(post(EVENT, close=False) * 5 + bad + post(EVENT, close=False) * 4 + b"\0")
    assert statuses(wire) == [200] * 4 and not wire.reading
    door.data_received(post(EVENT, close=False))  # behind the error: nothing
    house.run_soon()
    assert statuses(wire) == [200, 200, 200, 200, 200, 404, 200, 200]
    house.run_soon()
    assert statuses(wire) == [200, 200, 200, 200, 200, 404, 200, 200, 200, 200, 400]
    assert wire.eof and wire.reading
    assert len(intakes.rows(house.ring)) == 9


def test_what_comes_during_a_turn_is_answered_behind_it(house: House) -> None:
    door, wire = house.come()
    door.data_received(GET * 6)
    door.data_received(post(EVENT, close=False))
    house.run_soon()
    assert statuses(wire) == [304] * 6 + [200]


def test_an_end_of_input_leaves_what_is_owed_to_be_written(house: House) -> None:
    door, wire = house.come()
    door.data_received(GET * 6)
    assert door.eof_received()
    house.run_soon()
    assert statuses(wire) == [304] * 6 and wire.closed
    door, wire = house.come()
    assert not door.eof_received()


def test_after_the_last_answer_the_client_is_listened_to_until_it_closes_or_lingers_too_long(house: House) -> None:
    door, wire = house.come()
    door.data_received(post(EVENT))
    assert wire.eof and not wire.closed
    door.data_received(b"more" * 1000)
    assert statuses(wire) == [200]
    house.after(LINGER + 0.3)
    assert wire.aborted


@pytest.mark.parametrize(("first", "seconds", "what"), [(post(EVENT)[:20], 5, "head"), (post(EVENT)[:-1], 10, "body")])
def test_trickling_does_not_move_a_deadline(house: House, first: bytes, seconds: float, what: str) -> None:
    door, wire = house.come()
    door.data_received(first)
    raw = post(EVENT)
    for at in range(len(first), len(first) + 3):
        house.after(seconds / 4)
        door.data_received(raw[at : at + 1] if what == "head" else b"")
    assert wire.sent == b""
    house.after(seconds / 4 + 0.3)
    assert codes(wire) == ["timeout"] and wire.eof
    assert what in str(split_answers(wire.sent)[0][2])
    assert house.hall.late == 1


def test_the_body_has_its_own_deadline_and_so_has_the_next_head(house: House) -> None:
    door, wire = house.come()
    raw = post(EVENT, close=False)
    door.data_received(raw[:20])
    house.after(4)
    door.data_received(raw[20:-1])
    house.after(9)
    door.data_received(raw[-1:] + raw[:20])
    house.after(4)
    assert statuses(wire) == [200]
    house.after(1.5)
    assert codes(wire)[1] == "timeout"


def test_an_idle_connection_is_closed_without_a_word_and_a_used_one_is_kept(house: House) -> None:
    idle, idle_wire = house.come()
    used, used_wire = house.come()
    for _ in range(3):
        house.after(30)
        used.data_received(GET)
    assert idle_wire.closed and idle_wire.sent == b""
    assert not used_wire.closed
    house.after(76)
    assert used_wire.closed
    assert idle.peer == used.peer


def test_a_client_that_does_not_read_is_not_read_and_in_the_end_dropped(house: House) -> None:
    door, wire = house.come()
    door.data_received(GET)
    door.pause_writing()
    assert not wire.reading
    door.resume_writing()
    assert wire.reading
    door.pause_writing()
    house.after(10.3)
    assert wire.aborted


def test_a_pipeline_waits_while_the_client_does_not_read(house: House) -> None:
    door, wire = house.come()
    door.data_received(GET * 6)
    door.pause_writing()
    house.run_soon()
    assert len(statuses(wire)) == 4
    door.resume_writing()
    house.run_soon()
    assert len(statuses(wire)) == 6 and wire.reading


def test_too_many_connections_are_told_so(house: House) -> None:
    wires = [house.come((f"203.0.113.{n}", 1))[1] for n in range(3)]
    door, wire = house.come(("203.0.113.99", 1))
    assert [wire.sent for wire in wires] == [b""] * 3
    assert codes(wire) == ["too_many_connections"] and wire.eof
    assert split_answers(wire.sent)[0][1][b"retry-after"] == b"5"
    door.connection_lost(None)
    assert (house.hall.turned_away, len(house.hall.doors)) == (1, 3)


def test_far_too_many_are_dropped(house: House) -> None:
    for n in range(3 + SPARE):
        house.come((f"203.0.{n // 250}.{n % 250}", 1))
    assert house.come()[1].aborted


def test_one_address_may_have_only_so_many_but_a_trusted_proxy_is_not_counted(house: House) -> None:
    first, _ = house.come(("203.0.113.9", 1))
    house.come(("::ffff:203.0.113.9", 2))
    third, wire = house.come(("203.0.113.9", 3))
    assert codes(wire) == ["too_many_connections"]
    first.connection_lost(None)
    third.connection_lost(None)
    assert house.come(("203.0.113.9", 4))[1].sent == b""
    house.hall.http = Http(max_connections_per_address=2)
    assert [house.come(("10.0.0.1", n))[1].sent for n in range(4)] == [b""] * 4
    assert [house.come("")[1].sent for n in range(4)] == [b""] * 4


def test_unfinished_bodies_of_all_together_have_a_bound(house: House) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
    first, first_wire = house.come()
    first.data_received(head + b"x" * 600_000)
    second, second_wire = house.come()
    second.data_received(head + b"x" * 400_000)
    assert house.hall.inflight == 1_000_000
    second.data_received(b"x" * 100_000)
    assert codes(second_wire) == ["too_busy"] and second_wire.eof
    assert house.hall.inflight == 600_000
    first.data_received(b" " * 400_000)
    house.run_soon()
    assert codes(first_wire) == ["bad_json"]
    assert house.hall.inflight == 0
    second.connection_lost(None)
    assert house.hall.inflight == 0


def test_a_body_that_ends_in_the_next_read_gives_its_memory_back(house: House) -> None:
    door, _ = house.come()
    raw = post(EVENT, close=False)
    door.data_received(raw[:-3])
    assert house.hall.inflight == len(EVENT) - 3
    door.data_received(raw[-3:])
    assert house.hall.inflight == 0


def test_100_continue_comes_behind_the_answers_before_it(house: House) -> None:
    door, wire = house.come()
    raw = post(EVENT, b"Expect: 100-continue", close=False)
    door.data_received(GET + raw[: -len(EVENT)])
    assert statuses(wire) == [304, 100]
    door.data_received(EVENT)
    house.run_soon()
    assert statuses(wire) == [304, 100, 200]
    door.data_received(raw)
    house.run_soon()
    assert statuses(wire) == [304, 100, 200, 200]


def test_a_drain_closes_what_is_idle_and_lets_the_rest_finish(house: House) -> None:
    idle, idle_wire = house.come()
    busy, busy_wire = house.come()
    raw = post(EVENT, close=False)
    idle.data_received(raw)
    house.run_soon()
    busy.data_received(raw[:-3])
    house.hall.drain()
    assert idle_wire.closed and not busy_wire.closed
    busy.data_received(raw[-3:])
    ((status, headers, _),) = split_answers(busy_wire.sent)
    assert (status, headers[b"connection"]) == (200, b"close")
    assert busy_wire.eof


def test_a_mistake_of_ours_drops_the_connection_and_its_rows_and_is_said_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer = house.intake.answer
    monkeypatch.setattr(house.intake, "publish", lambda: 1 / 0)
    for _ in range(2):
        door, wire = house.come()
        door.data_received(post(EVENT, close=False))
        house.run_soon()
        assert wire.aborted and wire.sent == b""
        door.connection_lost(None)
    monkeypatch.undo()
    assert house.intake.answer == answer
    house.intake.publish()
    assert intakes.rows(house.ring) == []
    assert house.hall.errors == 2 and len(caplog.records) == 1


def test_bytes_and_connections_are_counted(house: House) -> None:
    door, wire = house.come()
    door.data_received(GET)
    door.connection_lost(None)
    assert house.hall.bytes_in == len(GET)
    assert house.hall.bytes_out == len(wire.sent)
    assert (house.hall.total, len(house.hall.doors), len(house.hall.by_address)) == (1, 0, 0)
    door.data_received(GET)
    door.expired()


def test_all_connections_of_a_turn_are_answered_after_one_publish(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = []
    publish = house.intake.publish

    def counted() -> None:
        published.append(1)
        publish()

    monkeypatch.setattr(house.intake, "publish", counted)
    comers = [house.come(("10.0.0.1", 1)) for _ in range(3)]
    for door, wire in comers:
        door.data_received(post(EVENT, close=False))
        assert wire.sent == b""
    house.run_soon()
    assert [statuses(wire) for _, wire in comers] == [[200]] * 3
    assert len(published) == 1
    assert len(intakes.rows(house.ring)) == 3


@pytest.mark.parametrize("before", ["eof", "drain", "tick", "bad", "pipeline"])
def test_an_answer_of_this_turn_goes_out_before_whatever_else_happens_to_its_connection(
    house: House, before: str
) -> None:
    door, wire = house.come()
    door.data_received(post(EVENT, close=False))
    if before == "eof":
        door.eof_received()
    elif before == "drain":
        house.hall.drain()
    elif before == "tick":
        house.after(1000)
    else:
        door.data_received(b"\0" if before == "bad" else post(EVENT, close=False) * 2)
    house.run_soon()
    assert statuses(wire)[0] == 200
    assert len(intakes.rows(house.ring)) == (3 if before == "pipeline" else 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the door takes for the time, in ns; the test moves it."""
    now = [0]
    for module in ("door", "hall"):
        monkeypatch.setattr(f"trackflowd.{module}.monotonic_ns", lambda: now[0])
    return now


def test_requests_of_a_turn_are_timed_from_the_first_read_to_the_last_answer(house: House, clock: list[int]) -> None:
    comers = [house.come(("10.0.0.1", 1)) for _ in range(3)]
    for door, _ in comers:
        clock[0] += 1_000_000
        door.data_received(post(EVENT, close=False))
    clock[0] += 1_000_000
    assert not sum(house.hall.took.values())
    house.run_soon()
    assert house.hall.took == {3_000_000 >> GRAIN: 3}


def test_a_pipeline_is_timed_and_half_a_request_is_not_until_it_is_whole(house: House, clock: list[int]) -> None:
    door, _ = house.come()
    raw = post(EVENT, close=False)
    door.data_received(raw[:-3])
    clock[0] = 5_000_000_000
    door.data_received(raw[-3:])
    house.run_soon()
    door.data_received(GET * 4)
    assert house.hall.took == {0: 5}


def test_what_answers_no_request_is_not_timed(house: House, clock: list[int]) -> None:
    door, wire = house.come()
    door.data_received(post(EVENT)[:20])
    clock[0] = 5_000_000_000
    house.after(6)
    assert codes(wire) == ["timeout"]
    house.come()[0].data_received(b"\0")
    assert not sum(house.hall.took.values())


def test_an_answer_to_a_connection_that_is_gone_keeps_nobody_waiting(house: House) -> None:
    first, _ = house.come()
    second, wire = house.come()
    first.data_received(post(EVENT, close=False))
    second.data_received(post(EVENT, close=False))
    first.connection_lost(None)
    house.run_soon()
    assert statuses(wire) == [200]
    assert len(intakes.rows(house.ring)) == 2


def test_a_mistake_in_one_request_loses_nothing_of_the_others_in_its_turn(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, first_wire = house.come()
    second, second_wire = house.come()
    first.data_received(post(EVENT, close=False))
    with monkeypatch.context() as patch:
        patch.setattr(house.intake, "answer", lambda request, peer: 1 / 0)
        second.data_received(post(EVENT, close=False))
    house.run_soon()
    assert statuses(first_wire) == [200] and second_wire.aborted
    assert len(intakes.rows(house.ring)) == 1
