"""Who sent a request: the client's address, seen through the proxies we trust.

A proxy appends the address it was called from to X-Forwarded-For (or Forwarded, RFC 7239). So from
the right, each hop is as good as the one that wrote it: walking left past trusted networks, the
first hop outside of them is the client; whatever is left of it is the client's own invention. A
hop that is no address (``unknown``, ``_hidden``, junk, an element without for=) ends the walk: the last good
one counts.

If both headers are there X-Forwarded-For is read: common proxies write that one and pass the
other on as the client sent it.

The result is text in its usual form, IPv4 for IPv4-mapped IPv6. It must never be logged or stored.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trackflowd.enrich.cache import Generations

#: Hops looked at; more than this many trusted proxies in a row is a loop or a lie.
_MAX_HOPS = 32
#: Clients of a generation (see ``Generations``), and most bytes of one. Finding out costs 2 µs, 12 with IPv6, a
#: look-up 0.2.
_CLIENTS, _LONGEST = 8192, 256
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#: Eight times faster than ``ipaddress``, and most addresses are of this kind.
_V4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
#: One name=value of an element of Forwarded.
_PAIR = re.compile(r'(?:^|;)([^=;,"]*)=\s*("(?:[^"\\]|\\.)*"|[^;,\s"]*)')


def normal(text: str) -> str | None:
    """An address in its usual form; None if text is no address.

    Args:
        text: IPv4 or IPv6, with a port, brackets or a zone (``%eth0``) or without.
    """
    text = text.strip()
    if _V4.fullmatch(text):
        return text
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
        return text if _V4.fullmatch(text) else None
    try:
        address = ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return None
    return str(address.ipv4_mapped or address)


def _number(address: str) -> int:
    """An address in its usual form as a number."""
    if ":" in address:
        return int(ipaddress.IPv6Address(address))
    a, b, c, d = address.split(".")
    return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)


class Walk(NamedTuple):
    """Where a client's address was found.

    Args:
        address: the client's.
        header: that named it, lower-case; "": it is the peer.
        hop: which hop of that header, the rightmost is 1; 0: the peer.
    """

    address: str
    header: str
    hop: int


class Proxies:
    """The networks whose word on the address counts.

    Args:
        networks: CIDRs, IPv4 or IPv6; IPv4-mapped ones count as IPv4.

    Raises:
        ValueError: not a network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._v4: list[tuple[int, int]] = []
        self._v6: list[tuple[int, int]] = []
        self._known: Generations[tuple[str, bytes | None, bytes | None], str] = Generations(_CLIENTS)
        self._get = self._known.get
        for text in networks:
            network = ipaddress.ip_network(text, strict=False)
            first, mask = int(network.network_address), int(network.netmask)
            if network.version == 4:
                self._v4.append((mask, first))
            elif first >> 32 == 0xFFFF and network.prefixlen >= 96:
                self._v4.append((mask & 0xFFFFFFFF, first & 0xFFFFFFFF))
            else:
                self._v6.append((mask, first))

    def trusts(self, address: str) -> bool:
        """True if address, in its usual form, lies in one of the networks."""
        networks = self._v6 if ":" in address else self._v4
        if not networks:
            return False
        number = _number(address)
        return any(number & mask == first for mask, first in networks)

    def client(self, peer: str, forwarded_for: bytes | None, forwarded: bytes | None) -> str:
        """Address of the client.

        Args:
            peer: who connected, in its usual form; a trusted proxy (else its headers do not count).
            forwarded_for: all X-Forwarded-For lines, joined by commas.
            forwarded: all Forwarded lines, joined by commas.
        """
        key = (peer, forwarded_for, forwarded)
        address = self._get(key) or self._known.promote(key)
        if address is None:
            address = self.walk(peer, forwarded_for, forwarded).address
            if sum(map(len, filter(None, key))) <= _LONGEST:
                self._known.put(key, address)
        return address

    def forget(self) -> None:
        """Let go of the clients that did not come since the last call."""
        self._known.turn()

    def walk(self, peer: str, forwarded_for: bytes | None, forwarded: bytes | None) -> Walk:
        """What ``client`` does, and how it came to the address."""
        last = Walk(peer, "", 0)
        if forwarded_for is not None:
            header = "x-forwarded-for"
            hops: Iterator[str] = reversed(forwarded_for.decode("latin-1").split(","))
        elif forwarded is not None:
            header = "forwarded"
            hops = map(_node, _elements(forwarded.decode("latin-1")))
        else:
            return last
        for number, hop in zip(range(1, _MAX_HOPS + 1), hops, strict=False):
            address = normal(hop)
            if address is None:
                return last
            last = Walk(address, header, number)
            if not self.trusts(address):
                return last
        return last


def _elements(forwarded: str) -> Iterator[str]:
    """Elements of Forwarded, from the right: so what a client wrote, however broken, cannot touch what a proxy did.

    Commas in quotes are no ends: a proxy may put the client's own Host between them.
    """
    end, quoted = len(forwarded), False
    for at in range(end - 1, -1, -1):
        if forwarded[at] == '"':
            first = at
            while first and forwarded[first - 1] == "\\":
                first -= 1
            quoted ^= (at - first) % 2 == 0  # an odd number of backslashes makes it a character of the text
        elif forwarded[at] == "," and not quoted:
            yield forwarded[at + 1 : end]
            end = at
    yield forwarded[:end]


def _node(element: str) -> str:
    """What follows for= in an element of Forwarded; "" where it is not there exactly once."""
    nodes = [value for name, value in _PAIR.findall(element) if name.strip().lower() == "for"]
    return nodes[0].strip('"') if len(nodes) == 1 else ""
