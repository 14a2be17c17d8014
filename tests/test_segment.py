"""Segments: what is written is read, and one damaged byte costs one row at most."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.rows import row
from trackflowd import segment
from trackflowd.errors import SegmentDamaged
from trackflowd.ring.layout import Record
from trackflowd.segment import Head


def record(n: int) -> Record:
    one_id, site, received, flags, payload = row(n)
    return Record(0, 0, one_id, site, received, flags, payload[: 20 + n * 3])


HEAD = Head("0" * 31 + "7", 3, "chdb:", 202511, 1, 4, 1_763_900_000_000, "the store is away")
ROWS = [record(n) for n in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "spool" / "x.segment"
    segment.write(found, HEAD, ROWS)
    return found


def test_what_is_written_is_read(path: Path) -> None:
    assert segment.read(path) == (HEAD, ROWS)
    assert segment.read_head(path) == HEAD
    assert abs(path.stat().st_size - segment.size_of(ROWS)) < 512
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["x.segment"]


def test_any_one_wrong_byte_costs_one_row_or_is_refused_and_never_gives_a_wrong_one(path: Path) -> None:
    raw = path.read_bytes()
    refused = lost = 0
    for at in range(len(raw)):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x41]) + raw[at + 1 :])
        try:
            head, rows = segment.read(path)
        except SegmentDamaged:
            refused += 1
            continue
        assert head == HEAD
        missing = [n for n, found in enumerate(rows) if found is None]
        assert len(missing) <= 1, at
        assert all(found is None or found == ROWS[n] for n, found in enumerate(rows))
        lost += bool(missing)
    assert refused > 24
    assert lost > 4 * segment.ROW_HEADER


def test_a_file_that_was_cut_short_gives_the_rows_that_are_there(path: Path) -> None:
    raw = path.read_bytes()
    for size in range(len(raw)):
        path.write_bytes(raw[:size])
        try:
            _, rows = segment.read(path)
        except SegmentDamaged:
            continue
        whole = [found for found in rows if found is not None]
        assert whole == ROWS[: len(whole)]


@pytest.mark.parametrize("raw", [b"", b"TFSEGM\r\n", os.urandom(4096), bytes(4096), b"\xff" * 4096])
def test_what_is_no_segment_is_refused(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    with pytest.raises(SegmentDamaged):
        segment.read(path)
    with pytest.raises(SegmentDamaged):
        segment.read_head(path)


def test_a_newer_format_is_refused_with_what_to_do(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, 8, segment.VERSION + 1)
    path.write_bytes(raw)
    with pytest.raises(SegmentDamaged, match="start the version that wrote it"):
        segment.read(path)


def test_a_disk_that_takes_nothing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        segment.write(tmp_path / "spool" / "y.segment", HEAD, ROWS)
    assert list((tmp_path / "spool").iterdir()) == []
