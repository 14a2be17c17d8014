"""A client of the admin listener, for tests: requests by the standard library, and raw bytes."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

PATIENCE = 60.0


class Reply(NamedTuple):
    """An answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a refusal."""
        value = self.json
        assert value["reason"]
        return self.status, value["error"]


class Asker:
    """Asks, each time on a connection of its own.

    Args:
        address: "host:port", or an url of it.
        token: sent with each request; "": none.
    """

    def __init__(self, address: str, token: str = "") -> None:
        self.host, _, port = address.removeprefix("http://").rpartition(":")
        self.port = int(port)
        self.token = token

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request. Header names: underscores stand for dashes."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        """GET."""
        return self.ask("GET", path)

    def connect(self) -> socket.socket:
        """A connection."""
        return socket.create_connection((self.host, self.port), timeout=PATIENCE)

    def raw(self, *pieces: bytes, end: bool = True) -> bytes:
        """All that is answered to bytes, until the other side closes.

        Args:
            end: send no more after them.
        """
        with self.connect() as sock:
            with suppress(OSError):  # closed before all of it was sent; what was answered is still to be read
                for piece in pieces:
                    sock.sendall(piece)
                if end:
                    sock.shutdown(socket.SHUT_WR)
            return everything(sock)


def everything(sock: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    try:
        while data := sock.recv(65536):
            parts.append(data)
    except ConnectionResetError:
        parts.append(b"(reset)")
    return b"".join(parts)


def parsed(raw: bytes) -> Reply:
    """One answer from its bytes."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), {name.lower(): value for name, value in headers.items()}, body)
