from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.supervised import Running, play, settings
from trackflowd.drain import LEFT, STORED, Stage
from trackflowd.errors import ConfigError, DataDirError
from trackflowd.fleet import Phase
from trackflowd.ring import file
from trackflowd.supervisor import Supervisor
from trackflowd.tail import Watcher


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_it_starts_says_so_once_and_drains_with_code_0(tmp_path: Path) -> None:
    said: list[Mapping[str, Any]] = []

    async def story(running: Running) -> None:
        await running.ready()
        await running.until(lambda: said)
        pids = [running.pid(name) for name in ("flusher", "worker 0", "worker 1")]
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running.over == STORED
        assert all(pid and gone(pid) for pid in pids)

    play(tmp_path, story, on_ready=said.append)
    assert len(said) == 1
    assert said[0]["health"]["ready"]
    assert (tmp_path / "data" / "lock").read_text() == ""
    assert not (tmp_path / "data" / "control.sock").exists()


def test_readiness_flips_before_anything_closes_and_then_nobody_listens(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        os.kill(running.pid("worker 0") or 0, signal.SIGSTOP)  # holds the drain up
        running.supervisor.queue("SIGTERM")
        await running.until(lambda: running.supervisor.drain.stage is Stage.WORKERS)
        assert running.supervisor.health.reason == "stopping"
        assert not running.supervisor._readyz()[0]
        os.kill(running.pid("worker 0") or 0, signal.SIGCONT)
        await running.over
        with pytest.raises(ConnectionRefusedError):
            await running.knock()

    play(tmp_path, story)


def test_a_killed_worker_is_replaced_and_its_listener_served_meanwhile(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        first = running.pid("worker 0")
        assert first
        os.kill(first, signal.SIGKILL)
        answered = {await running.knock() for _ in range(20)}
        assert first not in answered
        await running.ready()
        assert running.pid("worker 0") not in (None, first)
        assert running.supervisor.crew.workers[0].restarts == 1
        owners = running.supervisor.crew.page.owners
        await running.until(lambda: [owners[0], owners[1]] == [0, 1])

    play(tmp_path, story)


def test_a_stopped_worker_loses_its_listeners_and_gets_them_back(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        pid = running.pid("worker 1") or 0
        owners = running.supervisor.crew.page.owners
        os.kill(pid, signal.SIGSTOP)
        await running.until(lambda: owners[1] == 0)
        assert {await running.knock() for _ in range(20)} == {running.pid("worker 0")}
        os.kill(pid, signal.SIGCONT)
        await running.until(lambda: owners[1] == 1)
        assert running.pid("worker 1") == pid

    play(tmp_path, story)


def test_a_hanging_flusher_is_killed_reaped_and_then_replaced(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        first = running.pid("flusher")
        assert first
        hanging = asyncio.ensure_future(running.order("hang"))
        await running.until(lambda: running.pid("flusher") not in (None, first))
        assert gone(first)
        await running.ready()
        with pytest.raises(Exception, match="ended before it answered"):
            await hanging

    play(tmp_path, story, "daemon.stall_after=1")


def test_a_flusher_that_dies_in_the_drain_is_started_again_to_finish_it(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        flusher = running.pid("flusher") or 0
        os.kill(flusher, signal.SIGSTOP)
        running.supervisor.queue("SIGTERM")
        await running.until(lambda: running.supervisor.drain.stage is Stage.FLUSHER)
        os.kill(flusher, signal.SIGKILL)
        assert await running.over == STORED
        assert running.supervisor.crew.flusher.restarts == 1

    play(tmp_path, story)


def test_a_second_signal_hurries_and_what_stays_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        ring = file.open_for_writer(tmp_path / "data" / "rings", 0, 65536)
        ring.writer.append([(bytes(16), 1, 1, 0, b"x")])
        ring.writer.publish()
        os.kill(running.pid("flusher") or 0, signal.SIGSTOP)
        running.supervisor.queue("SIGTERM")
        running.supervisor.queue("SIGTERM")
        assert await running.over == LEFT

    play(tmp_path, story, "daemon.drain_timeout=1h", "daemon.stall_after=1h")
    assert any("bytes of events stay in 1 rings" in record.getMessage() for record in caplog.records)


def test_what_stays_in_the_spool_is_said_and_counts_as_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        (tmp_path / "data" / "spool" / f"{1:032x}.segment").write_bytes(b"x" * 100)
        running.supervisor.queue("SIGTERM")
        assert await running.over == LEFT

    play(tmp_path, story)
    assert any("1 segments in the spool (100 bytes)" in record.getMessage() for record in caplog.records)


def test_a_worker_that_does_not_drain_is_killed_in_time_for_the_flusher(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        os.kill(running.pid("worker 0") or 0, signal.SIGSTOP)
        running.supervisor.queue("SIGTERM")
        assert await running.over == STORED
        assert running.supervisor.crew.workers[0].phase is Phase.ENDED
        assert running.supervisor.crew.flusher.phase is Phase.ENDED  # by itself, with code 0

    play(tmp_path, story, "daemon.drain_timeout=2")


def test_rows_are_asked_for_only_while_somebody_watches(tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = []

    async def story(running: Running) -> None:
        await running.ready()
        while not rows:
            await running.knock()
        os.kill(running.pid("worker 0") or 0, signal.SIGKILL)  # its successor is told too
        await running.ready()
        while not any(row["slot"] == 0 for row in rows[1:]):
            await running.knock()

    play(tmp_path, story, on_event=rows.append)


def test_nobody_watching_costs_workers_nothing(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        await running.knock()
        crew = running.supervisor.crew
        assert not any("tail" in child.told for child in crew.children("worker"))
        watcher = Watcher("", "", lambda row: True)
        running.supervisor.tail.add(watcher)
        await running.until(lambda: all("tail" in child.told for child in crew.children("worker")))
        running.supervisor.tail.remove(watcher)
        await running.until(lambda: not any("tail" in child.told for child in crew.children("worker")))

    play(tmp_path, story)


def test_probes_are_told_apart(tmp_path: Path) -> None:
    async def probe(running: Running, path: str) -> tuple[int, dict[str, Any]]:
        host, _, port = running.supervisor.admin.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split()[1]), json.loads(body)

    async def story(running: Running) -> None:
        await running.ready()
        assert await probe(running, "/readyz") == (200, {"ready": True})
        await running.order("store 2")
        await running.until(lambda: running.supervisor.health.reason.startswith("store away: as told"))
        assert await probe(running, "/readyz") == (503, {"ready": False, "reason": "store away: as told"})
        assert (await probe(running, "/healthz"))[0] == 200
        await running.order("store 1")
        await running.until(lambda: running.supervisor.health.ready)

    play(tmp_path, story)


def test_salts_are_there_before_the_first_child(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.until(lambda: running.supervisor.crew.page.generation)
        assert running.supervisor.crew.empty or running.supervisor.crew.page.generation
        snapshot = msgpack.unpackb((tmp_path / "data" / "snapshot.msgpack").read_bytes())
        assert snapshot["generation"] == running.supervisor.crew.page.generation
        assert len(snapshot["salts"]) == 3

    play(tmp_path, story)


def test_salts_are_renewed_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.snapshot.SALTS_EVERY", 0.0)

    async def story(running: Running) -> None:
        await running.ready()
        first = running.supervisor.crew.page.generation
        running.supervisor.state._db.execute("DELETE FROM salts")
        await running.until(lambda: running.supervisor.crew.page.generation > first)

    play(tmp_path, story)


def test_a_second_daemon_on_the_same_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        with pytest.raises(DataDirError, match=f"process {os.getpid()}"):
            Supervisor(settings(tmp_path), None, None)
        await running.knock()

    play(tmp_path, story)


def test_a_data_dir_that_is_no_disk_is_warned_of_under_durability_disk_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trackflowd.supervisor.doubt_of_durability", lambda directory: f"{directory} is on tmpfs")

    async def story(running: Running) -> None:
        await running.knock()

    play(tmp_path, story)
    assert "is on tmpfs" not in caplog.text
    play(tmp_path, story, "ring.durability=disk")
    assert caplog.text.count("is on tmpfs") == 1


def test_a_taken_port_keeps_it_from_starting_and_leaves_the_directory_free(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        raise AssertionError("must not start")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for _ in range(2):
            with pytest.raises(ConfigError, match=f"port {port} is taken"):
                play(tmp_path, story, f"http.listen=127.0.0.1:{port}")


def test_hup_reads_the_options_again_where_there_is_no_terminal(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        (tmp_path / "options.toml").write_text("[batch]\nmax_rows = 77\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await running.until(lambda: running.supervisor.cfg.batch.max_rows == 77)
        assert running.supervisor.drain.stage is Stage.SERVING

    play(tmp_path, story)
