"""The spool: bounds, what a kill leaves, what people see."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_segment import ROWS
from trackflowd.batch import checksum
from trackflowd.cuts import Cut, Part
from trackflowd.errors import SegmentDamaged, SpoolFull
from trackflowd.spool import Spool, look

GIB = 2**30


def cut(n: int) -> Cut:
    return Cut(n, 1_763_900_000_000 + n, 1, "chdb:", 202511, len(ROWS), checksum(ROWS), 1, (0, 0), (), segment=n)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GIB, 0, 100 * GIB))
    return Spool(tmp_path / "spool", GIB, GIB)


def test_rows_of_a_batch_or_of_a_part_of_it_come_back(spool: Spool) -> None:
    spool.add(cut(1), ROWS, "away")
    assert spool.rows(cut(1)) == ROWS
    part = Cut(2, 0, 1, "chdb:", 202511, 2, 0, 1, (0, 0), (), segment=1, part=Part(1, 4, 0b010))
    assert spool.rows(part) == [ROWS[1], ROWS[3]]
    assert spool.head(1).rows == len(ROWS)
    spool.remove(1)
    for question in (lambda: spool.rows(cut(1)), lambda: spool.head(1)):
        with pytest.raises(SegmentDamaged):
            question()
    spool.remove(1)


def test_its_bound_and_the_disk_s_are_kept_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [100 * GIB]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GIB, 0, free[0]))
    spool = Spool(tmp_path / "spool", 4000, GIB)
    spool.add(cut(1), ROWS, "away")
    used = spool.room().used
    assert (spool.room().segments, spool.room().free) == (1, 4000 - used)
    with pytest.raises(SpoolFull, match=r"raise spool.max_bytes"):
        for n in range(2, 20):
            spool.add(cut(n), ROWS, "away")
    held = spool.room().segments
    spool.add(cut(50), ROWS, "refused", beyond=True)
    free[0] = GIB + 100  # nearly at what has to stay free
    assert spool.room().free == 0
    with pytest.raises(SpoolFull):
        spool.add(cut(51), ROWS, "refused", beyond=True)
    assert spool.room().segments == held + 1


@pytest.mark.parametrize("which", ["the file's", "the directory's"])
def test_a_disk_that_refuses_a_sync_is_a_full_spool_and_nothing_is_left(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    real = os.fsync

    def full(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode) == (which == "the directory's"):
            raise OSError(28, os.strerror(28))
        real(fd)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpoolFull, match="No space left"):
        spool.add(cut(1), ROWS, "away")
    assert spool.room().segments == 0
    assert list(spool.directory.iterdir()) == []


def test_what_a_kill_left_and_the_journal_does_not_name_is_swept(spool: Spool) -> None:
    for n in (1, 2, 3):
        spool.add(cut(n), ROWS, "away")
    (spool.directory / "x.segment.tmp").write_bytes(b"half")
    again = Spool(spool.directory, GIB, GIB)
    again.sweep([2])
    assert [path.name for path in spool.directory.iterdir()] == [again.path(2).name]
    assert again.room().segments == 1


def test_people_see_every_segment_and_what_is_none(spool: Spool) -> None:
    spool.add(cut(2), ROWS, "store away: connection refused")
    spool.add(cut(1), ROWS, "x")
    (spool.directory / f"{3:032x}.segment").write_bytes(b"no segment")
    first, second, third = look(spool.directory)
    assert (first["batch"], second["batch"]) == (f"{1:032x}", f"{2:032x}")
    assert second["reason"] == "store away: connection refused"
    assert second["rows"] == len(ROWS)
    assert "not a segment" in third["error"]
