"""Client address → country, region, city, autonomous system, from a MaxMind-format file.

The file is mapped, so its pages are shared by all workers and read as they are needed. Makers
agree on the container and not on what is in it; ``place`` takes every shape met so far:

=============================== ===================================================================
MaxMind, GeoLite2, DB-IP        ``{"country": {"iso_code": …}, "subdivisions": [{"names": …}], "city": {"names": …}}``
GeoLite2-ASN, DB-IP ASN         ``{"autonomous_system_number": 123}``
IPinfo                          ``{"country": "US"}`` or ``{"country": "United States", "country_code": "US"}``,
                                with ``"region"``, ``"city"``, ``"asn": "AS123"``
ip-location-db (npm)            ``{"country_code": "GB"}``, with ``"state1"``, ``"city"``
=============================== ===================================================================

Replacing a file while the daemon runs: rename the new one over the old (``mv``, and what
``trackflow geo update`` does). Each ``tick`` looks for that, checks the new file and swaps; a
file that fails the check changes nothing but ``error``. Writing *into* the mapped file
(``cp new old``) takes its pages from under the readers and the kernel kills them with SIGBUS.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import maxminddb
from maxminddb.types import Record

from trackflowd.errors import GeoError
from trackflowd.event import bound, cut

_MAX_ASN = bound("asn")

# How much of a file the check reads: enough to meet several records, few enough page faults
# (30 ms for a cold disk's worst case) that a worker may do it between two requests.
_CHECK_FIRST = 200
_CHECK_SPREAD = 32


class Place(NamedTuple):
    """The place part of a row, in table order; "" and 0 for what is not known."""

    country: str
    region: str
    city: str
    asn: int


NOWHERE = Place("", "", "", 0)


@dataclass(frozen=True, slots=True)
class Info:
    """What is open.

    Args:
        path: the file.
        kind: its maker's name for it, ``GeoLite2-City``.
        built: seconds since 1970, from its metadata.
        asn_only: whether it knows networks but no places.
    """

    path: str
    kind: str
    built: int
    asn_only: bool


#: (path, inode, mtime ns, size): differs when a file was replaced.
_Stamp = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class _Open:
    reader: maxminddb.Reader
    info: Info
    sixes: bool  # has IPv6


def open_checked(path: str) -> _Open:
    """Open a database and try it.

    Raises:
        GeoError: not such a file, damaged, or without a place or network in what was looked at.
    """
    try:
        mode = maxminddb.MODE_MMAP_EXT if hasattr(maxminddb, "extension") else maxminddb.MODE_MMAP
        reader = maxminddb.open_database(path, mode)
        meta = reader.metadata()
        opened = _Open(
            reader,
            Info(path, str(meta.database_type), int(meta.build_epoch), _asn_kind(str(meta.database_type))),
            meta.ip_version == 6,
        )
        known = _try(opened)
    except GeoError:
        raise
    except Exception as error:  # a stranger's file: the reader raises whatever its bytes lead it to
        raise GeoError(f"{path}: not a usable geo database: {error or type(error).__name__}") from error
    if not known:
        raise GeoError(
            f"{path}: a {opened.info.kind or 'nameless'} database in which no country or network was found",
            "use a country, city or ASN database in MaxMind's format",
        )
    return opened


def _try(opened: _Open) -> bool:
    """Look at the first records and at addresses all over; whether one of them says something."""
    known = False
    for _, record in itertools.islice(iter(opened.reader), _CHECK_FIRST):
        known = known or place(record) != NOWHERE
    step = 2**32 // _CHECK_SPREAD
    for number in range(step // 3, 2**32, step):
        known = place(opened.reader.get(ipaddress.IPv4Address(number))) != NOWHERE or known
    if opened.sixes:
        for block in range(0x2001, 0x2E00, 0x100):
            known = place(opened.reader.get(ipaddress.IPv6Address(block << 112))) != NOWHERE or known
    return known


class Geo:
    """The open databases: one for places, and one for networks where there is such a file.

    Args:
        path: a database file, or a directory whose newest ``*.mmdb`` counts (the newest that is
            for networks only is used beside the newest of the others). Need not exist yet.
        check_every: seconds between looks at the files.
    """

    def __init__(self, path: str, check_every: float = 10.0) -> None:
        self._path = path
        self._check_every = check_every
        self._next_check = 0.0
        self._stamps: list[_Stamp] = []
        self._places: _Open | None = None
        self._networks: _Open | None = None
        #: What is wrong with the newest file, for ``status``; "" while all is well.
        self.error = ""
        #: Files refused so far.
        self.errors = 0
        #: Raised by one at each swap: what was cached before is of another file.
        self.generation = 0
        self._load()

    def tick(self, now: float) -> bool:
        """Look for a new file, at most each ``check_every``; whether one was taken into use.

        Args:
            now: seconds of a monotonic clock.
        """
        if now < self._next_check:
            return False
        self._next_check = now + self._check_every
        return self._load()

    def lookup(self, address: str) -> Place:
        """Place of an address. Never raises: what is private, odd or unknown is ``NOWHERE``.

        Args:
            address: text form of IPv4 or IPv6; IPv4 mapped into IPv6 counts as IPv4.
        """
        if self._places is None and self._networks is None:
            return NOWHERE
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return NOWHERE
        found: ipaddress.IPv4Address | ipaddress.IPv6Address = parsed
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            found = parsed.ipv4_mapped
        if _private(found):
            return NOWHERE
        answer = _ask(self._places, found)
        if self._networks is not None and not answer.asn:
            answer = answer._replace(asn=_ask(self._networks, found).asn)
        return answer

    def info(self) -> list[Info]:
        """The open files, places first; empty while there is none."""
        return [opened.info for opened in (self._places, self._networks) if opened is not None]

    def _load(self) -> bool:
        stamps = _stamps(self._path)
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        if not stamps:
            if self._places is not None or self._networks is not None:
                self.error = f"{self._path}: the geo database is gone; going on with the one that was open"
            return False
        places, networks, bad = self._newest(stamps)
        self.error = bad
        if places is self._places and networks is self._networks:
            return False
        self._places, self._networks = places, networks
        self.generation += 1
        return True

    def _newest(self, stamps: list[_Stamp]) -> tuple[_Open | None, _Open | None, str]:
        """The newest good file of each sort, and what was wrong with a newer one, if anything.

        Behind a bad file an older one is taken only if there is no last good one to keep.
        """
        places: _Open | None = None
        networks: _Open | None = None
        bad = ""
        for path, *_ in stamps:
            try:
                opened = open_checked(path)
            except GeoError as error:
                bad = bad or str(error)
                self.errors += 1
                places, networks = places or self._places, networks or self._networks
                continue
            if opened.info.asn_only:
                networks = networks or opened
            else:
                places = places or opened
            if places and networks:
                break
        return places or self._places, networks, bad


def _networks(*names: str) -> tuple[tuple[int, int], ...]:
    nets = map(ipaddress.ip_network, names)
    return tuple((int(net.netmask), int(net.network_address)) for net in nets)


# Addresses that are not anybody's place. ``is_global`` says the same in 8 µs, and not the same in
# every version of Python.
_PRIVATE_4 = _networks(
    "10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10", "0.0.0.0/8",
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
)  # fmt: skip
_PRIVATE_6 = _networks("fc00::/7", "fe80::/10", "::/127", "ff00::/8", "2001:db8::/32")


def _private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is private, of this host or link, multicast, or kept for examples."""
    number = int(address)
    for mask, net in _PRIVATE_4 if address.version == 4 else _PRIVATE_6:
        if number & mask == net:
            return True
    return False


