"""The ring's reader: what it proves, what it refuses, what it finds again behind damage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rings import UUID, as_row, blank, data_at, flipped, ring_with, row, second_lap, set_word, walk
from trackflowd.errors import RingDamaged, RingError
from trackflowd.ring import reader as reader_module
from trackflowd.ring.layout import (
    FAILED_AT,
    HEAD_AT,
    HEADER_SIZE,
    PAD,
    RECORD_HEADER,
    SYNCED_AT,
    TAIL_AT,
    encode_failed,
)
from trackflowd.ring.reader import Damage, Reader
from trackflowd.ring.writer import Writer

BIG = 2**30


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not insist on damaged bytes: for tests that look at thousands."""
    monkeypatch.setattr(reader_module, "TRIES", 2)


def test_records_come_with_all_they_were_written_with() -> None:
    reader = Reader(ring_with([row(1, 40), row(2, 41)]))
    records, damaged = reader.records(0, reader.head, 10, BIG)
    assert not damaged
    assert [as_row(record) for record in records] == [row(1, 40), row(2, 41)]
    assert [(record[0], record[1]) for record in records] == [(0, 96), (96, 96 + 104)]
    assert type(records[0][6]) is bytes


def test_an_empty_ring_has_no_records_and_no_damage() -> None:
    reader = Reader(blank())
    assert reader.records(0, reader.head, 10, BIG) == ([], False)
    assert reader.damage_at(0, reader.head) is None
    assert (reader.head, reader.tail, reader.synced, reader.capacity, reader.uuid) == (0, 0, 0, 4096, UUID)


@pytest.mark.parametrize(("rows", "size", "count"), [(3, BIG, 3), (100, 96, 1), (100, 97, 2), (100, 1, 1), (100, 0, 1)])
def test_reading_stops_at_the_limits_and_goes_on_behind_them(rows: int, size: int, count: int) -> None:
    reader = Reader(ring_with([row(n) for n in range(10)]))
    records, damaged = reader.records(0, reader.head, rows, size)
    assert (len(records), damaged) == (count, False)
    rest, _ = reader.records(records[-1][1], reader.head, 100, BIG)
    assert [as_row(record) for record in records + rest] == [row(n) for n in range(10)]


def test_reading_one_by_one_passes_over_pads() -> None:
    ring, rows = second_lap()
    found, damage = walk(Reader(ring), Reader(ring).tail, Reader(ring).head, rows=1)
    assert [as_row(record) for record in found] == rows
    assert damage == []


def test_a_pad_takes_nothing_from_the_limit_of_bytes() -> None:
    ring = blank()
    writer, reader = Writer(ring), Reader(ring)
    for _ in range(8):
        writer.append([row(1, 440)])  # 496 each: 128 are left of the lap
    writer.publish()
    end = writer.head
    reader.store_tail(end)
    writer.append([row(2, 440)])
    writer.publish()
    records, damaged = reader.records(end, reader.head, 10, 1)
    assert ([as_row(record) for record in records], damaged) == ([row(2, 440)], False)
    assert reader.next_record_position(end, reader.head) == 4096
    assert reader.next_record_position(4096, reader.head) == 4096
    assert reader.next_record_position(reader.head, reader.head) == reader.head


def test_records_across_copied_chunks_all_come() -> None:
    ring = blank(1024 * 1024)
    rows = [row(n, 1000 + n % 97) for n in range(900)]
    reader = Reader(ring_with(rows, ring))
    records, damaged = reader.records(0, reader.head, 10_000, BIG)
    assert ([as_row(record) for record in records], damaged) == (rows, False)


def test_a_record_as_large_as_allowed_is_read() -> None:
    ring = blank(64 * 1024)
    rows = [row(1, 8192 - RECORD_HEADER), row(2)]
    assert [as_row(record) for record in Reader(ring_with(rows, ring)).records(0, 8192 + 96, 9, BIG)[0]] == rows


