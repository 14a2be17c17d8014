"""Answers as bytes.

What all answers share is made once a second (``tick``), what those of a status share is a table;
an answer is then one join. CORS: a page on any site may send events, and ``sendBeacon`` always
sends credentials, for which browsers do not take ``*``; so the origin is echoed.
"""

from __future__ import annotations

import email.utils
import http
import re
from typing import Final

import msgspec

from trackflowd.errors import Refused

JSON: Final = b"Content-Type: application/json\r\n"
NO_STORE: Final = b"Cache-Control: no-store\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Browsers cap it themselves: Firefox at a day, Chromium at two hours.
MAX_AGE: Final = 86_400

_LINES: dict[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus
}
#: What is echoed: an origin (RFC 6454) or ``null``; names of headers. Else nothing is.
_ORIGIN = re.compile(rb"[\x21-\x7e]{1,512}")
_HEADER_NAMES = re.compile(rb"[\x20-\x7e]{1,4096}")
_encode = msgspec.json.Encoder().encode


def error_body(code: str, reason: str) -> bytes:
    """The JSON form of a refusal."""
    return _encode({"error": code, "reason": reason})


def not_counted(code: str) -> bytes:
    """The line that takes an answer out of the promise, whatever its status."""
    return b"X-Trackflow-Refused: " + code.encode() + b"\r\n"


def cors(origin: bytes | None) -> bytes:
    """Header lines that let the page of this origin read the answer; b"" where there is none."""
    if origin is None or not _ORIGIN.fullmatch(origin):
        return b""
    return (
        b"Access-Control-Allow-Origin: " + origin + b"\r\n"
        b"Access-Control-Allow-Credentials: true\r\n"
        b"Access-Control-Expose-Headers: Retry-After, X-Trackflow-Refused\r\n"
        b"Vary: Origin\r\n"
    )


def preflight(headers: dict[bytes, bytes]) -> bytes:
    """Header lines of an answer to OPTIONS: everything asked for is granted, events carry no authority."""
    lines = b"Allow: GET, HEAD, POST, OPTIONS\r\n"
    origin = headers.get(b"origin")
    if origin is None or not _ORIGIN.fullmatch(origin):
        return lines
    asked = headers.get(b"access-control-request-headers", b"")
    if asked and _HEADER_NAMES.fullmatch(asked):
        lines += b"Access-Control-Allow-Headers: " + asked + b"\r\n"
    return (
        lines + b"Access-Control-Allow-Origin: " + origin + b"\r\n"
        b"Access-Control-Allow-Credentials: true\r\n"
        b"Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"
        b"Access-Control-Max-Age: %d\r\n"
        b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n" % MAX_AGE
    )


class Responses:
    """Writes answers.

    Args:
        now: seconds since 1970, for Date; keep it fresh with ``tick``.
        retry_after: seconds a refusal with status 503 asks to wait.
    """

    def __init__(self, now: float, retry_after: int) -> None:
        self._retry = b"Retry-After: %d\r\n" % retry_after
        self._second = -1
        self._date = b""
        self.tick(now)

    def tick(self, now: float) -> bool:
        """Take the time; True if the second is another, so that answers kept for use again are stale."""
        second = int(now)
        if second == self._second:
            return False
        self._second = second
        self._date = b"Date: " + email.utils.formatdate(second, usegmt=True).encode() + b"\r\n"
        return True

    def write(
        self,
        status: int,
        headers: bytes,
        body: bytes,
        *,
        keep_alive: bool = True,
        old: bool = False,
        bodiless: bool = False,
    ) -> bytes:
        """One answer.

        Args:
            status: HTTP status.
            headers: complete lines, each ended by CRLF.
            body: the content.
            keep_alive: False: say that the connection closes.
            old: the request was HTTP/1.0.
            bodiless: leave the content out, but say its length (HEAD).
        """
        connection = b""
        if not keep_alive:
            connection = b"Connection: close\r\n"
        elif old:
            connection = b"Connection: keep-alive\r\n"
        # RFC 9110 §8.6: no Content-Length with these two
        length = b"" if status in (204, 304) else b"Content-Length: %d\r\n" % len(body)
        return b"".join(
            (_LINES[status], self._date, connection, headers, length, b"\r\n", b"" if bodiless else body),
        )

    def refuse(
        self,
        refusal: Refused,
        *,
        origin: bytes | None = None,
        headers: bytes = b"",
        keep_alive: bool = False,
        old: bool = False,
        bodiless: bool = False,
    ) -> bytes:
        """Answer of a refused request: its status, ``X-Trackflow-Refused`` and ``{"error", "reason"}``."""
        lines = JSON + NO_STORE + not_counted(refusal.code) + headers + cors(origin)
        if refusal.status == 503:
            lines += self._retry
        elif refusal.retry_after:
            lines += b"Retry-After: %d\r\n" % refusal.retry_after
        body = error_body(refusal.code, str(refusal))
        return self.write(refusal.status, lines, body, keep_alive=keep_alive, old=old, bodiless=bodiless)
