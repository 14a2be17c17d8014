"""One event, its request's headers and address → one finished row for the ring.

Almost everything in a row repeats: a site has pages, a page has referrers, a reader has one
agent, one address, one screen. Each part is therefore made once, kept as the bytes that go into
the record, and joined from the caches from then on: a row whose parts are known costs about as
much as packing its own values and hashing its visitor.

The address is the key of one cache (and in the visitor's hash), in this process's memory only.
It is in no row, and ``forget`` drops it from the cache once it has not been seen for a while.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from trackflowd.enrich import agent as agents
from trackflowd.enrich import referrer as referrers
from trackflowd.enrich import url as urls
from trackflowd.enrich import visitor
from trackflowd.enrich.cache import Generations
from trackflowd.enrich.geo import NOWHERE, Geo
from trackflowd.event import PartName, bound, cut
from trackflowd.proto import record
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID

#: Oldest event time taken, before received: what a browser's offline queue may hold. Older ones
#: are brought to it.
MAX_AGE_MS = 7 * 24 * 3600 * 1000

#: Seconds after which an address, page or source that did not come again may be forgotten; it is
#: surely forgotten after twice that.
FORGET_EVERY = 600.0

# Entries of one generation of each cache, and the largest entry worth keeping: with both, a
# stranger who makes up addresses, urls and agents fills about 60 MB a worker (measured).
_PAGES, _SOURCES, _AGENTS, _PLACES, _CLIENTS, _SITES = 4096, 4096, 4096, 16384, 2048, 2048
_LARGE = 2048

#: event id, site hash, received ms, flags, payload: what ``ring.writer`` appends.
Row = tuple[bytes, int, int, int, bytes]


class Event(Protocol):
    """What is read of an event; ``proto.dialects.Event`` says what each is."""

    site: str
    name: str
    dialect: str
    url: str
    referrer: str
    title: str
    id: bytes | None
    client_id: bool
    attempt: int
    age_ms: int
    props: dict[str, str]
    revenue_e4: int
    currency: str
    user: str
    session: str
    screen: str
    viewport: str
    lang: str
    tz: str
    engaged_ms: int
    scroll: int


class _Page:
    """A page's encoded part, and what the source part needs of it.

    Args:
        part: encoded.
        url: taken apart.
        key: same for pages that make the same source part of a referrer.
    """

    __slots__ = ("key", "part", "url")

    def __init__(self, part: bytes, url: urls.Url) -> None:
        self.part = part
        self.url = url
        self.key = "\0".join((url.hostname, *url.campaign, url.click_id, "1" if url.url else ""))


class Finisher:
    """Makes rows. One per worker, not thread-safe.

    Args:
        geo: the databases; ``tick`` keeps them current.
        salts: living salts, at least one.
    """

    def __init__(self, geo: Geo, salts: Sequence[visitor.Salt]) -> None:
        self.geo = geo
        #: Rows so far whose agent a bot rule flagged; rows without a country.
        self.bots = 0
        self.geo_missing = 0
        self._visitors = visitor.Visitors(salts)
        self._ids = _Ids()
        self._generation = geo.generation
        self._next_forget = 0.0
        self._pages: Generations[tuple[str, str], _Page] = Generations(_PAGES)
        self._sources: Generations[tuple[str, str], bytes] = Generations(_SOURCES)
        self._agent_parts: Generations[bytes | str, tuple[bytes, int, bytes]] = Generations(_AGENTS)
        self._places: Generations[str, tuple[bytes, int]] = Generations(_PLACES)
        self._clients: Generations[tuple[str, str, str, str], bytes] = Generations(_CLIENTS)
        self._sites: Generations[str, int] = Generations(_SITES)
        self._get_page, self._get_source, self._get_agent = self._pages.get, self._sources.get, self._agent_parts.get
        self._get_place, self._get_client, self._get_site = self._places.get, self._clients.get, self._sites.get

    def warm(self) -> None:
        """Load the agent rules, so that no event waits for them (a quarter of a second at start)."""
        agents.warm()

    def tick(self, now: float) -> None:
        """Look for a new geo database, and forget what was not asked for lately.

        Args:
            now: seconds of a monotonic clock.
        """
        self.geo.tick(now)
        if self.geo.generation != self._generation:
            self._generation = self.geo.generation
            self._places.clear()
        if now >= self._next_forget:
            self._next_forget = now + FORGET_EVERY
            for cache in (self._pages, self._sources, self._places, self._visitors):
                cache.turn()

    def use(self, geo: Geo) -> None:
        """Take places from this database from now on."""
        self.geo = geo
        self._generation = geo.generation
        self._places.clear()

    def swap_salts(self, salts: Sequence[visitor.Salt]) -> None:
        """Take over a new list of salts (see ``visitor.Visitors.swap``)."""
        self._visitors.swap(salts)

    def row(
        self,
        event: Event,
        agent: bytes | str,
        address: str,
        lang_header: str,
        referer_header: str,
        received_ms: int,
        shift_ms: int = 0,
        with_address: bool = False,
    ) -> Row:
        """One finished row.

        Args:
            event: checked by its dialect.
            agent: User-Agent header, empty if none; the same type each time, for the cache's sake.
            address: the client's, as text; not kept in the row in any form, but for with_address.
            lang_header: Accept-Language; its first language stands in for a missing ``lang``.
            referer_header: Referer; the page of an event that names none (the pixel's page).
            received_ms: now, ms since 1970 UTC.
            shift_ms: how far behind midnight (UTC) the visitor's day begins.
            with_address: the site wants it stored.
        """
        url = event.url or referer_header
        page = self._get_page((url, event.title)) or self._page(url, event.title)
        referrer = event.referrer
        source = self._get_source((referrer, page.key)) or self._source(referrer, page)
        agent_part, bot, agent_bytes = self._get_agent(agent) or self._agent(agent)
        place, unplaced = self._get_place(address) or self._place(address)
        client_key = (event.lang or lang_header, event.tz, event.screen, event.viewport)
        client = self._get_client(client_key) or self._client(client_key)
        site = event.site
        site_hash = self._get_site(site) or self._site(site)
        age = event.age_ms
        time = received_ms if age <= 0 else received_ms - (age if age < MAX_AGE_MS else MAX_AGE_MS)
        number = self._visitors.number(site, address, agent_bytes, time - shift_ms)
        self.bots += bot
        self.geo_missing += unplaced
        event_id = event.id
        flags = 0
        if event_id is None:
            event_id = self._ids.make(received_ms)
        elif event.client_id:
            flags = CLIENT_ID | ATTEMPT if event.attempt > 0 else CLIENT_ID
        values: tuple[Any, ...] = (
            site, event.name, time, number, event.user, event.session, event.engaged_ms, event.scroll,
            event.revenue_e4, event.currency, event.props, event.dialect,
        )  # fmt: skip
        if with_address:
            values += (address,)
        payload = record.encode(page.part, source, agent_part, place, client, values)
        return event_id, site_hash, received_ms, flags, payload

    def is_bot(self, agent: bytes | str) -> bool:
        """Whether a bot rule flags a User-Agent."""
        return bool((self._get_agent(agent) or self._agent(agent))[1])

    def about(self, agent: bytes | str, address: str) -> dict[str, dict[str, Any]]:
        """What is made of a User-Agent and of an address: the parts ``agent`` and ``place`` of a row, by columns."""
        parts: dict[PartName, bytes] = {
            "agent": (self._get_agent(agent) or self._agent(agent))[0],
            "place": (self._get_place(address) or self._place(address))[0],
        }
        return {
            name: dict(zip(record.PART_FIELDS[name], record.decode_part(record.unpack(part)), strict=True))
            for name, part in parts.items()
        }

    def salt_day(self, time_ms: int) -> str:
        """Day (UTC) whose salt numbers the visitor of an event of that time, ms since 1970 UTC."""
        return datetime.fromtimestamp(self._visitors.day_ms(time_ms) / 1000, UTC).date().isoformat()

    # What follows runs when a cache does not know the answer.

    def _page(self, url: str, title: str) -> _Page:
        key = (url, title)
        if (page := self._pages.promote(key)) is not None:
            return page
        split = urls.split(_whole(url))
        values = (split.url, split.hostname, split.path, split.query, cut(_whole(title), bound("title")))
        page = _Page(record.encode_part(values), split)
        if len(url) + len(title) + len(page.part) <= _LARGE:
            self._pages.put(key, page)
        return page

    def _source(self, referrer: str, page: _Page) -> bytes:
        key = (referrer, page.key)
        if (part := self._sources.promote(key)) is not None:
            return part
        origin = referrers.origin(_whole(referrer), page.url)
        part = record.encode_part((*origin, *page.url.campaign, page.url.click_id))
        if len(referrer) + len(page.key) + len(part) <= _LARGE:
            self._sources.put(key, part)
        return part

    def _agent(self, header: bytes | str) -> tuple[bytes, int, bytes]:
        if (known := self._agent_parts.promote(header)) is not None:
            return known
        text = header if isinstance(header, str) else header[: agents.MAX_AGENT].decode("utf-8", "replace")
        text = cut(_whole(text[: agents.MAX_AGENT]), agents.MAX_AGENT)
        agent = agents.parse(text)
        known = (record.encode_part(agent), 1 if agent.bot else 0, text.encode())
        if len(header) <= _LARGE:
            self._agent_parts.put(header, known)
        return known

    def _place(self, address: str) -> tuple[bytes, int]:
        if (known := self._places.promote(address)) is not None:
            return known
        place = self.geo.lookup(address)
        known = (_NOWHERE if place == NOWHERE else record.encode_part(place), 0 if place.country else 1)
        self._places.put(address, known)
        return known

    def _client(self, key: tuple[str, str, str, str]) -> bytes:
        if (part := self._clients.promote(key)) is not None:
            return part
        language, timezone, screen, viewport = key
        part = record.encode_part(
            (
                cut(_language(_whole(language[:256])), bound("language")),
                cut(_whole(timezone), bound("timezone")),
                cut(_whole(screen), bound("screen")),
                cut(_whole(viewport), bound("viewport")),
            )
        )
        if sum(map(len, key)) <= _LARGE:
            self._clients.put(key, part)
        return part

    def _site(self, site: str) -> int:
        number = self._sites.promote(site)
        if number is None:
            number = visitor.site_hash(site)
            self._sites.put(site, number)
        return number


_NOWHERE = record.encode_part(NOWHERE)


def as_dict(row: Row) -> dict[str, Any]:
    """A row by column names, for ``tail``: values that JSON can hold.

    event_id is a UUID's text, times are ms since 1970 UTC, revenue is a decimal's text.
    """
    event_id, _, received_ms, _, payload = row
    *parts, values = record.decode(payload)
    result: dict[str, Any] = {"event_id": str(uuid.UUID(bytes=event_id)), "received": received_ms}
    result.update(zip(record.EVENT_FIELDS, values, strict=True))
    for names, part in zip(record.PART_FIELDS.values(), parts, strict=True):
        result.update(zip(names, record.decode_part(part), strict=True))
    whole, fraction = divmod(abs(result["revenue"]), 10_000)
    result["revenue"] = f"{'-' if result['revenue'] < 0 else ''}{whole}.{fraction:04d}"
    return result


def _language(text: str) -> str:
    """First language of an Accept-Language header, or of a list of them; a plain tag stays."""
    first = text.partition(",")[0].partition(";")[0].strip()
    return "" if first == "*" else first


def _whole(text: str) -> str:
    """Text without lone surrogates, which no store takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class _Ids:
    """Event ids for events that brought none: UUIDs of version 7, their random part made in bulk."""

    # os.urandom costs a system call; 512 ids' worth costs about as much as one.
    _COUNT = 512
    _VERSION = bytes(0x70 | (byte & 0x0F) for byte in range(256))
    _VARIANT = bytes(0x80 | (byte & 0x3F) for byte in range(256))

    __slots__ = ("_at", "_tails")

    def __init__(self) -> None:
        self._tails = b""
        self._at = 0

    def make(self, now_ms: int) -> bytes:
        """16 bytes: 48 bits of time, version and variant, 74 random bits."""
        at = self._at
        if at >= len(self._tails):
            self._refill()
            at = 0
        self._at = at + 10
        return now_ms.to_bytes(6, "big") + self._tails[at : at + 10]

    def _refill(self) -> None:
        tails = bytearray(os.urandom(10 * self._COUNT))
        tails[0::10] = tails[0::10].translate(self._VERSION)
        tails[2::10] = tails[2::10].translate(self._VARIANT)
        self._tails = bytes(tails)
