"""The admin listener: what probes ask.

=========  ==================================================================================
GET        answer
=========  ==================================================================================
/healthz   200 while the supervisor runs: restart the daemon if this fails
/readyz    200 if an event taken now can be delivered, else 503 with the reason in words:
           send clients elsewhere, do not restart
=========  ==================================================================================

Probes send one small request, so that is all that is understood: no body, no keep-alive.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

from trackflowd import listeners

log = logging.getLogger(__name__)

#: Bytes of a request's head. Probes send 200.
MAX_HEAD = 8192
#: Seconds for a request to arrive and its answer to leave.
DEADLINE = 5.0
#: Connections at one time.
MAX_CONNECTIONS = 64

_STATUS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}

#: What a path answers: status and a JSON object.
Answer = tuple[int, Mapping[str, Any]]


def respond(head: bytes, routes: Mapping[str, Callable[[], Answer]]) -> bytes:
    """Answer to a request's head, ready to be sent.

    Args:
        head: up to and with the empty line.
        routes: by path.
    """
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not head.endswith(b"\r\n\r\n"):
        return _render(400, {"error": "malformed", "reason": "not an HTTP/1.1 request"}, False)
    only_head = words[0] == b"HEAD"
    if words[0] not in (b"GET", b"HEAD"):
        return _render(405, {"error": "method", "reason": "GET and HEAD are served here"}, False)
    route = routes.get(words[1].split(b"?", 1)[0].decode("ascii", "replace"))
    if route is None:
        return _render(404, {"error": "not_found", "reason": f"served here: {', '.join(routes)}"}, only_head)
    status, value = route()
    return _render(status, value, only_head)


def _render(status: int, value: Mapping[str, Any], only_head: bool) -> bytes:
    body = json.dumps(value).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {_STATUS[status]}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        f"{'Allow: GET, HEAD' + chr(13) + chr(10) if status == 405 else ''}"
        "Connection: close\r\n\r\n"
    ).encode()
    return head if only_head else head + body


class Admin:
    """The listener.

    Args:
        address: "host:port"; port 0: any free one.
        routes: by path.
    """

    def __init__(self, address: str, routes: Mapping[str, Callable[[], Answer]]) -> None:
        self._address = address
        self._routes = routes
        self._server: asyncio.Server | None = None
        self._open = 0
        self.address = ""

    async def start(self) -> None:
        """Listen; ``address`` is then the real one.

        Raises:
            ConfigError: the address cannot be used.
        """
        sock: socket.socket = listeners.bind(self._address, "admin.listen")
        self.address = listeners.address_of(sock)
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=MAX_HEAD)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MAX_CONNECTIONS:
                async with asyncio.timeout(DEADLINE):
                    await self._exchange(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # a probe that left or dawdles: nothing to tell it
        finally:
            self._open -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = b""
        writer.write(respond(head, self._routes))
        await writer.drain()

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
