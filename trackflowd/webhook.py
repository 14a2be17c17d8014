"""Tells a url of alerts, from a thread of its own: whoever does not answer there keeps nobody here waiting.

Each message is a POST of a JSON object. What does not arrive (no connection, no answer in time, 408, 429, 5xx) is tried
again after 1 s, 2 s, … ``MOST_WAIT``, in order, until it is ``TRIES`` old; any other answer but 2xx says
that trying again is no use. Redirects are not followed: they would carry an operator's secret to wherever
somebody else says.
"""

from __future__ import annotations

import json
import logging
import queue
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import unquote, urlsplit

from trackflowd import __version__
from trackflowd.settle import Backoff

log = logging.getLogger(__name__)

#: Messages that wait; a further one is left out. Every alert can begin and end twice.
WAITING = 64
#: Seconds between two tries, at first and at most, and for how long one message is tried.
FIRST_WAIT, MOST_WAIT, TRIES = 1.0, 60.0, 3600.0
#: Answers after which the same may be tried again.
_LATER = frozenset({408, 429, *range(500, 600)})


class Undelivered(Exception):
    """A try that did not arrive.

    Args:
        text: why.
        again: whether trying again may help.
    """

    def __init__(self, text: str, again: bool) -> None:
        super().__init__(text)
        self.again = again


@dataclass(slots=True)
class Count:
    """What became of messages: tries that failed are counted each."""

    sent: int = 0
    failed: int = 0
    dropped: int = 0


class Webhook:
    """The thread.

    Args:
        url: http:// or https://; "": nothing is ever sent.
        timeout: seconds one POST may take as a whole.

    Attributes:
        count: for metrics.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(WAITING)
        self._over = threading.Event()
        self._backoff = Backoff(FIRST_WAIT, MOST_WAIT)
        self._trouble = False
        self._overfull = False
        self.count = Count()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        if url:
            self._thread.start()

    def put(self, message: Mapping[str, Any]) -> None:
        """Have a message sent, if there is somewhere to; never waits."""
        if not self._url:
            return
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self.count.dropped += 1
            if not self._overfull:
                self._overfull = True
                log.error(
                    "alerts.webhook: an alert is not told: %d wait already (said once, until one is told)", WAITING
                )

    @property
    def waiting(self) -> int:
        """Messages not sent yet."""
        return self._queue.qsize()

    def close(self) -> None:
        """Send nothing more. The thread ends with the POST it may be in the middle of, or with the process."""
        self._over.set()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            pass  # it looks at ``_over`` before each

    def _run(self) -> None:
        while (message := self._queue.get()) is not None and not self._over.is_set():
            self._deliver(json.dumps(message).encode())

    def _deliver(self, body: bytes) -> None:
        until = time.monotonic() + TRIES
        while not self._over.is_set():
            try:
                post(self._url, body, self._timeout)
            except Undelivered as error:
                self.count.failed += 1
                if not self._trouble:
                    self._trouble = True
                    log.error("alerts.webhook: an alert could not be told: %s (said once, until one can be)", error)
                if not error.again or time.monotonic() >= until:
                    self.count.dropped += 1
                    return
                self._over.wait(self._backoff.wait())
            else:
                self.count.sent += 1
                if self._trouble:
                    log.info("alerts.webhook: alerts are told again, after %d failed tries", self.count.failed)
                self._trouble = self._overfull = False
                self._backoff.reset()
                return


def post(url: str, body: bytes, timeout: float) -> None:
    """POST a JSON text, once.

    Args:
        url: http:// or https:// (certificates are checked against the system's); user and password in it are sent.
        timeout: seconds for all of it, but for the look-up of the host's name.

    Raises:
        Undelivered: with a reason that does not name the url.
    """
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    over, cut = threading.Event(), threading.Event()
    threading.Thread(target=_cut, args=(connection, timeout, over, cut), name="webhook cutter", daemon=True).start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, _headers(parts.username, parts.password))
        status = connection.getresponse().status
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a TLS connection cut in the middle of a read
        late = cut.is_set() or isinstance(error, TimeoutError)
        raise Undelivered(f"no answer within {timeout:g} s" if late else _reason(error), True) from error
    finally:
        over.set()
        connection.close()
    if 300 <= status < 400:
        raise Undelivered(f"it answers with a redirect ({status}), which is not followed: name the place itself", False)
    if not 200 <= status < 300:
        raise Undelivered(f"it answers {status}", status in _LATER)


def _headers(user: str | None, password: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": f"trackflowd/{__version__}"}
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}".encode()
        headers["Authorization"] = "Basic " + b64encode(pair).decode()
    return headers


def _cut(connection: HTTPConnection, timeout: float, over: threading.Event, cut: threading.Event) -> None:
    """End a POST that takes too long: a server that sends a byte now and then would else keep it for ever."""
    while not over.wait(timeout):
        cut.set()
        try:
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected yet, or in the hands of TLS: the next time then


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
