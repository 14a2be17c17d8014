"""How much more can be taken, and for how long."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from trackflowd import budget as budget_module
from trackflowd.budget import Budget, full_in, room_in, size_of, span
from trackflowd.config import load
from trackflowd.ringview import RingFill
from trackflowd.spool import Room

DAY = 86_400.0
GIB = 2**30


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def ring(name: str, head: int, tail: int = 0, failed: bool = False, damage: str = "") -> RingFill:
    return RingFill(name, 0, "", 1000, head, tail, failed=failed, damage=damage)


def budget(path: Path, *sets: str) -> Budget:
    return Budget(load(None, [f"daemon.data_dir={path}", *sets], {}))


def test_what_is_written_is_how_far_heads_move_also_in_rings_that_come_and_go(tmp_path: Path) -> None:
    one = budget(tmp_path)
    one.note([ring("a", 500)])
    assert one.written == 0
    one.note([ring("a", 600), ring("b", 70)])
    assert one.written == 170
    one.note([ring("a", -1, damage="unreadable"), ring("b", 70)])
    one.note([ring("a", 601)])
    assert one.written == 171
    one.note([])
    assert one.written == 171


def test_room_is_what_rings_in_use_and_spool_can_take() -> None:
    rings = [ring("a", 400, 100), ring("b", 0), ring("c", 0, failed=True), ring("d", -1, damage="x")]
    assert room_in(rings, 50) == 700 + 1000 + 50
    assert full_in(rings, Room(1, 10, 50), 175.0) == 10.0
    assert full_in(rings, Room(1, 10, 50), 0.0) is None


def test_full_is_said_although_nothing_can_come_in_any_more() -> None:
    rings = [ring("a", 950), ring("b", 900)]
    assert full_in(rings, Room(1, 10, 50), 0.0) == 0.0
    assert full_in(rings, Room(1, 10, 5000), 0.0) is None
    assert full_in([*rings, ring("c", 10)], Room(1, 10, 50), 0.0) is None
    assert full_in([], Room(0, 0, 0), 0.0) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (40, "40 s"), (99, "99 s"), (100, "2 min"), (750, "12 min"), (7200, "2 h"), (3 * DAY, "3 days")],
)
def test_a_forecast_is_as_coarse_as_it_is_sure(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_the_spool_is_counted_by_its_files_where_nobody_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GIB, 0, 100 * GIB))
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "x.segment").write_bytes(b"x" * 300)
    (tmp_path / "spool" / "y.segment.tmp").write_bytes(b"x")
    one = budget(tmp_path, "spool.max_bytes=1000")
    assert one.spool(None) == Room(1, 300, 700)
    assert one.spool({"spool_segments": 2, "spool_bytes": 3, "spool_free": 4}) == Room(2, 3, 4)
    assert budget(tmp_path, "spool.max_bytes=1000", "spool.keep_free=200GiB").spool(None).free == 0
    assert budget(tmp_path / "none", "spool.max_bytes=1000").spool(None) == Room(0, 0, 1000)


def test_the_disk_is_full_when_the_store_has_grown_by_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GIB, 0, 10 * GIB))
    one = budget(tmp_path)
    assert one.days_to_full() is None
    one.grown(0.0, GIB)
    one.grown(59.0, 2 * GIB)
    assert one.days_to_full() is None, "too early to say"
    one.grown(DAY / 2, 2 * GIB)
    assert one.days_to_full() == 5.0
    one.grown(DAY, GIB)
    assert one.days_to_full() is None, "it does not grow"
    for hour in range(25, 60):
        one.grown(hour * 3600.0, (hour - 24) * GIB)
    assert one.days_to_full() == pytest.approx(10 / 24, abs=0.01), "a day is remembered, no more"


def test_the_store_is_walked_once_a_minute_and_only_if_it_is_embedded(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "data").mkdir(parents=True)
    (tmp_path / "elsewhere" / "data" / "part.bin").write_bytes(b"x" * 500)
    (tmp_path / "elsewhere" / "data" / "link").symlink_to("/nowhere")
    one = budget(tmp_path, f"store.url=chdb://{tmp_path}/elsewhere")
    assert one.walk_due(1000.0)
    assert not one.walk_due(1000.0 + budget_module.WALK_EVERY - 1)
    assert one.walk_due(1000.0 + budget_module.WALK_EVERY)
    asyncio.run(one.walk(1000.0))
    assert one.look()["disk"]["store"] == size_of(tmp_path / "elsewhere") > 500
    assert not budget(tmp_path, "store.url=null:").walk_due(1000.0)
    assert not budget(tmp_path, "store.url=clickhouse://h/db").walk_due(1000.0)
    assert budget(tmp_path, "store.url=clickhouse://h/db").look()["disk"]["store"] is None


def test_a_store_that_is_not_there_yet_is_nothing(tmp_path: Path) -> None:
    one = budget(tmp_path)
    asyncio.run(one.walk(0.0))
    asyncio.run(one.walk(100.0))
    assert one.look()["disk"] | {"total": 0, "free": 0} == {
        "total": 0, "free": 0, "rings": 0, "store": 0, "days_to_full": None,
    }  # fmt: skip