def test_the_tail_moves_forward_to_what_is_published_and_nowhere_else() -> None:
    ring = ring_with([row(1), row(2)])
    reader = Reader(ring)
    reader.store_tail(96)
    reader.store_tail(96)
    assert reader.tail == Reader(ring).tail == 96
    for wrong in (0, 95, 100, 192 + 8, 2**40):
        with pytest.raises(RingError, match="tail"):
            reader.store_tail(wrong)
    assert reader.tail == 96
    before = bytes(ring)
    reader.store_tail(192)
    changed = [at for at in range(len(ring)) if ring[at] != before[at]]
    assert all(TAIL_AT <= at < TAIL_AT + 8 for at in changed)


def test_a_head_that_goes_down_is_damage() -> None:
    ring = ring_with([row(1), row(2)])
    reader = Reader(ring)
    assert reader.head == 192
    set_word(ring, HEAD_AT, 96)
    with pytest.raises(RingDamaged, match="from 192 down to 96"):
        _ = reader.head


def test_a_head_more_than_a_lap_before_the_tail_is_damage() -> None:
    ring = ring_with([row(1)])
    reader = Reader(ring)
    set_word(ring, HEAD_AT, 4104)
    with pytest.raises(RingDamaged, match="lap"):
        _ = reader.head
    with pytest.raises(RingDamaged, match="contradict"):
        Reader(ring)


@pytest.mark.parametrize(("name", "at"), [("head", HEAD_AT), ("tail", TAIL_AT), ("synced", SYNCED_AT)])
def test_a_damaged_cursor_is_never_used(name: str, at: int) -> None:
    ring = ring_with([row(1)])
    reader = Reader(ring)
    ring[at + 2] ^= 1
    with pytest.raises(RingDamaged, match=name):
        getattr(reader, name)


def test_every_flipped_byte_costs_one_record_at_most_and_never_gives_a_wrong_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick(monkeypatch)
    ring, rows = second_lap()
    refused = hit = 0
    for at in range(len(ring)):
        changed = flipped(ring, at, (0x01, 0x80, 0xFF, 0x20)[at % 4])
        try:
            reader = Reader(changed)
            found, damage = walk(reader, reader.tail, reader.head)
        except RingDamaged:
            assert at < 64 or any(word <= at < word + 8 for word in (HEAD_AT, TAIL_AT, FAILED_AT))
            refused += 1
            continue
        got = [as_row(record) for record in found]
        lost = [one for one in rows if one not in got]
        assert [one for one in rows if one in got] == got, f"a wrong row with byte {at} changed"
        assert len(lost) <= 1
        assert len(damage) <= 1
        assert not lost or damage, f"byte {at} lost a row and nobody was told"
        hit += len(lost)
    assert refused == 64 + 24
    assert hit > 2000, "most flips of the records' bytes should have cost one"


def test_a_failed_ring_ends_where_it_was_synced_whatever_its_head_says_before_and_after() -> None:
    ring = ring_with([row(n) for n in range(8)])
    reader = Reader(ring)
    assert (reader.head, reader.failed) == (8 * 96, False)
    ring[FAILED_AT : FAILED_AT + 8] = encode_failed(3 * 96).to_bytes(8, "little")
    assert (reader.head, reader.failed) == (3 * 96, True)
    assert (Reader(ring).head, Reader(ring).salvage_end(0)) == (3 * 96, 3 * 96)
    reader.store_tail(3 * 96)
    with pytest.raises(RingError):
        reader.store_tail(4 * 96)
    ring[FAILED_AT + 2] ^= 1
    with pytest.raises(RingDamaged, match="end"):
        _ = reader.head


def test_damage_is_told_from_its_first_byte_to_the_next_record() -> None:
    ring = ring_with([row(n) for n in range(5)])
    ring[data_at(2 * 96 + 70, 4096)] ^= 1
    reader = Reader(ring)
    records, damaged = reader.records(0, reader.head, 10, BIG)
    assert ([record[0] for record in records], damaged) == ([0, 96], True)
    assert reader.damage_at(records[-1][1], reader.head) == Damage(192, 288)
    assert reader.raw(192, 288) == bytes(ring[4096 + 192 : 4096 + 288])
    assert [as_row(record) for record in reader.records(288, reader.head, 9, BIG)[0]] == [row(3), row(4)]


