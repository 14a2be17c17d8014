"""Salts over a full disk: an earlier snapshot does, a new one is tried for."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from trackflowd import salts as salts_module
from trackflowd.errors import DataDirError
from trackflowd.salts import Salts
from trackflowd.shared import Page
from trackflowd.state import State


class Full:
    """State on a disk that takes nothing."""

    def __init__(self, state: State) -> None:
        self.state, self.full = state, True

    def rotate(self, now_ms: int) -> bool:
        return self.state.rotate(now_ms)

    def publish(self) -> int:
        if self.full:
            raise DataDirError("state.sqlite: database or disk is full")
        return self.state.publish()

    def published(self, now_ms: int) -> int:
        return self.state.published(now_ms)


@pytest.fixture
def state(tmp_path: Path) -> State:
    (tmp_path / "tmp").mkdir()
    return State(tmp_path)


@pytest.fixture
def page() -> Page:
    return Page.create(1, 1)[0]


def test_it_begins_with_a_snapshot_and_publishes_no_other_before_a_salt_changes(state: State, page: Page) -> None:
    salts = Salts(state, page)
    salts.begin()
    first = page.generation
    assert first > 0
    salts.renew()
    assert page.generation == first


def test_without_any_snapshot_a_full_disk_is_the_end(state: State, page: Page) -> None:
    with pytest.raises(DataDirError, match="disk is full"):
        Salts(Full(state), page).begin()  # type: ignore[arg-type]


def test_on_a_full_disk_the_last_snapshot_does_until_there_is_room(
    state: State, page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Salts(state, page).begin()
    before, page.generation = page.generation, 0
    monkeypatch.setattr(salts_module, "SALTS_EVERY", 0.0)
    disk = Full(state)
    salts = Salts(disk, page)  # type: ignore[arg-type]
    salts.begin()
    assert page.generation == before
    assert "going on with the salts of the last start" in caplog.text
    salts.renew()
    assert page.generation == before
    assert "salts are not renewed" in caplog.text
    disk.full = False
    salts.renew()
    assert page.generation > before


def test_sqlite_itself_says_when_the_disk_is_full(state: State, page: Page, tmp_path: Path) -> None:
    Salts(state, page).begin()
    (pages,) = sqlite3.connect(tmp_path / "state.sqlite").execute("PRAGMA page_count").fetchone()
    state.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DataDirError, match="full"):
        for n in range(1000):
            state.execute("INSERT INTO meta VALUES (?, 1)", (f"{n}" * 100,))
    assert state.published(1) == 0
