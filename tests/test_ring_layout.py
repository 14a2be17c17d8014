"""The ring's format."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rings import BOOT, UUID, blank, flipped, payload
from trackflowd.errors import RingDamaged
from trackflowd.ring import layout
from trackflowd.ring.layout import Header, build_header, check_positions, decode_word, encode_word, read_header
from trackflowd.ring.writer import Writer

POSITIONS = st.integers(0, layout.LAST_POSITION // 8 - 1).map(lambda n: n * 8)


@given(POSITIONS)
def test_a_word_says_its_position(position: int) -> None:
    assert decode_word(encode_word(position)) == position
    assert 0 < encode_word(position) < 2**64


@given(POSITIONS, st.integers(0, 7), st.integers(1, 255))
def test_one_wrong_byte_of_a_word_is_seen(position: int, byte: int, mask: int) -> None:
    assert decode_word(encode_word(position) ^ mask << 8 * byte) == -1


@pytest.mark.parametrize("position", [0, 8, 4096, 65520 * 8, 2**32, 2**50, layout.LAST_POSITION - 8])
def test_every_wrong_byte_of_a_word_is_seen(position: int) -> None:
    word = encode_word(position)
    assert all(decode_word(word ^ mask << 8 * byte) == -1 for byte in range(8) for mask in range(1, 256))


@pytest.mark.parametrize("position", [0, 8, 4096, 2**50])
def test_a_failed_ring_says_where_it_ends_and_one_wrong_byte_of_that_is_seen(position: int) -> None:
    word = layout.encode_failed(position)
    assert layout.ring_end(position + 8, word) == position
    assert layout.ring_end(-1, word) == -1
    wrong = [word ^ mask << 8 * byte for byte in range(8) for mask in range(1, 256)]
    assert all(layout.ring_end(2**51, one) == -1 for one in wrong)
    assert layout.ring_end(position, 0) == position
    assert all(layout.ring_end(position, mask << 8 * byte) == -1 for byte in range(8) for mask in range(1, 256))


@pytest.mark.parametrize("word", [0, 2**64 - 1, 4096])
def test_a_word_that_was_never_written_is_no_position(word: int) -> None:
    assert decode_word(word) == -1


def test_a_header_is_read_as_it_was_built() -> None:
    header = Header(2**28, UUID, BOOT, 63)
    page = build_header(header)
    assert len(page) == layout.HEADER_SIZE
    assert read_header(page) == header


def test_cursors_of_different_writers_are_two_cache_lines_apart_or_more() -> None:
    places = [0, layout.HEAD_AT, layout.TAIL_AT, layout.SYNCED_AT, layout.FAILED_AT, layout.HEADER_SIZE]
    assert all(b - a >= 128 and b % 64 == 0 for a, b in pairwise(places))


def test_the_bytes_of_a_ring_are_those_the_format_says() -> None:
    """A change that makes this fail changes what is on disk: VERSION must be raised with it."""
    ring = blank(4096)
    writer = Writer(ring)
    writer.append([(b"i" * 16, 2**63 + 5, 1_700_000_000_123, 3, b"payload")])
    writer.publish()
    static = struct.pack("<8sIIQ16s16sI", b"TFRING\r\n", 1, 4096, 4096, UUID, BOOT, 3)
    assert ring[:60] == static
    assert ring[60:64] == struct.pack("<I", zlib.crc32(static))
    position = 64  # 56 of header and 7 of payload, up to a multiple of 8
    assert ring[128:136] == struct.pack("<Q", position // 8 << 16 | position % 65521 + 1)
    assert ring[384:392] == ring[640:648] == struct.pack("<Q", 1)
    body = struct.pack("<IHHIQ16sQQ", 7, 1, 3, 0, 0, b"i" * 16, 2**63 + 5, 1_700_000_000_123) + b"payload"
    assert ring[4096:4159] == struct.pack("<I", zlib.crc32(body, zlib.crc32(UUID))) + body
    assert not any(ring[4159:])


def test_every_wrong_byte_of_the_static_header_is_refused() -> None:
    page = bytearray(build_header(Header(8192, UUID, BOOT, 0)))
    for at in range(64):
        for mask in range(1, 256):
            with pytest.raises(RingDamaged):
                read_header(bytes(flipped(page, at, mask)))


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"", "not a ring"),
        (bytes(4096), "not a ring"),
        (b"\xff" * 4096, "not a ring"),
        (build_header(Header(4096, UUID, BOOT, 0))[:-1], "not a ring"),
        (payload(1, 4096), "not a ring"),
    ],
)
def test_what_is_not_a_ring_is_told_so(page: bytes, said: str) -> None:
    with pytest.raises(RingDamaged, match=said):
        read_header(page)


def with_static(version: int = 1, size: int = 4096, capacity: int = 4096) -> bytes:
    """A header page with a checksum that fits."""
    static = struct.pack("<8sIIQ16s16sI", layout.MAGIC, version, size, capacity, UUID, BOOT, 0)
    return (static + struct.pack("<I", zlib.crc32(static))).ljust(4096, b"\0")


def test_a_newer_format_is_refused_by_name_even_if_its_checksum_were_another() -> None:
    page = bytearray(with_static(version=2))
    with pytest.raises(RingDamaged, match="format 2, this program knows 1") as error:
        read_header(bytes(page))
    assert "drain" in error.value.hint
    page[60:64] = b"\0\0\0\0"
    with pytest.raises(RingDamaged, match="format 2"):
        read_header(bytes(page))


@pytest.mark.parametrize(
    "page",
    [
        with_static(version=0),
        with_static(size=8192),
        with_static(capacity=0),
        with_static(capacity=5000),
        with_static(capacity=2**62),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_though_its_checksum_fits(page: bytes) -> None:
    with pytest.raises(RingDamaged, match="makes no sense"):
        read_header(page)


@pytest.mark.parametrize("capacity", [0, 4095, 4097, 6144, -4096, 2**40])
def test_a_ring_of_a_size_no_ring_can_have_is_not_built(capacity: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        build_header(Header(capacity, UUID, BOOT, 0))


@pytest.mark.parametrize("head_tail", [(0, 0), (4096, 0), (5000 * 8, 5000 * 8 - 4096)])
def test_cursors_that_agree_are_taken(head_tail: tuple[int, int]) -> None:
    check_positions(*head_tail, 4096)


@pytest.mark.parametrize(
    ("head", "tail", "said"),
    [(0, 8, "contradict"), (4104, 0, "contradict"), (-1, 0, "damaged head"), (0, -1, "damaged tail")],
)
def test_cursors_that_disagree_are_refused(head: int, tail: int, said: str) -> None:
    with pytest.raises(RingDamaged, match=said):
        check_positions(head, tail, 4096)
