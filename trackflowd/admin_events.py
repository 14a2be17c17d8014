"""Routes of the admin listener about single events: shown, corrected, erased, a user's exported; and the tasks that
erasures are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from trackflowd.admin_dates import read_instant, read_period
from trackflowd.admin_desk import Desk
from trackflowd.admin_words import NDJSON, Answer, Call, HttpError, Parameters, json_answer, next_page
from trackflowd.events import MAX_PAGE
from trackflowd.stats import periods

#: Events of a page, unless asked otherwise; and of a piece of an export.
DEFAULT_LIMIT = 100
EXPORT_PAGE = 500
#: The greatest number of a task that JSON's readers can tell from its neighbours.
_MAX_ID = 2**53 - 1

_TEXTS = ("site", "name", "user", "visitor", "id")
_TIMES = ("from", "to", "zone")
#: What is looked at where neither a period nor a person nor an event is named: a store has years of events.
_USUAL = "24h"


class Patch(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a correction: a merge patch (RFC 7396) of what may be corrected."""

    props: dict[str, str | None]


class EventRoutes:
    """The handlers.

    Args:
        desk: runs commands.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def events(self, call: Call) -> Answer:
        """A page of events."""
        given = Parameters(call.target, (*_TEXTS, *_TIMES, "period", "limit", "after", "order"))
        what = _selection(given)
        if given.text("period") or not what.keys() & {"from", "to", "user", "visitor", "id"}:
            span = read_period(given, _USUAL, given.text("zone"))
            what |= {"from": span.start_ms, "to": span.end_ms}
        page = await self._page(
            what,
            given.number("limit", DEFAULT_LIMIT, 1, MAX_PAGE),
            given.text("after"),
            given.one_of("order", ("newest", "oldest")) == "newest",
        )
        value = {"events": page["rows"], **({"next": page["next"]} if page["next"] else {})}
        return json_answer(value, headers=next_page(call.target, "after", page["next"]))

    async def event(self, call: Call) -> Answer:
        """One event."""
        given = Parameters(call.target, ("site",))
        return json_answer(await self._one(_named(call, given)))

    async def correct(self, call: Call) -> Answer:
        """Change properties of an event."""
        given = Parameters(call.target, ("site",))
        try:
            props = msgspec.json.decode(call.body, type=Patch).props
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            why = str(error) if isinstance(error, msgspec.ValidationError) else "not JSON"
            hint = 'as in {"props": {"plan": "pro", "coupon": null}}; null takes a property away'
            raise HttpError("bad_body", f"the body: {why}", hint) from error
        what = _named(call, given)
        event = await self._one(what)
        value = await self._desk.act(
            call.who,
            "event_correct",
            id=event["event_id"],
            site=event["site"],
            put={name: text for name, text in props.items() if text is not None},
            drop=[name for name, text in props.items() if text is None],
        )
        return json_answer(value, 200 if value["stored"] else 202)

    async def erase_event(self, call: Call) -> Answer:
        """Begin to erase one event."""
        given = Parameters(call.target, ("site", "dry_run"))
        return await self._erase(call, _named(call, given), given.flag("dry_run"))

    async def erase_events(self, call: Call) -> Answer:
        """Begin to erase the events of a selection."""
        given = Parameters(call.target, (*_TEXTS, *_TIMES, "dry_run"))
        return await self._erase(call, _selection(given), given.flag("dry_run"))

    async def erase_user(self, call: Call) -> Answer:
        """Begin to erase all events of a user."""
        given = Parameters(call.target, ("site", "dry_run"))
        return await self._erase(call, {"user": call.path["id"], **given.given(("site",))}, given.flag("dry_run"))

    async def export_user(self, call: Call) -> Answer:
        """All events of a user, oldest first, an object a line."""
        given = Parameters(call.target, ("site",))
        what = {"user": call.path["id"], **given.given(("site",))}
        first = await self._page(what, EXPORT_PAGE, "", newest=False)  # what is wrong is answered with its own status
        return Answer(200, self._lines(what, first), NDJSON)

    async def tasks(self, call: Call) -> Answer:
        """The long jobs."""
        Parameters(call.target, ())
        return json_answer({"tasks": await self._desk.ask("tasks")})

    async def task(self, call: Call) -> Answer:
        """One of them."""
        Parameters(call.target, ())
        text = call.path["id"]
        if not (text.isascii() and text.isdigit() and len(text) <= 16 and 0 < int(text) <= _MAX_ID):
            raise HttpError("no_task", "that is not the number of a task", "GET /v1/tasks lists them")
        return json_answer(await self._desk.ask("task", id=int(text)))

    # ----------------------------------------------------------------- parts

    async def _page(self, what: Mapping[str, Any], limit: int, after: str, newest: bool) -> dict[str, Any]:
        ask = self._desk.ask_store
        page: dict[str, Any] = await ask("events", what=what, limit=limit, after=after, newest=newest)
        return page

    async def _one(self, what: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Sequence[Mapping[str, Any]] = (await self._page(what, 2, "", newest=True))["rows"]
        if not found:
            raise HttpError("no_event", "the store has no such event", "one that was just sent may be on its way")
        if len(found) > 1:
            raise HttpError("ambiguous", "several sites have an event of this id", "say which: ?site=…")
        return found[0]

    async def _erase(self, call: Call, what: Mapping[str, Any], dry_run: bool) -> Answer:
        if dry_run:
            return json_answer(await self._desk.ask_store("erase_count", what=what))
        task = await self._desk.act(call.who, "erase", what=what)
        return json_answer(task, 202, [("Location", f"/v1/tasks/{task['id']}")])

    async def _lines(self, what: Mapping[str, Any], page: Mapping[str, Any]) -> AsyncIterator[bytes]:
        encode = msgspec.json.Encoder().encode_lines
        while True:
            if page["rows"]:
                yield encode(page["rows"])
            if not page["next"]:
                return
            page = await self._page(what, EXPORT_PAGE, page["next"], newest=False)


def _named(call: Call, given: Parameters) -> dict[str, Any]:
    return {"id": call.path["id"], **given.given(("site",))}


def _selection(given: Parameters) -> dict[str, Any]:
    """What the parameters mean, as the control socket takes it. One end of a period is enough: the other is open."""
    what: dict[str, Any] = given.given(_TEXTS)
    where = periods.zone(given.text("zone"))
    for name, text in given.given(("from", "to")).items():
        what[name] = round(read_instant(name, text, where).timestamp() * 1000)
    return what
