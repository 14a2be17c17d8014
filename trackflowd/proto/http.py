"""HTTP/1.1 without I/O: bytes in, requests out.

``Connection.receive`` takes what was read and returns the requests that became whole. httptools
checks the grammar; this file adds the policy, that is, refuses what the grammar allows and two
programs in a row may read differently, and what is too large. The rules:

- After a refusal, or a request after which the connection closes, nothing more is read: bytes behind
  an error are not a request. Requests before it were returned and stand.
- The verdict on a byte stream does not depend on how it was cut into reads. So limits count exact
  bytes: a read that holds whole requests only, and is shorter than any limit, goes to the parser at
  once; any other is fed in pieces that end where a head or body ends.
- Headers end with the head. Trailers come through the same callback (httptools) and are dropped.
- Only the headers somebody asks for are kept, by lower-case name. Of a header that may not be twice
  the second is an error; of lists (X-Forwarded-For, Forwarded) the lines are joined; else the
  first counts.

States::

    REST ──first byte──► HEAD ──blank line──► BODY or CHUNKED ──last byte──► REST
    any ──refusal, or the last request of the connection──► ENDED
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn

import httptools

from trackflowd.errors import Refused
from trackflowd.proto.headers import KEPT, LISTS, ONCE, TWINS, USUAL
from trackflowd.proto.heads import Heads, Last
from trackflowd.proto.refusals import refused
from trackflowd.proto.request import Request

REST, HEAD, BODY, CHUNKED, ENDED = range(5)

#: Bytes of chunk sizes, chunk extensions and trailers one body may have. Without a limit an endless
#: extension keeps a parser busy for nothing (CVE-2024-22019). Chunks of 4 KiB spend 8 bytes each.
MAX_CHUNK_OVERHEAD: Final = 64 * 1024

#: Reads up to this go to the parser in one piece when they hold whole requests only.
_SMALL: Final = 8 * 1024
#: Shortest piece a chunked body is fed in, so that little room left does not mean byte by byte.
_PIECE: Final = 4 * 1024
#: What httptools says of a client that begins with HTTP/2 (RFC 9113 §3.4), as one does that was told to.
_PREFACE: Final = "Pause on PRI/Upgrade"
_BLANK: Final = b"\r\n\r\n"


class Limits(NamedTuple):
    """Most bytes of parts of a request (options of section ``http``)."""

    max_head: int = 32 * 1024
    max_url: int = 8 * 1024
    max_body: int = 1024 * 1024


#: RFC 9110 §7.2: a name, an IPv4 address or a bracketed IPv6 one, and a port.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)([^#]*)")
_usual = USUAL.get
_BODILESS = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class _Stop(Exception):
    """Ends httptools' run from inside a callback; ``Connection.failure`` says why."""


