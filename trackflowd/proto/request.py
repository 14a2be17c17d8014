"""A whole HTTP request, as dialects see it."""

from __future__ import annotations

import msgspec


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
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    keep_alive: bool
    old: bool
    body: bytes = b""

    @property
    def path(self) -> bytes:
        """Target up to the question mark."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """Target behind the question mark."""
        return self.target.partition(b"?")[2]
