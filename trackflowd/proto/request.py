"""A whole HTTP request, as dialects see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec


class Head:
    """Method, target and headers of a request whose head is known and may come again (see ``heads``).

    Args:
        method, target, headers: as in ``Request``; no Content-Length, and no address that a proxy named.

    Attributes:
        handler: answers requests with this head; found by whoever answers the first one.
    """

    __slots__ = ("handler", "headers", "method", "target")

    def __init__(self, method: bytes, target: bytes, headers: dict[bytes, bytes]) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.handler: Callable[[Request, Any], bytes] | None = None


class Request(msgspec.Struct, gc=False):
    """One whole request.

    Args:
        method: b"POST".
        target: path and query as sent.
        headers: those of ``headers.KEPT`` that were there, by lower-case name; may be shared with
            other requests, so it is not to be written to. Content-Length may be missing.
        keep_alive: the connection goes on after the answer.
        old: HTTP/1.0, whose clients must be told that the connection goes on.
        body: the content, without chunks; still compressed if it was sent so.
        head: what it shares with others that were sent with the same head, if that is known.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    keep_alive: bool
    old: bool
    body: bytes = b""
    head: Head | None = None

    @property
    def path(self) -> bytes:
        """Target up to the question mark."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """Target behind the question mark."""
        return self.target.partition(b"?")[2]


class Reply(NamedTuple):
    """What an answer takes from its request (see ``responses``); nothing in it is personal."""

    origin: bytes | None
    keep_alive: bool
    old: bool
    bodiless: bool


def reply_to(request: Request) -> Reply:
    """Form of the answer to a request."""
    return Reply(request.headers.get(b"origin"), request.keep_alive, request.old, request.method == b"HEAD")
