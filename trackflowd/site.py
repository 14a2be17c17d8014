"""The one table of site settings: what may be decided for a site, how each value is read, checked and shown.

A setting is a field of ``Site`` declared with ``option(...)``. ``trackflow sites set SITE name=value``, the JSON of the
admin listener and of ``sites export``, the snapshot the workers read and the table in docs/sites.md all derive from it.
A value comes as a text (from the command line) or as JSON has it; both mean the same.

The row ``*`` holds the settings of every site that is not registered.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trackflowd.option import COUNT, FLAG, NETWORKS, TEXT, Kind, Spec, check, option, quote, read_list

#: Id of the row for sites that have none of their own, and the "site" of a key that works for all of them.
ANY = "*"

OPEN, REGISTERED = "open", "registered"
IGNORE, REFUSE, FLAGGED = "ignore", "refuse", "flag"

#: Longest list of a setting and longest item of one, in characters: a worker holds all of it, and walks a list for
#: each distinct page it has not seen lately.
MAX_ITEMS = 200
MAX_ITEM = 255
MAX_NOTE = 200
#: Events a second: more than any machine takes, and far from where floats lose single events.
MAX_RATE = 1e9

_SITE = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?\Z")
_PORTS = {"http": "80", "https": "443"}
_GLOB = re.compile(r"[/*][^\x00-\x20?#\x7f]*\Z")
_PARAMETER = re.compile(r"[^\x00-\x20&=#*\x7f]+\Z")


def _items(raw: object) -> tuple[str, ...]:
    items = tuple(dict.fromkeys(read_list(raw)))
    if len(items) > MAX_ITEMS or any(len(item) > MAX_ITEM for item in items):
        raise ValueError(f"must have at most {MAX_ITEMS} items of {MAX_ITEM} characters")
    return items


def _read_origins(raw: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_origin, _items(raw))))


def _origin(text: str) -> str:
    match = _ORIGIN.match(text.lower().removesuffix("/"))
    if match is None or int(match[4] or 1) not in range(1, 65536) or not _host(match[3], bool(match[2])):
        raise ValueError(
            'must be a list of origins as browsers send them, "https://example.com" or "https://*.example.com": '
            "scheme, host (punycode), port where it is not the usual one, no path"
        )
    scheme, star, host, port = match.groups()
    tail = f":{int(port)}" if port and port.lstrip("0") != _PORTS.get(scheme) else ""
    return f"{scheme}://{star or ''}{host}{tail}"


def _host(host: str, starred: bool) -> bool:
    if not host.startswith("["):
        return not host.startswith((".", "-")) and ".." not in host
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return not starred


def _read_globs(raw: object) -> tuple[str, ...]:
    items = _items(raw)
    if not all(map(_GLOB.match, items)):
        raise ValueError('must be a list of paths such as "/blog/*": "/" first, "*" for any text, no ? or #')
    return items


def _read_parameters(raw: object) -> tuple[str, ...] | None:
    if raw == ANY:
        return None
    items = _items(raw)
    if not all(map(_PARAMETER.match, items)):
        raise ValueError('must be a list of names of query parameters such as "q,page"; "*": all, "": none')
    return items


def _read_networks(raw: object) -> tuple[str, ...]:
    items = NETWORKS.read(_items(raw))
    assert isinstance(items, tuple)
    return tuple(str(ipaddress.ip_network(item)) for item in items)


def _read_rate(raw: object) -> float:
    if isinstance(raw, str):
        try:
            raw = float(raw)
        except ValueError:
            raw = None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw) or raw < 0:
        raise ValueError("must be a number, 0 or more, such as 50 or 0.5")
    return float(raw)


def _read_note(raw: object) -> str:
    text = TEXT.read(raw)
    assert isinstance(text, str)
    if len(text) > MAX_NOTE or not text.isprintable():
        raise ValueError(f"must be at most {MAX_NOTE} printable characters")
    return text


def _write_list(value: tuple[str, ...] | None) -> str:
    return quote(ANY if value is None else ",".join(value))


ORIGINS = Kind("list of origins", _read_origins, _write_list)
GLOBS = Kind("list of paths", _read_globs, _write_list)
SUBNETS = Kind("list of networks", _read_networks, _write_list)
PARAMETERS = Kind("list of names", _read_parameters, _write_list)
RATE = Kind("number", _read_rate, lambda value: f"{value:.0f}" if value % 1 == 0 else repr(value))
NOTE = Kind("text", _read_note, quote)


@dataclass(frozen=True, slots=True)
class Sites:
    """Whose events are taken. `trackflow sites` keeps the list of sites and the settings of each (docs/sites.md)."""

    mode: str = option(
        OPEN,
        TEXT,
        "open: events of any site. registered: only of sites that `trackflow sites add` has made known.",
        choices=(OPEN, REGISTERED),
        reload=True,
    )
    address_rate: float = option(
        0.0,
        RATE,
        "Events a second one client address may send, all sites together. 0: any.",
        high=MAX_RATE,
        reload=True,
    )
    address_burst: float = option(
        0.0,
        RATE,
        "Events one address may send at once, after a pause. 0: as many as address_rate.",
        high=MAX_RATE,
        reload=True,
    )


@dataclass(frozen=True, slots=True)
class Site:
    """A site and what is decided for it.

    Args:
        site: its public id, which events name as "site"; ``*``: those that have no row of their own.
    """

    site: str
    origins: tuple[str, ...] = option(
        (), ORIGINS, "Origins whose pages may send: `https://example.com`, `https://*.example.com`. Empty: any."
    )
    paths: tuple[str, ...] = option(
        (), GLOBS, "Paths of pages that events may be about: `/blog/*`, `*` for any text. Empty: any."
    )
    gpc: str = option(
        IGNORE,
        TEXT,
        "What becomes of events of browsers that send `Sec-GPC: 1` (Global Privacy Control): refuse does not count "
        "them.",
        choices=(IGNORE, REFUSE),
    )
    dnt: str = option(
        IGNORE,
        TEXT,
        "What becomes of events of browsers that send `DNT: 1` (Do Not Track): refuse does not count them.",
        choices=(IGNORE, REFUSE),
    )
    store_ip: bool = option(False, FLAG, "Store the client's address with each event. It is personal data.")
    salt_hour: int = option(0, COUNT, "Hour (UTC) at which a visitor's day begins: visitor ids change then.", high=23)
    bot_policy: str = option(
        FLAGGED,
        TEXT,
        "What becomes of events of bots: flag stores them marked, and statistics leave them out; refuse does not count "
        "them.",
        choices=(FLAGGED, REFUSE),
    )
    rate: float = option(0.0, RATE, "Events a second the site may send, the daemon as a whole. 0: any.", high=MAX_RATE)
    burst: float = option(0.0, RATE, "Events that may come at once, after a pause. 0: as many as rate.", high=MAX_RATE)
    address_rate: float = option(
        0.0, RATE, "Events a second one client address may send to the site. 0: any.", high=MAX_RATE
    )
    address_burst: float = option(
        0.0, RATE, "Events one address may send at once, after a pause. 0: as many as address_rate.", high=MAX_RATE
    )
    retention_days: int = option(
        0, COUNT, "Days events are kept after they were received; then they are deleted. 0: for ever.", high=36_500
    )
    exclude_addresses: tuple[str, ...] = option(
        (), SUBNETS, "Networks whose events are not counted: `198.51.100.0/24`, `2001:db8::/32`."
    )
    exclude_paths: tuple[str, ...] = option((), GLOBS, "Paths of pages whose events are not counted: `/admin/*`.")
    query_params: tuple[str, ...] | None = option(
        None,
        PARAMETERS,
        "Query parameters that are kept in stored urls; others are cut out. `*`: all are kept. Empty: none.",
    )
    note: str = option("", NOTE, f"Anything worth writing down, at most {MAX_NOTE} characters.")


DEFAULT = Site(ANY)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    Args:
        name: field of ``Site``.
        default: its value where nobody sets one.
        spec: kind, help, bounds, choices.
    """

    name: str
    default: Any
    spec: Spec

    def read(self, raw: object) -> Any:
        """A value from a text or from JSON; None: the default.

        Raises:
            ValueError: "must be …".
        """
        if raw is None:
            return self.default
        value = self.spec.kind.read(raw)
        if value is not None:
            check(self.spec, value)
        return value

    def write(self, value: Any) -> str:
        """A value as a text that ``read`` takes."""
        return self.spec.kind.say(value)


