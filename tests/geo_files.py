"""Small geo databases for tests, in the shapes of several makers, and a server that hands them out."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

Records = dict[str, dict[str, Any]]  # network → record

COUNTRY: Records = {"81.2.69.0/24": {"country_code": "GB"}, "2a02:c7f::/32": {"country_code": "GB"}}


def write(path: Path, records: Records, kind: str = "Test-Country", *, version: int = 6, mtime: float = 0.0) -> Path:
    """A database at path, in place of what was there by rename; mtime: seconds, 0 for now."""
    writer = MMDBWriter(version, kind, languages=["en"], ipv4_compatible=version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    made = path.with_suffix(".new")
    writer.to_db_file(str(made))
    if mtime:
        os.utime(made, (mtime, mtime))
    os.replace(made, path)
    return path


@dataclass
class Served:
    """What a server answers, and what it was asked.

    Args:
        base: its address, ``http://127.0.0.1:PORT``.
        answers: path with query → (status, headers, body). A Content-Length that is not among the
            headers is not sent. Others get 404.
        asked: paths with queries, in order.
        logins: Authorization headers, in order.
    """

    base: str
    answers: dict[str, tuple[int, Mapping[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def put(self, path: str, body: bytes) -> str:
        """Answer path with body; its URL."""
        self.answers[path] = (200, {"Content-Length": str(len(body))}, body)
        return self.base + path


@contextmanager
def serve() -> Generator[Served, None, None]:
    """A server on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            if login := self.headers["Authorization"]:
                served.logins.append(login)
            status, headers, body = served.answers.get(self.path, (404, {"Content-Length": "0"}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
