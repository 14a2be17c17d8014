"""The OpenAPI document of the admin listener, from its routes, its codes and the tables answers come from.

Every route has a row in ``OPERATIONS``; a route without one fails when the document is made, which a test does. What
parameters a row names is held to those its handler takes by tests/test_openapi_admin.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from trackflowd import admin_events, admin_sites, admin_stats, openapi_rows
from trackflowd.admin_words import NDJSON, RETRY_AFTER, STATUS
from trackflowd.events import MAX_PAGE
from trackflowd.openapi import (
    JSON,
    Json,
    answer,
    by_status,
    document,
    listed,
    parameter,
    record,
    ref,
    schema,
    text,
    whole,
)  # fmt: skip
from trackflowd.sections import Admin
from trackflowd.stats.catalogue import STATISTICS
from trackflowd.stats.filters import MAX_FILTERS
from trackflowd.stats.periods import INTERVALS
from trackflowd.stats.request import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, MAX_STEPS
from trackflowd.tokens import ADMIN

if TYPE_CHECKING:
    from trackflowd.admin import Route

_ABOUT = (
    "Probes, metrics, statistics, single events, erasures, sites and server keys. docs/admin.md is the manual. Where "
    "there is `GET` there is `HEAD`. What makes no sense is refused before anything is done."
)
#: Errors that any request may be answered with, and those of requests with a token, a body, a store to ask.
_ANY = ("bad_request", "bad_target", "bad_arguments", "query", "too_slow", "too_large", "head_too_large")
_ANY_BUSY = ("busy", "unavailable", "stopping", "too_many_connections", "store_away", "store_doubt", "store_failed")
_TOKEN = ("token_missing", "token_unknown", "token_expired", "token_revoked")


@dataclass(frozen=True, slots=True)
class Operation:
    """What the table of routes does not say of one.

    Args:
        tag: its group.
        answers: by status: when it is given, and the name of its schema; "": see ``kinds``.
        query: names of its query parameters, in the order its handler has them.
        bounds: of ``limit``: default and greatest.
        body: of the request, if it takes one.
        optional: the body may be left out.
        codes: errors of its own.
        summary: where its handler has no docstring of its own.
        kinds: media type and schema of 200 where that is no JSON.
    """

    tag: str
    answers: Mapping[int, tuple[str, str]]
    query: tuple[str, ...] = ()
    bounds: tuple[int, int] = (admin_events.DEFAULT_LIMIT, MAX_PAGE)
    body: type[msgspec.Struct] | None = None
    optional: bool = False
    codes: tuple[str, ...] = ()
    summary: str = ""
    kinds: Mapping[str, Json] = field(default_factory=dict)


_SELECT = ("site", "name", "user", "visitor", "id", "from", "to", "zone")
_BEGUN = {
    202: ("the task that does it; `Location` is where to ask for it", "TaskInFull"),
    200: ("a dry run", "Erasure"),
}
_EVENT = ("no_event", "ambiguous")
_TASKS = ("too_many_tasks",)


def _page(about: str, name: str) -> Mapping[int, tuple[str, str]]:
    return {200: (about, name)}


#: By method and path, as the table of routes has them.
OPERATIONS: Mapping[str, Operation] = {
    "GET /healthz": Operation("probes", _page("it runs", "Alive"), summary="Whether the supervisor runs."),
    "GET /readyz": Operation(
        "probes",
        {200: ("it is", "Ready"), 503: ("it is not, and why", "NotReady")},
        summary="Whether events can be taken and delivered.",
    ),
    "GET /metrics": Operation(
        "probes",
        _page("the exposition format of Prometheus", ""),
        summary="What Prometheus scrapes; on loopback no token is needed.",
        kinds={"text/plain": text()},
    ),
    "GET /v1/openapi.json": Operation(
        "about",
        _page("OpenAPI 3.1", "Document"),
        query=("listener",),
    ),
    "GET /v1/stats": Operation("statistics", _page("all of them", "Statistics")),
    "GET /v1/geo/{ip}": Operation("statistics", _page("its place; empty where it is not known", "Place")),
    "GET /v1/events": Operation(
        "events", _page("a page; `Link` names the next", "Events"), (*_SELECT, "period", "limit", "after", "order")
    ),
    "DELETE /v1/events": Operation("events", _BEGUN, (*_SELECT, "dry_run"), codes=_TASKS),
    "GET /v1/events/{id}": Operation("events", _page("the event", "Event"), ("site",), codes=_EVENT),
    "PATCH /v1/events/{id}": Operation(
        "events",
        {200: ("as it is now", "Corrected"), 202: ("the store is still at it", "Corrected")},
        ("site",),
        body=admin_events.Patch,
        codes=_EVENT,
    ),
    "DELETE /v1/events/{id}": Operation("events", _BEGUN, ("site", "dry_run"), codes=_TASKS),
    "GET /v1/users/{id}/export": Operation(
        "events", _page("an event a line", ""), ("site",), kinds={NDJSON: text("an object of schema Event a line")}
    ),
    "DELETE /v1/users/{id}": Operation("events", _BEGUN, ("site", "dry_run"), codes=_TASKS),
    "GET /v1/sites": Operation(
        "sites",
        _page("a page; `Link` names the next", "Sites"),
        ("limit", "after"),
        (admin_sites.DEFAULT_LIMIT, admin_sites.MAX_LIMIT),
    ),
    "GET /v1/sites/{site}": Operation("sites", _page("the site", "Site"), codes=("no_site",)),
    "PUT /v1/sites/{site}": Operation(
        "sites",
        {200: ("it has exactly these settings now", "ChangedSite"), 201: ("it is registered", "NewSite")},
        body=admin_sites.Settings,
        codes=("site_exists", "too_many_sites", "no_site"),
    ),
    "PATCH /v1/sites/{site}": Operation(
        "sites", _page("the site as it is now", "ChangedSite"), body=admin_sites.Settings, codes=("no_site",)
    ),
    "DELETE /v1/sites/{site}": Operation(
        "sites", _page("it is forgotten", "RemovedSite"), ("revoke_keys",), codes=("no_site", "site_has_keys")
    ),
    "GET /v1/keys": Operation("keys", _page("newest first", "Keys"), ("site",)),
    "POST /v1/keys": Operation(
        "keys",
        {201: ("the key, with its text, this once", "NewKey")},
        body=admin_sites.NewKey,
        codes=("key_exists", "too_many_keys", "no_site"),
    ),
    "GET /v1/keys/{id}": Operation("keys", _page("the key", "Key"), codes=("no_key",)),
    "POST /v1/keys/{id}/rotate": Operation(
        "keys",
        {201: ("its successor, with its text, this once", "RotatedKey")},
        body=admin_sites.Rotation,
        optional=True,
        codes=("no_key", "too_many_keys"),
    ),
    "DELETE /v1/keys/{id}": Operation("keys", _page("it does not work any more", "RevokedKey"), codes=("no_key",)),
    "GET /v1/tasks": Operation("tasks", _page("newest first", "Tasks")),
    "GET /v1/tasks/{id}": Operation("tasks", _page("the task", "TaskInFull"), codes=("no_task",)),
}
#: One path in the table of routes, an operation for each statistic here.
STATISTIC = "/v1/stats/{name}"


def build(table: Sequence[Route]) -> Json:
    """The document of a table of routes.

    Raises:
        KeyError: a route that ``OPERATIONS`` does not have.
    """
    paths: Json = {}
    for route in table:
        if route.path == STATISTIC:
            paths |= {f"/v1/stats/{name}": {"get": _statistic(name)} for name in STATISTICS}
        else:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return document(
        "TrackFlow: admin",
        _ABOUT,
        (f"http://{Admin().listen}", "the default of `admin.listen`"),
        paths,
        {
            "schemas": _schemas(),
            "parameters": {name: parameter(name, "query", one) for name, one in _QUERY.items()},
            "responses": _refusals(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`trackflow tokens add NAME`"}
            },
        },
        list(dict.fromkeys(one.tag for one in OPERATIONS.values())),
    )


def _operation(route: Route) -> Json:
    one = OPERATIONS[f"{route.method} {route.path}"]
    named = re.findall(r"{(\w+)}", route.path)
    made: Json = {"tags": [one.tag], "summary": one.summary or _first_line(route.handler)}
    made["security"] = _security(route)
    parameters = [parameter(name, "path", _PATH[name], required=True) for name in named]
    parameters += [_query(name, one.bounds) for name in one.query]
    if parameters:
        made["parameters"] = parameters
    if one.body:
        content = {JSON: {"schema": schema(_BODIES[one.body])}}
        made["requestBody"] = {"required": not one.optional, "content": content}
    found = {str(status): _answer(one, status) for status in one.answers}
    codes = [*_codes(route), *one.codes, *(["not_found"] if named else []), *(["bad_body"] if one.body else [])]
    made["responses"] = found | {status: one for status, one in _refused(codes).items() if status not in found}
    return made


def _codes(route: Route) -> Sequence[str]:
    """Errors that follow from where a route stands and who may ask it."""
    if not route.scope:
        return _ANY
    return (*_ANY, *_TOKEN, *_ANY_BUSY, "internal", *(("scope",) if route.scope == ADMIN else ()))


def _first_line(handler: Callable[..., object]) -> str:
    return (handler.__doc__ or "").partition("\n")[0]


def _security(route: Route) -> list[Json]:
    needed: Json = {"token": []}
    return [needed] if route.path.startswith("/v1/") else [{}, needed] if route.scope else []


def _answer(one: Operation, status: int) -> Json:
    about, name = one.answers[status]
    headers = {"Location": text("/v1/tasks/… or /v1/keys/…")} if status == 202 and name == "TaskInFull" else None
    if one.kinds:
        ((kind, content),) = one.kinds.items()
        return answer(about, content, kind)
    return answer(about, schema(name), headers=headers)


def _statistic(name: str) -> Json:
    once, many = admin_stats.names(name)
    csv = {"text/csv": {"schema": text("a table; where there are several, a line per figure")}}
    found = answer(STATISTICS[name].about, schema(_statistic_name(name)))
    found["content"] |= csv
    return {
        "tags": ["statistics"],
        "summary": f"{STATISTICS[name].about}.",
        "security": [{"token": []}],
        "parameters": [
            *(_query(one, (DEFAULT_LIMIT, MAX_LIMIT)) for one in once),
            *(_query(one, (0, 0)) for one in many),
        ],
        "responses": {"200": found} | _refused([*_ANY, *_TOKEN, *_ANY_BUSY, "internal"]),
    }


def _statistic_name(name: str) -> str:
    return f"Statistic{name.capitalize()}"


# -------------------------------------------------------------------- parameters

_YES = {"type": "boolean", "default": False}
_WHEN = "ISO 8601, or ms since 1970 UTC"
_PATH: Mapping[str, Json] = {
    "id": text("its id", minLength=1),
    "ip": text("an IPv4 or IPv6 address", minLength=1),
    "site": text("its id; `*`: those that are not registered", minLength=1),
}
_QUERY: Mapping[str, Json] = {
    "site": text("of one site"),
    "name": text("of events of this name"),
    "user": text("the site's own id of a person"),
    "visitor": text("16 digits of hex"),
    "id": text("an event's id"),
    "from": text(f"when it begins: {_WHEN}"),
    "to": text(f"when it ends, not included: {_WHEN}"),
    "zone": text("IANA name; days begin there", default="UTC"),
    "period": text("today, yesterday, week, month, last-month, or as in 24h, 7d, 8w"),
    "after": text("`next` of the page before"),
    "order": text(enum=["newest", "oldest"], default="newest"),
    "dry_run": _YES | {"description": "erase nothing, say what it would meet"},
    "revoke_keys": _YES | {"description": "revoke its keys, too"},
    "bots": _YES | {"description": "count bots, too"},
    "format": text(enum=["json", "csv"], default="json"),
    "interval": text(enum=list(INTERVALS)),
    "property": text("name of the one whose values are asked for"),
    "offset": whole(0, MAX_OFFSET, default=0, description="rows left out before the first"),
    "window": text("seconds, or as in 2h"),
    "where": listed(text(), maxItems=MAX_FILTERS, description="a filter, as in `country is DE`; all hold"),
    "step": listed(text(), maxItems=MAX_STEPS, description="a step, as in `event is signup`"),
    "listener": text(enum=["admin", "events"], default="admin"),
}


def _query(name: str, bounds: tuple[int, int]) -> Json:
    if name == "limit":
        return parameter(name, "query", whole(1, bounds[1], default=bounds[0]))
    return ref("parameters", name)


# ----------------------------------------------------------------------- schemas

#: Names of the bodies' schemas.
_BODIES: Mapping[type[msgspec.Struct], str] = {
    admin_events.Patch: "Correction",
    admin_sites.Settings: "SiteChange",
    admin_sites.NewKey: "KeyWanted",
    admin_sites.Rotation: "Rotation",
}


def _schemas() -> Json:
    rows = openapi_rows
    yes, published = {"type": "boolean"}, {"published": {"type": "boolean", "description": "the workers were told"}}
    made = {name: _struct(kind) for kind, name in _BODIES.items()}
    made["SiteChange"]["properties"]["settings"] = rows.settings(change=True)
    return made | {
        "Alive": record({"alive": yes, "pid": whole(1)}),
        "Ready": record({"ready": {"const": True}}),
        "NotReady": record({"ready": {"const": False}, "reason": text("in words")}),
        "Document": {"type": "object", "required": ["openapi", "paths"]},
        "Statistics": record({"stats": listed(schema("StatisticKnown"))}),
        "StatisticKnown": record({"name": text(), "about": text(), "parameters": listed(text()), "path": text()}),
        **{_statistic_name(name): rows.statistic(name) for name in STATISTICS},
        "Period": rows.period(),
        "Place": rows.place(),
        "Event": rows.event(),
        "Events": record({"events": listed(schema("Event")), "next": text("`after` of the next page")}, ("next",)),
        "Corrected": record({"event": schema("Event"), "stored": yes}),
        "Erasure": rows.erasure(),
        "Settings": rows.settings(),
        "Site": rows.site(),
        "NewSite": rows.site(published),
        "ChangedSite": rows.site({"changed": rows.changes(), **published}),
        "RemovedSite": record({"removed": text(), "revoked": listed(schema("Key")), **published}),
        "Sites": rows.sites(),
        "Key": rows.key(),
        "Keys": record({"keys": listed(schema("Key"))}),
        "NewKey": rows.key({"key": text("its text, told this once"), **published}),
        "RotatedKey": rows.key({"key": text("its text, told this once"), "old": schema("Key"), **published}),
        "RevokedKey": rows.key(published),
        "Task": rows.task(),
        "TaskInFull": rows.task(full=True),
        "Tasks": record({"tasks": listed(schema("Task"))}),
        "Error": record({"error": text(), "reason": text("for people; may change"), "hint": text()}, ("hint",)),
    }


def _struct(kind: type[msgspec.Struct]) -> Json:
    parts: Json = msgspec.json.schema_components([kind], ref_template="{name}")[1][kind.__name__]
    return {key: value for key, value in parts.items() if key not in ("title", "description")}


def _refused(codes: Sequence[str]) -> Json:
    return {str(status): ref("responses", f"Error{status}") for status in by_status(_STATUS, codes)}


#: What has no status of its own is ours.
_STATUS = {**STATUS, "internal": 500}


def _refusals() -> Json:
    found = {}
    for status, names in by_status(_STATUS, _STATUS).items():
        headers: Json = {401: {"WWW-Authenticate": text()}, 405: {"Allow": text()}}.get(status, {})
        if status == 503:
            headers = {"Retry-After": whole(RETRY_AFTER, RETRY_AFTER)}
        coded = {"error": text() if status == 500 else text(enum=names)}
        content = {"allOf": [schema("Error"), {"properties": coded}]}
        found[f"Error{status}"] = answer(", ".join(f"`{name}`" for name in names), content, headers=headers)
    return found
