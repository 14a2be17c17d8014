"""TrackFlow's own wire format: ``POST /v1/events``, one JSON object or an array of them.

Typed decoding (msgspec) checks JSON, UTF-8, names and types in one run; ``check`` adds what types
cannot say. An array with a bad event in it is read a second time, event by event, so that the good
ones are taken and each bad one is named. docs/protocol.md has the contract.
"""

from __future__ import annotations

import hashlib
import re
from binascii import a2b_hex
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec

from trackflowd.errors import Refused
from trackflowd.event import MAX_PROP_NAME, MAX_PROPS, bound, cut
from trackflowd.proto.address import normal
from trackflowd.proto.dialects import Dialect, Event, Limits, RefusedEvent, Reply, Route, Taken
from trackflowd.proto.money import money
from trackflowd.proto.refusals import STATUS, refused
from trackflowd.proto.request import Request
from trackflowd.proto.responses import JSON, NO_STORE
from trackflowd.proto.whose import of_json

MAX_ID: Final = 128
MAX_ENGAGED_MS: Final = 86_400_000
_MAX_INT: Final = 2**63
#: The year 9999.
MAX_TIME: Final = 253_402_300_799_000
#: Characters of a quoted name or value in a reason.
_QUOTED: Final = 64

SITE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
SIZE = re.compile(r"[0-9]{1,5}x[0-9]{1,5}")
CURRENCY = re.compile(r"[A-Z]{3}")
_FIELD = re.compile(r"field `(.*?)`", re.DOTALL)
_WHERE = re.compile(r" - at `\$(?:\[\d+\])?\.?(.*)`$", re.DOTALL)
_LONE = re.compile(rb"\\u[dD][89a-fA-F]")

_TITLE, _USER, _LANG, _TZ = bound("title"), bound("user_id"), bound("language"), bound("timezone")
_NAME, _PROP = bound("name"), bound("props")

_OF_SERVERS = frozenset({"ip", "agent", "time"})

#: Screen, viewport, language and time zone as sent.
Client = tuple[str | None, str | None, str | None, str | None]

#: What was seen to be good, so far and at most so many: a look-up costs a tenth of the check.
_good_sites: set[str] = set()
_good_clients: dict[Client, tuple[str, str, str, str]] = {}
_MAX_GOOD: Final = 4096

Scalar = str | int | float | bool | None


class Revenue(msgspec.Struct, forbid_unknown_fields=True):
    """``revenue`` as sent."""

    amount: int | float | str
    currency: str


class Wire(msgspec.Struct, forbid_unknown_fields=True):
    """One event as sent; null is the same as missing."""

    site: str
    name: str
    url: str | None = ""
    referrer: str | None = ""
    title: str | None = ""
    id: str | None = ""
    age_ms: int | None = 0
    attempt: int | None = 0
    props: dict[str, Scalar] | None = None
    revenue: Revenue | None = None
    user: str | None = ""
    screen: str | None = ""
    viewport: str | None = ""
    lang: str | None = ""
    tz: str | None = ""
    engaged_ms: int | None = 0
    scroll: int | None = 0


class ServerWire(Wire, forbid_unknown_fields=True):
    """The same with what only a server may say; ``time`` is ms since 1970 UTC, or RFC 3339 with a zone."""

    ip: str | None = ""
    agent: str | None = ""
    time: int | Annotated[datetime, msgspec.Meta(tz=True)] | None = None


_decode = msgspec.json.Decoder(Wire | list[Wire]).decode
_decode_one = msgspec.json.Decoder(Wire).decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


#: What decoding raises, and ``check``.
_TROUBLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Refused)


class Form(NamedTuple):
    """What a sender may say.

    Args:
        decode: JSON of one or many.
        decode_one: JSON of one.
        check: see ``check``.
    """

    decode: Callable[[bytes], Wire | list[Wire]]
    decode_one: Callable[[msgspec.Raw], Wire]
    check: Callable[[Wire, str, bool], Event]


def read(request: Request, limits: Limits) -> Taken:
    """Events of a request (``Dialect.read``)."""
    return read_form(request, limits, _ANYBODY)


def read_form(request: Request, limits: Limits, form: Form) -> Taken:
    """The same, of whoever may say as much as the form has."""
    body = request.body
    nul = b"\\" in body and b"\\u0000" in body
    try:
        found = form.decode(body)
        if not isinstance(found, list):
            return (form.check(found, "native", nul),), ()
        _check_count(len(found), limits)
        return [form.check(wire, "native", nul) for wire in found], ()
    except _TROUBLE as error:
        start = body.lstrip()[:1]
        if not start:
            raise refused("empty", "body is empty, one event or an array of them was expected") from None
        if start != b"[":
            raise translate(error, body) from None
    return _read_each(body, limits, nul, form)


