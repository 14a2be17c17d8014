"""The ring's writer, alone and under SIGKILL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rings import as_row, blank, data_at, flipped, row, walk
from trackflowd.errors import RecordTooLarge, RingDamaged, RingFull
from trackflowd.ring.layout import HEAD_AT, HEADER_SIZE, RECORD_HEADER, TAIL_AT, encode_word
from trackflowd.ring.reader import Reader
from trackflowd.ring.writer import Row, Writer

KILLS = Path(__file__).with_name("ring_kills.py")


def rows_in(ring: bytearray) -> list[Row]:
    reader = Reader(ring)
    found, damage = walk(reader, reader.tail, reader.head)
    assert damage == []
    return [as_row(record) for record in found]


def filled(size: int = 40) -> tuple[bytearray, Writer, int]:
    """A ring with no room for one more row of that size, its writer, and how many rows it holds."""
    ring = blank()
    writer = Writer(ring)
    count = 0
    while True:
        try:
            writer.append([row(count, size)])
        except RingFull:
            writer.publish()
            return ring, writer, count
        count += 1


def test_appended_rows_are_invisible_until_they_are_published() -> None:
    ring = blank()
    writer = Writer(ring)
    writer.append([row(1), row(2)])
    writer.append([row(3)])
    assert rows_in(ring) == []
    assert (writer.head, writer.staged) == (0, 3 * 96)
    writer.publish()
    assert rows_in(ring) == [row(1), row(2), row(3)]
    assert writer.head == writer.staged


def test_publishing_nothing_stores_nothing() -> None:
    ring = blank()
    writer = Writer(ring)
    ring[HEAD_AT : HEAD_AT + 8] = b"x" * 8
    writer.publish()
    assert ring[HEAD_AT : HEAD_AT + 8] == b"x" * 8


def test_abandoned_rows_never_come_and_their_space_is_used_again() -> None:
    ring = blank()
    writer = Writer(ring)
    writer.append([row(1)])
    writer.publish()
    writer.append([row(2, 300), row(3, 300)])
    writer.abandon()
    writer.append([row(4)])
    writer.publish()
    assert rows_in(ring) == [row(1), row(4)]


def test_abandoning_across_the_end_of_a_lap_goes_back_to_the_lap_before() -> None:
    ring = blank()
    writer, reader = Writer(ring), Reader(ring)
    for n in range(10):
        writer.append([row(n, 300)])
    writer.publish()
    reader.store_tail(reader.head)
    writer.append([row(n, 300) for n in (10, 11)])  # 10 × 360 + 360 fits the lap, the next does not
    assert writer.staged > 4096
    writer.abandon()
    writer.append([row(12)])
    writer.publish()
    assert rows_in(ring) == [row(12)]


def test_a_new_writer_goes_on_at_the_head_over_what_was_not_published() -> None:
    ring = blank()
    writer = Writer(ring)
    writer.append([row(1)])
    writer.publish()
    writer.append([row(2), row(3)])
    later = Writer(ring)
    assert later.head == later.staged == 96
    later.append([row(4)])
    later.publish()
    assert rows_in(ring) == [row(1), row(4)]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 455, 456])
def test_payloads_of_every_length_come_back(size: int) -> None:
    ring = blank()
    writer = Writer(ring)
    body = bytes(range(256)) * 2
    writer.append([(b"a" * 16, 0, 0, 0, body[:size]), (b"b" * 16, 2**64 - 1, 2**64 - 1, 2**16 - 1, b"")])
    writer.publish()
    assert rows_in(ring) == [(b"a" * 16, 0, 0, 0, body[:size]), (b"b" * 16, 2**64 - 1, 2**64 - 1, 2**16 - 1, b"")]


def test_a_record_above_an_eighth_of_the_ring_is_refused_and_leaves_nothing() -> None:
    ring = blank()
    writer = Writer(ring)
    assert writer.max_payload == 4096 // 8 - RECORD_HEADER
    before = bytes(ring[:HEADER_SIZE])
    with pytest.raises(RecordTooLarge, match="457 bytes"):
        writer.append([row(1), row(2, 457)])
    assert writer.staged == 0
    assert ring[:HEADER_SIZE] == before


def test_a_request_above_a_quarter_of_the_ring_is_refused_and_leaves_nothing() -> None:
    ring = blank()
    writer = Writer(ring)
    rows = [row(n) for n in range(11)]  # 96 bytes each, 1024 allowed
    with pytest.raises(RecordTooLarge, match="1056 bytes"):
        writer.append(rows)
    assert writer.staged == 0
    with pytest.raises(RecordTooLarge, match="1032 bytes"):
        writer.append([*rows[:9], row(9, 112)])
    writer.append([*rows[:9], row(9, 104)])  # 1024
    writer.publish()
    assert rows_in(ring) == [*rows[:9], row(9, 104)]


def test_a_full_ring_takes_all_rows_of_a_request_or_none() -> None:
    ring, writer, count = filled()
    reader = Reader(ring)
    reader.store_tail(96)
    with pytest.raises(RingFull, match="of 4096 bytes"):
        writer.append([row(90), row(91)])
    writer.publish()
    assert len(rows_in(ring)) == count - 1
    reader.store_tail(192)
    writer.append([row(90)])
    writer.publish()
    assert rows_in(ring)[-1] == row(90)


def test_free_space_is_exact_where_records_fill_the_lap() -> None:
    ring = blank()
    writer = Writer(ring)
    for n in range(8):
        writer.append([row(n, 456)])  # 512 bytes: eight of them are the ring
    assert writer.used == 4096
    with pytest.raises(RingFull):
        writer.append([row(9, 0)])
    writer.publish()
    assert rows_in(ring) == [row(n, 456) for n in range(8)]
    Reader(ring).store_tail(512)
    writer.append([row(8, 456)])
    writer.publish()
    assert rows_in(ring) == [row(n, 456) for n in range(1, 9)]


@pytest.mark.parametrize("rest", [8, 48, 56, 64, 400])
def test_free_space_counts_what_the_end_of_the_lap_costs(rest: int) -> None:
    """The record needs 512 bytes and, before it, the rest of the lap: short by 8 is short."""
    ring = blank()
    writer, reader = Writer(ring), Reader(ring)
    for size in (504, 56, 512, 512, 512, 512, 512, 512, 464 - rest):
        writer.append([row(1, size - RECORD_HEADER)])
    writer.publish()
    assert writer.staged == 4096 - rest
    reader.store_tail(504)
    with pytest.raises(RingFull):
        writer.append([row(3, 456)])
    reader.store_tail(560)
    writer.append([row(3, 456)])
    writer.publish()
    assert writer.head == 4096 + 512
    assert rows_in(ring)[-1] == row(3, 456)


def test_records_never_wrap_over_many_laps() -> None:
    ring = blank()
    writer, reader = Writer(ring), Reader(ring)
    seen = 0
    for n in range(2000):
        writer.append([row(n, n * 37 % 450)])
        writer.publish()
        records, damaged = reader.records(reader.tail, reader.head, 10, 10**9)
        assert not damaged
        assert [as_row(record) for record in records] == [row(n, n * 37 % 450)]
        assert all(record[0] // 4096 == (record[1] - 1) // 4096 for record in records)
        reader.store_tail(reader.head)
        seen += len(records)
    assert seen == 2000
    assert reader.head > 100 * 4096


def test_bytes_between_tail_and_head_are_never_touched() -> None:
    ring, writer, count = filled()
    reader = Reader(ring)
    reader.store_tail(96 * (count // 2))
    kept = reader.raw(reader.tail, reader.head)
    head = reader.head
    for n in range(count):
        try:
            writer.append([row(n)])
        except RingFull:
            break
    writer.publish()
    assert reader.raw(reader.tail, head) == kept


@pytest.mark.parametrize("tail", [8, 96 * 3])
def test_a_tail_past_the_head_is_not_believed(tail: int) -> None:
    """Else the writer would take for free what the reader has not read."""
    ring, writer, _ = filled()
    head = writer.head
    ring[TAIL_AT : TAIL_AT + 8] = encode_word(head + tail).to_bytes(8, "little")
    with pytest.raises(RingDamaged, match="tail"):
        writer.append([row(1)])
    with pytest.raises(RingDamaged, match="tail"):
        _ = writer.used


def test_a_damaged_tail_is_not_believed() -> None:
    ring, writer, _ = filled()
    ring[TAIL_AT + 3] ^= 4
    with pytest.raises(RingDamaged, match="tail"):
        writer.append([row(1)])


def test_a_tail_that_went_back_is_not_believed() -> None:
    ring, writer, _ = filled()
    Reader(ring).store_tail(960)
    writer.append([row(1)])
    ring[TAIL_AT : TAIL_AT + 8] = encode_word(96).to_bytes(8, "little")
    with pytest.raises(RingDamaged, match="tail"):
        while True:
            writer.append([row(2)])


@pytest.mark.parametrize("at", [0, 30, HEAD_AT, TAIL_AT + 7])
def test_a_ring_with_a_damaged_header_is_not_written(at: int) -> None:
    with pytest.raises(RingDamaged):
        Writer(flipped(blank(), at, 0x10))


def test_a_row_that_cannot_be_written_leaves_the_writer_as_it_was() -> None:
    ring = blank()
    writer = Writer(ring)
    for bad in ((b"x" * 16, -1, 0, 0, b""), (b"x" * 16, 0, 0, 70000, b""), (b"x" * 16, 0, 0, 0, None)):
        with pytest.raises(Exception):  # noqa: B017 - struct.error or TypeError, by what is wrong
            writer.append([row(1), bad])  # type: ignore[list-item]
    writer.append([row(2)])
    writer.publish()
    assert rows_in(ring) == [row(2)]


def test_a_pad_is_written_where_a_header_fits_and_only_there() -> None:
    for rest, padded in ((48, False), (56, True), (64, True)):
        ring = blank()
        writer, reader = Writer(ring), Reader(ring)
        for _ in range(7):
            writer.append([row(1, 456)])
        writer.append([row(2, 512 - rest - 56)])
        writer.publish()
        reader.store_tail(writer.head)
        writer.append([row(3, 456)])
        assert any(ring[data_at(4096 - rest, 4096) : data_at(4095, 4096)]) is padded


def kills(tmp_path: Path, writer: str, count: int, seed: int) -> dict[str, object]:
    path = tmp_path / "ring"
    path.write_bytes(blank(16384))
    command = [sys.executable, str(KILLS), str(path), writer, str(count), str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=120, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_writer_has_kept_what_it_reported_and_left_nothing_half_done(tmp_path: Path, seed: int) -> None:
    found = kills(tmp_path, "right", 100, seed)
    assert found["wrong"] == ""
    assert found["kills"] == 100
    assert isinstance(found["laps"], int)
    assert found["laps"] > 20, "too few laps to have met the end of one at a bad moment"


@pytest.mark.parametrize("writer", ["pack_into", "head_first"])
def test_the_kills_catch_a_writer_that_is_wrong(tmp_path: Path, writer: str) -> None:
    assert kills(tmp_path, writer, 3000, 4)["wrong"] != ""


def test_what_a_request_may_take_does_not_depend_on_where_the_lap_ends() -> None:
    """The pad before a new lap is nobody's request: a quarter of the ring is a quarter everywhere."""
    for offset in range(0, 4096, 64):
        ring = blank()
        writer, reader = Writer(ring), Reader(ring)
        while writer.head < offset:
            writer.append([row(1, 8)])  # 64 bytes
            writer.publish()
            reader.store_tail(writer.head)
        writer.append([row(n, 200) for n in range(4)])  # 256 bytes each: exactly a quarter
        with pytest.raises(RecordTooLarge):
            writer.append([row(n, 200) for n in range(3)] + [row(3, 208)])
