"""A seeded set of events for tests of statistics: visits of people and bots around a change of the clock in Europe and
the end of a month, with what is awkward: events at the same millisecond, gaps of 30 minutes to the millisecond, visits
across midnight, events that arrive days late, texts that are no plain words."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.rows import event_id
from trackflowd.event import FIELDS
from trackflowd.sink.base import Batch, Sink

Event = dict[str, Any]

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
GAP = HOUR // 2

#: 2026-03-26 00:00 UTC; Europe's clocks change on the 29th at 01:00 UTC.
BEGIN = 1_774_483_200_000
DAYS = 9

SITES = ("one", "one", "one", "two")
SOURCES = (
    ("", "", "", "", ""),
    ("Google", "organic", "Organic Search", "", "google.com"),
    ("Bing", "organic", "Organic Search", "", "bing.com"),
    ("Google", "cpc", "Paid Search", "spring", "google.com"),
    ("Newsletter", "email", "Email", "März '26", ""),
)
PLACES = (("DE", "Berlin", "Berlin"), ("DE", "Bayern", "München"), ("GB", "England", "London"), ("", "", ""))
AGENTS = (("Firefox", "Linux", "desktop"), ("Chrome", "Windows", "desktop"), ("Chrome", "Android", "mobile"))
PAGES = ("/", "/pricing", "/docs/a", "/docs/b", "/docs/ü", "/it's \\ a\ttab", "/blog", "")
PLANS = ("pro", "free", "a\\b", "it's", "")

_BASE: Event = {field.name: {"map": {}, "text": "", "uuid": b""}.get(field.kind, 0) for field in FIELDS}


def event_of(site: str, visitor: int, at: int, name: str, path: str, **more: Any) -> Event:
    """An event by hand."""
    known = {"site": site, "visitor": visitor, "time": at, "received": at, "name": name, "path": path}
    return {**_BASE, "event_id": event_id(hash((visitor, at)) % 2**60), **known, **more}


def made_events(number: int, seed: int = 11) -> list[Event]:
    """So many events (and up to a visit's more), a function of number and seed."""
    chosen = random.Random(seed)
    people = max(number // 12, 3)
    events: list[Event] = []
    while len(events) < number:
        events += _visit(chosen, chosen.randrange(people))
    for n, event in enumerate(events):
        event["event_id"] = event_id(n)
    return events


def _visit(chosen: random.Random, person: int) -> list[Event]:
    of_person = random.Random(person)  # a person keeps site, place, agent
    at = BEGIN + chosen.randrange(DAYS * DAY)
    if chosen.random() < 0.1:
        at = BEGIN + chosen.randrange(1, DAYS) * DAY - chosen.choice([0, 1, HOUR // 6, GAP, 2 * HOUR])
    site, place, agent = of_person.choice(SITES), of_person.choice(PLACES), of_person.choice(AGENTS)
    source = chosen.choice(SOURCES)
    bot = "rule" if of_person.random() < 0.08 else ""
    events = []
    for step in range(chosen.choice([1, 1, 1, 2, 3, 5, 9])):
        event = {
            **_BASE,
            **dict(zip(("country", "region", "city"), place, strict=True)),
            **dict(zip(("browser", "os", "device"), agent, strict=True)),
            "site": site,
            "bot": bot,
            "time": at,
            "received": at + chosen.choice([0, 0, 0, 800, 3 * DAY, 8 * DAY]) * (chosen.random() < 0.2),
            "path": chosen.choice(PAGES),
            # As the hash does: another number every day and (people keep to one) on every site, all 64 bits of it.
            "visitor": random.Random(f"{person} {at // DAY}").getrandbits(64),
            "user_id": f"user-{person}" if person % 3 == 0 else "",
            **_what(chosen),
        }
        if step == 0 or chosen.random() < 0.05:
            names = ("source", "medium", "channel", "utm_campaign", "referrer_host")
            event.update(zip(names, source, strict=True))
        events.append(event)
        at += chosen.choice([0, 0, 1, 900, 20_000, 20_000, 300_000, GAP - 1, GAP, GAP + 1, 3 * HOUR])
    return events


def _what(chosen: random.Random) -> Event:
    name = chosen.choices(["pageview", "leave", "signup", "order", "download"], [8, 4, 2, 2, 1])[0]
    if name == "leave":
        scroll = chosen.choice([0, 10, 55, 100])
        return {"name": name, "engaged_ms": chosen.randrange(90_000), "scroll": scroll, "props": {"view": "x"}}
    if name == "order":
        # Up to ten digits before the point: sums that a float would round.
        revenue = chosen.choice([0, 1, 299_000, 10**14 - 1])
        return {"name": name, "revenue": revenue, "currency": chosen.choice(["EUR", "USD"]) if revenue else ""}
    if name == "signup":
        return {"name": name, "props": {"plan": chosen.choice(PLANS), "ä": str(chosen.randrange(3))}}
    return {"name": name}


def land(sink: Sink, events: Sequence[Event]) -> None:
    """Store the events, a batch per month they were received in."""
    months: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        received = datetime.fromtimestamp(event["received"] / 1000, UTC)
        months[received.year * 100 + received.month].append(event)
    for number, (month, of_it) in enumerate(sorted(months.items()), 1):
        columns = {field.name: [event[field.name] for event in of_it] for field in FIELDS}
        sink.insert(Batch(number, 1, month, len(of_it), columns | {"_batch": [number] * len(of_it)}))
