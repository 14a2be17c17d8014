"""``trackflow stack`` with a real engine: the life of a container's task, and what comes between.

The images are stand-ins (tests/stack_files.py says for what); the engine, the daemon and PostgreSQL are real.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.dockerd import Dockerd
from tests.process.harness import PATIENCE, ROOT, fetch, until
from tests.stack_files import NAME, StackFile, free_ports

_COMMAND = "import sys; from trackflowd.cli import operator; sys.exit(operator(sys.argv[1:]))"


@pytest.fixture(scope="module")
def engine() -> Iterator[Dockerd]:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("this machine cannot mount its packages into Debian 12's image: its Python is not 3.11")
    with Dockerd() as running:
        running.base()
        yield running


class Stack:
    """The command, in a directory of its own."""

    def __init__(self, engine: Dockerd, directory: Path) -> None:
        self.engine = engine
        self.file = StackFile(directory)
        self.env = {**os.environ, "DOCKER_HOST": engine.url, "TRACKFLOW_STACK": str(self.file.path)}
        self.words = [sys.executable, "-c", _COMMAND, "--data-dir", os.path.relpath(directory / "data", ROOT), "stack"]

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.words, *words], cwd=ROOT, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        process = self.begin(*words)
        said, wrong = process.communicate(timeout=4 * PATIENCE)
        return process.returncode, said, wrong

    def up(self, *words: str, code: int = 0) -> dict[str, list[str]]:
        """The phases each container went through."""
        got, said, wrong = self.run("up", "--json", *words)
        assert got == code, said + wrong
        phases: dict[str, list[str]] = {}
        for row in map(json.loads, said.splitlines()):
            through = phases.setdefault(row["args"]["name"], [])
            if through[-1:] != [row["phase"]]:
                through.append(row["phase"])
        return phases

    def status(self) -> dict[str, Any]:
        """Each container's row."""
        rows = json.loads(self.run("status", "--json")[1])
        return {row["args"]["name"]: row for row in rows}

    def container(self, name: str) -> Any:
        return self.engine.client.containers.get(f"{NAME}-{name}")


