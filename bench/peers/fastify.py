"""Fastify on Node.js: the lean way in JavaScript."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import free_port, program
from bench.peers.base import Peer, Server, installing, said, started
from bench.peers.python_apps import APPS

_PACKAGE = "fastify@5"


def _manifest(cache: Path) -> Path:
    return cache / "node" / "node_modules" / "fastify" / "package.json"


def _lacks(cache: Path) -> str:
    if not program("node"):
        return "node is not here: apt-get install nodejs npm"
    if not _manifest(cache).exists():
        return f"fastify is not in {cache / 'node'}: python -m bench peers --install (needs npm)"
    return ""


def _install(cache: Path) -> None:
    place = cache / "node"
    place.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "--silent", _PACKAGE]
    installing(command, cwd=place)


@contextmanager
def _serve(work: Path, cache: Path) -> Iterator[Server]:
    port = free_port()
    env = {**os.environ, "NODE_PATH": str(cache / "node" / "node_modules"), "NODE_ENV": "production"}
    command = [program("node"), str(APPS / "fastify_app.cjs"), str(port)]
    with started(command, work, "fastify", port, env) as server:
        yield server


def _version(cache: Path) -> str:
    own = json.loads(_manifest(cache).read_text())["version"]
    return f"fastify/{own} node/{said([program('node'), '--version']).lstrip('v')}"


PEER = Peer(
    name="fastify",
    about="Fastify on Node.js, one process, no log: decodes the event by JSON.parse and appends it to an array that is "
    "dropped at 10,000; no validation, no enrichment",
    durability="nothing: memory of the process",
    serve=_serve,
    lacks=_lacks,
    version=_version,
    install=_install,
)
