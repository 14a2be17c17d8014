"""From a request to its answer: route, dialect, finished rows, ring. No sockets, no clock.

The order that the promise rests on: a request's events are appended to the ring, all of them or
none; ``publish`` makes them part of it; only then may the answer be written. Whoever calls
``answer`` keeps to that: answers of one read are collected, ``publish`` is called once, and then
they are sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trackflowd.admission import Admission
from trackflowd.enrich.finish import FORGET_EVERY, Finisher, Row
from trackflowd.enrich.visitor import site_hash
from trackflowd.errors import RecordTooLarge, Refused, RingError, RingFull
from trackflowd.policy import Policy
from trackflowd.proto.address import Proxies
from trackflowd.proto.dialects import Dialect, Limits, RefusedEvent
from trackflowd.proto.headers import DEBUG
from trackflowd.proto.inflate import MAGIC, plain
from trackflowd.proto.refusals import refused
from trackflowd.proto.request import Reply, Request, reply_to
from trackflowd.proto.responses import JSON, NO_STORE, Responses, cors, not_counted, preflight
from trackflowd.ring.writer import Writer
from trackflowd.sections import Http
from trackflowd.static import Scripts, Static, demo_page

#: Origins whose finished answer is kept for the rest of a second.
_MAX_KEPT = 1024
_RING_FAILED = "this server cannot keep events now"
#: HEAD asks what GET would answer; it is no event.
_NOT_COUNTED, _DEBUGGED = not_counted("head"), not_counted("debug")


class Peer(NamedTuple):
    """Who connected.

    Args:
        address: in its usual form; "" for a unix socket.
        trusted: a proxy whose word on the client's address counts.
    """

    address: str
    trusted: bool


Handler = Callable[[Request, Peer], bytes]
Append = Callable[[Sequence[Row]], None]
#: From a request's headers (but for the address a proxy names) to the handler of all requests with such headers.
Prepare = Callable[[dict[bytes, bytes]], Handler]


class Intake:
    """Answers requests.

    Args:
        http: the options.
        dialects: wire formats to speak.
        finisher: makes rows.
        writer: of this worker's ring.
        now: seconds since 1970; ``tick`` keeps it current.
        sites: those whose events are counted each for itself.
    """

    def __init__(
        self,
        http: Http,
        dialects: Sequence[Dialect],
        finisher: Finisher,
        writer: Writer,
        now: float,
        sites: Sequence[str] = (),
    ) -> None:
        self._dialects = dialects
        self._finisher = finisher
        #: Sites and keys; another takes its place when they change.
        self.policy = Policy()
        self._next_forget = now + FORGET_EVERY
        #: ms since 1970, given to rows as received.
        self.now_ms = int(now * 1000)
        #: Set when the ring cannot be trusted any more: nothing is accepted.
        self.ring_failed = False
        #: Called with the rows of each request that was accepted, while somebody watches.
        self.tail: Callable[[Sequence[Row]], None] | None = None
        #: Gives the decision on a request whose sender asks for it, as JSON; raises Refused. None: nobody may ask.
        self.debug: Callable[[Request, Peer], bytes] | None = None
        self.requests = self.accepted = self.refused = self.ring_full = 0
        #: Answers by the first digit of their status.
        self.answers = [0] * 6
        #: Refusals since they were last taken, by code.
        self.refusals: Counter[str] = Counter()
        self.refused_sites: Counter[tuple[str, str]] = Counter()  # of those, where the site is known: by site and code
        #: Events put into the ring: of all other sites, then of each of ``sites``.
        self.by_site = [0] * (1 + len(sites))
        self._places = {site_hash(site): place for place, site in enumerate(sites, 1)}
        #: Events accepted and refused by dialect, but for the first, which has the rest: it costs the busiest nothing.
        self._others = {dialect.name: [0, 0] for dialect in dialects[1:]}
        self._retracted = [0, 0]  # events, answers
        self.take(http, now)
        self.use(writer)

    def take(self, http: Http, now: float) -> None:
        """Take on the options. Handlers made before keep those they were made with.

        Args:
            now: seconds since 1970.
        """
        self._http = http
        self._proxies = Proxies(http.trusted_proxies)
        self._limits = Limits(http.max_events)
        self._responses = Responses(now, http.retry_after)
        self._kept: list[dict[bytes | None, bytes]] = []
        self._routes: dict[bytes, dict[bytes, Prepare]] = {}
        self._lay_routes()

    def use(self, writer: Writer) -> None:
        """Put rows into this ring from now on. What the one before has unpublished is forgotten."""
        self._writer = writer
        self._append = self._by_site(writer.append) if self._places else writer.append
        #: Makes the rows of all answered requests part of the ring.
        self.publish: Callable[[], None] = writer.publish
        self.ring_failed = False

    def _by_site(self, append: Append) -> Append:
        """The same, and the rows are counted by site."""
        counts, places = self.by_site, self._places

        def counted(rows: Sequence[Row]) -> None:
            append(rows)
            for row in rows:
                counts[places.get(row[1], 0)] += 1

        return counted

    def by_dialect(self) -> dict[str, tuple[int, int]]:
        """Events put into the ring, and refused, by dialect; what was retracted counts as put there."""
        others = {name: (counts[0], counts[1]) for name, counts in self._others.items()}
        taken = self.accepted + self._retracted[0] - sum(counts[0] for counts in others.values())
        refused = self.refused - self._retracted[1] - sum(counts[1] for counts in others.values())
        return {self._dialects[0].name: (taken, refused), **others}

    def _lay_routes(self) -> None:
        http = self._http
        options = {"event_path": http.event_path, "script_path": http.script_path, "pixel_path": http.pixel_path}
        for dialect in self._dialects:
            events, peek = self._events(dialect), self._peek(dialect)
            for route in dialect.routes:
                for path in route.resolve(options):
                    methods = self._routes.setdefault(path.encode(), {})
                    methods[route.method] = events
                    if route.method == b"GET":
                        methods[b"HEAD"] = peek
        first = {name: paths[0] for name, paths in options.items()}
        self._scripts = [Scripts(path, first) for path in http.script_path]
        if http.demo:
            page = self._static(demo_page(first["script_path"], first["event_path"]))
            self._routes[b"/"] = {b"GET": page, b"HEAD": page}

    def _script(self, path: bytes) -> dict[bytes, Prepare] | None:
        """Methods of a script's route."""
        for scripts in self._scripts:
            found = scripts.find(path)
            if found is not None:
                serve = self._static(*found)
                return {b"GET": serve, b"HEAD": serve}
        return None

    def tick(self, now: float) -> None:
        """Take the time (seconds since 1970)."""
        if self._responses.tick(now):
            for kept in self._kept:
                kept.clear()
        if now >= self._next_forget:
            self._next_forget = now + FORGET_EVERY
            self._proxies.forget()
            self.policy.forget()

    def trusts(self, address: str) -> bool:
        """True if address (in its usual form) is a proxy's whose word counts."""
        return self._proxies.trusts(address)

    def answer(self, request: Request, peer: Peer) -> bytes:
        """The answer to a request; it may be sent after ``publish``."""
        self.requests += 1
        head = request.head
        if head is None:
            return self._handler(request)(request, peer)
        handler = head.handler
        if handler is None:
            handler = head.handler = self._handler(request)
        return handler(request, peer)

    def _handler(self, request: Request) -> Handler:
        """What answers requests with this method, target and headers."""
        if DEBUG in request.headers and self.debug is not None:
            return self._debugged
        path = request.path
        methods = self._routes.get(request.target) or self._routes.get(path) or self._script(path)
        if methods is not None and (prepare := methods.get(request.method)) is not None:
            return prepare(request.headers)
        if request.method == b"OPTIONS":
            return self._preflight
        if methods is None:
            return self._nothing
        allowed = b", ".join(sorted({*methods, b"OPTIONS"}))
        refusal = refused("method", f"this route takes {allowed.decode()}")
        return lambda request, peer: self._refuse(request, refusal, b"Allow: " + allowed + b"\r\n")

    def _debugged(self, request: Request, peer: Peer) -> bytes:
        assert self.debug is not None
        try:
            told = self.debug(request, peer)
        except Refused as refusal:
            return self._refuse(request, refusal)
        return self.write(request, 200, JSON + NO_STORE + _DEBUGGED, told)

    def _preflight(self, request: Request, peer: Peer) -> bytes:
        return self.write(request, 204, preflight(request.headers), b"")

    def _nothing(self, request: Request, peer: Peer) -> bytes:
        return self._refuse(request, refused("not_found", "nothing is here"))

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
        self._retracted[0] += events
        self._retracted[1] += 1
        refusal = refused("ring_failed", "the disk failed; nothing was kept, send it again later")
        return self._refuse_as(reply, refusal)

    def refuse_connection(self, refusal: Refused) -> bytes:
        """Answer to what is not a request, or comes where none is taken; the connection closes after it."""
        self._count(refusal)
        return self._responses.refuse(refusal)

    def _count(self, refusal: Refused) -> None:
        self.answers[refusal.status // 100] += 1
        self.refusals[refusal.code] += refusal.events

    def _refuse(self, request: Request, refusal: Refused, headers: bytes = b"") -> bytes:
        return self._refuse_as(reply_to(request), refusal, headers)

    def _refuse_as(self, reply: Reply, refusal: Refused, headers: bytes = b"") -> bytes:
        self._count(refusal)
        origin, keep_alive, old, bodiless = reply
        return self._responses.refuse(
            refusal, origin=origin, headers=headers, keep_alive=keep_alive, old=old, bodiless=bodiless
        )

    def write(self, request: Request, status: int, headers: bytes, body: bytes) -> bytes:
        """An answer in the form its request asks for; it is counted."""
        self.answers[status // 100] += 1
        bodiless = request.method == b"HEAD"
        return self._responses.write(
            status, headers, body, keep_alive=request.keep_alive, old=request.old, bodiless=bodiless
        )

    def _static(self, file: Static, more: bytes = b"") -> Prepare:
        def serve(request: Request, peer: Peer) -> bytes:
            status, lines, body = file.choose(request.headers, more)
            return self.write(request, status, lines + cors(request.headers.get(b"origin")), body)

        return lambda headers: serve

    def _peek(self, dialect: Dialect) -> Prepare:
        """Answers HEAD where GET would count an event: the head of that answer, and nothing is counted."""

        def answer(request: Request, peer: Peer) -> bytes:
            status, lines, body = dialect.reply(1, ())
            return self.write(request, status, lines + _NOT_COUNTED + cors(request.headers.get(b"origin")), body)

        return lambda headers: answer

    def _events(self, dialect: Dialect) -> Prepare:
        """Handlers of a dialect's routes. What follows from the headers is looked up once, not at each request."""
        kept: dict[bytes | None, bytes] = {}  # answers to a request of one good event, by origin, this second's
        self._kept.append(kept)

        def prepare(headers: dict[bytes, bytes]) -> Handler:
            take = self._taker(dialect, kept, headers)
            return self._counted(take, self._others[dialect.name]) if dialect.name in self._others else take

        return prepare

    def _counted(self, take: Handler, counts: list[int]) -> Handler:
        """The same, and what it accepts and refuses is added to counts."""

        def counted(request: Request, peer: Peer) -> bytes:
            accepted, refused = self.accepted, self.refused
            answer = take(request, peer)
            counts[0] += self.accepted - accepted
            counts[1] += self.refused - refused
            return answer

        return counted

    def _taker(self, dialect: Dialect, kept: dict[bytes | None, bytes], headers: dict[bytes, bytes]) -> Handler:
        read, row, limits, answers = dialect.read, self._finisher.row, self._limits, self.answers
        coding = headers.get(b"content-encoding")
        agent, origin = headers.get(b"user-agent", b""), headers.get(b"origin")
        admission = Admission(dialect, self._finisher, headers, self.refused_sites)
        lang, referer, with_key = admission.lang, admission.referer, admission.shown is not None

        def take(request: Request, peer: Peer) -> bytes:
            rows: list[Row] = []
            try:
                if coding is not None or request.body.startswith(MAGIC):
                    request.body = plain(request.body, coding or b"", self._http.max_inflated)
                policy, now = self.policy, self.now_ms
                ruled = with_key or not policy.idle
                events, bad = admission.read(policy, request, limits, now) if ruled else read(request, limits)
                if self.ring_failed:
                    raise refused("ring_failed", _RING_FAILED)
                # The client's address goes no further than this.
                address, trusted = peer
                if trusted:
                    address = self._client(address, request.headers)
                if ruled:
                    rows, bad = admission.rows(policy, request, events, bad, address, now)
                else:
                    for event in events:
                        rows.append(row(event, agent, address, lang, referer, now))
                self._append(rows)
                if ruled:
                    admission.taken()
            except Refused as refusal:
                admission.refused(self.policy, request, refusal)
                return self._refuse_events(request, refusal)
            except RingError as error:
                return self._refuse_events(request, self._ring_trouble(error, rows))
            count = len(rows)
            self.accepted += count
            if self.tail is not None:
                self.tail(rows)
            if count == 1 and not bad and request.keep_alive and not request.old:
                answer = kept.get(origin)
                if answer is not None:
                    answers[2] += 1
                    return answer
                answer = self._accept(dialect, request, origin, count, bad)
                if len(kept) < _MAX_KEPT:
                    kept[origin] = answer
                return answer
            if bad and not ruled:
                admission.unread(policy, request, bad)
            return self._accept(dialect, request, origin, count, bad)

        return take

    def _accept(
        self, dialect: Dialect, request: Request, origin: bytes | None, count: int, bad: Sequence[RefusedEvent]
    ) -> bytes:
        """Answer of a request whose good events, if it has any, are in the ring."""
        for refused_event in bad:
            self.refusals[refused_event.error] += 1
        self.refused += len(bad)
        status, lines, body = dialect.reply(count, bad)
        if not count:
            lines += not_counted(bad[0].error)
        return self.write(request, status, lines + cors(origin), body)

    def _refuse_events(self, request: Request, refusal: Refused) -> bytes:
        """Answer of a request none of whose events is taken."""
        self.refused += refusal.events
        self.ring_full += refusal.code == "ring_full"
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