def test_damage_up_to_the_head_ends_there() -> None:
    ring = ring_with([row(1), row(2)])
    ring[data_at(96, 4096) : data_at(192, 4096)] = bytes(96)
    reader = Reader(ring)
    assert reader.damage_at(96, reader.head) == Damage(96, 192)


def test_a_record_that_goes_on_past_the_end_is_none() -> None:
    reader = Reader(ring_with([row(1), row(2)]))
    assert [as_row(record) for record in reader.records(0, 150, 10, BIG)[0]] == [row(1)]
    assert reader.damage_at(96, 150) == Damage(96, 150)


def test_the_last_place_of_a_lap_where_a_record_fits_is_found_again() -> None:
    rows = [row(n, 456) for n in range(7)] + [row(7, 400), row(8, 0)]  # the last: 56 bytes, up to the end
    ring = ring_with(rows)
    ring[data_at(7 * 512 + 60, 4096)] ^= 1
    found, damage = walk(Reader(ring), 0, 4096)
    assert [as_row(record) for record in found] == [*rows[:7], rows[8]]
    assert damage == [Damage(7 * 512, 4096 - 56)]


def test_a_pad_that_does_not_fill_its_lap_is_none() -> None:
    ring = blank()
    writer = Writer(ring)
    writer._put_pad(0, 64)
    set_word(ring, HEAD_AT, 64)
    assert walk(Reader(ring), 0, 64) == ([], [Damage(0, 64)])


def test_a_damaged_length_does_not_take_the_next_record_with_it() -> None:
    for length in (0, 39, 41, 96 + 40, 456, 4000, 2**32 - 1):
        ring = ring_with([row(n) for n in range(4)])
        at = data_at(96, 4096) + 4
        ring[at : at + 4] = length.to_bytes(4, "little")
        found, damage = walk(Reader(ring), 0, 4 * 96)
        assert [as_row(record) for record in found] == [row(0), row(2), row(3)]
        assert damage == [Damage(96, 192)]


def test_a_damaged_pad_costs_no_record() -> None:
    ring = blank()
    writer, reader = Writer(ring), Reader(ring)
    for _ in range(8):
        writer.append([row(1, 440)])
    writer.publish()
    reader.store_tail(writer.head - 496)
    writer.append([row(2, 440)])
    writer.publish()
    pad = 8 * 496
    assert ring[data_at(pad, 4096) + 8] == PAD
    for at in range(RECORD_HEADER):
        changed = flipped(ring, data_at(pad, 4096) + at, 0x40)
        found, damage = walk(Reader(changed), pad - 496, 4096 + 496)
        assert [as_row(record) for record in found] == [row(1, 440), row(2, 440)]
        assert damage == [Damage(pad, 4096)]