class Connection:
    """The server's side of one connection.

    Call ``receive`` with each read, answer the requests it returns in order, then look at
    ``failure`` (answer it as well, then close) and at ``wants_continue``. The callbacks
    ``on_…`` belong to httptools.

    Args:
        limits: most bytes of head, target and body.
        heads: known heads, shared by connections of the same limits; None: parse each.
    """

    def __init__(self, limits: Limits, heads: Heads | None = None) -> None:
        # for good
        self._limits = limits
        self._small = min(_SMALL, limits.max_head, limits.max_body)
        self._heads = heads
        self._last = Last(heads) if heads is not None else None
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        # of the connection
        #: REST, HEAD, BODY, CHUNKED or ENDED.
        self.phase = REST
        #: Why nothing more is read, where that is the client's fault.
        self.failure: Refused | None = None
        self._host: bytes | None = None
        self._whole: list[Request] = []
        # of a read
        self._version_seen = False
        self._personal = False
        # of a request
        #: The client waits for "100 Continue" before it sends the body.
        self.wants_continue = False
        self._room = limits.max_head
        self._end = b""
        self._start()

    def use(self, limits: Limits) -> None:
        """Keep to other limits from the next request on, and parse its head anew."""
        self._limits = limits
        self._small = min(_SMALL, limits.max_head, limits.max_body)
        if self._last is not None:
            self._last.forget()

    def _start(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._request: Request | None = None
        self._body: bytes | bytearray = b""
        self._length = 0

    @property
    def held(self) -> int:
        """Bytes of an unfinished body in memory."""
        return len(self._body)

    def receive(self, data: bytes) -> list[Request]:
        """Take what was read.

        Returns:
            The requests that are whole now, in order; good for answering until the next call.
        """
        if self.phase == REST and len(data) <= self._small:
            last = self._last
            if last is not None and (known := last.recall(data)) is not None:
                return [known]
            whole = self._whole = []
            # Too short to break a limit: one run, if it ends where a request ends.
            self._personal = False
            line = data.find(b"\r\n", 0, 1024)
            self._version_seen = line > 12 and data.startswith(b"HTTP/1.1", line - 8)
            self._feed(data)
            self._version_seen = False
            if self.phase == REST or self.phase == ENDED:
                heads = self._heads
                if heads is not None and len(whole) == 1 and not self._personal:
                    heads.learn(data, whole[0])
                return whole
            if not whole and self.phase != CHUNKED and data[0] not in b"\r\n":
                self._room -= len(data) if self.phase == HEAD else 0
                self._end = data[-3:]
                return whole
            self._begin_again()
        else:
            whole = self._whole = []
        if self.phase == BODY and len(data) <= self._length - len(self._body):
            self._feed(data)
        elif self.phase != ENDED:
            self._walk(data)
        return whole

    def _begin_again(self) -> None:
        """Forget what the first request of this read and those behind it did: they are to be fed in pieces."""
        self._parser = httptools.HttpRequestParser(self)
        self._whole.clear()
        self._start()
        self.phase = REST
        self.wants_continue = False
        self._room = self._limits.max_head

    def close(self) -> None:
        """Let go of the parser (it and this object hold each other)."""
        self.phase = ENDED
        self._parser = None
        self._start()

    def _feed(self, data: bytes | memoryview) -> None:
        parser = self._parser
        assert parser is not None  # only close() takes it away
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error, httptools.HttpParserCallbackError) and self.failure is None:
                raise  # a mistake in here, not the client's
            if self.failure is None and self.phase != ENDED:
                self.failure = _broken(error)
            self.phase = ENDED

    def _walk(self, data: bytes) -> None:
        """Feed data in pieces that end where a head, a body or an allowance ends."""
        view = memoryview(data)
        at, end = 0, len(data)
        while at < end and self.phase != ENDED:
            stop = self._piece_end(data, at, end)
            phase, room, held, count = self.phase, self._room, len(self._body), len(self._whole)
            piece = view[at:stop]
            self._feed(piece)
            at = stop
            if phase == BODY:
                continue
            used = len(piece)
            if phase == CHUNKED:
                grown = self._whole[-1].body if len(self._whole) > count else self._body
                used -= len(grown) - held
            if used > room and self.failure is None:
                del self._whole[count:]
                self._overrun(phase)
            elif self.phase == phase or (phase == REST and self.phase == HEAD):
                self._room = room - used if self.phase != REST else room
                self._end = (self._end + bytes(piece[-3:]))[-3:]

    def _piece_end(self, data: bytes, at: int, end: int) -> int:
        """Where the piece that begins at ``at`` ends."""
        if self.phase == BODY:
            return min(end, at + self._length - len(self._body))
        if self.phase == REST and data[at] in b"\r\n":
            while at < end and data[at] in b"\r\n":
                at += 1
            return at
        if self.phase == REST:
            self._end = b""
        least = _PIECE if self.phase == CHUNKED else 1
        end = min(end, at + max(self._room + 1, least))
        across = (self._end + data[at : min(end, at + 3)]).find(_BLANK)
        if across >= 0:
            return at + across + len(_BLANK) - len(self._end)
        inside = data.find(_BLANK, at, end)
        return end if inside < 0 else inside + len(_BLANK)

    def _overrun(self, phase: int) -> None:
        self.phase = ENDED
        if phase == CHUNKED:
            self.failure = refused("malformed", f"more than {MAX_CHUNK_OVERHEAD} bytes around the chunks of a body")
        else:
            most = self._limits.max_head
            self.failure = refused("head_too_large", f"request line and headers are longer than {most} bytes")

    def _refuse(self, code: str, reason: str) -> NoReturn:
        self.phase = ENDED
        self.failure = refused(code, reason)
        raise _Stop

    def on_message_begin(self) -> None:
        self.phase = HEAD

    def on_url(self, url: bytes) -> None:
        self._url = self._url + url if self._url else url
        if len(self._url) > self._limits.max_url:
            self._refuse("url_too_long", f"target is longer than {self._limits.max_url} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _usual(name)
        if key is None:
            key = self._unusual(name)
        if key:
            headers = self._headers
            if key not in headers:
                headers[key] = value
            elif self._request is None:
                self._again(key, value)

    def _unusual(self, name: bytes) -> bytes:
        """Kept name of a header in an unusual spelling, or b""."""
        lower = name.lower()
        if lower in TWINS and self._request is None:
            self._refuse("malformed", f"header {lower.decode()}: did you mean it with a hyphen?")
        if lower in KEPT:
            return lower
        self._personal = True  # for all we know: a cookie, a proxy's own header for the address
        return b""

    def _again(self, key: bytes, value: bytes) -> None:
        """A header that was there before."""
        if key in LISTS:
            self._headers[key] += b", " + value
        elif key in ONCE:
            self._refuse(ONCE[key], f"header {key.decode()} is there twice")

    def on_headers_complete(self) -> None:
        parser, headers, url = self._parser, self._headers, self._url
        assert parser is not None  # it is calling
        method = parser.get_method()
        old = False
        if not self._version_seen:
            old = self._is_old(parser.get_http_version())
        self._version_seen = False
        host = headers.get(b"host")
        if host != self._host or host is None:
            self._check_host(host, old)
        if b"upgrade" in headers or parser.should_upgrade():
            self._refuse("upgrade", "this server speaks HTTP/1.1 only and does not upgrade")
        if url[0] != 47 or 35 in url:  # "/" and "#"
            url = self._check_target(method, url)
        self._request = Request(method, url, headers, parser.should_keep_alive(), old)
        self._length = int(headers.get(b"content-length", b"0"))
        self.phase = BODY
        if self._length or b"transfer-encoding" in headers:
            self._expect_body(method, headers, old)
        self._headers = {}  # what comes now, trailers, is in no request

    def _is_old(self, version: str) -> bool:
        if version not in ("1.1", "1.0"):
            self._refuse("bad_version", f"HTTP/{version} is not spoken here, HTTP/1.1 is")
        return version == "1.0"

    def _check_host(self, host: bytes | None, old: bool) -> None:
        if host is None:
            if not old:
                self._refuse("bad_host", "HTTP/1.1 asks for a Host header")
        elif not _HOST.fullmatch(host.strip()):
            self._refuse("bad_host", "Host is not a host and port")
        self._host = host

    def _check_target(self, method: bytes, url: bytes) -> bytes:
        """Path and query of a target that is not simply a path."""
        if url == b"*" and method == b"OPTIONS":
            return url
        absolute = _ABSOLUTE.fullmatch(url)
        if absolute is None:
            self._refuse("malformed", "target is neither a path nor http://host/path, or has a fragment")
        host = self._headers.get(b"host", b"").strip()
        if absolute[1].lower() != host.lower():
            self._refuse("bad_host", "target names another host than the Host header")
        return absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]

    def _expect_body(self, method: bytes, headers: dict[bytes, bytes], old: bool) -> None:
        """Policy of requests with a body."""
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if old:
                self._refuse("bad_transfer", "HTTP/1.0 has no Transfer-Encoding")
            if coding.strip().lower() != b"chunked":
                self._refuse("bad_transfer", "Transfer-Encoding must be exactly: chunked")
            self.phase = CHUNKED
            self._room = MAX_CHUNK_OVERHEAD
            self._end = b""
        if method in _BODILESS:
            self._refuse("malformed", f"{method.decode()} has no body")
        if self._length > self._limits.max_body:
            self._refuse("body_too_large", f"body is longer than {self._limits.max_body} bytes")
        expect = headers.get(b"expect")
        if expect is not None and not old:
            if expect.strip().lower() != b"100-continue":
                self._refuse("expectation", "the only expectation met here is 100-continue")
            self.wants_continue = True

    def on_body(self, body: bytes) -> None:
        if not self._body:
            self._body = body
        else:
            if not isinstance(self._body, bytearray):
                self._body = bytearray(self._body)
            self._body += body
        if len(self._body) > self._limits.max_body:
            self._refuse("body_too_large", f"body is longer than {self._limits.max_body} bytes")

    def on_message_complete(self) -> None:
        request = self._request
        assert request is not None  # the head was complete
        request.body = self._body if isinstance(self._body, bytes) else bytes(self._body)
        self._whole.append(request)
        if self._headers:
            self._headers = {}
        self.phase = REST if request.keep_alive else ENDED
        self.wants_continue = False
        self._room = self._limits.max_head
        self._url = self._body = b""
        self._request = None


def _broken(error: Exception) -> Refused:
    """What the grammar does not allow, in httptools' words, which hold nothing of the request."""
    text = str(error.args[0]) if error.args and isinstance(error.args[0], str) else ""
    if text == _PREFACE:
        return refused("bad_version", "HTTP/2.0 is not spoken here, HTTP/1.1 is")
    return refused("malformed", f"not a request: {text}" if text else "not a request")
