"""The table of routes of the admin listener."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trackflowd import openapi_admin, openapi_events
from trackflowd.admin import NEAR, Handler, Route
from trackflowd.admin_desk import Desk
from trackflowd.admin_events import EventRoutes
from trackflowd.admin_sites import SiteRoutes
from trackflowd.admin_stats import StatsRoutes
from trackflowd.admin_words import Answer, Call, Parameters, json_answer
from trackflowd.audit import Audit
from trackflowd.metrics import CONTENT_TYPE
from trackflowd.tokens import ADMIN

#: Paths of the probes.
PROBES = ("/healthz", "/readyz")
#: A probe: whether it is so, and what else is to be said.
Probe = Callable[[], tuple[bool, Mapping[str, Any]]]


def routes(desk: Desk, probes: Mapping[str, Probe], metrics: Callable[[], Awaitable[bytes]]) -> Sequence[Route]:
    """Every route.

    Args:
        desk: runs commands.
        probes: by path; answered 200 if it is so, else 503, to anybody.
        metrics: makes the text that Prometheus scrapes.
    """
    stats, events, sites = StatsRoutes(desk), EventRoutes(desk), SiteRoutes(desk)
    table = [
        *(Route("GET", path, _probe(probe), scope="") for path, probe in probes.items()),
        Route("GET", "/metrics", _text(metrics), NEAR),
        Route("GET", "/v1/openapi.json", _documents(lambda: table)),
        Route("GET", "/v1/stats", stats.catalogue),
        Route("GET", "/v1/stats/{name}", stats.statistic),
        Route("GET", "/v1/geo/{ip}", stats.geo),
        Route("GET", "/v1/events", events.events),
        Route("DELETE", "/v1/events", events.erase_events, ADMIN),
        Route("GET", "/v1/events/{id}", events.event),
        Route("PATCH", "/v1/events/{id}", events.correct, ADMIN),
        Route("DELETE", "/v1/events/{id}", events.erase_event, ADMIN),
        Route("GET", "/v1/users/{id}/export", events.export_user),
        Route("DELETE", "/v1/users/{id}", events.erase_user, ADMIN),
        Route("GET", "/v1/sites", sites.sites),
        Route("GET", "/v1/sites/{site}", sites.site),
        Route("PUT", "/v1/sites/{site}", sites.put, ADMIN),
        Route("PATCH", "/v1/sites/{site}", sites.change, ADMIN),
        Route("DELETE", "/v1/sites/{site}", sites.remove, ADMIN),
        Route("GET", "/v1/keys", sites.keys),
        Route("POST", "/v1/keys", sites.add_key, ADMIN),
        Route("GET", "/v1/keys/{id}", sites.key),
        Route("POST", "/v1/keys/{id}/rotate", sites.rotate_key, ADMIN),
        Route("DELETE", "/v1/keys/{id}", sites.revoke_key, ADMIN),
        Route("GET", "/v1/tasks", events.tasks),
        Route("GET", "/v1/tasks/{id}", events.task),
    ]
    return table


def documents(table: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI documents by listener: ``admin``, ``events``."""
    return {"admin": openapi_admin.build(table), "events": openapi_events.build()}


def described() -> dict[str, Any]:
    """The same, of a table of all routes that nothing stands behind."""

    async def nothing() -> bytes:
        return b""

    desk = Desk({}, lambda: 0.0, Audit(Path()))
    return documents(routes(desk, dict.fromkeys(PROBES, lambda: (True, {})), nothing))


def _probe(probe: Probe) -> Handler:
    async def answer(call: Call) -> Answer:
        good, value = probe()
        return json_answer(value, 200 if good else 503)

    return answer


def _documents(table: Callable[[], Sequence[Route]]) -> Handler:
    made: dict[str, Any] = {}

    async def answer(call: Call) -> Answer:
        """This document, or that of the event listener."""
        which = Parameters(call.target, ("listener",)).one_of("listener", ("admin", "events"))
        if not made:  # a few ms, once
            made.update(documents(table()))
        return json_answer(made[which])

    return answer


def _text(metrics: Callable[[], Awaitable[bytes]]) -> Handler:
    async def answer(call: Call) -> Answer:
        return Answer(200, await metrics(), CONTENT_TYPE)

    return answer
