"""aiohttp's server: the leaner way in Python."""

from __future__ import annotations

from bench.peers.base import Peer
from bench.peers.python_apps import install, lacks, serving, version

PEER = Peer(
    name="aiohttp",
    about="aiohttp on uvloop, one process, no access log: decodes the event by json.loads into a list that "
    "is dropped at 10,000; no validation, no enrichment",
    durability="nothing: memory of the process",
    serve=serving("aiohttp", "aiohttp_app.py"),
    lacks=lacks("aiohttp", "uvloop"),
    version=version("aiohttp", "uvloop"),
    install=install,
)