@pytest.fixture(scope="module")
def started(engine: Dockerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that was brought up once, with the ways its containers went."""
    stack = Stack(engine, tmp_path_factory.mktemp("stack"))
    stack.ways = stack.up()  # type: ignore[attr-defined]
    yield stack
    stack.run("rm", "--volumes")


@pytest.fixture
def stack(started: Stack) -> Stack:
    """The same, with everything healthy."""
    started.file.write()
    started.up()
    return started


@pytest.fixture
def small(engine: Dockerd, tmp_path: Path) -> Iterator[Stack]:
    """A stack of one container, to be made wrong."""
    made = Stack(engine, tmp_path)
    only = {"image": "python:3.11-slim-bookworm", "command": ["sleep", "1000"], "stop": 1, "restarts": 1}
    made.file.containers = {"one": only}
    made.file.write()
    yield made
    made.run("rm")


def history(row: dict[str, Any]) -> str:
    return " | ".join(event["text"] for event in row["history"])


def test_containers_come_up_after_those_they_need_and_events_go_through_them(started: Stack) -> None:
    ways = started.ways  # type: ignore[attr-defined]
    assert ways == {name: ["pending", "starting", "healthy"] for name in ("clickhouse", "daemon")}
    rows = started.status()
    assert {name: row["phase"] for name, row in rows.items()} == {"clickhouse": "healthy", "daemon": "healthy"}
    times = {name: {event["text"]: event["at_ms"] for event in row["history"]} for name, row in rows.items()}
    assert times["daemon"]["starting"] >= times["clickhouse"]["healthy"]
    assert all(row["container"]["memory"] > 2**20 and row["container"]["cpu"] >= 0 for row in rows.values())
    url = f"http://127.0.0.1:{started.file.ports['daemon']}/v1/events"
    event = {"site": "s", "name": "pageview", "url": "https://s.example/", "id": str(uuid.uuid4())}
    assert fetch(url, json.dumps(event).encode()) == (200, {"accepted": 1, "refused": []})
    tool = ["python3", "-c", _COMMAND, "--data-dir", "/data/daemon"]
    assert started.container("daemon").exec_run([*tool, "flush"])[0] == 0
    code, said = started.container("daemon").exec_run([*tool, "query", "--json", "SELECT count() AS n FROM events"])
    assert (code, json.loads(said)["n"]) == (0, 1)


def test_a_container_removed_behind_our_back_is_seen_and_made_again_with_its_data(stack: Stack) -> None:
    stack.container("clickhouse").remove(force=True)
    row = stack.status()["clickhouse"]
    assert (row["phase"], row["state"]) == ("failed", "failed")
    assert row["error"]["text"] == "its container was removed behind our back"
    assert "trackflow stack up" in row["error"]["hint"]
    assert stack.run("status")[0] == 1
    assert stack.up()["clickhouse"] == ["pending", "starting", "healthy"]
    tool = ["python3", "-c", _COMMAND, "--data-dir", "/data/daemon"]
    query = [*tool, "query", "--json", "SELECT count() AS n FROM events"]
    until(lambda: stack.container("daemon").exec_run(query)[1].strip() == b'{"n":1}')


def test_a_container_stopped_behind_our_back_is_stopped(stack: Stack) -> None:
    stack.container("clickhouse").stop(timeout=1)
    row = stack.status()["clickhouse"]
    assert (row["phase"], row["state"], row["error"]) == ("stopped", "done", None)
    assert "behind our back" in history(row)


def test_an_up_that_is_killed_halfway_is_gone_on_with(stack: Stack) -> None:
    assert stack.run("rm")[0] == 0
    process = stack.begin("up", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["phase"] == "starting":
            break
    code, said, wrong = stack.run("down")
    assert code == 1 and "another `trackflow stack` is at work" in wrong, said + wrong
    assert stack.run("status")[0] == 0  # looks all the same
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert stack.status()["clickhouse"]["phase"] in ("pending", "starting", "healthy")
    stack.up()
    assert {row["phase"] for row in stack.status().values()} == {"healthy"}


def test_a_container_that_dies_is_started_again_by_the_engine(stack: Stack) -> None:
    container = stack.container("daemon")
    os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)
    until(lambda: stack.status()["daemon"]["container"]["restarts"] == 1)
    until(lambda: stack.status()["daemon"]["phase"] == "healthy")


def test_after_the_engine_has_begun_again_its_containers_are_found(stack: Stack) -> None:
    stack.engine.stop()
    code, _, wrong = stack.run("status")
    assert code == 1 and "no Docker engine answers" in wrong and "systemctl start docker" in wrong
    stack.engine.start()
    until(lambda: {row["phase"] for row in stack.status().values()} == {"healthy"})


def test_down_stops_and_rm_removes_and_the_records_stay(stack: Stack) -> None:
    assert stack.run("down")[0] == 0
    assert {row["phase"] for row in stack.status().values()} == {"stopped"}
    assert stack.container("daemon").attrs["State"]["ExitCode"] == 0  # it drained
    assert stack.run("rm", "--volumes")[0] == 0
    assert stack.engine.client.containers.list(all=True) == []
    assert stack.engine.client.volumes.list() == []
    row = stack.status()["daemon"]
    assert row["phase"] == "stopped" and "stopped: removed" in history(row)


def test_another_store_is_picked_and_only_what_is_named_is_started(stack: Stack) -> None:
    assert stack.run("down")[0] == 0
    assert set(stack.up("--store", "postgresql")) == {"postgresql", "daemon"}
    assert stack.run("down")[0] == 0
    assert set(stack.up("clickhouse", "postgresql")) == {"clickhouse", "postgresql"}


def test_the_tests_of_stores_run_against_what_it_has_started(stack: Stack) -> None:
    stack.up("postgresql")
    one = "tests/test_sink_contract.py::test_a_batch_is_counted_by_its_id_and_partition"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{one}[clickhouse]", f"{one}[postgresql]"]
    env = {**stack.env, "TRACKFLOW_TEST_DOCKER": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=4 * PATIENCE)
    assert "stores: clickhouse docker, postgresql docker" in done.stdout and "2 passed" in done.stdout, done.stdout
    assert stack.run("rm", "--volumes")[0] == 0


def test_on_a_network_of_their_own_they_know_each_other_by_name(small: Stack) -> None:
    try:
        small.engine.client.networks.create("probe").remove()
    except docker.errors.APIError as error:
        pytest.skip(f"this machine cannot make a bridge: {error.explanation}")
    (port,) = free_ports(1)

    def asks(url: str) -> dict[str, Any]:
        return {"health": ["python3", "-c", f"import urllib.request; urllib.request.urlopen('{url}/etc/hello')"]}

    one = small.file.containers["one"]
    serving = ["python3", "-m", "http.server", "8000", "--directory", "/"]
    web = one | asks("http://127.0.0.1:8000") | {"command": serving, "ports": [f"127.0.0.1:{port}:8000"]}
    small.file.containers = {
        "web": web | {"files": {"/etc/hello": "hello"}},
        "asker": one | asks("http://web:8000") | {"needs": ["web"]},
        "beside": one | asks("http://127.0.0.1:8000") | {"needs": ["web"], "network": "container:web"},
    }
    small.file.network = "bridge"
    small.file.write()
    assert {ways[-1] for ways in small.up().values()} == {"healthy"}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/etc/hello", timeout=PATIENCE) as answer:
        assert answer.read() == b"hello"
    assert small.run("rm")[0] == 0
    assert {network.name for network in small.engine.client.networks.list()} == {"host", "none"}


def test_an_image_that_is_not_here_and_cannot_be_fetched_fails_with_what_to_do(small: Stack) -> None:
    small.file.containers["one"]["image"] = "127.0.0.1:9/nobody:1"
    small.file.write()
    assert small.up(code=1) == {"one": ["pending", "pulling", "failed"]}
    error = small.status()["one"]["error"]
    assert "image 127.0.0.1:9/nobody:1 is not here" in error["text"] and "docker save" in error["hint"]


def test_a_port_that_is_taken_is_named(small: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        small.file.containers["one"]["ports"] = [f"127.0.0.1:{port}:80"]
        small.file.write()
        small.up(code=1)
        error = small.status()["one"]["error"]
        assert f"127.0.0.1:{port} cannot be had" in error["text"] and "ss -ltnp" in error["hint"]
    assert small.up() == {"one": ["pending", "starting", "healthy"]}


def test_a_container_that_ends_again_and_again_is_given_up_with_its_last_words(small: Stack) -> None:
    small.file.containers["one"] |= {"command": ["sh", "-c", "echo no bread >&2; exit 3"], "health": ["false"]}
    small.file.write()
    assert small.up(code=1)["one"][-1] == "failed"
    row = small.status()["one"]
    assert "ended with code 3" in row["error"]["text"] and "no bread" in row["error"]["text"]
    assert "no bread" in small.run("logs", "one")[1]
    small.file.containers["one"]["command"] = ["sleep", "1000"]
    small.file.containers["one"]["health"] = []
    small.file.write()
    assert small.up()["one"][-1] == "healthy"  # made anew, as the file has it now
