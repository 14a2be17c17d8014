"""The control socket of the real daemon: who may do what, many clients, deaf ones, and what an operator does by it."""

from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.process.harness import PATIENCE, Daemon, until
from tests.process.sender import event_of
from trackflowd import cli, control
from trackflowd.client import Client
from trackflowd.errors import ControlError
from trackflowd.proto.control import Decoder, encode

#: Somebody who is neither root nor the daemon's user.
NOBODY = 65534
#: Says what it is given on the socket and prints the answers as hex; the standard library alone, for who may read
#: nothing else here.
STRANGER = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.settimeout(30)
    try:
        sock.connect(sys.argv[1])
    except PermissionError:
        raise SystemExit("no access")
    sock.sendall(bytes.fromhex(sys.argv[2]))
    raw = b""
    while part := sock.recv(65536):
        raw += part
        if raw.count(b"\\xa2ok") >= int(sys.argv[3]):
            break
print(raw.hex())
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory everybody may look into, as /run/trackflow is."""
    with tempfile.TemporaryDirectory(prefix="trackflow-") as path:
        os.chmod(path, 0o755)
        yield Path(path)


@pytest.fixture(scope="module")
def daemon(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("control")
    path = place / "control.sock"
    running = Daemon(directory, "store.url=null:", f"control.socket={path}")
    running.socket = path
    with running:
        yield running


def ask_as(group: int, daemon: Daemon, *names: str) -> list[dict[str, Any]] | None:
    """What nobody, of that group, is answered; None: it may not connect."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    requests = b"".join(encode({"id": n, "name": name}) for n, name in enumerate(names, 1))
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={group}", "--clear-groups", os.path.realpath(sys.executable)]
    words += ["-I", "-S", "-c", STRANGER, str(daemon.socket), requests.hex(), str(len(names))]
    done = subprocess.run(words, cwd="/", capture_output=True, text=True, timeout=PATIENCE, check=False)
    if "no access" in done.stderr:
        return None
    assert done.returncode == 0, done.stderr
    _, *answers = Decoder().feed(bytes.fromhex(done.stdout))
    return sorted(answers, key=lambda answer: int(answer["id"]))


def test_who_is_in_the_group_may_look_and_may_not_act(daemon: Daemon) -> None:
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660
    answers = ask_as(os.getegid(), daemon, "status", "tail", "drain", "pause", "reload", "config")
    assert answers is not None
    outcome = {answer["id"]: answer.get("error", {}).get("code", "ok") for answer in answers}
    refused = "not_permitted"
    assert outcome == {1: "ok", 2: "ok", 3: refused, 4: refused, 5: refused, 6: "ok"}
    status = daemon.status()
    assert status["health"]["ready"] and not status["sink"]["paused"]
    (entry,) = [entry for entry in daemon.call("audit") if entry["uid"] == NOBODY]  # the first; more a minute later
    assert entry["command"] in {"drain", "pause", "reload"}, "asked at once, they may be answered in any order"
    assert (entry["ok"], entry["code"]) == (False, refused)


def test_who_is_not_in_the_group_may_not_even_connect(daemon: Daemon) -> None:
    assert ask_as(NOBODY, daemon, "version") is None


def test_orders_are_noted_in_a_file_of_the_owners(daemon: Daemon) -> None:
    daemon.call("flush")
    path = daemon.data_dir / "audit.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    newest = daemon.call("audit", limit=1)[0]
    assert (newest["command"], newest["uid"], newest["pid"], newest["ok"]) == ("flush", os.geteuid(), os.getpid(), True)
    assert "flush by" in daemon.log()


def test_a_thousand_idle_clients_keep_nobody_out(daemon: Daemon) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    idle: list[socket.socket] = []
    try:
        with daemon.client() as early:
            for _ in range(1000):
                sock = socket.socket(socket.AF_UNIX)
                idle.append(sock)
                sock.settimeout(PATIENCE)
                sock.connect(str(daemon.socket))
                assert early.call("version")["protocol"] == 1, "who asks now and then is not idle longest"
            assert daemon.status()["health"]["ready"]
            first = Decoder()
            raw = b""
            while part := idle[0].recv(65536):
                raw += part
            _, told = first.feed(raw)
            assert told["error"]["code"] == "too_many_clients"
        own = psutil.Process(daemon.pid("supervisor"))
        assert own.num_fds() < control.MAX_CLIENTS + control.RESERVED + 100
    finally:
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clients_that_do_not_read_hold_nobody_up(daemon: Daemon) -> None:
    deaf = [daemon.client() for _ in range(8)]
    try:
        streams: list[tuple[str, dict[str, Any]]] = [
            ("watch", {"interval": 0.2}),
            ("tail", {}),
            ("log", {"lines": 2000}),
        ]
        for client in deaf:
            for name, args in streams:
                client._request(name, args)  # and nothing of it is ever read
        before = psutil.Process(daemon.pid("supervisor")).memory_info().rss
        for n in range(200):
            assert daemon.post(event_of(n, 0))[0] == 200
        began = time.monotonic()
        assert daemon.status()["health"]["ready"]
        assert time.monotonic() - began < PATIENCE
        daemon.flush()
        grown = psutil.Process(daemon.pid("supervisor")).memory_info().rss - before
        assert grown < len(deaf) * 3 * control.MAX_LAG
    finally:
        for client in deaf:
            client.close()


