"""Wire formats of events, and the registry of those this daemon speaks.

A dialect is one file beside this one with a constant ``DIALECT``. It knows its routes, how to read
a request and what its clients take for success; it does no I/O and knows nothing of rings,
addresses or stores. To add one, write the file and put its name into ``counters.DIALECTS``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from trackflowd.counters import DIALECTS

if TYPE_CHECKING:
    from trackflowd.proto.request import Request


class Event(msgspec.Struct, gc=False):
    """What a sender said of one event, checked and in TrackFlow's units.

    Everything a sender cannot know or may not say (place, agent, visitor, received) is added
    later from the request. Empty text means: not said.

    Args:
        site: ``[A-Za-z0-9._:-]{1,64}``.
        name: 1 to 128 bytes of UTF-8.
        dialect: name of the wire format it came in.
        url, referrer, title: as sent, without NUL; ``enrich`` splits and bounds them.
        id: 16 bytes, or None if the sender gave none.
        client_id: True if ``id`` came from the sender.
        attempt: how often it was sent before, ≥ 0.
        age_ms: how long before the request it happened, in ms, ≥ 0.
        props: the sender's own properties, within bounds.
        revenue_e4: amount in 1/10,000 of the currency's unit; 0 if none.
        currency: three capital letters, or "".
        user: the site's own id of a known person.
        session: session hint.
        screen, viewport: "WxH".
        lang: BCP 47.
        tz: IANA zone.
        engaged_ms: 0 to 86,400,000.
        scroll: percent, 0 to 100.
        ip, agent, time_ms: with a server key: the visitor's address in its usual form, the visitor's User-Agent, when
            it happened in ms since 1970 UTC; "", "" and 0: not said.
    """

    site: str
    name: str
    dialect: str
    url: str = ""
    referrer: str = ""
    title: str = ""
    id: bytes | None = None
    client_id: bool = False
    screen: str = ""
    viewport: str = ""
    lang: str = ""
    tz: str = ""
    attempt: int = 0
    age_ms: int = 0
    props: dict[str, str] = {}
    revenue_e4: int = 0
    currency: str = ""
    user: str = ""
    session: str = ""
    engaged_ms: int = 0
    scroll: int = 0
    ip: str = ""
    agent: str = ""
    time_ms: int = 0


class RefusedEvent(msgspec.Struct, gc=False):
    """An event of a request that is not taken; also its form in the JSON answer.

    Args:
        index: its place in the request, from 0.
        error: code, one of ``refusals.TABLE``.
        reason: text for the sender.
    """

    index: int
    error: str
    reason: str


#: What a request held: the good events, in order; the others.
Taken = tuple[Sequence[Event], Sequence[RefusedEvent]]


class Reply(NamedTuple):
    """An answer without what all answers share.

    Args:
        status: HTTP status.
        headers: complete lines, each ended by CRLF, Content-Type among them.
        body: bytes.
    """

    status: int
    headers: bytes
    body: bytes


class Limits(NamedTuple):
    """What a dialect must hold itself.

    Args:
        max_events: most events in one request.
    """

    max_events: int


@dataclass(frozen=True, slots=True)
class Route:
    """Where a dialect listens.

    Args:
        method: b"POST", …
        path: exact path, or the name of the option of section ``http`` that lists its paths.
    """

    method: bytes
    path: str

    def resolve(self, options: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """The paths, options filled in."""
        return options.get(self.path, (self.path,))


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire format.

    Args:
        name: goes into the event's ``dialect`` column, ≤ 16 bytes.
        routes: where it listens.
        read: request with its body inflated → what it held. Raises ``errors.Refused`` when nothing
            of it can be taken.
        reply: (accepted, refused) → the answer to a request of which at least one event was
            accepted.
        whose: (request, places) → the site that each event at these places names, "" if that cannot be told. Asked
            only for events that ``read`` refused as such.
        read_server: ``read`` for a request with a server key, which may say more; None: ``read`` does.
    """

    name: str
    routes: tuple[Route, ...]
    read: Callable[[Request, Limits], Taken]
    reply: Callable[[int, Sequence[RefusedEvent]], Reply]
    whose: Callable[[Request, Sequence[int]], Sequence[str]]
    read_server: Callable[[Request, Limits], Taken] | None = None


def load() -> tuple[Dialect, ...]:
    """Every dialect, in the order their routes are looked at."""
    return tuple(importlib.import_module(f"{__package__}.{name}").DIALECT for name in DIALECTS)
