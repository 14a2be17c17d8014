"""A whole HTTP request, as dialects see it."""

from __future__ import annotations


class Request:
    """One whole request.

    Args:
        method: b"POST".
        target: path and query as sent.
        headers: those of ``http.KEPT`` that were there, by lower-case name; may be shared with other
            requests, so it is not to be written to. Content-Length may be missing.
        keep_alive: the connection goes on after the answer.
        old: HTTP/1.0, whose clients must be told that the connection goes on.
    """

    __slots__ = ("body", "headers", "keep_alive", "method", "old", "target")

    def __init__(self, method: bytes, target: bytes, headers: dict[bytes, bytes], keep_alive: bool, old: bool) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.keep_alive = keep_alive
        self.old = old
        self.body = b""

    @property
    def path(self) -> bytes:
        """Target up to the question mark."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """Target behind the question mark."""
        return self.target.partition(b"?")[2]
