"""Rings of another boot: read past their head, as far as records prove themselves."""

from __future__ import annotations

import random

import pytest

from tests.rings import as_row, blank, data_at, ring_with, row, second_lap, set_word, walk
from trackflowd.ring import reader as reader_module
from trackflowd.ring.layout import HEAD_AT, PAGE
from trackflowd.ring.reader import Damage, Reader
from trackflowd.ring.writer import Writer


def test_salvage_finds_what_lies_past_the_head() -> None:
    ring = ring_with([row(n) for n in range(8)])
    set_word(ring, HEAD_AT, 3 * 96)
    reader = Reader(ring)
    assert reader.salvage_end(0) == 8 * 96
    found, damage = walk(reader, 0, 8 * 96)
    assert ([as_row(record) for record in found], damage) == ([row(n) for n in range(8)], [])


def test_salvage_goes_on_behind_torn_pages_and_stops_at_the_last_record() -> None:
    ring = ring_with([row(n) for n in range(8)])
    set_word(ring, HEAD_AT, 96)
    at = data_at(3 * 96, 4096)
    ring[at : at + 96] = bytes(96)
    reader = Reader(ring)
    assert reader.salvage_end(96) == 8 * 96
    found, damage = walk(reader, 0, 8 * 96)
    assert [as_row(record) for record in found] == [row(n) for n in range(8) if n != 3]
    assert damage == [Damage(3 * 96, 4 * 96)]


def test_salvage_owns_up_to_what_the_head_promised_and_the_disk_does_not_have() -> None:
    ring = ring_with([row(n) for n in range(8)])
    ring[data_at(5 * 96, 4096) : data_at(8 * 96, 4096)] = bytes(3 * 96)
    reader = Reader(ring)
    assert reader.salvage_end(0) == 8 * 96
    assert walk(reader, 0, 8 * 96)[1] == [Damage(5 * 96, 8 * 96)]


def test_salvage_never_goes_round_to_what_was_read() -> None:
    ring, rows = second_lap()
    reader = Reader(ring)
    assert reader.salvage_end(reader.tail) == reader.head
    assert [as_row(record) for record in walk(reader, reader.tail, reader.head)[0]] == rows


def test_the_tail_of_a_salvaged_ring_stops_at_its_head() -> None:
    ring = ring_with([row(n) for n in range(8)])
    set_word(ring, HEAD_AT, 3 * 96)
    reader = Reader(ring)
    end = reader.salvage_end(0)
    reader.store_tail(96)
    reader.store_tail(end)
    assert reader.tail == 3 * 96
    assert Reader(ring).tail == 3 * 96


def test_whatever_pages_a_power_cut_left_only_whole_records_come_back_and_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each page of the image is of any moment since the last sync, as the disk is free to choose."""
    monkeypatch.setattr(reader_module, "TRIES", 2)
    dice = random.Random(11)
    capacity = 4 * PAGE
    ring = blank(capacity)
    writer, reader = Writer(ring), Reader(ring)
    moments: list[bytes] = []
    written: dict[int, bytes] = {}
    for n in range(200):
        begin = writer.head
        writer.append([row(n, n * 131 % 1000)])
        writer.publish()
        begin = reader.next_record_position(begin, writer.head)
        written[begin] = reader.raw(begin, writer.head)
        if writer.used > 3 * PAGE:
            records, _ = reader.records(reader.tail, reader.head, 5, 2**30)
            reader.store_tail(records[-1][1])
        if n >= 120 and n % 10 == 0:
            moments.append(bytes(ring))
    torn_images = 0
    for _ in range(400):
        pages = [dice.choice(moments)[at : at + PAGE] for at in range(0, len(ring), PAGE)]
        torn = Reader(bytearray(b"".join(pages)))
        tail = torn.tail
        end = torn.salvage_end(tail)
        whole = [
            place
            for place, raw in written.items()
            if tail <= place and place + len(raw) <= tail + capacity and torn.raw(place, place + len(raw)) == raw
        ]
        found, damage = walk(torn, tail, end)
        assert [record[0] for record in found] == whole
        torn_images += bool(damage)
    assert 100 < torn_images < 400, "most images should be torn, and some whole"