SETTINGS: Mapping[str, Setting] = {
    field.name: Setting(field.name, getattr(DEFAULT, field.name), field.metadata["spec"])
    for field in dataclasses.fields(Site)[1:]
}


def check_name(site: object) -> str:
    """The id of a site.

    Raises:
        ValueError: what it must be.
    """
    if not isinstance(site, str) or not (_SITE.match(site) or site == ANY):
        raise ValueError('a site is 1 to 64 letters, digits and . _ : -, such as "example.com"')
    return site


def with_settings(site: Site, given: Mapping[str, Any]) -> Site:
    """A site with other values for some settings.

    Args:
        given: by name; a text or as JSON has it; None: the default again.

    Raises:
        ValueError: everything that is wrong, each with what would be right.
    """
    wrong, values = [], {}
    for name, raw in given.items():
        setting = SETTINGS.get(str(name))
        if setting is None:
            near = difflib.get_close_matches(str(name), SETTINGS, 1)
            wrong.append(f"no setting is called {str(name)[:80]!r}" + (f"; {near[0]}?" if near else ""))
            continue
        try:
            values[name] = setting.read(raw)
        except ValueError as error:
            wrong.append(f"{name} {error}, not {str(raw)[:80]!r}")
    if wrong:
        raise ValueError("; ".join(wrong))
    made = dataclasses.replace(site, **values)
    for rate, burst in (("rate", "burst"), ("address_rate", "address_burst")):
        most = getattr(made, burst)
        if most and (most < 1 or not getattr(made, rate)):
            wrong.append(f"{burst} must be at least 1, and goes with {rate}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return made


def settings_of(site: Site, *, sparse: bool = False) -> dict[str, Any]:
    """Settings by name, as JSON has them.

    Args:
        sparse: only those that are not the default.
    """
    values = {name: getattr(site, name) for name in SETTINGS}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if not sparse or value != SETTINGS[name].default
    }
