"""One kept connection to the daemon."""

from __future__ import annotations

import gzip
import http.client
import ssl
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

#: A daemon closes idle connections after 75 s by default, proxies sooner; one that may be closed is not used again.
MAX_IDLE = 15.0
#: Smaller bodies do not get much smaller.
MIN_PACKED = 1024
#: The answer to 500 refused events takes some 100 KB.
MAX_ANSWER = 1 << 20


class Answer(NamedTuple):
    """An HTTP answer; headers by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotSent(Exception):
    """No connection came about: the request has not left."""


class Wire:
    """Posts to one url.

    Args:
        url: http or https, with path.
        headers: of every request.
        timeout: seconds each step (connecting, a write, a read) may take.
        compress: pack larger bodies.
        context: for https; None: the system's certificates.

    Raises:
        ValueError: not such a url.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], timeout: float, compress: bool, context: ssl.SSLContext | None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url must be such as https://stats.example.com, not {url!r}")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path
        self._headers = dict(headers)
        self._timeout = timeout
        self._compress = compress
        self._context = context
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0

    def post(self, body: bytes) -> Answer:
        """One request and its answer.

        Raises:
            NotSent: there is no connection.
            OSError, http.client.HTTPException: it was sent, or some of it, and no whole answer came.
        """
        connection = self._connect()
        headers = self._headers
        if self._compress and len(body) >= MIN_PACKED:
            body = gzip.compress(body, 6)
            headers = {**headers, "Content-Encoding": "gzip"}
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER)
            if not response.isclosed():
                self.close()
        except BaseException:
            self.close()
            raise
        self._used = time.monotonic()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, answer)

    def _connect(self) -> http.client.HTTPConnection:
        connection = self._connection
        if connection is not None and connection.sock is not None and time.monotonic() - self._used < MAX_IDLE:
            return connection
        self.close()
        try:
            if self._secure:
                context = self._context or ssl.create_default_context()
                connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)
            else:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
            connection.connect()
        except OSError as error:
            raise NotSent(str(error)) from error
        self._connection = connection
        return connection

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
