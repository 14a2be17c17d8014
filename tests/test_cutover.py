"""The journaled switch of stores: held, settled, switched, and what the options say afterwards."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import struct
import time
from pathlib import Path

import pytest

from tests.test_journal import make_cut
from trackflowd import cutover
from trackflowd.cutover import FILE, Cutover
from trackflowd.errors import ControlError, DataDirError, JournalError
from trackflowd.journal import PLAIN, VERSION, Journal
from trackflowd.sink.base import Sink, SinkOptions, open_sink

OLD, NEW, THIRD = "postgresql://u:pw@old/db", "clickhouse://u:secret@new:8123/db", "clickhouse://third:8123/db"
OLD_NAME, NEW_NAME = "postgresql://old:5432/db", "clickhouse://new:8123/db"


def sink(url: str) -> Sink:
    return open_sink(url, SinkOptions(Path("/nowhere")))


def opened(directory: Path, url: str) -> tuple[Cutover, Journal]:
    """A flusher's start."""
    journal = Journal(directory / "journal")
    return Cutover(url, directory, journal, sink, lambda: (directory / "ended").touch()), journal


def switched(directory: Path) -> None:
    """A daemon that went from the old store to the new one."""
    there, journal = opened(directory, OLD)
    there.hold(10, renew=False)
    there.switch(NEW, OLD_NAME)
    journal.close()


def version_of(directory: Path) -> int:
    (path,) = (directory / "journal").glob("*.journal")
    version: int = struct.unpack_from("<I", path.read_bytes(), 8)[0]
    return version


def test_without_a_switch_the_options_decide(tmp_path: Path) -> None:
    there, _ = opened(tmp_path, OLD)
    assert (there.url, there.warning) == (OLD, "")
    assert version_of(tmp_path) == PLAIN  # who never moves can still go back a version


def test_after_the_switch_the_new_store_is_opened_though_the_options_name_the_old(tmp_path: Path) -> None:
    switched(tmp_path)
    there, journal = opened(tmp_path, OLD)
    assert there.url == NEW
    assert f"store.url still names {OLD_NAME}, but events go to {NEW_NAME} since the cutover" in there.warning
    assert "set store.url to clickhouse://u:***@new:8123/db" in there.warning
    assert "secret" not in there.warning
    assert version_of(tmp_path) == VERSION  # a version that knows of no switch must not go back to the old store
    journal.close()
    there.settle()
    assert opened(tmp_path, OLD)[0].url == NEW


def test_options_that_follow_are_noticed_and_decide_alone_from_then_on(tmp_path: Path) -> None:
    switched(tmp_path)
    there, journal = opened(tmp_path, NEW)
    assert (there.url, there.warning) == (NEW, "")
    there.settle()
    journal.close()
    assert not (tmp_path / FILE).exists()
    assert version_of(tmp_path) == PLAIN
    again, journal = opened(tmp_path, OLD)
    assert (again.url, again.warning) == (OLD, "")


def test_a_third_store_in_the_options_is_nobodys_oversight(tmp_path: Path) -> None:
    switched(tmp_path)
    there, journal = opened(tmp_path, THIRD)
    assert (there.url, there.warning) == (THIRD, "")
    there.settle()
    journal.close()
    assert opened(tmp_path, OLD)[0].url == NEW


@pytest.mark.parametrize("damage", ["missing", "no json", "of another store"])
def test_a_switch_whose_url_is_lost_stops_the_start_and_does_not_go_back(tmp_path: Path, damage: str) -> None:
    switched(tmp_path)
    path = tmp_path / FILE
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("{" if damage == "no json" else json.dumps({"store": NEW_NAME, "url": THIRD}))
    with pytest.raises(DataDirError, match="missing or damaged") as error:
        opened(tmp_path, OLD)
    assert f"set store.url to {NEW_NAME}" in error.value.hint


def test_the_url_with_its_password_is_for_the_owner_only(tmp_path: Path) -> None:
    switched(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("left", [1, 2])
def test_a_start_killed_before_the_new_journal_is_in_place_is_one_before_the_switch(tmp_path: Path, left: int) -> None:
    there, journal = opened(tmp_path, OLD)
    there.hold(10, renew=False)
    with pytest.MonkeyPatch.context() as patch:
        calls: list[str] = []

        def rename(source: str, target: str) -> None:
            calls.append(target)
            raise KeyboardInterrupt

        if left == 1:
            patch.setattr(cutover.Cutover, "_write", lambda self, value: rename("", ""))
        else:
            patch.setattr(os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            there.switch(NEW, OLD_NAME)
    assert calls and journal.state.moved is None
    journal.close()
    again, _ = opened(tmp_path, OLD)
    assert (again.url, again.warning) == (OLD, "")


def test_open_batches_or_a_hold_that_is_over_forbid_the_switch(tmp_path: Path) -> None:
    there, journal = opened(tmp_path, OLD)
    with pytest.raises(ControlError, match="not held"):
        there.switch(NEW, OLD_NAME)
    there.hold(10, renew=False)
    journal.cut(make_cut(1))
    assert there.hold(10, renew=True) == {"held": True, "open": 1}
    with pytest.raises(ControlError) as error:
        there.switch(NEW, OLD_NAME)
    assert error.value.code == "not_held"
    assert not (tmp_path / "ended").exists()
    journal.done(1)
    assert there.switch(NEW, OLD_NAME) == NEW_NAME
    assert journal.state.moved is not None


def test_what_the_journal_holds_survives_the_switch(tmp_path: Path) -> None:
    there, journal = opened(tmp_path, OLD)
    journal.cut(make_cut(1), dataclasses.replace(make_cut(2), ranges=()))
    journal.done(1)
    journal.done(2)
    there.hold(10, renew=False)
    there.switch(NEW, OLD_NAME)
    marks, window = journal.state.marks, journal.state.window
    journal.close()
    state = Journal(tmp_path / "journal").state
    assert (state.marks, state.window) == (marks, window)


def test_a_hold_ends_by_itself_when_rings_fill_up_and_when_it_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    there, _ = opened(tmp_path, OLD)
    assert not there.holds(needed=False)
    assert there.hold(10, renew=True) == {"held": False, "open": 0}  # nothing to renew
    there.hold(10, renew=False)
    now[0] += 9
    assert there.holds(needed=False)
    there.hold(10, renew=True)
    now[0] += 9
    assert there.holds(needed=False)
    now[0] += 2
    assert not there.holds(needed=False)
    there.hold(10, renew=False)
    assert not there.holds(needed=True)
    assert not there.holds(needed=False)
    there.hold(10, renew=False)
    there.hold(0, renew=False)
    assert not there.holds(needed=False)


def test_a_disk_that_refuses_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, journal = opened(tmp_path, OLD)
    there.hold(10, renew=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(JournalError, match="No space left"):
            there.switch(NEW, OLD_NAME)
    assert journal.state.moved is None
    assert (tmp_path / "ended").exists()  # who goes on might write to a journal that is no more the newest
    journal.close()
    again, journal = opened(tmp_path, OLD)
    assert again.url == OLD
