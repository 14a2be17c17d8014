"""reload: what changes, for whom, and that it is all or nothing. Under load: tests/process/test_reload_load.py."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.supervised import Running, play
from trackflowd import config
from trackflowd.config import OPTIONS
from trackflowd.errors import ConfigError, ControlError
from trackflowd.fleet import Phase
from trackflowd.reload import Reloader, changed, with_values
from trackflowd.shared import State


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """Levels of logging are global: put back what was there."""
    root, ours = logging.getLogger(), logging.getLogger("trackflowd")
    before = root.level, ours.level
    yield
    root.setLevel(before[0])
    ours.setLevel(before[1])


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "options.toml").write_text(text)


async def reload(running: Running, dry_run: bool = False) -> dict[str, Any]:
    return await running.supervisor.reloader.reload(dry_run)


def test_what_may_change_does_and_what_may_not_is_named(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        assert await reload(running) == {"changed": [], "restart": [], "applied": True}
        write(tmp_path, '[batch]\nmax_rows = 7\n[store]\nurl = "clickhouse://u:s3cret@h:1/d"\n')
        told: dict[str, Any] = {
            "changed": [
                {"key": "batch.max_rows", "old": 50_000, "new": 7},
                {"key": "store.url", "old": "chdb:", "new": "clickhouse://u:***@h:1/d"},
            ],
            "restart": ["store.url"],
        }
        assert await reload(running, dry_run=True) == {**told, "applied": False}
        assert running.supervisor.cfg.batch.max_rows == 50_000
        assert await reload(running) == {**told, "applied": True}
        assert running.supervisor.cfg.batch.max_rows == 7
        assert running.supervisor.cfg.store.url == "chdb:", "what takes a restart is not in effect"
        assert (await reload(running))["changed"] == told["changed"][1:]

    play(tmp_path, story)


@pytest.mark.parametrize("text", ["[batch]\nmax_rows = 7\nmax_age = 3000000\n", "[batch", "[http]\nno = 1\n"])
def test_a_wrong_configuration_changes_nothing_and_says_where_it_is_wrong(text: str, tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        before = running.supervisor.cfg
        write(tmp_path, text)
        with pytest.raises(ConfigError, match=r"options\.toml"):
            await reload(running)
        assert running.supervisor.cfg is before
        assert await told(running, "worker 0") == 0

    play(tmp_path, story)


async def told(running: Running, name: str) -> int:
    """How often a (fake) child was told new options."""
    child = next(one for one in running.supervisor.crew.children("worker") if one.name == name)
    return int(await child.channel.call("reloads", 30))


def test_every_child_is_told_and_one_that_starts_later_has_them(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        write(tmp_path, "[http]\nretry_after = 9\n")
        await reload(running)
        assert [await told(running, name) for name in ("worker 0", "worker 1")] == [1, 1]
        before = running.pid("worker 0")
        os.kill(before or 0, 9)
        await running.until(lambda: running.pid("worker 0") not in (None, before))
        await running.ready()
        child = next(one for one in running.supervisor.crew.children("worker") if one.name == "worker 0")
        assert await child.channel.call("retry_after", 30) == 9
        assert await told(running, "worker 0") == 0

    play(tmp_path, story)


def test_one_that_does_not_answer_is_named_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trackflowd.crew.TAKEN_IN", 0.2)

    async def story(running: Running) -> None:
        await running.ready()
        os.kill(running.pid("worker 1") or 0, 19)
        write(tmp_path, "[http]\nretry_after = 9\n")
        assert (await reload(running))["applied"]
        os.kill(running.pid("worker 1") or 0, 18)
        assert await told(running, "worker 1") == 1

    play(tmp_path, story)
    assert "worker 1 has not said that it took on the options" in caplog.text


def test_workers_come_and_go_with_their_number_and_listeners_follow(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        crew = running.supervisor.crew
        await running.ready()
        crew.page.slot("worker", 1).set("requests", 5)
        stays = running.pid("worker 0")
        for count in (3, 1, 2, 1, 3, 2):
            wish(running, f"daemon.workers={count}")
            assert [each["key"] for each in (await reload(running))["changed"]] == ["daemon.workers"]
            assert crew.page.workers == count
            await running.until(partial(settled, running, count))
            assert {await running.knock() for _ in range(20)} <= {running.pid(f"worker {n}") for n in range(count)}
        assert running.pid("worker 0") == stays
        assert (await running.commands.status())["totals"]["requests"] >= 125, "counts of those that are gone stay"

    play(tmp_path, story)


def settled(running: Running, count: int) -> bool:
    """Whether so many workers serve, and share the listeners."""
    crew = running.supervisor.crew
    serving = [seat.index for seat in crew.workers if seat.phase is Phase.READY]
    return serving == list(range(count)) and [crew.page.owners[i] for i in range(12)] == [i % count for i in range(12)]


def wish(running: Running, *sets: str) -> None:
    """Have these options found at the next reload."""
    source = running.supervisor.reloader._source
    assert source is not None
    running.supervisor.reloader._source = config.Source(source.path, [*source.sets, *sets], source.env)


def test_a_surplus_worker_is_not_cut_off_and_may_be_taken_back(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        crew = running.supervisor.crew
        await running.ready()
        seat, pid = crew.workers[1], running.pid("worker 1")
        os.kill(pid or 0, 19)  # as one whose clients take their time
        crew._resize(1)
        await running.until(lambda: [crew.page.owners[i] for i in range(12)] == [0] * 12)
        assert (seat.retired, crew.workers) == (True, [crew.workers[0], seat])
        states = {row["slot"]: row["state"] for row in await running.commands.processes() if row["role"] == "worker"}
        assert states == {0: "ready", 1: "draining"}
        crew._resize(2)
        assert not seat.retired
        os.kill(pid or 0, 18)
        await running.until(lambda: crew.page.owners[1] == 1)
        assert running.pid("worker 1") == pid

    play(tmp_path, story)


def test_one_that_has_ended_meanwhile_is_started_anew(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        crew = running.supervisor.crew
        await running.ready()
        before = running.pid("worker 1")
        crew._resize(1)
        await running.until(lambda: len(crew.workers) == 1)
        crew._resize(2)
        await running.until(lambda: crew.page.owners[1] == 1)
        assert running.pid("worker 1") not in (None, before)
        child = crew.child(crew.workers[1])
        assert child is not None and child.state is State.READY
        assert crew.workers[1].restarts == 0

    play(tmp_path, story)


def test_nothing_is_begun_once_the_daemon_is_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.crew.TAKEN_IN", 0.1)

    async def story(running: Running) -> None:
        await running.ready()
        os.kill(running.pid("worker 0") or 0, 19)
        running.supervisor.queue("SIGTERM")
        await running.until(lambda: running.supervisor.stopping)
        wish(running, "daemon.workers=3")
        with pytest.raises(ControlError, match="is stopping"):
            await reload(running)
        await running.supervisor.reloader.log_from("info")
        assert all(seat.retired for seat in running.supervisor.crew.workers)
        os.kill(running.pid("worker 0") or 0, 18)
        assert await running.over == 0

    play(tmp_path, story)


def test_hup_says_in_the_log_what_came_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        with caplog.at_level(logging.INFO, "trackflowd"):
            await running.supervisor.reloader.by_signal()
            write(tmp_path, "[batch]\nmax_rows = 7\nmax_age = true\n")
            await running.supervisor.reloader.by_signal()
            write(tmp_path, "[batch]\nmax_rows = 7\n[dedup]\nmax_ids = 5000\n")
            await running.supervisor.reloader.by_signal()

    play(tmp_path, story)
    said = [record.getMessage() for record in caplog.records if "SIGHUP" in record.getMessage()]
    assert said[0] == "SIGHUP: no option has changed"
    assert said[1].startswith("SIGHUP: the options stay as they are") and "batch.max_age" in said[1]
    assert said[2] == "SIGHUP: batch.max_rows taken on; dedup.max_ids changed, which takes a restart"


def test_a_daemon_started_without_options_to_be_read_again_says_so(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        with pytest.raises(ControlError, match="without a configuration"):
            await Reloader(running.supervisor, None).reload(False)

    play(tmp_path, story)


def test_two_reloads_at_a_time_come_one_after_the_other(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        write(tmp_path, "[batch]\nmax_rows = 7\n")
        first, second = await asyncio.gather(reload(running), reload(running))
        assert len(first["changed"]) + len(second["changed"]) == 1

    play(tmp_path, story)


def test_values_are_compared_and_taken_by_key() -> None:
    old = config.load(None, ["daemon.data_dir=/x"], {})
    new = config.load(None, ["daemon.data_dir=/y", "http.max_body=2KiB", "batch.max_rows=9"], {})
    assert changed(old, new) == ["daemon.data_dir", "http.max_body", "control.socket", "batch.max_rows"]
    mixed = with_values(old, new, ["http.max_body"])
    assert changed(old, mixed) == ["http.max_body"]
    assert mixed.http.max_body == 2048


def test_an_automatic_size_of_rings_stays_when_the_number_of_workers_changes() -> None:
    one = config.load(None, ["daemon.workers=1"], {})
    many = config.load(None, ["daemon.workers=64"], {}, one)
    assert many.ring.size == one.ring.size
    assert config.load(None, ["ring.size=1MiB"], {}, one).ring.size == 2**20


def test_these_options_may_change_and_each_is_taken_on_by_the_process_that_reads_it() -> None:
    """Workers take on http, geo and (with the supervisor: test_sealing, test_sealed) tls, the flusher spool, batch and
    query, all of them log: test_…_operate; those of sites go into the snapshot: test_commands_sites, test_snapshot."""
    live = {"log", "http", "geo", "spool", "batch", "query", "tls", "sites"}
    meant = {key for key in OPTIONS if key.partition(".")[0] in live} - {"http.listen", "http.backlog"}
    meant |= {"daemon.workers", "daemon.drain_timeout"}
    assert {key for key, row in OPTIONS.items() if row.spec.reload} == meant
