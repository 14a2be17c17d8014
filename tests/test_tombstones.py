"""Tombstones on disk: there before anything is erased, and whatever is killed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from trackflowd import tombstones
from trackflowd.errors import DataDirError
from trackflowd.selection import Selection, Tombstone
from trackflowd.state import State
from trackflowd.tombstones import FILE, Kept, Tombstones

ALICE, SITE = Selection(user="alice"), Selection(site="s", from_ms=1, to_ms=2)


@pytest.fixture
def table(tmp_path: Path) -> Tombstones:
    return Tombstones(State(tmp_path), tmp_path)


def test_what_was_added_is_there_for_the_flusher_and_after_a_restart(table: Tombstones, tmp_path: Path) -> None:
    assert tombstones.load(tmp_path) == []
    one, two = table.add(ALICE, 5), table.add(SITE, 6)
    assert [one, two] == tombstones.load(tmp_path) == [Tombstone(ALICE, 5, 1), Tombstone(SITE, 6, 2)]
    table.carried_by(1, 7)
    assert Tombstones(State(tmp_path), tmp_path).all() == [Kept(one, 7), Kept(two, None)]
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_file_that_is_older_than_the_rows_is_made_anew(table: Tombstones, tmp_path: Path) -> None:
    one = table.add(ALICE, 5)
    old = (tmp_path / FILE).read_bytes()
    two = table.add(SITE, 6)
    (tmp_path / FILE).write_bytes(old)  # as after a kill between the two
    assert tombstones.load(tmp_path) == [one]
    Tombstones(State(tmp_path), tmp_path).publish()
    assert tombstones.load(tmp_path) == [one, two]


def test_a_file_that_says_it_all_is_not_written_again_so_that_a_full_disk_stops_no_start(
    table: Tombstones, tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    (tmp_path / "tmp" / "tombstones.tmp").mkdir()  # whoever writes now fails
    table.publish()
    (tmp_path / "tmp" / "tombstones.tmp").rmdir()
    table.add(ALICE, 5)
    (tmp_path / "tmp" / "tombstones.tmp").mkdir()
    table.publish()


def test_what_is_removed_is_forgotten_by_both_and_its_number_is_not_given_twice(
    table: Tombstones, tmp_path: Path
) -> None:
    table.add(ALICE, 5)
    two = table.add(SITE, 6)
    assert table.remove(1)
    assert not table.remove(1)
    assert tombstones.load(tmp_path) == [two]


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x91\x01", b"\x91\x93\x01\x81\xa1x\x01\x05"])
def test_a_file_that_cannot_be_read_is_an_error_and_never_nothing(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / FILE).write_bytes(raw)
    with pytest.raises(DataDirError) as caught:
        tombstones.load(tmp_path)
    assert caught.value.hint


def test_a_row_that_cannot_be_read_is_named(table: Tombstones, tmp_path: Path) -> None:
    state = State(tmp_path)
    state.execute("INSERT INTO tombstones (what, until_ms) VALUES ('{\"x\": 1}', 5)")
    with pytest.raises(DataDirError, match="tombstone 1 cannot be read") as caught:
        table.all()
    assert "DELETE FROM tombstones WHERE id = 1" in caught.value.hint


def test_a_disk_that_refuses_leaves_the_file_before_whole(table: Tombstones, tmp_path: Path) -> None:
    one = table.add(ALICE, 5)
    (tmp_path / "tmp" / "tombstones.tmp").mkdir()
    with pytest.raises(DataDirError, match="cannot be written"):
        table.add(SITE, 6)
    assert tombstones.load(tmp_path) == [one]


def test_a_site_has_one_of_its_retention_which_never_goes_back_and_what_was_asked_for_stays(
    table: Tombstones, tmp_path: Path
) -> None:
    asked = table.add(Selection(site="a"), 50)
    table.retain({"a": 10, "b": 20})
    numbers = table.retain({"a": 30, "b": 15})
    expected = [asked, Tombstone(Selection(site="a"), 30, numbers[0]), Tombstone(Selection(site="b"), 20, numbers[1])]
    assert tombstones.load(tmp_path) == expected
    assert table.all() == [Kept(asked, None), *(Kept(one, None, True) for one in expected[1:])]
