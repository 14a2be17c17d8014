from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import msgpack
import pytest

from trackflowd.errors import DataDirError
from trackflowd.state import DAY_MS, MIGRATIONS, SCHEMA, State

GOLDEN = Path(__file__).parent / "golden"
NOON = 20_000 * DAY_MS + DAY_MS // 2  # of day 20,000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path


def days(state: State) -> list[int]:
    return [salt.day for salt in state.salts()]


def test_salts_are_made_two_days_ahead(directory: Path) -> None:
    state = State(directory)
    assert state.rotate(NOON)
    assert days(state) == [20_000, 20_001, 20_002]
    assert len({salt.salt for salt in state.salts()}) == 3
    assert all(len(salt.salt) == 32 for salt in state.salts())


def test_there_is_nothing_to_do_twice_a_day(directory: Path) -> None:
    state = State(directory)
    state.rotate(NOON)
    before = state.salts()
    assert not state.rotate(NOON + 1000)
    assert state.salts() == before


@pytest.mark.parametrize(("after", "kept"), [(2 * DAY_MS - 1, True), (2 * DAY_MS, False)])
def test_a_salt_dies_48_hours_after_its_day(directory: Path, after: int, kept: bool) -> None:
    state = State(directory)
    state.rotate(NOON)
    state.rotate(20_001 * DAY_MS + after)
    assert (20_000 in days(state)) is kept


def test_a_snapshot_serves_as_long_as_it_has_a_salt_for_the_day(directory: Path) -> None:
    state = State(directory)
    assert state.published(NOON) == 0
    state.rotate(NOON)
    generation = state.publish({})
    assert state.published(NOON) == state.published(NOON + 2 * DAY_MS) == generation
    assert state.published(NOON + 3 * DAY_MS) == 0
    for raw in (b"", b"\xc1", msgpack.packb([]), msgpack.packb({"generation": 1, "salts": [{}]})):
        (directory / "snapshot.msgpack").write_bytes(raw)
        assert state.published(NOON) == 0


def test_a_destroyed_salt_is_in_no_file_any_more(directory: Path) -> None:
    state = State(directory)
    state.rotate(NOON)
    old = state.salts()[0].salt
    state.publish({})
    assert any(old in path.read_bytes() for path in directory.rglob("*") if path.is_file())
    state.rotate(NOON + 4 * DAY_MS)
    state.publish({})
    assert not any(old in path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_salts_survive_a_restart(directory: Path) -> None:
    state = State(directory)
    state.rotate(NOON)
    before = state.salts()
    state.close()
    again = State(directory)
    assert not again.rotate(NOON)
    assert again.salts() == before


def test_the_snapshot_is_private_whole_and_numbered(directory: Path) -> None:
    state = State(directory)
    state.rotate(NOON)
    first = state.publish({"sites": [{"site": "*"}]})
    path = directory / "snapshot.msgpack"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    value = msgpack.unpackb(path.read_bytes())
    assert value["generation"] == first
    assert value["sites"] == [{"site": "*"}]
    salt = state.salts()[0]
    assert value["salts"][0] == {
        "day": "2024-10-04",
        "from_ms": 20_000 * DAY_MS,
        "to_ms": 20_001 * DAY_MS,
        "salt": salt.salt,
    }
    assert [each["salt"] for each in value["salts"]] == [each.salt for each in state.salts()]


def test_the_generation_grows_over_restarts(directory: Path) -> None:
    state = State(directory)
    numbers = [state.publish({}), state.publish({})]
    state.close()
    numbers.append(State(directory).publish({}))
    assert numbers == [1, 2, 3]


def test_a_reader_never_sees_half_a_snapshot(directory: Path) -> None:
    state = State(directory)
    state.rotate(NOON)
    state.publish({})
    path = directory / "snapshot.msgpack"
    with path.open("rb") as opened:
        state.publish({})
        assert msgpack.unpackb(opened.read())["generation"] == 1
    assert msgpack.unpackb(path.read_bytes())["generation"] == 2


def test_a_left_over_temporary_file_is_no_obstacle(directory: Path) -> None:
    (directory / "tmp" / "snapshot.tmp").write_bytes(b"half")
    assert State(directory).publish({}) == 1


def test_the_database_is_private_from_its_first_moment(directory: Path) -> None:
    before = os.umask(0)
    try:
        State(directory)
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory / "state.sqlite").stat().st_mode) == 0o600


def test_destroyed_rows_are_overwritten(directory: Path) -> None:
    state = State(directory)
    assert state._db.execute("PRAGMA secure_delete").fetchone() == (1,)
    assert state._db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_database_of_a_later_version_is_left_alone(directory: Path) -> None:
    State(directory).close()
    with sqlite3.connect(directory / "state.sqlite") as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    db.close()
    with pytest.raises(DataDirError, match="later trackflowd"):
        State(directory)


def test_a_damaged_database_says_what_to_do(directory: Path) -> None:
    (directory / "state.sqlite").write_bytes(b"not a database, by far" * 100)
    with pytest.raises(DataDirError, match="move the file aside"):
        State(directory)


def test_a_database_of_schema_1_is_brought_up_to_date_and_keeps_what_it_holds(directory: Path) -> None:
    """The golden file was written by the version that had schema 1; its salts and generation were chosen."""
    shutil.copy(GOLDEN / "state-1.sqlite", directory / "state.sqlite")
    state = State(directory)
    assert [(salt.day, salt.salt) for salt in state.salts()] == [(20_000 + i, bytes([i + 1]) * 32) for i in range(3)]
    assert state.publish({}) == 3
    assert state.execute("SELECT count(*) FROM tasks") == [(0,)]
    assert state.execute("PRAGMA user_version") == [(SCHEMA,)]
    state.close()
    assert State(directory).execute("SELECT count(*) FROM tasks") == [(0,)]


def test_a_step_of_the_schema_that_fails_leaves_the_file_as_it_was(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(GOLDEN / "state-1.sqlite", directory / "state.sqlite")
    monkeypatch.setattr("trackflowd.state.MIGRATIONS", (MIGRATIONS[0], "CREATE TABLE half (x); CREATE TABLE half (x);"))
    with pytest.raises(DataDirError, match="half"):
        State(directory)
    monkeypatch.undo()
    state = State(directory)
    assert days(state) == [20_000, 20_001, 20_002]
    assert state.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'") == [(0,)]


def test_an_old_and_a_fresh_database_end_with_the_same_tables(directory: Path, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "state-1.sqlite", directory / "state.sqlite")
    (tmp_path / "other").mkdir()
    sql = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    assert State(directory).execute(sql) == State(tmp_path / "other").execute(sql)


def test_a_statement_the_disk_refuses_is_told_and_changes_nothing(directory: Path) -> None:
    state = State(directory)
    state.rotate(NOON)
    state.execute("PRAGMA max_page_count = 1")  # SQLite's own way to a full disk; never below what is used
    with pytest.raises(DataDirError, match="full"):
        state.execute("INSERT INTO salts VALUES (1, zeroblob(100000))")
    assert days(state) == [20_000, 20_001, 20_002]
