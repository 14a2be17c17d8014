"""The real daemon, started as an operator starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.process.harness import Daemon, fetch, gone, until
from trackflowd.errors import ControlError, QueryError


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path, "store.url=null:") as running:
        yield running


def event(**more: Any) -> dict[str, Any]:
    return {"site": "shop", "name": "pageview", "url": "https://shop.example/", "id": str(uuid.uuid4()), **more}


def accepted(daemon: Daemon, count: int) -> None:
    """Post events one by one, each on a connection of its own, so on any worker."""
    for _ in range(count):
        assert daemon.post(event()) == (200, {"accepted": 1, "refused": []})


def test_its_processes_can_be_told_apart_in_ps(daemon: Daemon) -> None:
    titles = {psutil.Process(pid).cmdline()[0] for pid in daemon.pids().values()}
    assert titles == {"trackflowd: supervisor", "trackflowd: flusher", "trackflowd: worker 0", "trackflowd: worker 1"}


def test_a_killed_worker_is_replaced_and_events_are_taken_all_the_while(daemon: Daemon) -> None:
    killed = daemon.kill("worker 0")
    accepted(daemon, 10)
    daemon.await_status(lambda status: all(row["state"] == "ready" for row in status["processes"]))
    assert daemon.pid("worker 0") != killed
    accepted(daemon, 10)
    daemon.flush()
    assert daemon.status()["totals"]["rows_stored"] == 20


def test_a_killed_flusher_is_replaced_and_loses_nothing(daemon: Daemon) -> None:
    accepted(daemon, 5)
    killed = daemon.kill("flusher")
    accepted(daemon, 5)
    daemon.await_status(lambda status: status["health"]["ready"] and daemon.pid("flusher") != killed)
    daemon.flush()
    assert all(ring["used"] == 0 for ring in daemon.status()["rings"])


def test_a_stopped_worker_leaves_its_share_to_the_others(daemon: Daemon) -> None:
    stopped = daemon.kill("worker 0", signal.SIGSTOP)
    try:
        daemon.await_status(lambda status: any(row["state"] == "silent" for row in status["processes"]))
        accepted(daemon, 20)
    finally:
        os.kill(stopped, signal.SIGCONT)
    daemon.await_status(lambda status: all(row["state"] == "ready" for row in status["processes"]))
    assert daemon.pid("worker 0") == stopped


def test_a_stopped_flusher_is_killed_and_reaped_before_another_is_started(tmp_path: Path) -> None:
    with Daemon(tmp_path, "store.url=null:", "daemon.stall_after=2") as daemon:
        stopped = daemon.kill("flusher", signal.SIGSTOP)
        accepted(daemon, 5)
        daemon.await_status(lambda status: daemon.pid("flusher") != stopped and status["health"]["ready"])
        assert gone(stopped)
        daemon.flush()
        assert daemon.status()["totals"]["rows_stored"] == 5


def test_children_die_with_a_killed_supervisor_and_a_new_one_goes_on(daemon: Daemon) -> None:
    accepted(daemon, 5)
    pids = daemon.pids()
    daemon.kill("supervisor")
    daemon.wait()
    daemon.start()  # at once: locks and port may still be held by children on their way out
    assert all(gone(pid) for pid in pids.values())
    accepted(daemon, 5)
    daemon.flush()
    assert all(ring["used"] == 0 for ring in daemon.status()["rings"])


def test_a_new_supervisor_gets_the_port_of_the_killed_one(daemon: Daemon) -> None:
    port = daemon.http.rpartition(":")[2]
    daemon.sets = (*daemon.sets, f"http.listen=127.0.0.1:{port}")
    daemon.kill("supervisor")
    daemon.wait()
    daemon.start()
    assert daemon.http.endswith(port)
    accepted(daemon, 1)


def test_a_term_ends_it_with_code_0_and_everything_stored(tmp_path: Path) -> None:
    with Daemon(tmp_path, "store.url=chdb:", "batch.max_age=1h") as daemon:
        ids = [str(uuid.uuid4()) for _ in range(50)]
        for each in ids:
            assert daemon.post(event(id=each))[0] == 200
        assert daemon.stop() == 0
        assert "everything that was answered is stored" in daemon.log()
        assert not (daemon.data_dir / "control.sock").exists()
        daemon.start()
        assert sorted(row["event_id"] for row in daemon.rows("SELECT event_id FROM events")) == sorted(ids)


def _refused(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 30).close()
    except ConnectionRefusedError:
        return True
    return False


def test_readiness_flips_while_a_request_in_flight_is_still_answered(daemon: Daemon) -> None:
    host, _, port = daemon.http.removeprefix("http://").rpartition(":")
    body = b'{"site": "shop", "name": "pageview"}'
    head = b"POST /v1/events HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection((host, int(port)), 30) as client:
        client.sendall(head + body[:10])
        until(lambda: daemon.status()["totals"]["inflight_bytes"])
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: daemon.ready() == (503, {"ready": False, "reason": "stopping"}))
        until(lambda: _refused(host, int(port)))
        client.sendall(body[10:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert daemon.wait() == 0


def test_a_second_signal_hurries_and_the_next_start_stores_the_rest(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "store.url=clickhouse://127.0.0.1:1/x", "daemon.drain_timeout=1h")
    try:
        daemon.start(ready=False)
        daemon.await_status(lambda status: status["sink"]["state"] == "away")
        accepted(daemon, 3)
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: daemon.ready()[1].get("reason") == "stopping")
        assert daemon.stop() == 3
        assert "bytes of events stay in" in daemon.log()
        daemon.sets = (*daemon.sets, "store.url=null:")
        daemon.start()
        daemon.flush()
        assert daemon.status()["totals"]["rows_stored"] == 3
    finally:
        daemon.end()


def test_a_store_that_is_away_is_a_reason_and_no_obstacle(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "store.url=clickhouse://127.0.0.1:1/x")
    try:
        daemon.start(ready=False)
        until(lambda: daemon.ready()[1].get("reason", "").startswith("store away for "))
        assert fetch(daemon.admin + "/healthz")[0] == 200
        accepted(daemon, 3)
    finally:
        daemon.end()


def test_a_second_daemon_on_the_directory_says_who_has_it(daemon: Daemon) -> None:
    command = [sys.executable, "-m", "trackflowd.cli", "run", "--data-dir", str(daemon.data_dir)]
    command += ["--set", "http.listen=127.0.0.1:0", "--set", "admin.listen="]
    second = subprocess.run(command, env=daemon.env, capture_output=True, text=True, timeout=60)
    assert second.returncode != 0
    assert f"process {daemon.pid('supervisor')}" in second.stderr
    assert "Traceback" not in second.stderr
    accepted(daemon, 1)


def test_a_taken_port_is_named_with_how_to_see_who_has_it(daemon: Daemon, tmp_path: Path) -> None:
    port = daemon.http.rpartition(":")[2]
    command = [sys.executable, "-m", "trackflowd.cli", "run", "--data-dir", str(tmp_path / "other")]
    command += ["--set", f"http.listen=127.0.0.1:{port}"]
    second = subprocess.run(command, env=daemon.env, capture_output=True, text=True, timeout=60)
    assert second.returncode != 0
    assert f"port {port} is taken" in second.stderr
    assert "ss -ltnp" in second.stderr


def test_rows_are_seen_as_they_come_without_the_address(daemon: Daemon) -> None:
    with daemon.client() as client:
        stream = client.stream("tail", site="shop", name="signup")
        poster = threading.Thread(
            target=lambda: [daemon.post(event(name=name)) for name in ("pageview", "signup") * 40]
        )
        poster.start()  # again and again: workers learn of the watcher within a tick
        row = next(stream)
        poster.join()
        assert (row["site"], row["name"]) == ("shop", "signup")
        assert "127.0.0.1" not in str(row)


def test_commands_tell_what_they_are_asked(daemon: Daemon) -> None:
    assert daemon.call("version")["protocol"] == 1
    options = daemon.call("config")
    assert options["daemon.workers"] == 2
    assert {row["slot"] for row in daemon.call("rings")} == {0, 1}
    assert [row["role"] for row in daemon.call("processes")] == ["supervisor", "flusher", "worker", "worker"]
    with pytest.raises((QueryError, ControlError)):
        daemon.call("query", sql="SELECT 1")  # the null store answers no queries
    assert daemon.status()["listen"]["control"] == str(daemon.data_dir / "control.sock")


def test_drain_by_command_is_like_a_term(daemon: Daemon) -> None:
    accepted(daemon, 3)
    daemon.call("drain")
    assert daemon.wait() == 0
