from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.supervised import Running, play
from trackflowd.errors import ControlError, TrackflowError
from trackflowd.proto.control import BadRequest


def handler(running: Running, name: str) -> Callable[..., Awaitable[Any]]:
    return running.commands.handlers()[name]


def test_a_pause_is_seen_by_everybody_until_it_ends(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        page = running.supervisor.crew.page
        assert await handler(running, "pause")() == {"paused": True, "sending": 0}
        assert page.paused
        await running.until(lambda: running.supervisor.health.reason.startswith("paused"))
        assert not running.supervisor._readyz()[0]
        assert (await running.commands.status())["sink"]["paused"] is True
        with pytest.raises(ControlError, match="it is paused"):
            await running.commands.flush(1)
        assert (await handler(running, "resume")())["paused"] is False
        await running.until(lambda: running.supervisor.health.ready)
        assert (await running.commands.status())["sink"]["paused"] is False

    play(tmp_path, story)


def test_the_seconds_behind_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.supervisor.NOTE_EVERY", 0.01)

    async def story(running: Running) -> None:
        await running.ready()
        await running.until(lambda: len(running.supervisor.history.last(600)["at_ms"]) > 2)
        await running.knock()
        await running.until(lambda: any(running.supervisor.history.last(600)["series"]["requests_s"]))
        value = await handler(running, "history")(600)
        assert len(value["at_ms"]) == len(value["series"]["events_s"])
        assert len((await handler(running, "history")(2))["at_ms"]) == 2
        for seconds in (0, 3601, float("nan")):
            with pytest.raises(BadRequest):
                await handler(running, "history")(seconds)

    play(tmp_path, story)


def test_the_audit_is_told_in_bounds(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        assert await handler(running, "audit")(100) == []
        for limit in (0, 1001):
            with pytest.raises(BadRequest):
                await handler(running, "audit")(limit)

    play(tmp_path, story)


def test_the_level_of_the_log_changes_in_what_is_in_effect(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        assert await handler(running, "loglevel")("warning") == {"level": "warning"}
        assert (await running.commands.config())["log.level"] == "warning"
        with pytest.raises(BadRequest, match="one of debug"):
            await handler(running, "loglevel")("loud")
        told = await handler(running, "reload")(False)
        assert told["changed"] == [{"key": "log.level", "old": "warning", "new": "info"}]
        assert (await running.commands.config())["log.level"] == "info"

    play(tmp_path, story)


def test_a_place_is_what_a_worker_says_with_the_age_of_its_database(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        found = await handler(running, "geo")("81.2.69.142")
        assert (found["ip"], found["country"], found["database"]) == ("81.2.69.142", "GB", "/as/told.mmdb")
        assert 9.9 < found["age_days"] < 11
        assert (await handler(running, "geo")("2A02:8010:0::1"))["ip"] == "2a02:8010::1"
        for wrong in ("", "81.2.69", "example.com"):
            with pytest.raises(BadRequest, match="no IPv4 or IPv6"):
                await handler(running, "geo")(wrong)

    play(tmp_path, story)


def test_with_no_worker_a_place_is_not_known(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        running.supervisor.crew.stop_replacing()
        for name in ("worker 0", "worker 1"):
            child = next(one for one in running.supervisor.crew.children("worker") if one.name == name)
            child.kill()
        await running.until(lambda: not list(running.supervisor.crew.children("worker")))
        with pytest.raises(TrackflowError, match="no worker answers"):
            await handler(running, "geo")("81.2.69.142")

    play(tmp_path, story)


def test_the_machine_and_each_process_are_told_with_their_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackflowd.machine.LEAST", 0.0)

    async def story(running: Running) -> None:
        await running.ready()
        first = await running.commands.status()
        assert {row["cpu_share"] for row in first["processes"]} == {None}
        assert set(first["machine"]) == {"load", "cpus", "cpu_share", "memory", "swap_used"}
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        second = await running.commands.status()
        own = next(row for row in second["processes"] if row["role"] == "supervisor")
        assert own["cpu_share"] > 0
        assert all(row["cpu_share"] is not None for row in second["processes"])
        assert all("cpu_share" in row for row in await running.commands.processes())

    play(tmp_path, story)
