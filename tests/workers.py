"""A real worker process for tests: a shared page, a channel and a listening socket, as from the supervisor."""

from __future__ import annotations

import os
import secrets
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack

from trackflowd import config as configuration
from trackflowd.buckets import Buckets
from trackflowd.enrich.finish import as_dict
from trackflowd.proto.control import Decoder, encode
from trackflowd.ring import file
from trackflowd.shared import Page, State

#: Seconds until a test gives up waiting; only a failing test waits so long.
PATIENCE = 30.0


def until(what: str, true: Any) -> Any:
    """Wait until true() says so; its value."""
    end = time.monotonic() + PATIENCE
    while not (value := true()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        select.select([], [], [], 0.01)
    return value


def write_snapshot(data_dir: Path, generation: int = 1) -> None:
    salts = [{"day": "all", "from_ms": 0, "to_ms": 2**50, "salt": secrets.token_bytes(32)}]
    raw = msgpack.packb({"generation": generation, "salts": salts, "mode": "open", "sites": [], "keys": []})
    (data_dir / "snapshot.msgpack").write_bytes(raw)


class Served:
    """A worker in slot 0 with one listener on loopback.

    Args:
        data_dir: made if it is not there.
        sets: options, "section.name=value".
        listener: another one that listens, as ``http.listen`` of sets describes it.
    """

    def __init__(self, data_dir: Path, sets: Sequence[str] = (), listener: socket.socket | None = None) -> None:
        self.data_dir = data_dir
        for name in ("rings", "geo"):
            (data_dir / name).mkdir(parents=True, exist_ok=True)
        write_snapshot(data_dir)
        self.sets = [f"daemon.data_dir={data_dir}", "daemon.workers=1", "ring.size=1MiB", *sets]
        self.cfg = configuration.load(None, self.sets, {})
        self.page, self._page_fd = Page.create(1, 1)
        self.buckets = Buckets.create(1)
        self.slot = self.page.slot("worker", 0)
        self.page.generation = 1
        self.listener = listener or socket.create_server(("127.0.0.1", 0))
        self.address: Any = self.listener.getsockname()
        self.messages: list[dict[str, Any]] = []
        self._decoder = Decoder()
        self.read_to = 0
        self.start()

    def start(self) -> None:
        """Start the process and wait until it serves."""
        self.channel, theirs = socket.socketpair()
        config_fd = os.memfd_create("config")
        os.write(config_fd, configuration.dump(self.cfg).encode())
        os.lseek(config_fd, 0, os.SEEK_SET)
        fds = [config_fd, self._page_fd, self.buckets.fd, theirs.fileno(), self.listener.fileno()]
        names = ("--config-json", "--page", "--buckets", "--channel", "--listen")
        command = [sys.executable, "-m", "trackflowd.worker", "--slot", "0"]
        for name, fd in zip(names, fds, strict=True):
            command += [name, str(fd)]
        with open(self.data_dir / "stderr", "ab") as stderr:
            self.process = subprocess.Popen(command, pass_fds=fds, stderr=stderr, cwd=Path(__file__).parent.parent)
        theirs.close()
        os.close(config_fd)
        until("worker is ready", lambda: self.slot.pid == self.process.pid and self.slot.state >= State.READY)
        self.page.owners[0] = 0

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End everything."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.channel.close()
        self.listener.close()
        os.close(self._page_fd)
        self.buckets.close()

    def call(self, name: str, **args: Any) -> Any:
        """Ask the worker something."""
        self.channel.sendall(encode({"type": "call", "id": 7, "name": name, "args": args}))
        return self.next_message("reply")

    def next_message(self, kind: str) -> dict[str, Any]:
        """The next message of this type."""
        self.channel.settimeout(PATIENCE)
        while True:
            for message in self.messages:
                if message["type"] == kind:
                    self.messages.remove(message)
                    return message
            data = self.channel.recv(65536)
            assert data, "the channel was closed"
            self.messages += self._decoder.feed(data)

    def connect(self) -> socket.socket:
        """A new connection."""
        sock = socket.socket(self.listener.family)
        sock.settimeout(PATIENCE)
        sock.connect(self.address)
        return sock

    def send(self, data: bytes) -> bytes:
        """What is answered to these bytes on a connection of their own, until it is closed."""
        with self.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def ring_path(self) -> Path:
        (path,) = (self.data_dir / "rings").glob("*.ring")
        return path

    def rows(self) -> list[dict[str, Any]]:
        """Rows that are in the ring and were not returned before."""
        reader = file.open_for_reader(self.ring_path())
        try:
            records, _ = reader.records(self.read_to, reader.head, 100_000, 2**30)
            if records:
                self.read_to = records[-1][1]
                reader.store_tail(self.read_to)
            return [as_dict((record[2], record[3], record[4], record[5], bytes(record[6]))) for record in records]
        finally:
            reader.close()


def read_all(sock: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def post(body: bytes, *headers: bytes, close: bool = True, path: bytes = b"/v1/events") -> bytes:
    """A request with this body."""
    lines = [b"POST %s HTTP/1.1" % path, b"Host: h", b"Content-Length: %d" % len(body), *headers]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def split_answers(raw: bytes, *, bodiless: int = -1) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Status, headers (lower case) and body of each answer in raw; interim ones too.

    Args:
        bodiless: which answer, from 0, is to a HEAD request and has no body.
    """
    answers: list[tuple[int, dict[bytes, bytes], bytes]] = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        length = 0 if len(answers) == bodiless else int(headers.get(b"content-length", b"0"))
        answers.append((int(first.split()[1]), headers, raw[:length]))
        raw = raw[length:]
    return answers
