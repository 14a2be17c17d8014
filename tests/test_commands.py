from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.supervised import Running, play
from tests.test_segment import ROWS
from tests.test_spool import cut
from trackflowd.children import Unavailable
from trackflowd.errors import ControlError, QueryError
from trackflowd.proto.command_table import COMMANDS
from trackflowd.quarantine import Quarantine
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
            "oldest_pending_s", "refusals", "batches", "window", "spool", "buffer", "data_dir", "quarantine", "disk",
            "listen", "geo", "tls", "admin", "sites", "machine", "latency", "alerts",
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
        assert open_end["args"]["to"] == 0, "the end is up to the statistic"
        running.supervisor.refusals.add([["s", "bad_json", 1], ["t", "bot", 1]], time.time_ns() // 1_000_000)
        value = await running.commands.stats("refused", **{"site": "", "from": 0, "to": 0})
        assert value["totals"] == {"refused": 1, "left_out": 1}
        assert [row["site"] for row in value["refused"]] == ["s", "t"]
        value = await running.commands.stats("refused", **{"site": "t", "from": 5, "to": 0})
        assert (value["period"]["from"], [row["reason"] for row in value["refused"]]) == (5, ["bot"])

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


def test_a_flush_waits_for_a_flusher_that_is_being_replaced_and_asks_it_again(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        ring = file.open_for_writer(tmp_path / "data" / "rings", 0, 65536)
        ring.writer.append([(bytes(16), 1, 1, 0, b"x")])
        ring.writer.publish()
        crew, asked = running.supervisor.crew, []
        ask = crew.ask_flusher

        async def note(name: str, timeout: float, /, **args: Any) -> Any:
            pid = running.pid("flusher")
            answer = await ask(name, timeout, **args)
            asked.append((name, pid))
            return answer

        crew.ask_flusher = note  # type: ignore[method-assign]
        first = running.pid("flusher") or 0
        os.kill(first, signal.SIGKILL)
        with pytest.raises(Unavailable):
            await running.commands.flush(0)
        waiting = asyncio.ensure_future(running.commands.flush(60))
        await running.until(lambda: ("flush", running.pid("flusher")) in asked)
        second = running.pid("flusher") or 0
        os.kill(second, signal.SIGKILL)
        await running.until(lambda: ("flush", running.pid("flusher")) in asked and running.pid("flusher") != second)
        file.open_for_reader(ring.path).store_tail(ring.writer.head)
        assert (await waiting)["stored"]
        assert [name for name, _ in asked] == ["flush"] * 2

    play(tmp_path, story)


def test_what_a_flush_leaves_is_said_although_the_flusher_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackflowd.commands.SOON", 0.05)

    async def story(running: Running) -> None:
        await running.ready()
        ring = file.open_for_writer(tmp_path / "data" / "rings", 0, 65536)
        ring.writer.append([(bytes(16), 1, 1, 0, b"x")])
        ring.writer.publish()
        flusher = running.pid("flusher") or 0
        os.kill(flusher, signal.SIGSTOP)
        with pytest.raises(ControlError, match="bytes of events in the rings are not stored after") as caught:
            await running.commands.flush(0.05)
        assert caught.value.code == "not_stored"
        file.open_for_reader(ring.path).store_tail(ring.writer.head)
        os.kill(flusher, signal.SIGCONT)
        assert (await running.commands.flush(60))["stored"] is True

    play(tmp_path, story)


def test_a_flush_waits_until_what_the_rings_passed_on_to_the_spool_is_stored(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        spool = tmp_path / "data" / "spool"
        first, second = (spool / f"{n:032x}.segment" for n in (1, 2))
        first.write_bytes(b"x")
        second.write_bytes(b"x")
        slot = running.supervisor.crew.page.slot("flusher")
        slot.publish({"rows_open": 7, "batches_open": 2})
        with pytest.raises(
            ControlError, match=r"2 batches in the spool are not stored after 0 s \(7 rows in 2"
        ) as caught:
            await running.commands.flush(0.05)
        assert caught.value.code == "not_stored"
        assert (await running.commands.flush(0))["spooled"] == 2
        second.unlink()  # the older one is refused: the younger goes first
        with pytest.raises(ControlError, match="1 batches in the spool"):
            await running.commands.flush(0.05)
        waiting = asyncio.ensure_future(running.commands.flush(60))
        await asyncio.sleep(0.05)
        (spool / f"{3:032x}.segment").write_bytes(b"x")  # spooled meanwhile: not waited for
        first.unlink()
        assert (await waiting)["stored"] is True

    play(tmp_path, story)


def test_orders_about_files_go_to_the_flusher(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        assert await running.commands.spool_drop(["a"]) == {"names": ["a"]}
        assert await running.commands.quarantine_drop(["a", "b"]) == {"names": ["a", "b"]}
        for act in (running.commands.spool_drop, running.commands.quarantine_drop):
            with pytest.raises(ControlError, match="must not be empty"):
                await act([])

    play(tmp_path, story)


def test_all_that_can_be_is_retried_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.commands.AT_ONCE", 2)

    async def story(running: Running) -> None:
        await running.ready()
        quarantine = Quarantine(tmp_path / "data" / "quarantine")
        for n in range(5):
            quarantine.put_row(cut(9), ROWS[0], 5, n, "no")
        quarantine.put_raw("damaged-x", b"x")
        told = await running.commands.quarantine_retry([])
        assert told == {"retried": 5, "rows": 5, "skipped": ["call of 2", "call of 2", "call of 1"]}
        assert (await running.commands.quarantine_retry(["x"]))["skipped"] == ["call of 1"]

    play(tmp_path, story)


def test_status_counts_what_waits_beside_the_rings(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        data = tmp_path / "data"
        Quarantine(data / "quarantine").put_row(cut(9), ROWS[0], 5, 1, "no")
        slot = running.supervisor.crew.page.slot("flusher")
        since = time.time_ns() // 1_000_000 - 60_000
        slot.publish({"spool_segments": 2, "spool_bytes": 4096, "spool_free": 8192, "open_since_ms": since})
        ring = file.open_for_writer(data / "rings", 0, 65536)
        status = await running.commands.status()
        assert status["quarantine"] == {"files": 1, "rows": 1}
        assert (status["spool"]["segments"], status["spool"]["bytes"], status["spool"]["free"]) == (2, 4096, 8192)
        assert 60 <= status["spool"]["oldest_s"] < 120
        assert status["buffer"] == {"room": 8192 + ring.writer.capacity, "bytes_s": 0.0, "full_in_s": None}
        assert status["disk"]["spool"] == 4096
        assert status["disk"]["rings"] == ring.path.stat().st_size
        assert 0 < status["disk"]["free"] <= status["disk"]["total"]

    play(tmp_path, story)


@pytest.mark.parametrize("name", ["drain", "stop"])
def test_it_ends_when_told_to(tmp_path: Path, name: str) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        await running.commands.handlers()[name]()
        assert await running.over == 0

    play(tmp_path, story)


@pytest.mark.parametrize("paused", [False, True])
def test_a_drain_says_whether_anything_is_sent_meanwhile(tmp_path: Path, paused: bool) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        running.supervisor.crew.page.paused = paused
        assert await running.commands.drain() == {"paused": paused}
        await running.over

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
