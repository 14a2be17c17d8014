"""snapshot: what workers are told, and when; over a full disk: an earlier snapshot does, a new one is tried for."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import pytest

from trackflowd import snapshot as module
from trackflowd.errors import DataDirError
from trackflowd.shared import Page
from trackflowd.snapshot import Snapshot
from trackflowd.state import State


class Full:
    """State on a disk that takes nothing."""

    def __init__(self, state: State) -> None:
        self.state, self.full = state, True

    def rotate(self, now_ms: int) -> bool:
        return self.state.rotate(now_ms)

    def publish(self, parts: Mapping[str, Any]) -> int:
        if self.full:
            raise DataDirError("state.sqlite: database or disk is full")
        return self.state.publish(parts)

    def published(self, now_ms: int) -> int:
        return self.state.published(now_ms)


def parts(now_ms: int) -> Mapping[str, Any]:
    return {"mode": "open", "sites": [], "keys": []}


@pytest.fixture
def state(tmp_path: Path) -> State:
    (tmp_path / "tmp").mkdir()
    return State(tmp_path)


@pytest.fixture
def page() -> Page:
    return Page.create(1, 1)[0]


def test_it_begins_with_a_snapshot_and_publishes_no_other_before_a_salt_changes(state: State, page: Page) -> None:
    snapshot = Snapshot(state, page, parts)
    snapshot.begin()
    first = page.generation
    assert first > 0
    snapshot.renew()
    assert page.generation == first


def test_without_any_snapshot_a_full_disk_is_the_end(state: State, page: Page) -> None:
    with pytest.raises(DataDirError, match="disk is full"):
        Snapshot(Full(state), page, parts).begin()  # type: ignore[arg-type]


def test_on_a_full_disk_the_last_snapshot_does_until_there_is_room(
    state: State, page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Snapshot(state, page, parts).begin()
    before, page.generation = page.generation, 0
    monkeypatch.setattr(module, "SALTS_EVERY", 0.0)
    disk = Full(state)
    snapshot = Snapshot(disk, page, parts)  # type: ignore[arg-type]
    snapshot.begin()
    assert page.generation == before
    assert "going on with salts, sites and keys of the last start" in caplog.text
    snapshot.renew()
    assert page.generation == before
    assert "salts, sites and keys of the workers are not renewed" in caplog.text
    disk.full = False
    snapshot.renew()
    assert page.generation > before


def test_a_change_is_there_at_once_and_on_a_full_disk_a_second_later(
    state: State, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: dict[str, Any] = {"mode": "open"}
    disk = Full(state)
    disk.full = False
    snapshot = Snapshot(disk, page, lambda now_ms: told)  # type: ignore[arg-type]
    snapshot.begin()
    first = page.generation

    def mode() -> object:
        return msgpack.unpackb((tmp_path / "snapshot.msgpack").read_bytes())["mode"]

    told["mode"] = "registered"
    assert snapshot.change()
    assert (page.generation, mode()) == (first + 1, "registered")
    disk.full, told["mode"] = True, "open"
    assert not snapshot.change()
    assert (page.generation, mode()) == (first + 1, "registered")
    for _ in range(5):
        snapshot.renew()
    assert caplog.text.count("are not renewed") == 1
    disk.full = False
    snapshot.renew()
    assert (page.generation, mode()) == (first + 2, "open")


def test_sqlite_itself_says_when_the_disk_is_full(state: State, page: Page, tmp_path: Path) -> None:
    Snapshot(state, page, parts).begin()
    (pages,) = sqlite3.connect(tmp_path / "state.sqlite").execute("PRAGMA page_count").fetchone()
    state.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DataDirError, match="full"):
        for n in range(1000):
            state.execute("INSERT INTO meta VALUES (?, 1)", (f"{n}" * 100,))
    assert state.published(1) == 0
