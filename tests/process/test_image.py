"""The image that Dockerfile builds, run by a real engine, without a network while it is built."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.dockerd import Dockerd
from tests.process.harness import ROOT, fetch, until
from trackflowd import __version__

TAG = "trackflowd:test"


@pytest.fixture(scope="module")
def engine() -> Iterator[Dockerd]:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("this machine cannot fill Debian 12's image: make wheels gathers for another Python than 3.11")
    with Dockerd() as running:
        running.base()
        subprocess.run([sys.executable, "tools/wheels"], cwd=ROOT, check=True)
        running.client.images.build(path=str(ROOT), tag=TAG, network_mode="none", rm=True, forcerm=True)
        yield running


@pytest.fixture
def container(engine: Dockerd) -> Iterator[Any]:
    """A daemon as the image starts it, with ports of its own and a volume of its own, once it is healthy."""
    options = {
        "TRACKFLOW_HTTP_LISTEN": "127.0.0.1:0",
        "TRACKFLOW_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "TRACKFLOW_RING_SIZE": "1MiB",
    }
    made = engine.client.containers.run(TAG, detach=True, network_mode="host", environment=options)
    until(lambda: (made.reload(), made.attrs["State"]["Health"]["Status"] == "healthy")[1])
    yield made
    made.remove(force=True, v=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def inside(container: Any, *words: str) -> str:
    code, said = container.exec_run(list(words))
    assert code == 0, said.decode()
    text: str = said.decode()
    return text


def status(container: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(inside(container, "trackflow", "status", "--json"))
    return value


def post(container: Any, count: int) -> None:
    url = f"http://{status(container)['listen']['http'][0]}/v1/events"
    for _ in range(count):
        event = {"site": "shop", "name": "pageview", "url": "https://shop.example/", "id": str(uuid.uuid4())}
        assert fetch(url, json.dumps(event).encode()) == (200, {"accepted": 1, "refused": []})


def test_it_takes_events_as_nobody_special_and_drains_when_it_is_stopped(container: Any) -> None:
    pid = container.attrs["State"]["Pid"]
    assert psutil.Process(pid).uids().real == 8470
    assert f" {__version__}" in inside(container, "trackflowd", "--version")
    assert inside(container, "stat", "-c", "%U %a", "/var/lib/trackflow") == "trackflow 700\n"
    post(container, 20)
    container.stop(timeout=60)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
    assert "everything that was answered is stored" in container.logs().decode()


def test_what_it_was_killed_over_is_in_its_volume_and_stored_once_when_it_runs_again(container: Any) -> None:
    post(container, 20)
    container.kill()
    container.start()
    until(lambda: (container.reload(), container.attrs["State"]["Health"]["Status"] == "healthy")[1])
    post(container, 5)
    inside(container, "trackflow", "flush")
    rows = inside(container, "trackflow", "query", "--json", "SELECT count(*) AS n FROM events")
    assert json.loads(rows.splitlines()[0])["n"] in (25, "25")


def test_its_health_is_what_the_admin_listener_says(container: Any, engine: Dockerd) -> None:
    kind, *check = engine.client.images.get(TAG).attrs["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert container.exec_run(check)[0] == 0
    supervisor = psutil.Process(container.attrs["State"]["Pid"])
    supervisor.suspend()
    assert container.exec_run(check)[0] == 1
    supervisor.resume()
    assert container.exec_run(check)[0] == 0