def _ask(opened: _Open | None, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Place:
    if opened is None or (address.version == 6 and not opened.sixes):
        return NOWHERE
    try:
        return place(opened.reader.get(str(address)))
    except Exception:  # damage behind what the check read: no place is better than no event
        return NOWHERE


def _asn_kind(kind: str) -> bool:
    low = kind.lower()
    return ("asn" in low or "isp" in low) and "country" not in low and "city" not in low


def _stamps(path: str) -> list[_Stamp]:
    """The file, or the directory's databases, newest first."""
    found: list[_Stamp] = []
    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                paths = [entry.path for entry in entries if entry.name.endswith(".mmdb")]
        else:
            paths = [path]
        for each in paths:
            stat = os.stat(each)
            found.append((each, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    except OSError:
        return []
    return sorted(found, key=lambda stamp: (-stamp[2], stamp[0]))


def place(record: Record | None) -> Place:
    """What a database's record says, whichever maker's shape it has."""
    if not isinstance(record, dict):
        return NOWHERE
    return Place(_country(record), _region(record), _name(record.get("city"), "city"), _asn(record))


def _country(record: dict[str, Any]) -> str:
    country = record.get("country")
    for code in (
        record.get("country_code"),
        country.get("iso_code") if isinstance(country, dict) else country,
    ):
        # ZZ and XX are what makers put where they know nothing.
        if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha():
            return "" if code.upper() in ("ZZ", "XX") else code.upper()
    return ""


def _region(record: dict[str, Any]) -> str:
    divisions = record.get("subdivisions")
    if isinstance(divisions, list) and divisions:
        return _name(divisions[0], "region")
    return _name(record.get("region") or record.get("state1"), "region")


def _name(value: Any, field: str) -> str:
    """A name: text, or ``{"names": {"en": …}}``, English first."""
    if isinstance(value, dict):
        names = value.get("names")
        if isinstance(names, dict) and names:
            value = names.get("en") or next(iter(names.values()))
        else:
            value = value.get("iso_code")
    return cut(value, bound(field)) if isinstance(value, str) else ""


def _asn(record: dict[str, Any]) -> int:
    traits = record.get("traits")
    for source in (record, traits if isinstance(traits, dict) else {}):
        number = source.get("autonomous_system_number") or source.get("asn")
        if isinstance(number, str):
            digits = number.upper().removeprefix("AS")
            number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else 0
        if isinstance(number, int) and 0 < number <= _MAX_ASN:
            return number
    return 0
