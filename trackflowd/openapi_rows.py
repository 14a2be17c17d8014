"""Schemas of what is answered: events, decisions, sites, keys, tasks, statistics; each from its own table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trackflowd.bearer import Bearer
from trackflowd.enrich.geo import Place
from trackflowd.event import BY_NAME, Field
from trackflowd.events import SHOWN
from trackflowd.openapi import Json, listed, nullable, record, schema, text, whole
from trackflowd.option import COUNT, FLAG
from trackflowd.site import OPEN, PARAMETERS, RATE, REGISTERED, SETTINGS, Setting
from trackflowd.stats.catalogue import LIVE, OVERVIEW, STATISTICS, TOTALS, VALUES, Column
from trackflowd.task_erase import Tally
from trackflowd.tasks import Progress, TaskState

_MS = whole(0, description="ms since 1970 UTC")
_EVER = nullable(_MS)
_DATE = text("date and time with its offset")
_STATES = ("active", "expired", "revoked")


# ------------------------------------------------------------------------ events


def event() -> Json:
    """An event as it is shown."""
    return record({name: _field(BY_NAME[name]) for name in SHOWN})


def _field(field: Field) -> Json:
    if field.name == "visitor":
        return text(field.meaning, pattern="^[0-9a-f]{16}$")
    about = {"description": field.meaning}
    if field.kind == "uint":
        return whole(0, field.bound, **about)
    if field.kind == "money":
        return {"type": "number", **about}
    if field.kind == "map":
        return {"type": "object", "additionalProperties": text(), **about}
    return text(field.meaning, **({"format": "uuid"} if field.kind == "uuid" else {}))


def decision() -> Json:
    """What would be decided for a request; see ``trial.Trial.decide``."""
    why = {"refused": text("code; empty: it is not refused"), "reason": text(), "meaning": text(), "remedy": text()}
    row = {name: _traced(one) for name, one in BY_NAME.items() if one.kind != "batch"}
    taken = record({"index": whole(), **row, "salt_day": text("whose salt numbers the visitor", format="date")})
    client = {"peer": text(), "trusted": {"type": "boolean"}, "address": text(), "header": text(), "hop": whole()}
    known = {
        name: record({one.name: _field(one) for one in BY_NAME.values() if one.part == name})
        for name in ("agent", "place")
    }
    return record(
        {
            "client": record(client),
            **known,
            "request": record({"method": text(), "path": text(), "dialect": text()}),
            "answer": record({"status": whole(100, 599), **why}),
            "events": listed({"anyOf": [taken, record({"index": whole(), **why})]}),
        }
    )


def _traced(field: Field) -> Json:
    """A field as ``enrich.finish.as_dict`` shows it."""
    if field.kind == "time":
        return {**_MS, "description": f"{field.meaning}; {_MS['description']}"}
    if field.kind == "money":
        return text(field.meaning, pattern=r"^-?[0-9]+\.[0-9]{4}$")
    return _field(field)


def erasure() -> Json:
    """What an erasure would meet."""
    names = [name for name in Tally().result() if name != "swept"]
    return record({name: whole() for name in names})


# -------------------------------------------------------------------- statistics


def statistic(name: str) -> Json:
    """The answer of a statistic."""
    one = STATISTICS[name]
    heading = {
        "site": nullable(text()),
        "zone": text(),
        "period": schema("Period"),
        "where": listed(text()),
    }
    if name == "refused":
        totals = record({"refused": whole(), "left_out": whole()})
        return record({**heading, "totals": totals, name: listed(_row(one.columns))})
    if name == "overview":
        both = {"totals": _row(TOTALS), "previous": _row(TOTALS), "previous_period": schema("Period")}
        lists = {part: listed(_row(columns)) for part, _, columns in OVERVIEW}
        return record({**heading, **both, **lists}, ("previous", "previous_period"))
    if name == "live":
        minutes = record({"time": _DATE, "visitors": whole(), "views": whole()})
        lists = {part: listed(_row(columns)) for part, _, columns in OVERVIEW if part in ("pages", "countries")}
        return record({**heading, "totals": _row(LIVE), "minutes": listed(minutes), **lists})
    row = _row(one.columns)
    if "property" in one.takes:
        row = {"anyOf": [row, _row(VALUES)]}
    following = {"next": whole(1, description="offset of the next page, where there is one")}
    return record({**heading, name: listed(row), **following}, ("next",))


def _row(columns: Iterable[Column]) -> Json:
    return record({column.name: _column(column) for column in columns})


def _column(column: Column) -> Json:
    if column.kind == "text":
        return text()
    if column.kind == "count":
        return whole()
    bounds = {"minimum": 0, "maximum": 1} if column.kind == "rate" else {}
    return nullable({"type": "number", **bounds})


def period() -> Json:
    """From when to when."""
    return record({"from": _DATE, "to": _DATE})


def place() -> Json:
    """What a geo database says of an address."""
    found = {name: whole() if name == "asn" else text() for name in Place._fields}
    more = {"database": nullable(text()), "built": nullable(whole()), "age_days": nullable({"type": "number"})}
    return record({"ip": text(), **found, **more})


# ---------------------------------------------------------------- sites and keys


def settings(*, change: bool = False) -> Json:
    """Settings of a site; as a change: any of them, null for the default."""
    found = {name: _setting(one, change) for name, one in SETTINGS.items()}
    return record(found, SETTINGS if change else ())


def _setting(setting: Setting, change: bool) -> Json:
    spec = setting.spec
    bounds = {key: value for key, value in (("minimum", spec.low), ("maximum", spec.high)) if value is not None}
    if spec.kind is FLAG:
        one: Json = {"type": "boolean"}
    elif spec.kind is COUNT:
        one = {"type": "integer", "minimum": 0, **bounds}
    elif spec.kind is RATE:
        one = {"type": "number", "minimum": 0, **bounds}
    elif isinstance(setting.default, tuple) or spec.kind is PARAMETERS:
        one = listed(text())
    else:
        one = text(enum=list(spec.choices)) if spec.choices else text()
    return {"description": spec.help, **(nullable(one) if change or spec.kind is PARAMETERS else one)}


def site(more: Mapping[str, Json] | None = None) -> Json:
    """A site and its settings."""
    found = {"site": text(), "settings": schema("Settings"), "keys": whole(description="those that work")}
    return record({**found, "created_ms": _EVER, "changed_ms": _EVER, **(more or {})})


def sites() -> Json:
    """A page of them."""
    mode = text(enum=[OPEN, REGISTERED])
    return record({"mode": mode, "sites": listed(schema("Site")), "next": text("`after` of the next page")}, ("next",))


def changes() -> Json:
    """Settings that were changed, with both values."""
    both = record({"old": {}, "new": {}})
    return {"type": "object", "properties": dict.fromkeys(SETTINGS, both), "additionalProperties": False}


def key(more: Mapping[str, Json] | None = None) -> Json:
    """A server key, without its secret."""
    known: Mapping[str, Json] = {
        "id": whole(1),
        "name": text(),
        "site": text("whose events it may send; `*`: any"),
        "state": text(enum=list(_STATES)),
        **dict.fromkeys(("created_ms",), _MS),
        **dict.fromkeys(("expires_ms", "used_ms", "revoked_ms"), _EVER),
    }
    return record({name: known[name] for name in _KEY} | dict(more or {}))


class _AnyKey(Bearer):
    REALM = "site"


#: Names of what is said of a key, as the code that says it has them.
_KEY = tuple(_AnyKey(0, "", "", b"", 0).as_dict(0))


# ------------------------------------------------------------------------- tasks


def task(*, full: bool = False) -> Json:
    """A long job; in full with its checkpoint and history."""
    named = {"done": whole(), "total": whole(), "unit": text(), "text": text()}
    progress = record({name: named[name] for name in Progress().as_dict()})
    brief = {
        "id": whole(1),
        "kind": text(),
        "args": {"type": "object"},
        "state": text(enum=[str(state) for state in TaskState]),
        "cancelling": {"type": "boolean"},
        "created_ms": _MS,
        "started_ms": _EVER,
        "ended_ms": _EVER,
        "progress": progress,
        "result": nullable({"type": "object"}),
        "error": nullable(record({"text": text(), "hint": text()})),
        "known": {"type": "boolean", "description": "this version can run it"},
    }
    if not full:
        return record(brief)
    history = listed(record({"at_ms": _MS, "text": text()}))
    return record({**brief, "checkpoint": {"description": "what its kind needs to go on"}, "history": history})
