"""From a request to its answer: route, dialect, finished rows, ring. No sockets, no clock.

The order that the promise rests on: a request's events are appended to the ring, all of them or
none; ``publish`` makes them part of it; only then may the answer be written. Whoever calls
``answer`` keeps to that: answers of one read are collected, ``publish`` is called once, and then
they are sent.
"""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from trackflowd.enrich.finish import Finisher, Row
from trackflowd.errors import RecordTooLarge, Refused, RingError, RingFull
from trackflowd.proto.address import Proxies
from trackflowd.proto.dialects import Dialect, Limits
from trackflowd.proto.inflate import MAGIC, plain
from trackflowd.proto.refusals import refused
from trackflowd.proto.request import Request
from trackflowd.proto.responses import Responses, cors, preflight
from trackflowd.ring.writer import Writer
from trackflowd.sections import Http

#: Origins whose finished answer is kept for the rest of a second.
_MAX_KEPT = 1024
#: The script changes with the daemon's version only; a day is what a fix may take to arrive.
_SCRIPT = b"Content-Type: text/javascript; charset=utf-8\r\nCache-Control: public, max-age=86400\r\n"
_RING_FAILED = "this server cannot keep events now"
_PAGE = b"Content-Type: text/html; charset=utf-8\r\nCache-Control: no-cache\r\n"


class Peer(NamedTuple):
    """Who connected.

    Args:
        address: in its usual form; "" for a unix socket.
        trusted: a proxy whose word on the client's address counts.
    """

    address: str
    trusted: bool


class Reply(NamedTuple):
    """What an answer takes from its request (see ``responses``); nothing in it is personal."""

    origin: bytes | None
    keep_alive: bool
    old: bool
    bodiless: bool


Handler = Callable[[Request, Peer], bytes]


def reply_to(request: Request) -> Reply:
    """Form of the answer to a request."""
    return Reply(request.headers.get(b"origin"), request.keep_alive, request.old, request.method == b"HEAD")


class Static:
    """A file served from memory.

    Args:
        name: file in ``trackflowd/assets``.
        headers: complete lines.
        renamed: what in it is to be replaced by what.
    """

    def __init__(self, name: str, headers: bytes, renamed: Mapping[str, str] | None = None) -> None:
        text = resources.files("trackflowd").joinpath("assets", name).read_text("utf-8")
        for usual, other in (renamed or {}).items():
            text = text.replace(usual, other)
        content = text.encode()
        mark = hashlib.blake2b(content, digest_size=12).hexdigest().encode()
        packed = gzip.compress(content, 9, mtime=0)
        headers += b"Vary: Accept-Encoding\r\nX-Content-Type-Options: nosniff\r\n"
        etag, packed_etag = b'"%s"' % mark, b'"%s-gz"' % mark
        self._plain = headers + b"ETag: " + etag + b"\r\n", etag, content
        self._packed = headers + b"ETag: " + packed_etag + b"\r\nContent-Encoding: gzip\r\n", packed_etag, packed

    def choose(self, headers: dict[bytes, bytes]) -> tuple[int, bytes, bytes]:
        """Status, header lines and body for a request with these headers."""
        packed = _takes_gzip(headers.get(b"accept-encoding", b""))
        lines, etag, body = self._packed if packed else self._plain
        known = [tag.strip().removeprefix(b"W/") for tag in headers.get(b"if-none-match", b"").split(b",")]
        if etag in known or known == [b"*"]:
            return 304, lines, b""
        return 200, lines, body


def _takes_gzip(accepted: bytes) -> bool:
    for part in accepted.lower().split(b","):
        name, _, quality = part.partition(b";")
        if name.strip() in (b"gzip", b"*"):
            return quality.replace(b" ", b"").rstrip(b"0") not in (b"q=", b"q=0.")
    return False


