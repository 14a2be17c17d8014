from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.supervised import Running, play
from trackflowd import children
from trackflowd.errors import ControlError, TrackflowError
from trackflowd.fleet import Phase


def owners(running: Running) -> list[int | None]:
    listed = running.supervisor.crew.page.owners
    return [listed[i] for i in range(len(listed))]


def test_listeners_are_dealt_to_those_who_are_ready_only(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        assert owners(running) == [None] * 12
        await running.ready()
        await running.until(lambda: owners(running) == [0, 1, 2] * 4)
        os.kill(running.pid("worker 1") or 0, signal.SIGKILL)
        await running.until(lambda: owners(running)[1] != 1)
        assert sorted(owner for owner in owners(running) if owner is not None) == [0] * 6 + [2] * 6
        await running.until(lambda: owners(running) == [0, 1, 2] * 4)

    play(tmp_path, story, "daemon.workers=3")


def test_counts_go_on_over_a_restart_and_gauges_do_not(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        slot = running.supervisor.crew.page.slot("flusher")
        slot.set("rows_stored", 7)
        slot.set("window_ids", 5)
        os.kill(running.pid("flusher") or 0, signal.SIGKILL)
        await running.until(lambda: running.supervisor.crew.flusher.restarts == 1)
        await running.ready()
        assert (slot.get("rows_stored"), slot.get("window_ids")) == (7, 0)

    play(tmp_path, story)


def test_the_flusher_can_not_be_asked_while_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        monkeypatch.setattr("trackflowd.fleet.BACKOFF_FIRST", 10.0)
        monkeypatch.setitem(children.COMMANDS, "flusher", [sys.executable, "-c", "raise SystemExit(7)"])
        os.kill(running.pid("flusher") or 0, signal.SIGKILL)
        await running.until(lambda: running.supervisor.crew.flusher.restarts == 2)
        slot = running.supervisor.crew.page.slot("flusher")
        assert (slot.pid, slot.get("sink_state")) == (0, 0)
        with pytest.raises(ControlError, match="being restarted"):
            await running.order("x")
        assert not running.supervisor.health.ready
        assert running.supervisor.health.reason == "flusher: waits to be started again"

    play(tmp_path, story)


def test_a_child_that_cannot_be_started_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = list(children.COMMANDS["worker"])

    async def story(running: Running) -> None:
        await running.ready()
        good[:] = children.COMMANDS["worker"]
        children.COMMANDS["worker"] = ["/no/such/program"]
        os.kill(running.pid("worker 0") or 0, signal.SIGKILL)
        seat = running.supervisor.crew.workers[0]
        await running.until(lambda: seat.restarts >= 2)
        assert seat.phase is Phase.WAITING
        await running.knock()
        children.COMMANDS["worker"] = good
        await running.ready()

    play(tmp_path, story)


def test_a_start_in_which_no_worker_comes_up_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(running: Running) -> None:
        children.COMMANDS["worker"] = [sys.executable, "-c", "raise SystemExit(1)"]
        with pytest.raises(TrackflowError, match="no worker can be started"):
            await running.over

    with pytest.raises(TrackflowError):
        play(tmp_path, story)
    assert (tmp_path / "data" / "lock").read_text() == ""


def test_how_children_end_is_logged_with_what_follows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        os.kill(running.pid("worker 0") or 0, signal.SIGKILL)
        await running.until(lambda: running.supervisor.crew.workers[0].restarts == 1)

    play(tmp_path, story)
    said: list[Any] = [record.getMessage() for record in caplog.records]
    assert any("worker 0" in text and "was killed by SIGKILL; replaced at once" in text for text in said)
