"""People and bots: address, agent, language, screen. All that a request's headers come from."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from bench.traffic.draw import Shares, below, pick
from bench.traffic.tables import COUNTRIES, FAMILIES, SCREENS, Country, Family

#: Shares of people whose provider gives them IPv6, where the table has a network of it.
_SIX = 0.4

_COUNTRIES: Shares[Country] = Shares(COUNTRIES)
_FAMILIES: Shares[Family] = Shares(FAMILIES)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody.

    Args:
        address: of the client, as a proxy would say it.
        agent: its User-Agent header.
        headers: the other headers of its browser, name and value, in their order.
        said: keys of each of its events: screen, viewport, lang, tz.
        country: two letters; "" for bots.
        currency: of the country.
        family: name of the agent's row in the table; "" for bots.
    """

    address: str
    agent: str
    headers: tuple[tuple[str, str], ...]
    said: dict[str, Any]
    country: str
    currency: str
    family: str


def person(rng: Random) -> Visitor:
    """A person, drawn by the tables' shares."""
    country = _COUNTRIES.draw(rng)
    family = _FAMILIES.draw(rng)
    version, model = family.versions.draw(rng), family.models.draw(rng)
    agent = family.agent.replace("{v}", version).replace("{d}", version.replace("_", ".")).replace("{m}", model)
    language = country.languages.draw(rng)
    screen = SCREENS[family.device].draw(rng)
    said = {"screen": screen, "viewport": _viewport(rng, screen, family.device), "lang": language}
    said["tz"] = country.zones.draw(rng)
    network = country.six if country.six and rng.random() < _SIX else pick(rng, country.blocks)
    headers = (*_hints(family, version), ("Accept-Language", _accepted(language)))
    return Visitor(
        address_of(rng, network), agent, headers, said, country.code, country.currency, family.name
    )  # fmt: skip


def bot(rng: Random, agent: str, network: str) -> Visitor:
    """A bot with this agent, from one of the network's addresses."""
    return Visitor(address_of(rng, network), agent, (), {}, "", "", "")


def address_of(rng: Random, network: str) -> str:
    """An address of a network: any of an IPv4 one; of an IPv6 one a host of any of its /64."""
    start, bits, six = _network(network)
    if six:
        return str(ipaddress.IPv6Address(start + (below(rng, 2 ** (bits - 64)) << 64) + below(rng, 2**53)))
    return str(ipaddress.IPv4Address(start + 1 + below(rng, 2**bits - 2)))


@cache
def _network(text: str) -> tuple[int, int, bool]:
    network = ipaddress.ip_network(text)
    return int(network.network_address), network.max_prefixlen - network.prefixlen, network.version == 6


def _viewport(rng: Random, screen: str, device: str) -> str:
    """What the browser's own bars leave of a screen; windows of desktops have many sizes."""
    width, height = map(int, screen.split("x"))
    if device == "desktop":
        return f"{width - 16 * below(rng, 12)}x{height - 90 - 8 * below(rng, 16)}"
    return f"{width}x{height - 8 * (8 + below(rng, 6))}"


def _hints(family: Family, version: str) -> tuple[tuple[str, str], ...]:
    """Client hints of Chromium's browsers."""
    if not family.brand:
        return ()
    brands = f'"Chromium";v="{version}", "Not=A?Brand";v="24", "{family.brand}";v="{version}"'
    mobile = "?1" if family.device == "mobile" else "?0"
    return (
        ("sec-ch-ua-platform", f'"{family.platform}"'), ("sec-ch-ua", brands), ("sec-ch-ua-mobile", mobile)
    )  # fmt: skip


def _accepted(language: str) -> str:
    """Accept-Language as browsers make it."""
    short = language.partition("-")[0]
    return f"{language},{short};q=0.9" if short == "en" else f"{language},{short};q=0.9,en;q=0.8"
