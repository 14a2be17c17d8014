"""sink.pool against a socket of our own."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

from trackflowd.sink.pool import Pool


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"text")

    def log_message(self, format: str, *args: object) -> None: ...


def test_it_keeps_the_answer_and_the_kernel_watches_whether_the_host_is_there() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port, pool = server.server_address[1], Pool()
        try:
            assert pool.request("GET", f"http://127.0.0.1:{port}/").status == 200
            assert pool.answer == b"text"
            links = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            # Established (01), and waiting for nothing but the timer of keepalive (02): proc(5).
            timers = [line[5][:2] for line in links if line[2].endswith(f":{port:04X}") and line[3] == "01"]
            assert timers == ["02"]
        finally:
            pool.clear()
            server.shutdown()
