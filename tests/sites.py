"""Web sites on loopback, for tests: real servers whose every answer is laid down."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType


@dataclass
class Answer:
    """What a path answers."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "text/html"
    #: Called before it is answered: it may wait.
    before: threading.Event | None = None


class Site:
    """A server; ``answers`` maps "METHOD /path" to what is said, else it is 404.

    Args:
        context: for https.

    Attributes:
        url: "http://127.0.0.1:port".
        seen: "METHOD /path" of every request.
        bodies: what came with each.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: list[str] = []
        self.bodies: list[bytes] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                key = f"{self.command} {self.path}"
                site.seen.append(key)
                site.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                answer = site.answers.get(key, Answer("not here", 404))
                if answer.before is not None:
                    answer.before.wait()
                body = answer.body.encode() if isinstance(answer.body, str) else answer.body
                self.send_response(answer.status)
                for name, value in {"Content-Type": answer.kind, **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_OPTIONS = do_HEAD = _serve

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, address: None  # type: ignore[assignment]
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def certificate(directory: Path) -> Path | None:
    """A certificate for 127.0.0.1 with its key, in one file; None where there is no openssl."""
    if shutil.which("openssl") is None:
        return None
    path = directory / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*make, *names, "-keyout", str(path), "-out", str(directory / "c.pem")], check=True, capture_output=True
    )
    path.write_text(path.read_text() + (directory / "c.pem").read_text())
    return path
