"""A ClickHouse server's HTTP face over chDB, with faults on order. A process of its own, for tests.

``python -m tests.clickhouse_front --data DIR`` prints one JSON line, ``{"port": …, "admin": …}``, when it is ready.
On the first port it answers like a server as far as clickhouse-connect and this project's sink go: statements in the
body or in ``?query=``, settings and ``param_*`` in the url, INSERT … FORMAT Native with a chunked or gzipped body,
exception codes, summaries, query ids, KILL QUERY. A body that ends early leaves no rows, as on a server.

The second port obeys: ``POST /fault`` with a ``Fault`` as JSON orders one, ``POST /clear`` forgets those that are left,
``POST /refuse`` and ``POST /accept`` close and reopen the first port, ``POST /release`` lets held requests go on,
``GET /log`` lists the inserts that were run, ``GET /running`` the ids of running queries.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.front_engine import Cut, Failure, Fault, Front, Request

#: HTTP status of an exception code where it is not 500 (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp).
STATUS = {
    60: 404, 81: 404, 47: 404, 16: 404, 46: 404, 115: 404, 516: 401, 497: 403,
    62: 400, 53: 400, 27: 400, 33: 400, 164: 500, 241: 500, 202: 500, 252: 500,
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    front: Front

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.handle_request(reading=True)

    def do_POST(self) -> None:
        self.handle_request(reading=False)

    def handle_request(self, reading: bool) -> None:
        if urlsplit(self.path).path == "/ping":
            return self.answer(200, b"Ok.\n", {})
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        request = Request(self.path, chunked, reading)
        fault = self.front.fault_for(request.query) if request.query else None
        try:
            body = self.body(chunked, fault)
            if not request.query:
                request.query = body.decode()
                body = b""
                fault = self.front.fault_for(request.query)
            self.authenticate()
            self.act(request, body, fault)
        except Failure as error:
            headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": request.query_id}
            self.answer(STATUS.get(error.code, 500), f"{error}\n".encode(), headers)
        except Cut:
            self.reset()

    def act(self, request: Request, body: bytes, fault: Fault | None) -> None:
        front = self.front
        kind = fault.kind if fault else ""
        if fault is not None and kind == "status":
            headers = {"X-ClickHouse-Exception-Code": str(fault.code)} if fault.code else {}
            text = f"Code: {fault.code}. DB::Exception: on order" if fault.code else "on order"
            return self.answer(fault.status, text.encode(), headers)
        if kind == "text":
            return self.answer(200, b"Code: 241. DB::Exception: Memory limit exceeded: on order", {})
        running = front.start(request.query_id)
        try:
            if kind == "late":
                self.reset()
            if kind in ("late", "hang"):
                front.hold(running)
            result, written = self.execute(request, body, fault)
        finally:
            front.end(request.query_id)
        if kind == "down":
            front.refuse()
        if kind in ("lost", "half", "poison", "late", "down"):
            raise Cut
        summary = {"read_rows": str(written), "written_rows": str(written), "elapsed_ns": "1"}
        headers = {"X-ClickHouse-Query-Id": request.query_id, "X-ClickHouse-Summary": json.dumps(summary)}
        if result:
            headers["X-ClickHouse-Format"] = "TabSeparated"
        self.answer(200, result, headers)

    def execute(self, request: Request, body: bytes, fault: Fault | None) -> tuple[bytes, int]:
        sql = request.query.strip()
        if sql.upper().startswith("INSERT") and " FORMAT " in sql:
            self.front.insert(sql, body, request, fault)
            return b"", self.front.log[-1]["rows"]
        if sql.upper().startswith("KILL"):
            return self.front.kill(sql), 0
        if self.front.version:
            sql = re.sub(r"\bversion\(\)", f"'{self.front.version}'", sql)
        named = f"/* {request.query_id} */ {self.front.alone(sql)}"
        return self.front.engine(named, request.settings, request.params, request.database), 0

    def authenticate(self) -> None:
        wanted = "Basic " + base64.b64encode(f"default:{self.front.password}".encode()).decode()
        if self.front.password and self.headers.get("Authorization") != wanted:
            raise Failure("Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)")

    def body(self, chunked: bool, fault: Fault | None) -> bytes:
        parts, size = [], 0
        for piece in self.pieces(chunked, 4096 if fault else 2**20):
            parts.append(piece)
            size += len(piece)
            if fault is not None and fault.kind == "cut" and size >= fault.size:
                raise Cut
            if fault is not None and fault.kind == "slow":
                time.sleep(len(piece) / fault.size)
        raw = b"".join(parts)
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding == "gzip":
            return zlib.decompress(raw, wbits=31)
        if encoding != "identity":
            raise Failure(f"Code: 48. DB::Exception: Content-Encoding {encoding}")
        return raw

    def pieces(self, chunked: bool, most: int) -> Iterator[bytes]:
        """Pieces of the body as they come; one that ends early is a ``Cut``, and nothing of it is run."""
        if not chunked:
            yield from self.exactly(int(self.headers.get("Content-Length", 0)), most)
            return
        while True:
            line = self.rfile.readline(64)
            if not line.endswith(b"\r\n"):
                raise Cut
            size = int(line, 16)
            yield from self.exactly(size, most)
            if self.rfile.read(2) != b"\r\n":
                raise Cut
            if not size:
                return

    def exactly(self, size: int, most: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, most))
            if not piece:
                raise Cut
            size -= len(piece)
            yield piece

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("X-ClickHouse-Timezone", "UTC")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def reset(self) -> None:
        """Close so that the peer sees a reset, not an end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
            os.close(self.connection.detach())


class Admin(BaseHTTPRequestHandler):
    """Orders from the test."""

    face: Face

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        front = self.face.front
        with front.lock:
            value = {"/log": front.log, "/running": sorted(front.running), "/faults": list(map(asdict, front.faults))}
        self.reply(value[self.path])

    def do_POST(self) -> None:
        front = self.face.front
        order = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/fault":
            with front.lock:
                front.faults.append(Fault(**json.loads(order)))
        elif self.path == "/clear":
            with front.lock:
                front.faults.clear()
                front.log.clear()
            front.release.clear()
        elif self.path == "/release":
            front.release.set()
        elif self.path == "/refuse":
            self.face.close()
        elif self.path == "/accept":
            self.face.listen()
        self.reply("ok")

    def reply(self, value: Any) -> None:
        raw = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class Server(ThreadingHTTPServer):
    """Knows its connections, so that refusing ends the idle ones too."""

    daemon_threads = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away, or a reset on order


class Face:
    """The listener that clients see; can be closed and opened again on its port."""

    def __init__(self, front: Front, port: int) -> None:
        self.front = front
        self.port = port
        self.server: Server | None = None
        self.listen()

    def listen(self) -> None:
        if self.server is not None:
            return
        self.server = Server(self.port, type("Bound", (Handler,), {"front": self.front}))
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            for connection in list(self.server.connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self.server = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", required=True)
    parser.add_argument("--version", default="", help="what version() says instead of the engine's own")
    parser.add_argument("--password", default="", help="of the user default")
    args = parser.parse_args()
    front = Front(args.data, args.version, args.password)
    face = Face(front, args.port)
    front.refuse = face.close
    admin = Server(0, type("BoundAdmin", (Admin,), {"face": face}))
    print(json.dumps({"port": face.port, "admin": admin.server_port}), flush=True)
    admin.serve_forever()


if __name__ == "__main__":
    main()
