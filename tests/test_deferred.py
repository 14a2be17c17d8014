"""trackflowd.deferred: answers that wait for the disk."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import intakes
from tests.doors import DiskHouse, Wire
from tests.workers import post, split_answers
from trackflowd import deferred
from trackflowd.door import LINGER
from trackflowd.histogram import GRAIN

EVENT = b'{"site":"example.org","name":"n"}'
GET = b"GET /t.js HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n"
ONE = post(EVENT, close=False)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[DiskHouse]:
    house = DiskHouse(tmp_path, max_pipeline=4, trusted_proxies=("10.0.0.0/8",))
    yield house
    house.ring.close()


def statuses(wire: Wire) -> list[int]:
    return [status for status, _, _ in split_answers(wire.sent)]


def refused_for_the_ring(wire: Wire, number: int) -> bool:
    status, headers, body = split_answers(wire.sent)[number]
    return (status, headers[b"retry-after"], json.loads(body)["error"]) == (503, b"5", "ring_failed")


def no_answer_before_the_sync(house: DiskHouse) -> None:
    """The promise of durability "disk", as a check that a wrong build must fail."""
    comers = [house.come(("10.0.0.1", n)) for n in range(3)]
    for door, _ in comers:
        door.data_received(ONE)
    comers[0][0].data_received(GET + ONE)
    house.run_soon()
    house.after(1)
    house.hall.settle()
    assert [wire.sent for _, wire in comers] == [b""] * 3
    assert house.ring.writer.head > 0, "the rows are visible before their answers"
    house.sync()
    assert [statuses(wire) for _, wire in comers] == [[200, 304, 200], [200], [200]]
    assert [wire.writes for _, wire in comers] == [1, 1, 1]


def test_no_answer_leaves_before_the_disk_has_its_rows(house: DiskHouse) -> None:
    no_answer_before_the_sync(house)


def test_a_build_that_answers_before_the_sync_is_caught(house: DiskHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, "kept", lambda syncer: 2**50)
    with pytest.raises(AssertionError):
        no_answer_before_the_sync(house)


def test_all_of_a_turn_ask_for_one_sync_and_nobody_asks_when_nothing_is_owed(house: DiskHouse) -> None:
    for n in range(3):
        house.come(("10.0.0.1", n))[0].data_received(ONE)
    house.run_soon()
    assert house.disk.asked == 1
    house.sync()
    house.come()[0].data_received(GET)
    house.run_soon()
    assert house.disk.asked == 1


def test_what_was_synced_while_it_was_published_waits_for_no_other_sync(house: DiskHouse) -> None:
    door, wire = house.come()
    door.data_received(ONE)
    house.disk.synced = house.ring.writer.head
    house.run_soon()
    assert (statuses(wire), house.disk.asked) == ([200], 0)


def test_what_has_no_rows_waits_for_nobody_but_those_before_it(house: DiskHouse) -> None:
    first, first_wire = house.come()
    second, second_wire = house.come(("10.0.0.2", 1))
    first.data_received(ONE)
    second.data_received(GET + post(b"{", close=False) + ONE + GET)
    house.run_soon()
    assert statuses(second_wire) == [304, 400] and first_wire.sent == b""
    house.sync()
    assert statuses(second_wire) == [304, 400, 200, 304]


def test_a_sync_answers_what_it_covers_and_no_more(house: DiskHouse) -> None:
    door, wire = house.come()
    door.data_received(ONE)
    covered = house.ring.writer.head
    door.data_received(GET + ONE)
    house.sync(covered)
    assert statuses(wire) == [200, 304]
    house.sync()
    assert statuses(wire) == [200, 304, 200]


def test_a_long_pipeline_goes_on_when_its_first_answers_are_paid(house: DiskHouse) -> None:
    door, wire = house.come()
    door.data_received(ONE * 9 + b"\0")
    for done in (4, 8):
        house.run_soon()
        assert not wire.reading and house.hall.owed_answers == 4
        house.sync()
        assert len(statuses(wire)) == done
    house.run_soon()
    assert statuses(wire) == [200] * 8, "the error behind waits as well"
    house.sync()
    assert statuses(wire) == [200] * 9 + [400]
    assert wire.eof and wire.reading
    assert len(intakes.rows(house.ring)) == 9


def test_a_connection_that_is_owed_much_is_not_read_from(house: DiskHouse) -> None:
    door, wire = house.come()
    for n in range(4):
        assert wire.reading, n
        door.data_received(ONE)
    assert not wire.reading
    door.pause_writing()
    door.resume_writing()
    assert not wire.reading
    house.sync()
    assert wire.reading and statuses(wire) == [200] * 4


def test_when_the_ring_fails_what_is_not_synced_becomes_503_and_what_is_stays_200(house: DiskHouse) -> None:
    door, wire = house.come()
    other, other_wire = house.come(("10.0.0.2", 1))
    door.data_received(ONE)
    house.disk.synced = house.ring.writer.head
    door.data_received(GET + post(b"[" + EVENT + b"," + EVENT + b"]", b"Origin: https://a.example", close=False) + GET)
    other.data_received(ONE)
    house.fail()
    assert statuses(wire) == [200, 304, 503, 304]
    assert refused_for_the_ring(wire, 2) and refused_for_the_ring(other_wire, 0)
    assert split_answers(wire.sent)[2][1][b"access-control-allow-origin"] == b"https://a.example"
    assert not wire.eof and not wire.closed
    intake = house.intake
    assert (intake.accepted, intake.answers[2], intake.answers[5], intake.refusals["ring_failed"]) == (1, 1, 2, 2)
    assert (house.hall.owed_answers, house.hall.owed_events) == (0, 0)
    door.data_received(ONE)
    assert refused_for_the_ring(wire, 4), "and so does what comes now, at once"


def test_counters_never_go_back_when_answers_are_taken_back(house: DiskHouse) -> None:
    def counted() -> tuple[int, int]:
        return (
            house.intake.accepted - house.hall.owed_events,
            house.intake.answers[2] - house.hall.owed_answers,
        )

    door, _ = house.come()
    door.data_received(post(b"[" + EVENT + b"," + EVENT + b"]", close=False))
    assert counted() == (0, 0)
    house.sync()
    assert counted() == (2, 1)
    door.data_received(ONE)
    assert counted() == (2, 1)
    house.fail()
    assert counted() == (2, 1)


def test_the_last_answer_is_followed_by_the_end_not_overtaken(house: DiskHouse) -> None:
    door, wire = house.come()
    door.data_received(post(EVENT))
    house.after(LINGER + 1)
    assert not wire.eof and not wire.closed and not wire.aborted
    house.sync()
    assert statuses(wire) == [200] and wire.eof
    house.after(LINGER + 0.3)
    assert wire.aborted


def test_an_end_of_input_leaves_what_is_owed_to_be_written(house: DiskHouse) -> None:
    door, wire = house.come()
    door.data_received(ONE * 6)
    assert door.eof_received()
    house.sync()
    house.run_soon()
    assert statuses(wire) == [200] * 4 and not wire.closed
    house.sync()
    assert statuses(wire) == [200] * 6 and wire.closed
    door, wire = house.come()
    assert not door.eof_received()


def test_an_end_of_input_behind_the_last_request_closes_when_it_is_paid(house: DiskHouse) -> None:
    door, wire = house.come()
    door.data_received(ONE)
    assert door.eof_received()
    assert not wire.closed
    house.sync()
    assert statuses(wire) == [200] and wire.closed


def test_a_drain_waits_for_what_is_owed(house: DiskHouse) -> None:
    owed, owed_wire = house.come()
    busy, busy_wire = house.come(("10.0.0.2", 1))
    owed.data_received(ONE)
    busy.data_received(ONE[:-3])
    house.hall.drain()
    assert not owed_wire.closed and not owed_wire.eof
    busy.data_received(ONE[-3:])
    house.sync()
    assert statuses(owed_wire) == [200] and owed_wire.eof
    ((status, headers, _),) = split_answers(busy_wire.sent)
    assert (status, headers[b"connection"]) == (200, b"close") and busy_wire.eof


def test_an_answer_to_a_connection_that_is_gone_keeps_nobody_waiting(house: DiskHouse) -> None:
    first, first_wire = house.come()
    second, second_wire = house.come(("10.0.0.2", 1))
    first.data_received(ONE)
    second.data_received(ONE)
    first.connection_lost(None)
    house.sync()
    assert (first_wire.sent, statuses(second_wire)) == (b"", [200])
    assert house.hall.owed_answers == 0
    second.data_received(ONE)
    second.connection_lost(None)
    house.fail()
    assert statuses(second_wire) == [200]


def test_100_continue_comes_behind_what_is_owed(house: DiskHouse) -> None:
    door, wire = house.come()
    raw = post(EVENT, b"Expect: 100-continue", close=False)
    door.data_received(raw[: -len(EVENT)])
    assert statuses(wire) == [100]
    door.data_received(EVENT + raw[: -len(EVENT)])
    assert statuses(wire) == [100]
    house.sync()
    assert statuses(wire) == [100, 200, 100]


def test_a_late_request_is_told_so_behind_what_is_owed(house: DiskHouse) -> None:
    door, wire = house.come()
    door.data_received(ONE + ONE[:20])
    house.after(5.3)
    assert wire.sent == b"" and not wire.eof
    house.sync()
    assert statuses(wire) == [200, 408] and wire.eof


@pytest.mark.parametrize("data", [ONE, post(EVENT), ONE + b"\0"])
def test_a_disk_that_hangs_ends_in_a_connection_dropped_without_a_word(house: DiskHouse, data: bytes) -> None:
    door, wire = house.come()
    door.data_received(data)
    house.after(74)
    assert not wire.aborted
    house.after(2)
    assert wire.aborted and wire.sent == b""
    door.connection_lost(None)
    house.sync()
    assert wire.sent == b""


def test_the_time_of_a_request_includes_its_sync(house: DiskHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1]
    monkeypatch.setattr("trackflowd.deferred.monotonic_ns", lambda: clock[0])
    door, wire = house.come()
    door.data_received(ONE)
    clock[0] += 1_000_000
    house.come()[0].data_received(GET)  # has no rows: answered at once
    assert house.hall.took == {0: 1}
    clock[0] += 2_000_000
    house.sync()
    assert statuses(wire) == [200]
    assert house.hall.took == {0: 1, 3_000_000 >> GRAIN: 1}


def test_what_answers_no_request_is_not_timed_behind_what_is_owed(house: DiskHouse) -> None:
    door, wire = house.come()
    door.data_received(ONE + b"\0")
    house.sync()
    assert statuses(wire) == [200, 400]
    assert sum(house.hall.took.values()) == 1


def test_a_mistake_of_ours_drops_its_connection_and_nobody_elses_answer(
    house: DiskHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, first_wire = house.come()
    second, second_wire = house.come(("10.0.0.2", 1))
    first.data_received(ONE)
    with monkeypatch.context() as patch:
        patch.setattr(house.intake, "answer", lambda request, peer: 1 / 0)
        second.data_received(ONE)
    house.sync()
    assert statuses(first_wire) == [200] and second_wire.aborted and second_wire.sent == b""


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_in_whatever_order_every_request_has_its_answer_and_every_200_its_row(
    tmp_path: Path, seed: int
) -> None:
    """Random reads, syncs, turns and at last a failure, against a list of what was asked."""
    dice = random.Random(seed)
    house = DiskHouse(tmp_path, max_pipeline=3)
    doors = [house.come((f"203.0.113.{n}", 1)) for n in range(3)]
    asked: list[list[bytes]] = [[] for _ in doors]
    number = 0
    for _ in range(120):
        who = dice.randrange(len(doors))
        what = dice.random()
        if what < 0.6 and doors[who][1].reading:
            burst = b""
            for _ in range(dice.randrange(1, 6)):
                name = b"" if dice.random() < 0.3 else b"e%d" % number
                number += 1
                asked[who].append(name)
                burst += post(EVENT.replace(b'"n"', b'"%s"' % name), close=False) if name else GET
            doors[who][0].data_received(burst)
        elif what < 0.8:
            writer = house.ring.writer
            house.sync(dice.choice([house.disk.synced, writer.head]))
        else:
            house.run_soon()
    failed_at = house.disk.synced
    house.fail()
    while house.soon:
        house.run_soon()
    kept = {row["name"] for row in intakes.rows(house.ring, failed_at)}
    for (_, wire), names in zip(doors, asked, strict=True):
        got = statuses(wire)
        assert len(got) == len(names)
        assert [status for status, name in zip(got, names, strict=True) if not name] == [304] * names.count(b"")
        answered = {name.decode() for status, name in zip(got, names, strict=True) if name and status == 200}
        refused = {name.decode() for status, name in zip(got, names, strict=True) if status == 503}
        assert answered <= kept and not refused & kept
    assert house.hall.owed_answers == house.hall.owed_events == 0
    assert sum(house.hall.took.values()) == sum(map(len, asked)), "every request is timed, once"
    house.ring.close()
