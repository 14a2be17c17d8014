"""Routes of the admin listener that look: statistics, and the place of an address."""

from __future__ import annotations

import ipaddress
from typing import Any

from trackflowd.admin_dates import read_period
from trackflowd.admin_desk import Desk
from trackflowd.admin_words import CSV, Answer, Call, HttpError, Parameters, json_answer, next_page
from trackflowd.option import DURATION
from trackflowd.proto.control import BadRequest
from trackflowd.stats import STATISTICS, periods
from trackflowd.stats.catalogue import Statistic, paged
from trackflowd.stats.document import as_csv, document
from trackflowd.stats.request import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET
from trackflowd.stats.spans import Period

#: Arguments that some statistics take beside those all have, by the names in ``Statistic.takes``.
_TAKEN = {"limit": ("limit",), "interval": ("interval",), "property": ("property",), "steps": (), "window": ("window",)}


class StatsRoutes:
    """The handlers.

    Args:
        desk: runs commands.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def catalogue(self, call: Call) -> Answer:
        """Names of the statistics."""
        Parameters(call.target, ())
        found = [
            {"name": name, "about": one.about, "parameters": _parameters(name, one), "path": f"/v1/stats/{name}"}
            for name, one in STATISTICS.items()
        ]
        return json_answer({"stats": found})

    async def statistic(self, call: Call) -> Answer:
        """One of them, as `trackflow stats NAME --json` prints it, or as CSV."""
        name = call.path["name"]
        if name not in STATISTICS:
            raise HttpError("not_found", f"no statistic is called {name[:80]!r}", ", ".join(STATISTICS))
        asked, span, form = _asked(name, Parameters(call.target, *names(name)))
        ask = self._desk.ask if name == "refused" else self._desk.ask_store
        value: dict[str, Any] = await ask("stats", **asked)
        if "period" in value and span is None:
            span = Period.of(value["period"], periods.zone(asked.get("zone", "")))
        headers = next_page(call.target, "offset", value.get("next"))
        if form == "csv":
            return Answer(200, as_csv(name, value, asked).encode(), CSV, headers)
        return json_answer(document(value, span, asked), headers=headers)

    async def geo(self, call: Call) -> Answer:
        """Where the workers' database has an address."""
        Parameters(call.target, ())
        address = call.path["ip"]
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise BadRequest("bad_arguments", "that is no IP address", "as in /v1/geo/81.2.69.142") from None
        return json_answer(await self._desk.ask("geo", ip=address))


def names(name: str) -> tuple[list[str], list[str]]:
    """Parameters a statistic takes once, and again and again."""
    if name == "refused":
        return ["site", "period", "from", "to", "zone", "format"], []
    one = STATISTICS[name]
    once = ["site", *(["period", "from", "to"] if one.period else []), "zone", "bots", "format"]
    once += [key for taken in one.takes for key in _TAKEN[taken]]
    if paged(name):
        once.append("offset")
    return once, ["where", *(["step"] if "steps" in one.takes else [])]


def _parameters(name: str, one: Statistic) -> list[str]:
    once, many = names(name)
    return [*once, *many]


def _asked(name: str, given: Parameters) -> tuple[dict[str, Any], Period | None, str]:
    """Arguments of the command, the period they mean, the format."""
    form = given.one_of("format", ("json", "csv"))
    asked: dict[str, Any] = {"name": name}
    zone = given.text("zone", "UTC") or "UTC"
    span = None
    if STATISTICS[name].period:
        span = read_period(given, STATISTICS[name].period, zone, whole=True)
        asked |= {"from": span.start_ms, "to": span.end_ms}
    if name == "refused":
        return asked | {"site": given.text("site"), "zone": zone}, span, form
    asked |= {
        "site": given.text("site"), "zone": zone, "where": given.texts("where"), "bots": given.flag("bots"),
        "steps": given.texts("step"), "interval": given.text("interval"), "property": given.text("property"),
        "limit": given.number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
        "offset": given.number("offset", 0, 0, MAX_OFFSET),
        "window": _window(given.text("window")),
    }  # fmt: skip
    return asked, span, form


def _window(text: str) -> float:
    try:
        seconds = DURATION.read(text or "0")
    except ValueError:
        raise BadRequest("bad_arguments", "window: seconds were expected, or as in 30m or 2h") from None
    assert isinstance(seconds, float)
    return seconds
