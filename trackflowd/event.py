"""The one table of event fields.

Codec (``proto.record``), DDL (``sink/schema``), validation, docs and statistics derive from
``FIELDS``; nothing else spells the list. A field belongs to a *part*:

======== ==================================================================================
part     filled
======== ==================================================================================
key      by the ring's record header (event id, site hash, received) and the flusher (batch)
event    per event, by the worker; never cached
page     from url and title; repeats per page, so its encoded form is cached
source   from the referrer and the url's campaign parameters
agent    from the User-Agent header
place    from the client's address, which is dropped right after
client   from what the browser says of its language, time zone and screen
======== ==================================================================================

Parts exist because they repeat: the worker joins their cached bytes, the flusher recognises
them by those bytes. Adding, removing or reordering a field changes what is in the rings:
raise ``record.VERSION`` with it, and number a migration in sink/schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PartName = Literal["key", "event", "page", "source", "agent", "place", "client"]
Kind = Literal["text", "uint", "money", "time", "uuid", "map", "batch"]

#: The cached parts, in the order they stand in a record.
CACHED_PARTS: tuple[PartName, ...] = ("page", "source", "agent", "place", "client")


@dataclass(frozen=True, slots=True)
class Field:
    """One column of an event.

    Args:
        name: column name in every store, key in every JSON answer.
        kind: what the value is inside TrackFlow: ``text`` str; ``uint`` int ≥ 0; ``money`` int
            in 1/10,000 of the currency's unit; ``time`` int, ms since 1970 UTC; ``uuid`` 16 bytes;
            ``map`` dict[str, str]; ``batch`` int of 128 bits.
        part: which part of the record it is in.
        clickhouse: column type there.
        postgres: column type there.
        bound: most bytes of UTF-8 (text; for a map: of each value); largest value (uint); 0: none.
        meaning: one line for the docs.
    """

    name: str
    kind: Kind
    part: PartName
    clickhouse: str
    postgres: str
    bound: int
    meaning: str


_LC = "LowCardinality(String)"
_U32 = 2**32 - 1
_U64 = 2**64 - 1


def _text(name: str, part: PartName, bound: int, meaning: str, clickhouse: str = _LC) -> Field:
    return Field(name, "text", part, clickhouse, "text", bound, meaning)


FIELDS: tuple[Field, ...] = (
    _text("site", "event", 64, "site the event belongs to"),
    Field("event_id", "uuid", "key", "UUID", "uuid", 0, "the sender's id, or one made by the worker"),
    _text("name", "event", 128, 'event name; "pageview" for page views'),
    Field("received", "time", "key", "DateTime64(3, 'UTC')", "timestamptz", 0, "when the worker took it"),
    Field("time", "time", "event", "DateTime64(3, 'UTC')", "timestamptz", 0, "when it happened"),
    _text("url", "page", 2048, "page address without fragment and campaign parameters", "String"),
    _text("hostname", "page", 255, "host of the url, lower case"),
    _text("path", "page", 1024, "path of the url", "String"),
    _text("query", "page", 1024, "query of the url, without campaign parameters", "String"),
    _text("title", "page", 512, "page title", "String"),
    _text("referrer", "source", 1024, "address of the page before", "String"),
    _text("referrer_host", "source", 255, "its host, without www."),
    _text("source", "source", 128, "where the visit came from, by name"),
    _text("medium", "source", 64, "how: organic, social, email, referral, cpc, …"),
    _text("channel", "source", 64, "medium and source as marketing channels name them"),
    _text("utm_source", "source", 128, "campaign parameter"),
    _text("utm_medium", "source", 128, "campaign parameter"),
    _text("utm_campaign", "source", 128, "campaign parameter"),
    _text("utm_term", "source", 128, "campaign parameter"),
    _text("utm_content", "source", 128, "campaign parameter"),
    _text("click_id", "source", 16, "kind of ad click id seen (gclid, fbclid, …); never its value"),
    Field("visitor", "uint", "event", "UInt64", "numeric(20)", _U64, "keyed hash, new every day"),
    _text("user_id", "event", 128, "the site's own id of a known person (opt-in)", "String"),
    _text("session", "event", 64, "session hint from the sender", "String"),
    _text("country", "place", 2, "ISO 3166-1 alpha-2"),
    _text("region", "place", 64, "name of the first subdivision"),
    _text("city", "place", 64, "name of the city"),
    Field("asn", "uint", "place", "UInt32", "bigint", _U32, "autonomous system, if the database has it"),
    _text("browser", "agent", 64, "browser family"),
    _text("browser_version", "agent", 16, "its major version"),
    _text("os", "agent", 64, "operating system family"),
    _text("os_version", "agent", 16, "its major version"),
    _text("device", "agent", 16, "desktop, mobile, tablet, tv, console, bot or other"),
    _text("bot", "agent", 32, "rule that flagged the sender as a bot; empty for people"),
    _text("language", "client", 35, "BCP 47"),
    _text("timezone", "client", 64, "IANA zone of the browser"),
    _text("screen", "client", 16, "WxH of the screen"),
    _text("viewport", "client", 16, "WxH of the window"),
    Field("engaged_ms", "uint", "event", "UInt32", "bigint", _U32, "milliseconds visible and focused"),
    Field("scroll", "uint", "event", "UInt8", "smallint", 100, "deepest scroll in percent"),
    Field("revenue", "money", "event", "Decimal(18, 4)", "numeric(18,4)", 10**18 - 1, "amount"),
    _text("currency", "event", 3, "ISO 4217"),
    Field("props", "map", "event", "Map(LowCardinality(String), String)", "jsonb", 1024, "the sender's own properties"),
    _text("dialect", "event", 16, "wire format it came in"),
    Field("_batch", "batch", "key", "UInt128", "uuid", 0, "batch that landed it"),
    # Behind all others: PostgreSQL's views take new columns only there.
    _text("ip", "event", 45, "the client's address, if the site's `store_ip` is on; else empty", "String"),
)

#: Bounds of ``props``: pairs an event, bytes of a name.
MAX_PROPS = 30
MAX_PROP_NAME = 64

BY_NAME: dict[str, Field] = {field.name: field for field in FIELDS}


def part(name: PartName) -> tuple[Field, ...]:
    """Fields of one part, in table order."""
    return tuple(field for field in FIELDS if field.part == name)


def bound(name: str) -> int:
    """Bound of the field called name (see ``Field.bound``)."""
    return BY_NAME[name].bound


def cut(text: str, limit: int) -> str:
    """Text cut to at most limit bytes of UTF-8, on a code point, with NUL bytes taken out."""
    if "\0" in text:
        text = text.replace("\0", "")
    if len(text) * 4 <= limit:
        return text
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[:limit].decode("utf-8", "ignore")
