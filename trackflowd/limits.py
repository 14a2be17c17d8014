"""How fast somebody may send: a token bucket whose tokens are time.

A limit of 50 events a second with a burst of 10 is an allowance: an event costs 20 ms of it, it grows by a second
each second, and at most 200 ms of it are kept. In that form a bucket is one number, the time at which it is whole
again, and what it lacks says how long a sender has to wait. ``buckets`` keeps them.

A request is taken or refused as a whole. One of more events than a burst has is taken when the allowance is whole, and
its rest is owed: so an array of any length passes at last, and over time the rate holds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from trackflowd.errors import Limited
from trackflowd.proto.refusals import STATUS
from trackflowd.site import ANY, RATE, Site

_SECOND = 10**9
#: Longest time an event may cost and a burst may hold, in ns: two years, and far from where sums leave 64 bits.
LONGEST = 2**56
#: Longest wait that is asked of a sender, in seconds.
_MAX_WAIT = 3600


class Limit(NamedTuple):
    """A limit in force.

    Args:
        code: of its refusal.
        row: id of the site whose row it stands in; "": it is an option's.
        cost: allowance an event takes, ns.
        burst: most allowance that is kept, ns, ≥ cost.
        reason: text for the sender.
    """

    code: str
    row: str
    cost: int
    burst: int
    reason: str

    @property
    def of_address(self) -> bool:
        """Whether each address has a bucket of its own."""
        return self.code == "address_rate_limited"

    def refusal(self, wait: int, events: int) -> Limited:
        """The refusal of a request.

        Args:
            wait: until it would be taken, ns.
            events: how many it held.
        """
        seconds = min(-(-wait // _SECOND), _MAX_WAIT)
        return Limited(STATUS[self.code], self.code, self.reason, seconds, events)


class Want(NamedTuple):
    """What a request takes of one bucket.

    Args:
        limit: its bound.
        site: whose events; "": of all.
        address: who sends, in its usual form; "": whoever.
        events: how many.
    """

    limit: Limit
    site: str
    address: str
    events: int


class Meter(Protocol):
    """Keeps the buckets (``buckets.Buckets``)."""

    def take(self, wants: Sequence[Want]) -> tuple[Limit, int] | None:
        """Take from all, or from none: see there."""

    def forget(self) -> None:
        """Let go of what was not asked for since the last call."""


def of_site(site: Site) -> tuple[Limit, ...]:
    """The limits of a site's settings: of the site, of one address at it."""
    whose = site.site if site.site != ANY else f"'{ANY}'"
    change = f"`trackflow sites set {whose}"
    limits = []
    if site.rate:
        reason = f"this site may send {RATE.say(site.rate)} events a second: {change} rate=…` raises it"
        limits.append(_limit("rate_limited", site.site, site.rate, site.burst, reason))
    if site.address_rate:
        reason = (
            f"one address may send {RATE.say(site.address_rate)} events a second to this site: "
            f"{change} address_rate=…` raises it"
        )
        limits.append(_limit("address_rate_limited", site.site, site.address_rate, site.address_burst, reason))
    return tuple(limits)


def of_address(rate: float, burst: float) -> Limit | None:
    """The limit of one address at all sites together; None: there is none.

    Args:
        rate: events a second; 0: any.
        burst: events; 0: as many as rate.
    """
    reason = f"one address may send {RATE.say(rate)} events a second: the option `sites.address_rate` raises it"
    return _limit("address_rate_limited", "", rate, burst, reason) if rate else None


def counted_as(address: str) -> str:
    """What an address counts as: an IPv6 client is given a /64 and may change its address within it at will."""
    return f"{int(ipaddress.IPv6Address(address)) >> 64:x}:" if ":" in address else address


def _limit(code: str, row: str, rate: float, burst: float, reason: str) -> Limit:
    cost = max(round(min(_SECOND / rate, LONGEST)), 1)
    # a burst below one event would let nothing through: a rate below 1 has a burst of one
    return Limit(code, row, cost, max(cost, round(min((burst or rate) * (_SECOND / rate), LONGEST))), reason)