def test_the_status_is_watched_as_it_changes(daemon: Daemon) -> None:
    with daemon.client() as client:
        stream = client.stream("watch", interval=0.2)
        first = next(stream)
        accepted = first["totals"]["events_accepted"]
        assert daemon.post(event_of(10_000, 0))[0] == 200
        assert any(status["totals"]["events_accepted"] > accepted for status in stream)


def test_lines_of_every_process_are_in_the_log_and_come_as_they_are_said(daemon: Daemon) -> None:
    with daemon.client() as client:
        stream = client.stream("log", lines=0, follow=True)
        killed = daemon.kill("worker 1")
        assert any(f"worker 1 (process {killed}) was killed" in line["text"] for line in stream)
        assert any("worker 1 is ready" in line["text"] for line in stream)
    with daemon.client() as client:
        said = list(client.stream("log", lines=2000, follow=False))
    assert {line["process"] for line in said} >= {"supervisor", "flusher"}
    assert [line["at_ms"] for line in said] == sorted(line["at_ms"] for line in said)


def test_the_level_of_the_log_changes_in_every_process(daemon: Daemon) -> None:
    daemon.call("loglevel", level="error")
    before = len(daemon.log())
    killed = daemon.kill("worker 0")
    daemon.await_status(lambda status: daemon.pids().get("worker 0") not in (None, killed))
    daemon.await_status(lambda status: all(row["state"] == "ready" for row in status["processes"]))
    assert daemon.log()[before:] == ""
    daemon.call("loglevel", level="debug")


def test_the_seconds_behind_add_up(daemon: Daemon) -> None:
    for n in range(20):
        daemon.post(event_of(20_000 + n, 0))

    def counted() -> bool:
        series = daemon.call("history", seconds=60)["series"]
        return sum(value or 0.0 for value in series["events_s"]) >= 15.0

    until(counted)


def test_with_no_database_no_place_is_known(daemon: Daemon) -> None:
    found = daemon.call("geo", ip="81.2.69.142")
    assert (found["country"], found["database"], found["age_days"]) == ("", None, None)


def test_the_tool_does_all_of_it(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    def tool(*words: str) -> str:
        assert cli.operator(["--socket", str(daemon.socket), *words]) == 0
        return capsys.readouterr().out

    assert "protocol 1" in tool("version")
    assert "worker 1" in tool("processes")
    assert "slot 0" in tool("rings")
    assert 'store.url = "null:"' in tool("config")
    assert "events/s" in tool("history")
    assert "is ready" in tool("log")
    assert "done" in tool("audit")
    assert "none (`trackflow geo update`" in tool("geo", "ask", "81.2.69.142")
    assert "debug" in tool("loglevel", "debug")
    assert tool("pause").startswith("paused")
    assert "paused" in tool("status")
    assert tool("resume").startswith("resumed")


def test_while_it_is_paused_events_are_taken_and_wait_also_for_the_next_flusher(tmp_path: Path) -> None:
    with Daemon(tmp_path, "store.url=chdb:", "daemon.workers=1") as daemon:
        daemon.call("pause")
        until(lambda: daemon.ready() == (503, {"ready": False, "reason": daemon.status()["health"]["reason"]}))
        for n in range(50):
            assert daemon.post(event_of(n, 0))[0] == 200
        killed = daemon.kill("flusher")
        daemon.await_status(lambda status: daemon.pids().get("flusher 0") not in (None, killed))
        daemon.await_status(lambda status: all(row["state"] == "ready" for row in status["processes"]))
        with pytest.raises(ControlError, match="it is paused"):
            daemon.call("flush")
        assert daemon.rows("SELECT count() AS n FROM events")[0]["n"] in (0, "0")
        daemon.call("resume")
        daemon.flush()
        assert daemon.rows("SELECT count() AS n FROM events")[0]["n"] in (50, "50")
        daemon.call("pause")
        assert daemon.post(event_of(50, 0))[0] == 200
        assert daemon.stop() == 3, "what waits is left to the next start"
        daemon.start()
        daemon.flush()
        assert daemon.rows("SELECT count() AS n FROM events")[0]["n"] in (51, "51")


def test_a_client_of_another_protocol_is_told_so(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.proto.control.PROTOCOL", 2)
    with pytest.raises(ControlError, match="the daemon speaks protocol 1, this tool 2"):
        Client.connect(str(daemon.socket))
