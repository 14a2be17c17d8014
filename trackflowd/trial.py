"""What would be decided for a request, and why: by the worker's own code, with nothing stored and nothing counted.

An ``intake`` of its own is made for each trial, with the options, sites, keys, salts and places in effect, over a ring
that nobody reads and that is thrown away. So this cannot differ from what it tells of. Two things depend on the moment
and are not tried: whether the ring has room, and what is left of limits of how fast to send.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from typing import Any, NamedTuple

from trackflowd.enrich.finish import Finisher, Row, as_dict
from trackflowd.enrich.geo import Geo
from trackflowd.enrich.visitor import Salt
from trackflowd.errors import Refused
from trackflowd.intake import Handler, Intake, Peer
from trackflowd.policy import Policy
from trackflowd.proto import dialects
from trackflowd.proto.address import Proxies, normal
from trackflowd.proto.control import BadRequest
from trackflowd.proto.dialects import Dialect, RefusedEvent
from trackflowd.proto.http import BODY, CHUNKED, ENDED, REST, Connection, Limits
from trackflowd.proto.refusals import MEANING, REMEDIES
from trackflowd.proto.request import Reply, Request
from trackflowd.ring.layout import HEADER_SIZE, Header, build_header
from trackflowd.ring.writer import Writer
from trackflowd.sections import Http


class _Watched(Intake):
    """An intake that remembers what it decided."""

    def __init__(self, http: Http, finisher: Finisher, writer: Writer, now: float) -> None:
        self.dialect = ""
        self.refusal: Refused | None = None
        self.bad: Sequence[RefusedEvent] = ()
        self.rows: list[Row] = []
        super().__init__(http, dialects.load(), finisher, writer, now)
        self.tail = self.rows.extend

    def _taker(self, dialect: Dialect, kept: dict[bytes | None, bytes], headers: dict[bytes, bytes]) -> Handler:
        self.dialect = dialect.name
        return super()._taker(dialect, kept, headers)

    def _accept(
        self, dialect: Dialect, request: Request, origin: bytes | None, count: int, bad: Sequence[RefusedEvent]
    ) -> bytes:
        self.bad = bad
        return super()._accept(dialect, request, origin, count, bad)

    def _refuse_as(self, reply: Reply, refusal: Refused, headers: bytes = b"") -> bytes:
        self.refusal = refusal
        return super()._refuse_as(reply, refusal, headers)


class Trial:
    """Tries one request.

    Args:
        http: the options.
        policy: sites and keys; it notes nothing of this.
        geo: the open databases.
        salts: living ones.
        capacity: of the ring that rows would go into, bytes: how large they may be follows from it.
        now: seconds since 1970.
        ring_failed: nothing can be accepted at present.
    """

    def __init__(
        self, http: Http, policy: Policy, geo: Geo, salts: Sequence[Salt], capacity: int, now: float, ring_failed: bool
    ) -> None:
        self._http = http
        self._proxies = Proxies(http.trusted_proxies)
        self._policy = policy
        self._finisher = Finisher(geo, salts)
        self._capacity = capacity
        self._now = now
        self._ring_failed = ring_failed

    def raw(self, data: bytes, peer: str) -> dict[str, Any]:
        """The decision on a request as it would be sent.

        Args:
            data: the whole request, head and body.
            peer: address of who connects.

        Returns:
            See ``decide``.

        Raises:
            BadRequest: no address, no whole request, or more than one.
        """
        address = normal(peer)
        if address is None:
            raise BadRequest("bad_arguments", "peer is no IPv4 or IPv6 address", "as in 203.0.113.9")
        http, who = self._http, Peer(address, self._proxies.trusts(address))
        connection = Connection(Limits(http.max_head, http.max_url, http.max_body))
        requests = connection.receive(data)
        if connection.failure is not None and not requests:
            return self._told(who, None, _Decision(connection.failure.status, connection.failure))
        if not requests:
            part = "body" if connection.phase in (BODY, CHUNKED) else "head"
            raise BadRequest("bad_arguments", f"the request is not whole: its {part} has no end", "see Content-Length")
        if len(requests) > 1 or connection.failure is not None or connection.phase not in (REST, ENDED):
            raise BadRequest("bad_arguments", "something follows the request", "one at a time; see Content-Length")
        return self.decide(requests[0], who)

    def decide(self, request: Request, peer: Peer) -> dict[str, Any]:
        """The decision on a request.

        Args:
            request: whole; it is not changed.
            peer: who connected.

        Returns:
            ``client`` (``peer``, ``trusted``, ``address``, ``header``, ``hop``: see ``address.Walk``), ``place`` and
            ``agent`` by columns, ``request`` (``method``, ``path``, ``dialect``), ``answer`` (``status``, ``refused``,
            ``reason``, ``meaning``, ``remedy``), ``events``: each with its ``index``, and a row by columns with
            ``salt_day``, or ``refused``, ``reason``, ``meaning``, ``remedy``.
        """
        copy = Request(request.method, request.target, request.headers, request.keep_alive, request.old, request.body)
        buffer = mmap.mmap(-1, HEADER_SIZE + self._capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        buffer[:HEADER_SIZE] = build_header(Header(self._capacity, bytes(16), bytes(16), 0))
        writer = Writer(buffer)
        try:
            intake = _Watched(self._http, self._finisher, writer, self._now)
            intake.policy = self._policy.apart()
            intake.ring_failed = self._ring_failed
            status = int(intake.answer(copy, peer).split(b" ", 2)[1])
        finally:
            writer.close()
            buffer.close()
        decision = _Decision(status, intake.refusal, intake.dialect, self._events(intake))
        return self._told(peer, copy, decision)

    def json(self, request: Request, peer: Peer) -> bytes:
        """``decide``, as JSON."""
        return json.dumps(self.decide(request, peer), ensure_ascii=False).encode()

    def _events(self, intake: _Watched) -> list[dict[str, Any]]:
        """What became of each event, in their order."""
        bad = {one.index: one for one in intake.bad}
        rows = iter(intake.rows)
        return [
            {"index": index, **_why(bad[index].error, bad[index].reason)}
            if index in bad
            else {"index": index, **self._shown(next(rows))}
            for index in range(len(intake.bad) + len(intake.rows))
        ]

    def _shown(self, row: Row) -> dict[str, Any]:
        shown = as_dict(row)
        rules = self._policy.rules(shown["site"])
        day = self._finisher.salt_day(shown["time"] - (rules.shift_ms if rules else 0))
        # as 16 digits of hex, for JSON's numbers could not hold it
        return {**shown, "visitor": f"{shown['visitor']:016x}", "salt_day": day}

    def _told(self, peer: Peer, request: Request | None, decision: _Decision) -> dict[str, Any]:
        headers = request.headers if request is not None else {}
        named = (headers.get(b"x-forwarded-for"), headers.get(b"forwarded")) if peer.trusted else (None, None)
        walk = self._proxies.walk(peer.address, *named)
        refusal = decision.refusal
        return {
            "client": {"peer": peer.address, "trusted": peer.trusted, **walk._asdict()},
            **self._finisher.about(headers.get(b"user-agent", b""), walk.address),
            "request": {
                "method": request.method.decode("latin-1") if request is not None else "",
                "path": request.path.decode("latin-1") if request is not None else "",
                "dialect": decision.dialect,
            },
            "answer": {
                "status": decision.status,
                **_why(*((refusal.code, str(refusal)) if refusal is not None else ("", ""))),
            },
            "events": list(decision.events),
        }


class _Decision(NamedTuple):
    status: int
    refusal: Refused | None
    dialect: str = ""
    events: Sequence[dict[str, Any]] = ()


def _why(code: str, reason: str) -> dict[str, str]:
    meaning, remedy = MEANING.get(code, ""), REMEDIES.get(code, "")
    return {"refused": code, "reason": reason, "meaning": meaning, "remedy": remedy}
