from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.supervised import Running, play
from trackflowd.errors import ControlError, QueryError
from trackflowd.proto.control import COMMANDS
from trackflowd.ring import file


def test_every_command_that_does_not_stream_has_a_handler(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        handlers = running.commands.handlers()
        assert set(handlers) == {name for name, command in COMMANDS.items() if not command.streams}

    play(tmp_path, story)


def test_status_has_everything_that_is_promised(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        status = await running.commands.status()
        assert list(status) == [
            "version", "pid", "uptime_s", "health", "processes", "rates", "totals", "rings", "sink",
            "oldest_pending_s", "refusals", "batches", "window", "data_dir", "listen", "geo",
        ]  # fmt: skip
        assert status["pid"] == os.getpid()
        assert status["listen"]["http"] == running.supervisor.listeners.addresses
        assert status["sink"]["text"] == "as told"

    play(tmp_path, story)


def test_status_is_told_although_the_flusher_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.supervisor.SOON", 0.05)

    async def story(running: Running) -> None:
        await running.ready()
        hanging = asyncio.ensure_future(running.order("hang"))
        status = await running.commands.status()
        assert status["sink"]["text"] == ""
        hanging.cancel()

    play(tmp_path, story)


def test_passwords_are_masked(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        options = await running.commands.config()
        assert options["store.url"].startswith("clickhouse://ann:")
        assert "s3cret" not in str(options) + str(await running.commands.status())

    play(tmp_path, story, "store.url=clickhouse://ann:s3cret@127.0.0.1:8123/x")


def test_a_query_gets_its_answer_its_refusal_or_is_too_big(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        assert await running.order("echo hello") == b"hello"
        with pytest.raises(QueryError, match="no"):
            await running.order("refuse")
        assert len(await running.order(f"big {8 * 2**20}")) == 8 * 2**20
        with pytest.raises(QueryError, match="the most is"):
            await running.order(f"big {8 * 2**20 + 1}")

    play(tmp_path, story)


def test_a_statistic_is_asked_of_the_flusher_with_its_period(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        period = {"site": "s", "from": 5, "to": 9}
        assert await running.commands.stats("overview", **period) == {"name": "overview", "args": period}
        open_end = await running.commands.stats("overview", **{"site": "", "from": 5, "to": 0})
        assert open_end["args"]["to"] > 1_700_000_000_000

    play(tmp_path, story)


def test_a_flush_waits_until_the_tails_have_moved(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        ring = file.open_for_writer(tmp_path / "data" / "rings", 0, 65536)
        ring.writer.append([(bytes(16), 1, 1, 0, b"x")])
        ring.writer.publish()
        with pytest.raises(ControlError, match="are not stored after") as caught:
            await running.commands.flush(0.05)
        assert caught.value.code == "not_stored"
        assert (await running.commands.flush(0))["stored"] is False
        waiting = asyncio.ensure_future(running.commands.flush(60))
        await asyncio.sleep(0)
        file.open_for_reader(ring.path).store_tail(ring.writer.head)
        assert (await waiting)["stored"] is True

    play(tmp_path, story)


@pytest.mark.parametrize("name", ["drain", "stop"])
def test_it_ends_when_told_to(tmp_path: Path, name: str) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        await running.commands.handlers()[name]()
        assert await running.over == 0

    play(tmp_path, story)


def test_a_replay_is_a_task_that_is_listed_shown_and_ended(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        before = time.time_ns() // 1_000_000
        task = await running.commands.replay(600, True)
        assert task["args"]["dry_run"] is True
        assert 0 <= task["args"]["since_ms"] - (before - 600_000) < 60_000
        await running.until(lambda: running.supervisor.runner.one(1)["state"] == "done")
        assert [each["id"] for each in await running.commands.tasks()] == [1]
        assert (await running.commands.task(1))["history"]
        for act in (running.commands.task_cancel, running.commands.task_resume):
            with pytest.raises(ControlError, match="task 1"):
                await act(1)

    play(tmp_path, story)


@pytest.mark.parametrize("since", [0, -1, 1e12, float("nan"), float("inf")])
def test_a_replay_needs_a_span_of_time(tmp_path: Path, since: float) -> None:
    async def story(running: Running) -> None:
        with pytest.raises(ControlError, match="since must be"):
            await running.commands.replay(since, False)

    play(tmp_path, story)
