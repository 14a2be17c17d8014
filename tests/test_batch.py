"""Batches: partitions, what is left out, columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rows import NOW, event_id, payload, row, site_hash, values_of
from trackflowd.batch import (
    Columns,
    Pending,
    Sealed,
    checksum,
    chosen,
    narrowed,
    new_batch_id,
    partition_end,
    partition_of,
    partition_start,
    seal,
)
from trackflowd.cuts import Cut, Range
from trackflowd.errors import RecordError
from trackflowd.event import FIELDS
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID, Record

RING = b"r" * 16


def as_record(n: int, position: int = 0, received: int = NOW, flags: int = CLIENT_ID) -> Record:
    one_id, site, received, flags, raw = row(n, received, flags)
    return Record(position, position + 64, one_id, site, received, flags, raw)


def cut_of(result: Sealed) -> Cut:
    return Cut(1, NOW, 1, "null:", 202511, len(result.rows), checksum(result.rows), 1, (0, 0), result.ranges, ask=True)


def sealed(pending: Pending, repeats: set[int] | None = None) -> Sealed:
    ids = {event_id(n) for n in repeats or ()}
    return seal(pending, lambda one: one[2] in ids)


@given(st.integers(0, 4_102_444_800_000))
def test_a_received_time_lies_within_its_partition(received: int) -> None:
    partition = partition_of(received)
    assert partition_start(partition) <= received < partition_end(partition)
    assert partition_of(partition_end(partition)) != partition
    when = datetime.fromtimestamp(received / 1000, UTC)
    assert partition == when.year * 100 + when.month


def test_batch_ids_grow_with_time_are_uuids_of_version_7_and_do_not_repeat() -> None:
    ids = [new_batch_id(NOW + n) for n in range(100)]
    assert ids == sorted(ids)
    assert len({new_batch_id(NOW) for _ in range(1000)}) == 1000
    assert all(one >> 76 & 0xF == 7 and one >> 62 & 3 == 2 and one >> 80 == NOW + n for n, one in enumerate(ids))


def test_a_range_ends_where_the_month_changes() -> None:
    december = partition_end(202511)
    records = [as_record(1, 0, december - 1), as_record(2, 64, december), as_record(3, 128, december - 1)]
    pending = Pending()
    assert pending.take(RING, 0, records) == 1
    assert pending.ended
    assert pending.take(RING, 64, records[1:]) == 0
    assert pending.take(b"s" * 16, 0, [as_record(4, 0, december)]) == 0
    assert sealed(pending).ranges == (Range(RING, 0, 64, 1),)


def test_several_rings_join_one_batch_each_with_one_contiguous_range() -> None:
    other = b"o" * 16
    pending = Pending()
    assert pending.take(RING, 0, [as_record(1, 0), as_record(2, 64)]) == 2
    assert pending.take(other, 640, [as_record(3, 640)]) == 1
    assert pending.take(RING, 128, [as_record(4, 128)]) == 1
    result = sealed(pending)
    assert result.ranges == (Range(RING, 0, 192, 3), Range(other, 640, 704, 1))
    assert len(result.rows) == 4


def test_repeats_are_left_out_and_a_rebuild_takes_exactly_the_rows() -> None:
    records = [as_record(n, n * 64) for n in range(10)]
    pending = Pending()
    pending.take(RING, 0, records)
    result = sealed(pending, repeats={0, 3, 9})
    assert result.repeats == 3
    (span,) = result.ranges
    rebuilt = chosen(span, records)
    assert rebuilt == result.rows
    assert checksum(rebuilt) == checksum(result.rows)
    assert checksum([*rebuilt[:-1], as_record(77)]) != checksum(result.rows)


def test_ids_made_by_the_server_are_never_taken_for_repeats() -> None:
    pending = Pending()
    pending.take(RING, 0, [as_record(1, 0, flags=0)])
    assert len(sealed(pending, repeats={1}).rows) == 1


def test_only_events_marked_as_sent_before_by_an_id_of_the_sender_are_to_be_asked_about() -> None:
    pending = Pending()
    flags = [CLIENT_ID, CLIENT_ID | ATTEMPT, ATTEMPT, 0, CLIENT_ID | ATTEMPT]
    records = [as_record(n, n * 64, flags=flag) for n, flag in enumerate(flags)]
    pending.take(RING, 0, records)
    result = sealed(pending, repeats={4})
    assert [one[2] for one in result.asked] == [event_id(1)]
    assert chosen(result.asked_ranges[0], records) == result.asked
    assert chosen(result.ranges[0], records) == result.rows == [records[0], records[2], records[3]]
    assert not result.whole


@given(st.sets(st.integers(0, 11), min_size=1), st.sets(st.integers(0, 11)), st.booleans())
def test_some_rows_of_a_batch_are_a_batch_that_a_rebuild_takes_exactly(
    kept: set[int], repeats: set[int], spooled: bool
) -> None:
    """From two rings with repeats left out, or from a segment; and once more from what that made."""
    first, second = [[as_record(n, n * 64) for n in numbers] for numbers in (range(6), range(6, 12))]
    pending = Pending()
    pending.take(RING, 0, first)
    pending.take(b"o" * 16, 0, second)
    result = sealed(pending, repeats)
    rows: Sequence[Record] = result.rows
    keep = [n for n in sorted(kept) if n < len(rows)]
    if not keep:
        return
    cut = cut_of(result)
    if spooled:
        cut = replace(cut, segment=1)
    for batch_id in (2, 3):
        cut = narrowed(cut, rows, keep, batch_id)
        rows = [rows[n] for n in keep]
        assert (cut.batch_id, cut.attempt, cut.rows, cut.crc, cut.ask) == (
            batch_id,
            1,
            len(rows),
            checksum(rows),
            False,
        )
        if cut.part is not None:
            rebuilt = [result.rows[n] for n in cut.part.numbers()]
        else:
            rebuilt = [row for span, records in zip(cut.ranges, (first, second), strict=True)
                       for row in chosen(span, records)]  # fmt: skip
        assert rebuilt == rows
        keep = list(range(0, len(rows), 2))


def test_columns_hold_every_field_of_every_row_in_table_order() -> None:
    rows = [as_record(n, n * 64) for n in range(50)]
    columns = Columns().build(rows, 42)
    assert list(columns) == [field.name for field in FIELDS]
    for n in range(50):
        values = values_of(n) | {"event_id": event_id(n), "received": NOW, "_batch": 42}
        assert {name: column[n] for name, column in columns.items()} == values


def test_rows_with_an_address_and_without_are_of_one_batch() -> None:
    """Version 2 and 1 of records, in any order; what most are, all of version 1, goes another way."""
    addresses = ["", "203.0.113.7", "", "2001:db8::1"]
    rows = [as_record(n)._replace(payload=payload(n, ip=ip)) for n, ip in enumerate(addresses)]
    columns = Columns().build(rows, 42)
    assert list(columns["ip"]) == addresses
    assert [columns["dialect"][n] for n in range(4)] == [values_of(n)["dialect"] for n in range(4)]
    assert list(Columns().build(rows[::2], 42)["ip"]) == ["", ""]


def test_a_row_that_does_not_decode_is_left_out_and_handed_back() -> None:
    good = as_record(1, 0)
    bad = [
        Record(64, 128, event_id(n), site_hash("x"), NOW, CLIENT_ID, raw)
        for n, raw in enumerate([b"", b"\xc1", b"\x91\x01", payload(5)[:-1], b"\x97\x63" + payload(5)[2:]])
    ]
    columns = Columns()
    for one in bad:
        with pytest.raises(RecordError):
            columns.build([good, one], 1)
    pending = Pending()
    pending.take(RING, 0, [good, *bad])
    result = seal(pending, lambda one: False, columns.readable)
    assert result.rows == [good]
    assert result.unreadable == bad
    assert result.ranges[0].left_out == 0b111110


def test_equal_parts_are_decoded_once_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = __import__("trackflowd.proto.record", fromlist=["decode_part"]).decode_part

    def counted(raw: bytes) -> object:
        calls.append(raw)
        return original(raw)

    monkeypatch.setattr("trackflowd.proto.record.decode_part", counted)
    columns = Columns()
    columns.build([as_record(n % 7) for n in range(70)], 1)
    columns.build([as_record(n % 7) for n in range(70)], 2)
    assert len(calls) == len(set(calls))
