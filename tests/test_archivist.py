"""The flusher's part in backups, in a real flusher on real files (``flusher_bench``); its store has no archive.

tests/process/test_backup.py has the embedded store, kills and all.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.flusher_bench import Bench
from tests.rows import NOW, event_id, row
from tests.test_lander import MANY, away, run, segments, well
from tests.test_replayer import while_running
from trackflowd import backup
from trackflowd.archivist import busy
from trackflowd.backup import IN, OUT, QUARANTINE
from trackflowd.errors import ControlError
from trackflowd.flusher import Flusher
from trackflowd.selection import Selection
from trackflowd.state import State
from trackflowd.tombstones import Tombstones


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    (tmp_path / "tmp").mkdir()
    return Bench(tmp_path, monkeypatch, "spool.keep_free=0")


def refused(bench: Bench, *numbers: int) -> list[Path]:
    """Have the store refuse some rows; their files in quarantine."""
    bench.store.bad = {event_id(n) for n in numbers}
    bench.write(*[row(n) for n in range(20)])
    bench.drain()
    found = sorted((bench.path / "quarantine").glob("*"))
    assert len(found) == len(numbers)
    return found


def asked(bench: Bench, call: str, /, **args: Any) -> Any:
    """A call to a flusher that runs."""

    def work(one: Flusher) -> Any:
        return one.archivist.calls()[call](**args)

    return while_running(bench, work)


def test_a_freeze_has_what_is_in_quarantine_and_lets_go_of_it(bench: Bench) -> None:
    refused(bench, 3, 5)
    (bench.path / "quarantine" / "half.tmp").touch()
    assert asked(bench, "backup_freeze", name="b1", since_ms=0) == {"store": "memory:", "parts": "", "rows": None}


def test_links_outlive_what_they_are_of_until_they_are_released(bench: Bench) -> None:
    files = refused(bench, 3, 5)

    def work(one: Flusher) -> None:
        one.archivist.freeze("b1", 0)
        one.shelf.drop([files[0].name])
        kept = bench.path / OUT / "b1" / QUARANTINE
        assert sorted(path.name for path in kept.iterdir()) == [path.name for path in files]
        one.archivist.freeze("b1", 0)  # asked again
        one.archivist.release("b1")
        assert not kept.exists()

    while_running(bench, work)


def test_nothing_is_frozen_while_a_batch_is_open_that_was_cut_before_the_flush(bench: Bench) -> None:
    away(bench)
    bench.write(*[row(n) for n in range(MANY)])

    def check(one: Flusher) -> None:
        with pytest.raises(ControlError, match="not stored yet") as caught:
            one.archivist.freeze("b1", time.time_ns() // 1_000_000 + 1)
        assert caught.value.code == "unavailable"
        well(bench)

    run(bench, lambda one: bool(segments(bench)), check)


def test_batches_cut_since_the_flush_may_wait(bench: Bench) -> None:
    away(bench)
    bench.write(*[row(n) for n in range(MANY)])

    def check(one: Flusher) -> None:
        well(bench)
        assert one.archivist.freeze("b1", 1)["rows"] is None

    run(bench, lambda one: bool(segments(bench)), check)


def test_quarantine_of_a_backup_is_taken_over_but_for_what_is_erased_or_there(bench: Bench) -> None:
    files = refused(bench, 3, 5, 7)
    into = bench.path / IN / "b1" / QUARANTINE
    into.mkdir(parents=True)
    for path in files:
        (into / path.name).write_bytes(path.read_bytes())
    (into / "damaged-x.bin").write_bytes(b"bytes")
    for path in files[:2]:
        path.unlink()
    erased = next(path for path in files[:2] if path.stem.endswith("-3"))
    Tombstones(State(bench.path), bench.path).add(Selection(user="user_id-3"), NOW + 10**6)
    assert asked(bench, "restore_end", name="b1") == 2
    there = {path.name for path in (bench.path / "quarantine").iterdir()}
    assert there == {path.name for path in files} - {erased.name} | {"damaged-x.bin"}
    assert not (bench.path / IN / "b1").exists()
    assert asked(bench, "restore_end", name="b1") == 0, "done twice is done once"


@pytest.mark.parametrize(
    ("name", "args"),
    [("restore_clear", {}), ("restore_stage", {"name": "b1", "rows": 1}), ("restore_piece", {"bucket": 0, "of": 1})],
)
def test_events_of_a_backup_go_into_an_embedded_store_only(bench: Bench, name: str, args: dict[str, Any]) -> None:
    with pytest.raises(ControlError, match="embedded store") as caught:
        asked(bench, name, **args)
    assert caught.value.code == "other_store"


def test_what_a_killed_backup_left_goes_with_the_next_start_unless_one_is_under_way(bench: Bench) -> None:
    left = bench.path / OUT / "b1" / "file"
    left.parent.mkdir(parents=True)
    left.touch()
    with backup.alone(bench.path):
        assert busy(bench.path)
        bench.drain()
        assert left.exists()
    assert not busy(bench.path)
    bench.drain()
    assert not left.exists()
