"""FastAPI under uvicorn: how many would write a collector in Python."""

from __future__ import annotations

from bench.peers.base import Peer
from bench.peers.python_apps import install, lacks, serving, version

PEER = Peer(
    name="fastapi",
    about="FastAPI + uvicorn (uvloop, httptools), one process, no access log: decodes the event by pydantic "
    "(a dataclass) into a list that is dropped at 10,000; no enrichment",
    durability="nothing: memory of the process",
    serve=serving("fastapi", "fastapi_app.py"),
    lacks=lacks("fastapi", "uvicorn", "uvloop", "httptools"),
    version=version("fastapi", "uvicorn", "pydantic"),
    install=install,
)