def _check_count(count: int, limits: Limits) -> None:
    if not count:
        raise refused("empty", "array is empty, at least one event was expected")
    if count > limits.max_events:
        raise refused("too_many_events", f"{count} events in one request, at most {limits.max_events} are taken")


def _read_each(body: bytes, limits: Limits, nul: bool, form: Form) -> Taken:
    """Events of an array that has something wrong in it."""
    try:
        parts = _split(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise translate(error, body) from None
    _check_count(len(parts), limits)
    events: list[Event] = []
    bad: list[RefusedEvent] = []
    first: Refused | None = None
    for index, part in enumerate(parts):
        try:
            events.append(form.check(form.decode_one(part), "native", nul))
        except _TROUBLE as error:
            refusal = translate(error, bytes(part))
            first = first or refusal
            bad.append(RefusedEvent(index, refusal.code, str(refusal)))
    return events, bad


def translate(error: Exception, body: bytes) -> Refused:
    """What msgspec found wrong, as a refusal."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, RecursionError):
        return refused("too_deep", "nested deeper than any event is")
    if isinstance(error, UnicodeDecodeError):
        return refused("bad_utf8", f"not UTF-8: {error.reason}")
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        if _LONE.search(body) and ("surrogate" in text or "truncated" in text):
            return refused("bad_utf8", "half of a surrogate pair")
        return refused("bad_json", text)
    found = _WHERE.search(text)
    where = found[1] if found else ""
    what = text[: found.start()] if found else text
    field = _FIELD.search(what)
    name = ".".join(filter(None, (where, field[1] if field else "")))
    if what.startswith("Object contains unknown field"):
        if name in _OF_SERVERS:
            return refused("forbidden_key", f"key {_quoted(name)} needs a server key")
        return refused("unknown_key", f"key {_quoted(name)} does not exist")
    if what.startswith("Object missing required field"):
        return refused("missing_key", f"key {_quoted(name)} is missing")
    code = "bad_value" if "out of range" in what else "bad_type"
    return refused(code, f"{name or 'event'}: {what.replace('`', '').replace(' | ', ' or ')}")


def _quoted(text: str) -> str:
    shown = text if len(text) <= _QUOTED else text[:_QUOTED] + "…"
    return f'"{shown}"'


def check(wire: Wire, dialect: str, nul: bool) -> Event:
    """The event a decoded object stands for.

    Args:
        wire: what was sent.
        dialect: name of the format it came in.
        nul: NUL characters may be in it and are to be taken out.

    Raises:
        Refused: ``bad_value``.
    """
    if nul:
        _strip(wire)
    site = wire.site
    if site not in _good_sites:
        _check_site(site)
    name = wire.name
    if not name or len(name) * 4 > _NAME:
        _check_name(name)
    title = wire.title or ""
    if len(title) * 4 > _TITLE:
        title = cut(title, _TITLE)
    client = (wire.screen, wire.viewport, wire.lang, wire.tz)
    screen, viewport, lang, tz = _good_clients.get(client) or _check_client(client)
    sent_id = wire.id
    event = Event(
        site,
        name,
        dialect,
        wire.url or "",
        wire.referrer or "",
        title,
        event_id(sent_id) if sent_id else None,
        bool(sent_id),
        screen,
        viewport,
        lang,
        tz,
    )
    if wire.attempt or wire.age_ms:
        event.attempt = _count("attempt", wire.attempt, _MAX_INT - 1)
        event.age_ms = _count("age_ms", wire.age_ms, _MAX_INT - 1)
    if wire.props:
        event.props = properties(wire.props)
    if wire.revenue is not None:
        event.revenue_e4, event.currency = _revenue(wire.revenue)
    if wire.user:
        event.user = cut(wire.user, _USER)
    if wire.engaged_ms or wire.scroll:
        event.engaged_ms = _count("engaged_ms", wire.engaged_ms, MAX_ENGAGED_MS)
        event.scroll = _count("scroll", wire.scroll, 100)
    return event


def _check_site(site: str) -> None:
    if not SITE.fullmatch(site):
        raise refused("bad_value", "site: 1 to 64 of A-Z a-z 0-9 . _ : - were expected")
    if len(_good_sites) >= _MAX_GOOD:
        _good_sites.clear()
    _good_sites.add(site)


def _check_name(name: str) -> None:
    if not 0 < len(name.encode()) <= _NAME:
        raise refused("bad_value", f"name: 1 to {_NAME} bytes were expected")


def _strip(wire: Wire) -> None:
    """Take NUL out of every text: databases refuse it (PostgreSQL) or show it as an end."""
    for key in wire.__struct_fields__:
        value = getattr(wire, key)
        if isinstance(value, str):
            setattr(wire, key, value.replace("\0", ""))
    if wire.props:
        wire.props = {
            name.replace("\0", ""): value.replace("\0", "") if isinstance(value, str) else value
            for name, value in wire.props.items()
        }


def event_id(text: str) -> bytes:
    """16 bytes for an id as sent: a UUID's own, or a hash of anything else.

    Raises:
        Refused: longer than ``MAX_ID`` bytes.
    """
    if len(text) == 36 and text[8] == text[13] == text[18] == text[23] == "-":
        try:
            raw = a2b_hex(text.replace("-", ""))  # bytes.fromhex takes twice as long, and passes over spaces
            if len(raw) == 16:
                return raw
        except ValueError:
            pass  # some other text with hyphens there
    raw = text.encode()
    if len(raw) > MAX_ID:
        raise refused("bad_value", f"id: at most {MAX_ID} bytes were expected")
    return hashlib.blake2b(raw, digest_size=16).digest()


def _count(key: str, value: int | None, most: int) -> int:
    if value is None:
        return 0
    if not 0 <= value <= most:
        raise refused("bad_value", f"{key}: 0 to {most} was expected")
    return value


def _check_client(sent: Client) -> tuple[str, str, str, str]:
    """Screen, viewport, language and time zone within their bounds."""
    screen, viewport, lang, tz = (text or "" for text in sent)
    for key, value in (("screen", screen), ("viewport", viewport)):
        if value and not SIZE.fullmatch(value):
            raise refused("bad_value", f"{key}: WxH was expected, as in 1920x1080")
    good = screen, viewport, cut(lang, _LANG), cut(tz, _TZ)
    if len(lang) <= _LANG and len(tz) <= _TZ:
        if len(_good_clients) >= _MAX_GOOD:
            _good_clients.clear()
        _good_clients[sent] = good
    return good


def properties(sent: dict[str, Scalar]) -> dict[str, str]:
    """``props`` as stored: text, null left out.

    Raises:
        Refused: too many, or a number out of range.
    """
    if len(sent) > MAX_PROPS:
        raise refused("bad_value", f"props: at most {MAX_PROPS} were expected, {len(sent)} came")
    kept: dict[str, str] = {}
    for name, value in sent.items():
        if value is None:
            continue
        if len(name) * 4 > MAX_PROP_NAME:
            name = cut(name, MAX_PROP_NAME)
        if type(value) is str:
            kept[name] = value if len(value) * 4 <= _PROP else cut(value, _PROP)
        elif value is True or value is False:
            kept[name] = "true" if value else "false"
        elif isinstance(value, int) and not -_MAX_INT <= value < _MAX_INT:
            raise refused("bad_value", f"props.{cut(name, _QUOTED)}: an integer of 64 bits was expected")
        else:
            kept[name] = str(value)
    return kept


def _revenue(sent: Revenue) -> tuple[int, str]:
    if not CURRENCY.fullmatch(sent.currency):
        raise refused("bad_value", "revenue.currency: three capital letters were expected, as in EUR")
    return money(sent.amount), sent.currency


def none_good(bad: Sequence[RefusedEvent]) -> Reply:
    """Answer to a request of which no event is good: as to its first, with all of them listed."""
    first = bad[0]
    same = {STATUS[event.error] for event in bad}
    status = same.pop() if len(same) == 1 else 400
    body = {"error": first.error, "reason": first.reason, "accepted": 0, "refused": bad}
    return Reply(status, JSON + NO_STORE, _encode(body))


def reply(accepted: int, bad: Sequence[RefusedEvent]) -> Reply:
    """Answer to a request (``Dialect.reply``)."""
    if not accepted and bad:
        return none_good(bad)
    return Reply(200, JSON + NO_STORE, _encode({"accepted": accepted, "refused": bad}))


def read_server(request: Request, limits: Limits) -> Taken:
    """Events of a request with a server key (``Dialect.read_server``)."""
    return read_form(request, limits, _SERVER)


def _check_server(wire: Wire, dialect: str, nul: bool) -> Event:
    assert isinstance(wire, ServerWire)
    event = check(wire, dialect, nul)
    if wire.ip:
        address = normal(wire.ip)
        if address is None:
            raise refused("bad_value", "ip: an IPv4 or IPv6 address was expected")
        event.ip = address
    event.agent = wire.agent or ""
    if wire.time is not None:
        sent = wire.time if isinstance(wire.time, int) else round(wire.time.timestamp() * 1000)
        if not 0 < sent <= MAX_TIME:
            raise refused("bad_value", "time: ms since 1970, or a date and time as RFC 3339 has it, was expected")
        event.time_ms = sent
    return event


_ANYBODY = Form(_decode, _decode_one, check)
_SERVER = Form(
    msgspec.json.Decoder(ServerWire | list[ServerWire]).decode, msgspec.json.Decoder(ServerWire).decode, _check_server
)

DIALECT = Dialect("native", (Route(b"POST", "event_path"),), read, reply, of_json, read_server)
