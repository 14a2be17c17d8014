"""The admin listener: who may ask what, and which route answers. docs/admin.md is its manual.

::

    target read ─▶ token, if the path is under /v1/ ─▶ route, method ─▶ scope ─▶ the route's handler
      400             401                                404, 405        403        200, 202, 4xx, 5xx

Tokens are asked for before anything is said of what is there, on loopback too: every process of the machine can
connect there, and a browser can be made to. Probes need none.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackflowd.admin_http import Server
from trackflowd.admin_words import STATUS, Answer, Call, HttpError, Request, refusal
from trackflowd.errors import TrackflowError
from trackflowd.proto import target as targets
from trackflowd.proto.target import Target
from trackflowd.tokens import ADMIN, READ, Token, TokenRefused, Tokens

log = logging.getLogger(__name__)

#: Paths under this need a token, whatever stands there.
PROTECTED = "v1"
#: Scope of a route that anybody may read on loopback, and elsewhere who has a token.
NEAR = "near"
_REALM = 'Bearer realm="trackflow"'

Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table.

    Args:
        method: GET (which also answers HEAD), POST, PUT, PATCH or DELETE.
        path: segments; ``{name}`` is any one, not empty.
        handler: answers it.
        scope: of the token it takes: READ, ADMIN or NEAR; "": none is needed.
    """

    method: str
    path: str
    handler: Handler
    scope: str = READ

    def match(self, target: Target) -> dict[str, str] | None:
        """What stands for the names; None: another path."""
        pattern = self.path[1:].split("/")
        if len(pattern) != len(target.segments):
            return None
        found = {}
        for want, have in zip(pattern, target.segments, strict=True):
            if want.startswith("{") and have:
                found[want[1:-1]] = have
            elif want != have:
                return None
        return found


class Admin:
    """The listener.

    Args:
        address: "host:port"; port 0: any free one.
        routes: the table.
        tokens: who may ask.
        lent: a socket that listens there and stays whose it is; None: one is made.
    """

    def __init__(
        self, address: str, routes: Sequence[Route], tokens: Tokens, lent: socket.socket | None = None
    ) -> None:
        self._server = Server(address, self._answer, lent)
        self._routes = routes
        self._tokens = tokens
        self._listens = False
        self._near = True
        self._requests: Counter[tuple[str, int]] = Counter()
        self._refused: Counter[str] = Counter()

    async def start(self) -> None:
        """Listen; ``address`` is then the real one.

        Raises:
            ConfigError: the address cannot be used.
        """
        await self._server.start()
        self._listens = True
        self._near = ipaddress.ip_address(self.address.rpartition(":")[0].strip("[]")).is_loopback
        if not self._near:
            log.warning("admin.listen: %s is not loopback: tokens and answers cross the network in clear; "
                        "put a proxy with TLS in front, or a firewall", self.address)  # fmt: skip

    @property
    def address(self) -> str:
        """Where it listens; "": nowhere."""
        return self._server.address if self._listens else ""

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def counts(self) -> Mapping[str, Any]:
        """What was asked since the start: ``connections`` now, ``requests`` by route and status, ``refused`` by code.

        Bounded: a path that no route has counts as "other".
        """
        return {
            "connections": len(self._server.connections),
            "requests": [
                {"route": route, "status": status, "count": count}
                for (route, status), count in sorted(self._requests.items())
            ],
            "refused": dict(sorted((self._refused + self._server.refused).items())),
        }

    async def _answer(self, request: Request) -> Answer:
        name, answer = await self._routed(request)
        self._requests[name, answer.status] += 1
        return answer

    async def _routed(self, request: Request) -> tuple[str, Answer]:
        """Name of the route for the counters, and the answer."""
        name = "other"
        try:
            target = targets.read(request.target)
            token = self._admitted(request) if target.segments[0] == PROTECTED else None
            found = [(route, path) for route in self._routes if (path := route.match(target)) is not None]
            if not found:
                raise HttpError("not_found", "nothing is served here", "docs/admin.md has the routes")
            name = found[0][0].path
            method = "GET" if request.method == "HEAD" else request.method
            route, path = next((one for one in found if one[0].method == method), (None, {}))
            if route is None:
                raise _method(request.method, [one.method for one, _ in found])
            if route.scope and token is None and not (route.scope == NEAR and self._near):
                token = self._admitted(request)
            _check_scope(route.scope, token)
            return name, await route.handler(Call(target, path, request.body, token))
        except TrackflowError as error:
            self._refused[error.code if error.code in STATUS else "internal"] += 1
            return name, refusal(error)
        except Exception as error:
            log.exception("%s %s", request.method, name)
            self._refused["internal"] += 1
            return name, refusal(
                HttpError("internal", type(error).__name__, "this is a bug; the daemon's log has more")
            )

    def _admitted(self, request: Request) -> Token:
        """The token of who asks (RFC 6750)."""
        given = request.authorization
        if len(given) > 1:
            raise HttpError("bad_request", "more than one Authorization header")
        scheme, _, text = (given[0] if given else "").strip().partition(" ")
        if scheme.lower() != "bearer" or not text:
            hint = "send Authorization: Bearer TOKEN; `trackflow tokens add NAME` makes one"
            raise HttpError("token_missing", "a token is needed here", hint, [("WWW-Authenticate", _REALM)])
        try:
            return self._tokens.check(text.strip(), time.time_ns() // 1_000_000)
        except TokenRefused as error:
            why = f'{_REALM}, error="invalid_token", error_description="{error.text}"'
            raise HttpError(error.code, error.text, error.hint, [("WWW-Authenticate", why)]) from error


def _check_scope(scope: str, token: Token | None) -> None:
    if scope == ADMIN and token is not None and token.scope != ADMIN:
        why = f'{_REALM}, error="insufficient_scope", scope="{ADMIN}"'
        hint = "`trackflow tokens add NAME --scope admin` makes one that may"
        raise HttpError("scope", "this token may only read", hint, [("WWW-Authenticate", why)])


def _method(method: str, served: Sequence[str]) -> HttpError:
    allowed = ", ".join(sorted({*served, *(["HEAD"] if "GET" in served else [])}))
    return HttpError("method", f"{method[:20]} is not served here", f"served: {allowed}", [("Allow", allowed)])