@pytest.mark.parametrize("filler", ["zero", "ones", "random", "text"])
def test_regions_of_nothing_are_never_records(filler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    ring, rows = second_lap()
    dice = random.Random(7)
    tail, head = Reader(ring).tail, Reader(ring).head
    for _ in range(300):
        start = dice.randrange(tail, head)
        end = min(head, start + dice.randrange(1, 1500))
        fill = {"zero": b"\0", "ones": b"\xff", "text": b"page"}.get(filler)
        changed = bytearray(ring)
        for position in range(start, end):
            changed[data_at(position, 4096)] = fill[position % len(fill)] if fill else dice.randrange(256)
        found, damage = walk(Reader(changed), tail, head)
        got = [as_row(record) for record in found]
        assert got == [one for one in rows if one in got]
        assert got == rows or damage


@given(st.integers(0, 2**64 - 1))
def test_random_data_is_never_a_record(seed: int) -> None:
    ring = blank()
    ring[HEADER_SIZE:] = random.Random(seed).randbytes(4096)
    set_word(ring, HEAD_AT, 4096)
    reader = Reader(ring)
    assert reader.damage_at(0, 4096) == Damage(0, 4096)


def test_records_of_earlier_laps_never_come_back() -> None:
    ring = blank()
    writer, reader = Writer(ring), Reader(ring)
    for n in range(150):  # three laps and a half
        writer.append([row(n)])
        writer.publish()
        reader.store_tail(writer.head)
    head = writer.head
    for lie in (head + 96, head + 2000, head + 4096):
        set_word(ring, HEAD_AT, lie)
        assert walk(Reader(ring), head, lie) == ([], [Damage(head, lie)])


def test_a_header_page_set_back_shows_no_record_of_an_earlier_lap() -> None:
    ring = blank()
    writer, reader = Writer(ring), Reader(ring)
    for n in range(150):
        writer.append([row(n)])
        writer.publish()
        reader.store_tail(writer.head)
    set_word(ring, HEAD_AT, 4096)
    set_word(ring, TAIL_AT, 0)
    found, damage = walk(Reader(ring), 0, 4096)
    assert found == []
    assert damage == [Damage(0, 4096)]
    ring[HEAD_AT : HEAD_AT + 8] = bytes(8)
    with pytest.raises(RingDamaged, match="head"):
        Reader(ring)


def test_records_of_another_ring_at_the_right_place_are_not_taken() -> None:
    other = ring_with([row(n) for n in range(10)], blank(uuid=b"another ring 123"))
    ring = blank()
    ring[HEADER_SIZE:] = other[HEADER_SIZE:]
    set_word(ring, HEAD_AT, 960)
    assert walk(Reader(ring), 0, 960) == ([], [Damage(0, 960)])


def test_a_record_inside_a_payload_is_not_found_while_the_record_around_it_is_whole() -> None:
    inner = bytes(ring_with([row(1, 8), row(2, 8), row(3, 8)])[HEADER_SIZE : HEADER_SIZE + 192])
    ring = ring_with([(b"o" * 16, 1, 2, 0, inner), row(9)])
    assert [record[2] for record in walk(Reader(ring), 0, Reader(ring).head)[0]] == [b"o" * 16, row(9)[0]]


class Slow(Reader):
    """A reader on a CPU that sees the head before the record: the record comes at the nth look."""

    def __init__(self, ring: bytearray, at: int, late: bytes, looks: int) -> None:
        super().__init__(ring)
        self.ring, self.at, self.late, self.looks = ring, at, late, looks

    def _prove(self, position: int, end: int) -> int:
        self.looks -= 1
        if not self.looks:
            self.ring[self.at : self.at + len(self.late)] = self.late
        return super()._prove(position, end)


@pytest.mark.parametrize("looks", [1, 2, 50, reader_module.TRIES])
def test_a_record_that_shows_later_than_the_head_is_waited_for(looks: int) -> None:
    ring = ring_with([row(n) for n in range(3)])
    at = data_at(96, 4096)
    late = bytes(ring[at : at + 96])
    ring[at : at + 96] = bytes(96)
    records, damaged = Slow(ring, at, late, looks).records(0, 288, 10, BIG)
    assert ([as_row(record) for record in records], damaged) == ([row(0), row(1), row(2)], False)


def test_a_record_that_never_shows_is_damage_after_so_many_looks() -> None:
    ring = ring_with([row(n) for n in range(3)])
    at = data_at(96, 4096)
    late = bytes(ring[at : at + 96])
    ring[at : at + 96] = bytes(96)
    reader = Slow(ring, at, late, reader_module.TRIES + 1)
    assert reader.records(0, 288, 10, BIG)[1]
    assert reader.damage_at(96, 288) is None, "it is whole by now"


def test_raw_bytes_go_over_the_end_of_a_lap() -> None:
    ring, _ = second_lap()
    reader = Reader(ring)
    tail, head = reader.tail, reader.head
    raw = reader.raw(tail, head)
    assert raw == bytes(ring[data_at(position, 4096)] for position in range(tail, head))


def test_closing_lets_go_of_the_buffer_and_unmaps() -> None:
    ring = blank()
    done: list[str] = []
    reader = Reader(ring, lambda: done.append("unmapped"))
    reader.close()
    ring.append(0)  # BufferError while a view is held
    assert done == ["unmapped"]
