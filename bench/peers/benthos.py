"""Benthos, the engine of Redpanda Connect (Go, MIT): an HTTP input and a file, as event pipelines are built of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import free_port, program
from bench.peers.base import Peer, Server, installing, started
from bench.peers.python_apps import APPS

_MODULE, _VERSION = "github.com/redpanda-data/benthos/v4", "v4.60.0"
_CONFIG = """
http: {{ enabled: false }}
logger: {{ level: ERROR }}
input:
  http_server:
    address: 127.0.0.1:{port}
    path: /v1/events
    allowed_verbs: [POST]
    sync_response: {{ status: "200" }}
output:
  file:
    path: {dir}/events.jsonl
    codec: lines
"""


def _binary(cache: Path) -> Path:
    return cache / "go" / "benthos"


def _lacks(cache: Path) -> str:
    if _binary(cache).exists():
        return ""
    if not program("go"):
        return "benthos is not here, nor is Go to build it: apt-get install golang"
    return f"benthos is not in {cache / 'go'}: python -m bench peers --install (builds for about 2 minutes)"


def _install(cache: Path) -> None:
    """Build a main package of nothing but the parts that are used."""
    place = cache / "go" / "benthos-build"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    shutil.copyfile(APPS / "benthos" / "main.go", place / "main.go")
    env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    for words in (
        ["mod", "init", "trackflow.invalid/benthos"],
        ["get", f"{_MODULE}/public/service@{_VERSION}"],
        ["mod", "tidy"],
        ["build", "-trimpath", "-o", str(_binary(cache)), "."],
    ):
        installing(["go", *words], cwd=place, env=env)


@contextmanager
def _serve(work: Path, cache: Path) -> Iterator[Server]:
    port = free_port()
    own = work / "benthos"
    own.mkdir()
    config = own / "config.yaml"
    config.write_text(_CONFIG.format(port=port, dir=own))
    with started([str(_binary(cache)), "run", str(config)], own, "benthos", port) as server:
        yield server


def _version(cache: Path) -> str:
    return f"benthos/{_VERSION.lstrip('v')}"


PEER = Peer(
    name="benthos",
    about="Benthos (the engine of Redpanda Connect), http_server input to file output, lines, no processor, defaults: "
    "decodes nothing, no enrichment; the answer waits for the write",
    durability="the event in a file by write() before the answer: survives the death of benthos, not a power cut",
    serve=_serve,
    lacks=_lacks,
    version=_version,
    install=_install,
)
