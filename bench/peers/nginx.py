"""Debian's nginx: the denominator. It parses the request, writes a log line, answers 204, and looks at no body."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import free_port, program
from bench.peers.base import Peer, Server, said, started

_CONFIG = """{head}
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
  {log}
  keepalive_requests 1000000000;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ {answer} }} }}
}}
"""


@contextmanager
def nginx(work: Path, name: str, log: str, answer: str, head: str = "") -> Iterator[Server]:
    """A master and one worker.

    Args:
        work: directory; the server has one of its own in there.
        log, answer, head: parts of its configuration. ``{dir}`` in log is its directory.
    """
    own = work / name
    own.mkdir()
    port = free_port()
    config = own / "nginx.conf"
    config.write_text(_CONFIG.format(dir=own, port=port, log=log.format(dir=own), answer=answer, head=head))
    with started([program("nginx"), "-c", str(config), "-e", str(own / "error.log")], own, name, port) as server:
        yield server


def lacks_nginx(cache: Path) -> str:
    """What is missing."""
    return "" if program("nginx") else "nginx is not here: apt-get install nginx"


def version(cache: Path) -> str:
    """As nginx says it."""
    return said([program("nginx"), "-v"]).rpartition(": ")[2]


@contextmanager
def _serve(work: Path, cache: Path) -> Iterator[Server]:
    with nginx(work, "nginx", "access_log {dir}/access.log combined;", "return 204;") as server:
        yield server


PEER = Peer(
    name="nginx",
    about="Debian's nginx, one worker, keep-alive, return 204, access log (combined) without a buffer; reads no body",
    durability="a log line by write() before the answer: survives the death of nginx, not a power cut; not the event",
    serve=_serve,
    lacks=lacks_nginx,
    version=version,
)
