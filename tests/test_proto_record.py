"""Row ↔ ring bytes."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rows import payload, values_of
from trackflowd.errors import RecordError
from trackflowd.event import CACHED_PARTS
from trackflowd.proto import record


@pytest.mark.parametrize(("ip", "version"), [("", record.PLAIN), ("2001:db8::1", record.VERSION)])
def test_what_was_encoded_is_decoded(ip: str, version: int) -> None:
    raw = payload(3, ip=ip)
    assert raw[1] == version
    *parts, event = record.decode(raw)
    values = values_of(3, ip=ip)
    assert dict(zip(record.EVENT_FIELDS, event, strict=True)) == {name: values[name] for name in record.EVENT_FIELDS}
    for name, raw in zip(CACHED_PARTS, parts, strict=True):
        assert record.decode_part(raw) == tuple(values[field] for field in record.PART_FIELDS[name])


@given(st.lists(st.one_of(st.text(), st.integers(0, 2**64 - 1)), max_size=12))
def test_parts_of_any_text_and_number_survive(values: list[Any]) -> None:
    empty = record.encode_part([])
    raw = record.encode(record.encode_part(values), empty, empty, empty, empty, [])
    assert record.decode_part(record.decode(raw)[0]) == tuple(values)


def test_a_record_of_a_site_that_stores_no_address_is_as_version_1_was() -> None:
    """So a version from before reads it, and rings that were written then are read."""
    assert (
        payload(3)[1] == 1 and record.PLAIN_FIELDS == record.EVENT_FIELDS[:12] and record.EVENT_FIELDS[12:] == ("ip",)
    )


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xc1", b"\x00", b"\x96" + bytes(6), msgpack.packb([99, b"", b"", b"", b"", b"", []]), payload(1)[:-1]],
)
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(RecordError):
        record.decode(raw)


def test_a_newer_format_says_what_to_do() -> None:
    with pytest.raises(RecordError, match="version that wrote them"):
        record.decode(msgpack.packb([record.VERSION + 1, b"", b"", b"", b"", b"", []]))


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x01"])
def test_other_bytes_are_no_part(raw: bytes) -> None:
    with pytest.raises(RecordError):
        record.decode_part(raw)