class Intake:
    """Answers requests.

    Args:
        http: the options.
        dialects: wire formats to speak.
        finisher: makes rows.
        writer: of this worker's ring.
        now: seconds since 1970; ``tick`` keeps it current.
    """

    def __init__(self, http: Http, dialects: Sequence[Dialect], finisher: Finisher, writer: Writer, now: float) -> None:
        self._http = http
        self._dialects = dialects
        self._row = finisher.row
        self._proxies = Proxies(http.trusted_proxies)
        self._limits = Limits(http.max_events)
        self._responses = Responses(now, http.retry_after)
        #: ms since 1970, given to rows as received.
        self.now_ms = int(now * 1000)
        #: Set when the ring cannot be trusted any more: nothing is accepted.
        self.ring_failed = False
        #: Called with the rows of each request that was accepted, while somebody watches.
        self.tail: Callable[[Sequence[Row]], None] | None = None
        self.requests = self.accepted = self.refused = self.ring_full = 0
        #: Answers by the first digit of their status.
        self.answers = [0] * 6
        #: Refusals since they were last taken, by code.
        self.refusals: Counter[str] = Counter()
        self._kept: list[dict[bytes | None, bytes]] = []
        self._routes: dict[bytes, dict[bytes, Handler]] = {}
        self.use(writer)

    def use(self, writer: Writer) -> None:
        """Put rows into this ring from now on. What the one before has unpublished is forgotten."""
        self._writer = writer
        #: Makes the rows of all answered requests part of the ring.
        self.publish: Callable[[], None] = writer.publish
        self.ring_failed = False
        self._kept.clear()
        self._lay_routes()

    def _lay_routes(self) -> None:
        options = {name: getattr(self._http, name) for name in ("event_path", "script_path", "pixel_path")}
        script = self._static(Static("t.js", _SCRIPT))
        self._routes[options["script_path"].encode()] = {b"GET": script, b"HEAD": script}
        if self._http.demo:
            renamed = {"/t.js": self._http.script_path, "/v1/events": self._http.event_path}
            page = self._static(Static("demo.html", _PAGE, renamed))
            self._routes[b"/"] = {b"GET": page, b"HEAD": page}
        for dialect in self._dialects:
            for route in dialect.routes:
                path = route.resolve(options).encode()
                self._routes.setdefault(path, {})[route.method] = self._events(dialect)

    def tick(self, now: float) -> None:
        """Take the time (seconds since 1970)."""
        if self._responses.tick(now):
            for kept in self._kept:
                kept.clear()

    def trusts(self, address: str) -> bool:
        """True if address (in its usual form) is a proxy's whose word counts."""
        return self._proxies.trusts(address)

    def answer(self, request: Request, peer: Peer) -> bytes:
        """The answer to a request; it may be sent after ``publish``."""
        self.requests += 1
        methods = self._routes.get(request.target) or self._routes.get(request.path)
        if methods is not None:
            handler = methods.get(request.method)
            if handler is not None:
                return handler(request, peer)
        if request.method == b"OPTIONS":
            return self._write(request, 204, preflight(request.headers), b"")
        if methods is None:
            return self._refuse(request, refused("not_found", "nothing is here"))
        allowed = b", ".join(sorted({*methods, b"OPTIONS"}))
        refusal = refused("method", f"this route takes {allowed.decode()}")
        return self._refuse(request, refusal, b"Allow: " + allowed + b"\r\n")

    @property
    def staged(self) -> int:
        """Position in the ring behind the last row that was appended."""
        return self._writer.staged

    def abandon(self) -> None:
        """Forget the rows appended since ``publish``; their answers must not be sent."""
        self._writer.abandon()

    def retract(self, events: int, reply: Reply) -> bytes:
        """The answer in place of one that was made, was not sent and must not be: its rows were not kept.

        Args:
            events: how many rows it had.
            reply: form of the answer.
        """
        self.accepted -= events
        self.answers[2] -= 1
        self.refused += 1
        refusal = refused("ring_failed", "the disk failed; nothing was kept, send it again later")
        return self._refuse_as(reply, refusal)

    def refuse_connection(self, refusal: Refused) -> bytes:
        """Answer to what is not a request, or comes where none is taken; the connection closes after it."""
        self._count(refusal)
        return self._responses.refuse(refusal)

    def _count(self, refusal: Refused) -> None:
        self.answers[refusal.status // 100] += 1
        self.refusals[refusal.code] += 1

    def _refuse(self, request: Request, refusal: Refused, headers: bytes = b"") -> bytes:
        return self._refuse_as(reply_to(request), refusal, headers)

    def _refuse_as(self, reply: Reply, refusal: Refused, headers: bytes = b"") -> bytes:
        self._count(refusal)
        origin, keep_alive, old, bodiless = reply
        return self._responses.refuse(
            refusal, origin=origin, headers=headers, keep_alive=keep_alive, old=old, bodiless=bodiless
        )

    def _write(self, request: Request, status: int, headers: bytes, body: bytes) -> bytes:
        self.answers[status // 100] += 1
        bodiless = request.method == b"HEAD"
        return self._responses.write(
            status, headers, body, keep_alive=request.keep_alive, old=request.old, bodiless=bodiless
        )

    def _static(self, file: Static) -> Handler:
        def serve(request: Request, peer: Peer) -> bytes:
            status, lines, body = file.choose(request.headers)
            return self._write(request, status, lines + cors(request.headers.get(b"origin")), body)

        return serve

    def _events(self, dialect: Dialect) -> Handler:
        """Handler of a dialect's routes."""
        read, reply, limits, most = dialect.read, dialect.reply, self._limits, self._http.max_inflated
        kept: dict[bytes | None, bytes] = {}  # answers to a request of one good event, by origin, this second's
        self._kept.append(kept)

        row, append = self._row, self._writer.append

        def take(request: Request, peer: Peer) -> bytes:
            headers = request.headers
            rows: list[Row] = []
            try:
                if b"content-encoding" in headers or request.body[:2] == MAGIC:
                    request.body = plain(request.body, headers.get(b"content-encoding", b""), most)
                events, bad = read(request, limits)
                if self.ring_failed:
                    raise refused("ring_failed", _RING_FAILED)
                # The client's address goes no further than this.
                address, trusted = peer
                if trusted:
                    address = self._client(address, headers)
                agent = headers.get(b"user-agent", b"")
                now = self.now_ms
                for event in events:
                    lang = "" if event.lang else _text(headers, b"accept-language")
                    referer = "" if event.url else _text(headers, b"referer")
                    rows.append(row(event, agent, address, lang, referer, now))
                append(rows)
            except Refused as refusal:
                return self._refuse_events(request, refusal)
            except RingError as error:
                return self._refuse_events(request, self._ring_trouble(error, rows))
            count = len(rows)
            self.accepted += count
            if self.tail is not None:
                self.tail(rows)
            origin = headers.get(b"origin")
            usual = count == 1 and not bad and request.keep_alive and not request.old
            if usual:
                answer = kept.get(origin)
                if answer is not None:
                    self.answers[2] += 1
                    return answer
            for refused_event in bad:
                self.refusals[refused_event.error] += 1
            self.refused += len(bad)
            status, lines, body = reply(count, bad)
            answer = self._write(request, status, lines + cors(origin), body)
            if usual and len(kept) < _MAX_KEPT:
                kept[origin] = answer
            return answer

        return take

    def _refuse_events(self, request: Request, refusal: Refused) -> bytes:
        """Answer of a request none of whose events is taken."""
        self.refused += 1
        if refusal.code == "ring_full":
            self.ring_full += 1
        return self._refuse(request, refusal)

    def _client(self, peer: str, headers: dict[bytes, bytes]) -> str:
        return self._proxies.client(peer, headers.get(b"x-forwarded-for"), headers.get(b"forwarded"))

    def _ring_trouble(self, error: RingError, rows: Sequence[Row]) -> Refused:
        """Why a request's rows could not be put behind the ring's head; none of them was."""
        if isinstance(error, RingFull):
            return refused("ring_full", "the store is behind; nothing was kept, send it again later")
        if isinstance(error, RecordTooLarge):
            most = self._writer.max_payload
            if any(len(row[4]) > most for row in rows):
                return refused("event_too_large", f"an event takes more than {most} bytes")
            return refused("too_many_events", "the events are more than a quarter of the ring")
        self.ring_failed = True
        return refused("ring_failed", _RING_FAILED)


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    value: Any = headers.get(name)
    return value.decode("utf-8", "replace") if value else ""
