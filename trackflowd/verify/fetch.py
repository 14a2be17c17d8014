"""One HTTP request for ``verify``: bounded in time, bytes and redirects, its failures in words."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import trackflowd

MAX_HOPS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
#: As browsers call themselves, or firewalls answer something else than visitors get.
AGENT = f"Mozilla/5.0 (compatible; trackflow-verify/{trackflowd.__version__})"
#: What may stand in a request's target as it is.
_SAFE = "%/:=&?~#+!$,;'@()*[]"


class Unreachable(Exception):
    """No whole answer; the text says why."""


class Got(NamedTuple):
    """An answer.

    Args:
        url: where it came from, redirects followed.
        status: HTTP status.
        headers: pairs, names in lower case.
        body: inflated; at most as many bytes as asked for.
        hops: urls that redirected.
    """

    url: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    hops: tuple[str, ...] = ()

    def header(self, name: str) -> str | None:
        """Values of a header, joined by commas; None if it is missing."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    @property
    def kind(self) -> str:
        """Content-Type without parameters, in lower case."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()


class Fetcher:
    """Makes requests.

    Args:
        timeout: seconds one request may take, redirects included.
        context: for https; None: the system's certificates.
    """

    def __init__(self, timeout: float, context: ssl.SSLContext | None = None) -> None:
        self._timeout = timeout
        self._context = context

    def get(self, url: str, most: int, headers: Mapping[str, str] | None = None) -> Got:
        """GET, redirects followed. Raises ``Unreachable``; it is one more than ``MAX_HOPS``, too."""
        deadline = time.monotonic() + self._timeout
        hops: list[str] = []
        while True:
            got = self._one("GET", url, b"", headers or {}, most, deadline)
            target = got.header("location")
            if got.status not in _REDIRECTS or not target:
                return got._replace(hops=tuple(hops))
            if len(hops) == MAX_HOPS:
                raise Unreachable(f"more than {MAX_HOPS} redirects, the last to {target}")
            hops.append(url)
            url = urljoin(url, target)

    def ask(self, method: str, url: str, most: int, headers: Mapping[str, str], body: bytes = b"") -> Got:
        """One request, redirects not followed. Raises ``Unreachable``."""
        return self._one(method, url, body, headers, most, time.monotonic() + self._timeout)

    def _one(self, method: str, url: str, body: bytes, headers: Mapping[str, str], most: int, deadline: float) -> Got:
        parts = split(url)
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unreachable(f"took longer than {self._timeout:g} s")
        connection = self._connection(parts, left)
        # Each step has the timeout of its own; together they may take no longer either.
        watchdog = threading.Timer(left, _shut, [connection])
        watchdog.daemon = True
        watchdog.start()
        try:
            target = quote(parts.path or "/", safe=_SAFE) + (
                f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
            )
            usual = {"User-Agent": AGENT, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
            sent = body if method == "POST" else None
            connection.request(method, target, sent, {**usual, **headers})
            answer = connection.getresponse()
            raw = answer.read(most)
            # A body that breaks off within its length is no error to http.client.
            if (len(raw) < most and answer.length) or time.monotonic() >= deadline:
                raise http.client.IncompleteRead(raw)
            pairs = [(name.lower(), value) for name, value in answer.getheaders()]
            return _inflated(Got(url, answer.status, pairs, raw), most)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline - 0.01 or isinstance(error, TimeoutError):
                raise Unreachable(f"took longer than {self._timeout:g} s") from error
            raise Unreachable(_words(error, parts)) from error
        finally:
            watchdog.cancel()
            connection.close()

    def _connection(self, parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
        host = _ascii(parts.hostname or "")
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=timeout)
        context = self._context or ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)


def split(url: str) -> SplitResult:
    """The parts of an http or https url. Raises ``Unreachable`` where it is none."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port):
            return parts
    except ValueError:
        pass
    raise Unreachable(f"{url} is no http or https address")


def origin(url: str) -> str:
    """Scheme, host and port of a url, as browsers send it in Origin."""
    parts = split(url)
    host = _ascii(parts.hostname or "")
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port and parts.port != usual else "")


def is_local(url: str) -> bool:
    """The host is this machine: browsers take it for safe without TLS."""
    host = split(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        return host


def _shut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _inflated(got: Got, most: int) -> Got:
    coding = (got.header("content-encoding") or "identity").strip().lower()
    if coding == "identity" or not got.body:
        return got
    if coding not in ("gzip", "x-gzip"):
        raise Unreachable(f"answered in the coding {coding}, though none was asked for")
    try:
        return got._replace(body=zlib.decompressobj(31).decompress(got.body, most))
    except zlib.error as error:
        raise Unreachable(f"what it says is gzip is none: {error}") from error


def _words(error: Exception, parts: SplitResult) -> str:
    where = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    if isinstance(error, socket.gaierror):
        return f"no address is known for {parts.hostname}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {where}: {error.reason or error}"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {where}"
    if isinstance(error, http.client.HTTPException):
        return f"what {where} answers is not HTTP, or breaks off: {error or type(error).__name__}"
    return f"{where}: {error}"
