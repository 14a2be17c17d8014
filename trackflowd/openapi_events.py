"""The OpenAPI document of the event listener, from the dialects, the keys of an event and the table of refusals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trackflowd import openapi_rows
from trackflowd.event import MAX_PROPS, bound
from trackflowd.openapi import JSON, Json, answer, by_status, document, listed, parameter, record, schema, text, whole
from trackflowd.proto import dialects, native
from trackflowd.proto.refusals import STATUS, TABLE
from trackflowd.sections import Http
from trackflowd.static import SCRIPTS, VERSION_DIGITS

_ABOUT = (
    "Where browsers and servers send events. docs/protocol.md is the contract in words. Paths are those of the default "
    "configuration: `http.event_path`, `http.pixel_path` and `http.script_path` name others. Limits are the default "
    "ones, too. Any `Content-Type` is taken for JSON; a body may be compressed with gzip. Every path also answers "
    "`OPTIONS` (CORS preflight)."
)

_DECIMAL = text(pattern=r"^[+-]?[0-9]{1,12}(\.[0-9]{1,32})?$")
#: What each key of an event is, in words, and what its type alone does not say. Lengths of texts that are cut at a
#: bound, never refused, stand in the words only.
_KEYS: Mapping[str, Json] = {
    "site": text("the site it belongs to", pattern=f"^{native.SITE.pattern}$"),
    "name": text(
        f"`pageview`, or a name of your own; at most {bound('name')} bytes",
        minLength=1,
        maxLength=bound("name"),
    ),
    "url": text(f"page address, cut at {bound('url')} bytes; without it the `Referer` header"),
    "referrer": text(f"address of the page before, cut at {bound('referrer')} bytes"),
    "title": text(f"page title, cut at {bound('title')} bytes"),
    "id": text(
        f"the event's id: a UUID, or any text of at most {native.MAX_ID} bytes; without one a retry may count twice",
        maxLength=native.MAX_ID,
    ),
    "age_ms": whole(0, 2**63 - 1, description="how long ago it happened, in ms; counts as 7 days at most"),
    "attempt": whole(0, 2**63 - 1, description="how often it was sent before"),
    "props": {"maxProperties": MAX_PROPS, "description": "properties of your own; null is left out"},
    "revenue": {"description": "money this event brought"},
    "user": text(f"your own id of a known person, cut at {bound('user_id')} bytes"),
    "screen": text("size of the screen in pixels", pattern=f"^({native.SIZE.pattern})?$"),
    "viewport": text("size of the window in pixels", pattern=f"^({native.SIZE.pattern})?$"),
    "lang": text(f"BCP 47, cut at {bound('language')} bytes; without it the first of `Accept-Language`"),
    "tz": text(f"IANA zone, cut at {bound('timezone')} bytes"),
    "engaged_ms": whole(0, native.MAX_ENGAGED_MS, description="ms visible and focused"),
    "scroll": whole(0, 100, description="deepest scroll, in percent"),
    "ip": text("the visitor's address; needs a server key, else 403"),
    "agent": text("the visitor's User-Agent; needs a server key, else 403"),
    "time": {
        "description": "when it happened: ms since 1970, or RFC 3339 with a zone; needs a server key, else 403",
        "anyOf": [whole(1, native.MAX_TIME), text(format="date-time"), {"type": "null"}],
    },
    "amount": {
        "description": "below 10¹² either way, kept to 1/10,000; as text it keeps every digit",
        "anyOf": [{"type": "number", "exclusiveMinimum": -1e12, "exclusiveMaximum": 1e12}, _DECIMAL],
    },
    "currency": text("ISO 4217", pattern=f"^{native.CURRENCY.pattern}$"),
}
#: Refusals that no path of this document has: they are what other paths and methods are answered.
_ELSEWHERE = ("not_found", "method")
_CONNECTION = tuple(code.name for code in TABLE if code.scope == "connection")
_ALL = tuple(code.name for code in TABLE if code.name not in _ELSEWHERE)
_PICTURE_HEADERS = {"Cache-Control": text(const="no-store, max-age=0")}
#: Keys that are objects.
_OBJECTS = ("props", "revenue")
_REFUSED_HEADER = "X-Trackflow-Refused"
#: Why nothing is counted of what is answered 200.
_NOT_COUNTED = {_REFUSED_HEADER: text(enum=[*(code.name for code in TABLE if code.status == 200), "debug"])}
_DEBUG = parameter(
    "X-Trackflow-Debug",
    "header",
    text(
        "a token of scope admin: the answer is what would be decided for the request, and nothing is stored or "
        "counted; whatever else is in it, 401 `bad_token`. Every path takes it",
        pattern="^tft_",
    ),
)


def build() -> Json:
    """The document."""
    http = Http()
    paths: Json = {}
    for dialect in dialects.load():
        for route in dialect.routes:
            for path in route.resolve({"event_path": http.event_path, "pixel_path": http.pixel_path}):
                paths.setdefault(path, {}).update(_DIALECTS[dialect.name]())
    stem = http.script_path[0].removesuffix(".js")
    for end, name in SCRIPTS.items():
        paths[stem + (end or ".js")] = _script(name, {})
        paths[f"{stem}.{{version}}{end or '.js'}"] = _script(f"{name}, of a version", _version())
    for path in paths.values():
        path["options"] = _preflight(path.get("get", {}).get("parameters", ()))
    paths["/"] = {"get": _demo()}
    return document(
        "TrackFlow: events",
        _ABOUT,
        (f"http://{http.listen[0]}", "the default of `http.listen`"),
        paths,
        {
            "schemas": _schemas(http.max_events),
            "responses": _refusals(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "a server key, `tfk_…`"}},
        },
    )


# -------------------------------------------------------------------- operations


def _native() -> Json:
    body = {"oneOf": [schema("Event"), schema("Events")]}
    taken = {"anyOf": [schema("Accepted"), schema("Refused"), schema("Decision")]}
    return {
        "post": {
            "operationId": "sendEvents",
            "summary": "Store one event, or an array of them.",
            "security": [{}, {"key": []}],
            "parameters": [_DEBUG],
            "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
            "responses": {
                "200": answer(
                    f"events were accepted and will be stored; or, with the header {_REFUSED_HEADER}, none is counted",
                    taken,
                    headers=_NOT_COUNTED,
                ),
                **_refused(_ALL),
            },
        }
    }


def _pixel() -> Json:
    return {
        "get": {
            "operationId": "sendPixel",
            "summary": "Store one event, answered by a transparent picture.",
            "description": "Also `props.NAME` for one property, and `revenue.amount` with `revenue.currency`.",
            "parameters": [*_pixel_parameters(), _DEBUG],
            "responses": {
                "200": _picture(f"counted, unless {_REFUSED_HEADER} is there; as JSON: what {_DEBUG['name']} asks for"),
                **_refused(_ALL),
            },
        },
        "head": {
            "operationId": "headPixel",
            "summary": "The head of GET's answer; nothing is counted, whatever the query.",
            "responses": {"200": answer("nothing is counted", headers=_PICTURE_HEADERS), **_refused(_CONNECTION)},
        },
    }


#: Operations of each dialect's routes.
_DIALECTS = {"native": _native, "pixel": _pixel}


def _picture(about: str) -> Json:
    picture = {"type": "string", "contentMediaType": "image/gif"}
    kept = text(enum=[_PICTURE_HEADERS["Cache-Control"]["const"], "no-store"])
    made = answer(about, picture, "image/gif", {"Cache-Control": kept, **_NOT_COUNTED})
    made["content"][JSON] = {"schema": schema("Decision")}
    return made


def _pixel_parameters() -> list[Json]:
    fields = {name: _key(name, one, in_query=True) for name, one in _made(native.Wire).items() if name not in _OBJECTS}
    found = [parameter(name, "query", one, required=name in ("site", "name")) for name, one in fields.items()]
    objects = {"props": _key("props", _made(native.Wire)["props"], in_query=True), "revenue": schema("Revenue")}
    return found + [
        {"name": name, "in": "query", "description": "as JSON", "content": {JSON: {"schema": one}}}
        for name, one in objects.items()
    ]


def _script(name: str, parameters: Json) -> Json:
    validator = parameter("If-None-Match", "header", text("an `ETag` of before"))
    common = {"parameters": [*parameters.get("parameters", ()), validator]}
    headers = {"ETag": text(), "Cache-Control": text(), _SCRIPT_HEADER: text()}
    found = answer("the script", text(), "text/javascript; charset=utf-8", headers)
    same = answer("it is the one of before", headers={"ETag": text()})
    answers = {"200": found, "304": same, **_refused(("not_found", *_CONNECTION) if parameters else _CONNECTION)}
    bodiless = {**answers, "200": answer("the script's head", headers=headers)}
    return {
        "get": {"summary": f"The tracker script, {name}.", **common, "responses": answers},
        "head": {"summary": f"The head of {name}.", **common, "responses": bodiless},
    }


_SCRIPT_HEADER = "X-Trackflow-Script"


def _version() -> Json:
    digits = text("twelve hex digits of what it holds", pattern=f"^[0-9a-f]{{{VERSION_DIGITS}}}$")
    return {"parameters": [parameter("version", "path", digits, required=True)]}


def _preflight(parameters: Iterable[Json]) -> Json:
    return {
        "summary": "CORS preflight: everything asked for is granted; events carry no authority.",
        "parameters": [one for one in parameters if one["in"] == "path"],
        "responses": {"204": answer("allowed", headers={"Allow": text()}), **_refused(_CONNECTION)},
    }


def _demo() -> Json:
    found = answer("the page", text(), "text/html; charset=utf-8")
    return {
        "summary": "The demo page, where `http.demo` is on.",
        "responses": {"200": found, "304": answer("as before"), **_refused(("not_found", *_CONNECTION))},
    }


# ----------------------------------------------------------------------- schemas


def _schemas(max_events: int) -> Json:
    event = record(
        _event_properties(native.ServerWire), about="One event; null, empty text and a missing key are the same."
    )
    event["required"] = ["site", "name"]
    revenue = record({name: _key(name, one) for name, one in _made(native.Revenue).items()})
    refused = record({"index": whole(), "error": _codes(STATUS), "reason": text()})
    return {
        "Event": event,
        "Events": listed(schema("Event"), minItems=1, maxItems=max_events),
        "Revenue": revenue,
        "Accepted": record({"accepted": whole(1), "refused": listed(schema("RefusedEvent"))}),
        "RefusedEvent": refused,
        "Decision": openapi_rows.decision(),
        "Refused": record(
            {
                "error": _codes(STATUS),
                "reason": text("for people; may change"),
                "accepted": whole(0, 0),
                "refused": listed(schema("RefusedEvent"), minItems=1),
            },
            ("accepted", "refused"),
        ),
    }


def _codes(names: Iterable[str]) -> Json:
    return {"type": "string", "enum": list(names)}


def _made(kind: type[msgspec.Struct]) -> Json:
    """Properties of a struct, as its own types say them."""
    found: Json = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")[1][kind.__name__]
    properties: Json = found["properties"]
    return properties


def _event_properties(kind: type[native.Wire]) -> Json:
    return {name: _key(name, one) for name, one in _made(kind).items()}


def _key(name: str, made: Json, *, in_query: bool = False) -> Json:
    """A key's schema: its type's own, narrowed to what is taken; in a query nothing is null, but empty."""
    facets = dict(_KEYS[name])
    if "anyOf" in facets:
        return facets
    about = facets.pop("description")
    bare = {key: value for key, value in made.items() if key != "default"}
    choices: list[Any] = bare.pop("anyOf", None) or [bare]
    if in_query:
        choices = [one for one in choices if one.get("type") != "null"]
    kinds = {one.get("type") for one in choices}
    if facets.get("type", "object" if "maxProperties" in facets else None) in kinds:
        wanted = facets.get("type", "object")
        choices = [{**one, **facets} if one.get("type") == wanted else one for one in choices]
    if in_query and "integer" in kinds:
        choices = [*choices, {"type": "string", "maxLength": 0}]
    return {"description": about, **(choices[0] if len(choices) == 1 else {"anyOf": choices})}


def _refused(names: Iterable[str]) -> Json:
    """Responses of the statuses that these codes have."""
    return {
        str(status): {"$ref": f"#/components/responses/Refused{status}"}
        for status in by_status(STATUS, names)
        if status != 200
    }


def _refusals() -> Json:
    when = {code.name: code.when for code in TABLE}
    found = {}
    for status, names in by_status(STATUS, when).items():
        if status == 200:
            continue
        # Of an array none of which is good it is the code of the first, and 400 whatever that one's own status.
        headers = {_REFUSED_HEADER: _codes(STATUS if status == 400 else names)}
        if status in (429, 503):
            headers["Retry-After"] = whole(1)
        about = "\n".join(f"- `{name}`: {when[name]}" for name in names)
        found[f"Refused{status}"] = answer(about, schema("Refused"), headers=headers)
    return found
