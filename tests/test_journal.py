"""The journal under kills at every byte, full files and other versions."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from trackflowd.cuts import Cut, Range
from trackflowd.errors import JournalError
from trackflowd.journal import HEADER_SIZE, Journal

RING_A = b"a" * 16
RING_B = b"b" * 16


def make_cut(n: int, start: int = 0, end: int = 100, left_out: int = 0) -> Cut:
    spans = (Range(RING_A, start, end, 3, left_out), Range(RING_B, start, end + 8, 2))
    return Cut(n, 1_700_000_000_000 + n, 1, "chdb:x", 202611, 5, 0xDEADBEEF, 1, (1, n), spans)


def file_of(directory: Path) -> Path:
    (path,) = directory.glob("*.journal")
    return path


def test_a_cut_is_open_until_it_is_done_and_survives_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    first, second = make_cut(1, 0, 100, left_out=0b101), make_cut(2, 100, 300)
    journal.cut(first)
    journal.cut(second)
    journal.done(1)
    journal.close()
    again = Journal(tmp_path)
    assert again.state.open == {2: second}
    assert again.state.marks == {RING_A: 300, RING_B: 308}
    assert again.state.window == (1, 2)
    assert [ended.cut for ended in again.settled()] == [first]


def test_a_fresh_attempt_is_remembered(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.cut(make_cut(1))
    journal.attempt(1, 2)
    journal.close()
    assert Journal(tmp_path).state.open[1].attempt == 2


def test_gaps_move_the_mark_and_removed_rings_are_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.gap(RING_A, 0, 512)
    journal.gap(RING_B, 0, 64)
    journal.gone(RING_B)
    journal.close()
    assert Journal(tmp_path).state.marks == {RING_A: 512}


def test_a_journal_cut_off_at_any_byte_holds_exactly_the_whole_entries_before_it(tmp_path: Path) -> None:
    """A kill or a power cut may leave any prefix of an append."""
    journal = Journal(tmp_path, file_size=4096)
    ends = [HEADER_SIZE]
    for n in range(1, 4):
        journal.cut(make_cut(n, n * 100, n * 100 + 100))
        ends.append(journal.used)
    journal.close()
    path = file_of(tmp_path)
    whole = path.read_bytes()
    for cut_at in range(HEADER_SIZE, ends[-1] + 1):
        path.write_bytes(whole[:cut_at] + bytes(len(whole) - cut_at))
        again = Journal(tmp_path, file_size=4096)
        # Padding behind an entry is zeroes anyway: the entry is whole before its last pad byte.
        expected = {n for n in range(1, 4) if whole[:cut_at] + bytes(8) >= whole[: ends[n]] and cut_at > ends[n] - 8
                    and whole[cut_at : ends[n]].strip(b"\0") == b""}  # fmt: skip
        assert set(again.state.open) == expected, cut_at
        again.close()


def test_an_append_after_a_torn_entry_takes_its_place(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_size=4096)
    journal.cut(make_cut(1))
    torn_at = journal.used
    journal.cut(make_cut(2))
    journal.close()
    path = file_of(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[torn_at + 20] ^= 1
    path.write_bytes(raw)
    again = Journal(tmp_path, file_size=4096)
    assert set(again.state.open) == {1}
    again.cut(make_cut(3))
    again.close()
    assert set(Journal(tmp_path, file_size=4096).state.open) == {1, 3}


def test_an_entry_moved_to_another_place_is_not_an_entry(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_size=4096)
    journal.cut(make_cut(1))
    first_end = journal.used
    journal.close()
    path = file_of(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[first_end : 2 * first_end - HEADER_SIZE] = raw[HEADER_SIZE:first_end]
    path.write_bytes(raw)
    assert Journal(tmp_path, file_size=4096).used == first_end


def test_a_full_file_is_followed_by_one_with_what_still_matters(tmp_path: Path) -> None:
    overwritten = {n for n in range(60) if n % 3}
    journal = Journal(tmp_path, keep=lambda span: span.start // 10 not in overwritten, file_size=1024)
    for n in range(60):
        journal.cut(make_cut(n, n * 10, n * 10 + 10))
        if n != 5:
            journal.done(n)
    assert journal.generation > 3
    kept = {ended.cut.batch_id for ended in journal.settled()}
    journal.close()
    again = Journal(tmp_path, file_size=1024)
    assert set(again.state.open) == {5}
    assert again.state.marks == {RING_A: 600, RING_B: 608}
    assert again.state.window == (1, 59)
    assert {n for n in range(40) if n % 3 == 0 and n != 5} <= kept
    assert len(list(tmp_path.glob("*.journal"))) == 1


def test_a_kill_between_writing_and_renaming_a_new_file_leaves_the_old_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.cut(make_cut(1))
    journal.close()
    (tmp_path / "000000000002.tmp").write_bytes(b"half")
    assert set(Journal(tmp_path).state.open) == {1}
    assert not list(tmp_path.glob("*.tmp"))


def test_a_kill_between_renaming_and_removing_leaves_two_files_and_the_younger_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_size=512)
    journal.cut(make_cut(1))
    old = file_of(tmp_path)
    raw = old.read_bytes()
    while journal.generation == 1:
        journal.done(99)
    journal.done(1)
    journal.close()
    old.write_bytes(raw)
    assert not Journal(tmp_path, file_size=512).state.open
    assert not old.exists()


def test_a_newer_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    path = file_of(tmp_path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, 8, 99)
    path.write_bytes(raw)
    with pytest.raises(JournalError, match="format 99"):
        Journal(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not a journal at all, but long enough to be read as one, really"])
def test_another_file_in_its_place_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "000000000001.journal").write_bytes(damage)
    with pytest.raises(JournalError, match="not a journal"):
        Journal(tmp_path)


def test_no_space_for_a_new_file_is_an_error_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, file_size=1024)
    journal.cut(make_cut(1))

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(JournalError, match="free space"):
            for n in range(100):
                journal.cut(make_cut(n + 2, n * 10, n * 10 + 10))
    held = set(journal.state.open)
    journal.cut(make_cut(1000))
    assert set(journal.state.open) == held | {1000}
