"""The traffic model: a seed in, hits out. No clock, no socket, no id: what is sent, not how.

Time here is the model's own: visits begin independently of one another (``VISITS`` a second), each
goes from page to page with a person's pauses, and all of them together, in order of time, are the
stream. Whoever sends it at another rate plays it faster or slower; order, mixture and the dwell
times said in ``engaged_ms`` stay.

A visit: a site (Zipf), an arrival (typed, search, social, campaign with utm parameters, click id, …), an
entry page, then pages by popularity (Zipf), page after page with the one before as referrer. Half of the
people leave at once. What the site is for decides the other events: a shop has carts and orders with
revenue, an app has sign-ups and known users, a paper has shares and videos.

Bots take pages evenly and tell nothing of a screen. Bad hits are good ones with a fault (``FAULTS``).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from bench.traffic.draw import Shares, Zipf, below, pick, seconds, wait
from bench.traffic.tables import AI, ARRIVALS, BOTS, CAMPAIGNS, CLICKS, SEARCH, SOCIAL
from bench.traffic.visitors import Visitor, bot, person

#: Visits that begin in a second of the model's time, and its seconds before the first hit that is given out:
#: a stream that has just begun holds only entries.
VISITS, WARM = 2.0, 600.0
#: Zipf exponents of sites and pages; web traces lie between 0.6 and 1.2 (Breslau et al., INFOCOM 1999).
SITE_EXPONENT, PAGE_EXPONENT = 1.0, 0.9
#: Chances of a visit: that it ends after a page, and after the first one; that the visitor has been here before.
LEAVES, BOUNCES, RETURNS = 0.28, 0.45, 0.35
#: Visitors that are remembered.
_KNOWN = 5000
#: Seconds on a page.
_DWELL_MEDIAN, _DWELL_SIGMA, _DWELL_MOST = 22.0, 1.1, 900.0

#: What is wrong with a bad hit, by share. In an array the first four make one event bad, the others the request.
FAULTS: Shares[str] = Shares(
    [
        ("unknown_key", 25), ("missing_key", 10), ("bad_value", 15), ("bad_type", 15), ("bad_json", 15),
        ("not_found", 15), ("bad_host", 5),
    ]
)  # fmt: skip
EVENT_FAULTS = frozenset({"unknown_key", "missing_key", "bad_value", "bad_type"})

_WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris", "juniper", "kestrel", "linden",
    "maple", "north", "opal", "pine", "quartz", "river", "slate", "thistle", "umber", "violet", "willow", "yarrow",
)  # fmt: skip
_KINDS = ("shop", "paper", "app", "shop", "docs")


@dataclass(frozen=True, slots=True)
class Site:
    """A site.

    Args:
        name: as events say it, and its host.
        kind: shop, paper, app or docs.
        pages: how many it has.
    """

    name: str
    kind: str
    pages: int

    def page(self, rank: int) -> tuple[str, str]:
        """Path and title of the page of a rank (0: the most seen)."""
        if rank == 0:
            return "/", f"{self.name.partition('.')[0].capitalize()} – Home"
        words = f"{_WORDS[rank % 24]}-{_WORDS[rank // 24 % 24]}"
        title = words.replace("-", " ").title()
        where = {"shop": "product", "paper": "2025/11", "app": "features", "docs": "guide"}[self.kind]
        return f"/{where}/{words}-{rank}", f"{title} | {self.name.partition('.')[0].capitalize()}"


class Hit(NamedTuple):
    """One event of somebody.

    Args:
        at: seconds, the model's time.
        event: as in ``POST /v1/events``, without ``id``.
        fault: what is to be wrong with it, "" for a good one.
    """

    at: float
    visitor: Visitor
    event: dict[str, Any]
    fault: str = ""


@dataclass(frozen=True)
class Options:
    """What the traffic is like.

    Args:
        seed: any integer; the stream is a function of all of these.
        sites: how many.
        site: the name of all of them, where it is to be one.
        bots, bad: shares of the hits, 0 to 1.
    """

    seed: int = 1
    sites: int = 50
    site: str = ""
    bots: float = 0.06
    bad: float = 0.01


@dataclass
class Model:
    """The stream.

    Args:
        options: what it is like.
    """

    options: Options
    _rng: Random = field(init=False)
    _known: deque[Visitor] = field(init=False, default_factory=lambda: deque(maxlen=_KNOWN))

    def __post_init__(self) -> None:
        self._rng = Random(self.options.seed)
        count = 1 if self.options.site else self.options.sites
        self.sites = [_site(rank, self.options.site) for rank in range(count)]
        self._popular = Zipf(count, SITE_EXPONENT)
        self._ranks = {pages: Zipf(pages, PAGE_EXPONENT) for pages in {site.pages for site in self.sites}}

    def hits(self) -> Iterator[Hit]:
        """The stream, without end. Call once."""
        options, rng = self.options, self._rng
        people = (hit for hit in self._people() if hit.at >= WARM)
        now = WARM
        while True:
            draw = rng.random()
            if draw < options.bots:
                yield self._crawl(now)
                continue
            hit = next(people)
            now = hit.at
            yield hit._replace(fault=FAULTS.draw(rng)) if draw >= 1 - options.bad else hit

    def _people(self) -> Iterator[Hit]:
        """Hits of all visits, in order of time."""
        under_way: list[tuple[float, int, Hit, Iterator[Hit]]] = []
        begins, number = 0.0, 0
        while True:
            while not under_way or begins <= under_way[0][0]:
                visit = self._visit(begins)
                first = next(visit)
                heapq.heappush(under_way, (first.at, number, first, visit))
                begins, number = begins + wait(self._rng, VISITS), number + 1
            _, own, hit, visit = under_way[0]
            yield hit
            after = next(visit, None)
            if after is None:
                heapq.heappop(under_way)
            else:
                heapq.heapreplace(under_way, (after.at, own, after, visit))

    def _visitor(self) -> Visitor:
        rng = self._rng
        if self._known and rng.random() < RETURNS:
            return pick(rng, self._known)
        visitor = person(rng)
        self._known.append(visitor)
        return visitor

    def _visit(self, at: float) -> Iterator[Hit]:
        """The hits of one visit; at least one."""
        rng = self._rng
        site = self.sites[self._popular.draw(rng)]
        visitor = self._visitor()
        user = f"user-{below(rng, 100_000)}" if site.kind == "app" and rng.random() < 0.3 else ""
        parameters, referrer = _arrival(rng)
        rank = 0 if not referrer and rng.random() < 0.5 else self._ranks[site.pages].draw(rng)
        cart = 0.0
        leaves = BOUNCES
        while True:
            path, title = site.page(rank)
            url = f"https://{site.name}{path}"
            page = {"site": site.name, "url": url + parameters, "referrer": referrer, "title": title, **visitor.said}
            if user:
                page["user"] = user
            if rng.random() < 0.03:  # kept while offline, and sent later
                page["age_ms"] = int(seconds(rng, 90_000, 1.0, 86_400_000))
            yield Hit(at, visitor, {**page, "name": "pageview"})
            dwell = seconds(rng, _DWELL_MEDIAN, _DWELL_SIGMA, _DWELL_MOST)
            for share, event in self._doings(site, path, visitor, cart):
                if event["name"] == "cart_add":
                    cart += float(event["props"]["price"])
                elif event["name"] == "order":
                    cart = 0.0
                yield Hit(at + dwell * share, visitor, {**page, **event})
            at += dwell
            if rng.random() < 0.5:  # the rest have closed the page without a word
                engaged = {"engaged_ms": int(dwell * 1000 * (0.4 + 0.6 * rng.random())), "scroll": below(rng, 101)}
                yield Hit(at, visitor, {**page, **engaged, "name": "leave"})
            if rng.random() < leaves:
                return
            at, leaves, parameters, referrer = at + 0.5, LEAVES, "", url
            rank = self._ranks[site.pages].draw(rng)

    def _doings(self, site: Site, path: str, visitor: Visitor, cart: float) -> Iterator[tuple[float, dict[str, Any]]]:
        """What is done on a page beside looking at it: share of the dwell time, and keys of the event."""
        rng, draw = self._rng, self._rng.random()
        if site.kind == "shop":
            if cart and draw < 0.25:
                props = {"order": f"A{below(rng, 10**9)}", "items": 1 + below(rng, 5), "coupon": draw < 0.05}
                money = {"amount": f"{cart:.2f}", "currency": visitor.currency}
                yield 0.9, {"name": "order", "props": props, "revenue": money}
            elif path.startswith("/product") and draw < 0.4:
                price = round(seconds(rng, 29.0, 0.8, 2000), 2)
                props = {"sku": path.rpartition("-")[2], "price": price, "quantity": 1}
                yield 0.6, {"name": "cart_add", "props": props}
            elif draw > 0.92:
                yield 0.3, {"name": "search", "props": {"query": pick(rng, _WORDS), "results": below(rng, 200)}}
        elif site.kind == "app":
            if draw < 0.05:
                plan = pick(rng, ("free", "pro", "team"))
                yield 0.8, {"name": "signup", "props": {"plan": plan, "trial": plan != "free"}}
        elif draw < 0.06:
            yield 0.5, {"name": "video_play", "props": {"seconds": below(rng, 300), "title": f"Clip {below(rng, 40)}"}}
        elif draw > 0.97:
            yield 0.7, {"name": "share", "props": {"to": pick(rng, ("mail", "whatsapp", "copy"))}}
        if draw > 0.99:
            yield 0.95, {"name": "outbound", "props": {"href": f"https://partner-{below(rng, 30)}.example/"}}

    def _crawl(self, at: float) -> Hit:
        """A page view of a bot."""
        rng = self._rng
        agent, network = BOTS.draw(rng)
        site = self.sites[self._popular.draw(rng)]
        path, title = site.page(below(rng, site.pages))
        event = {"site": site.name, "name": "pageview", "url": f"https://{site.name}{path}", "title": title}
        return Hit(at, bot(rng, agent, network), event)


def _site(rank: int, name: str) -> Site:
    """The site of a rank: the more visited have more pages."""
    host = name or f"{_WORDS[rank % 24]}-{_KINDS[rank % 5]}{rank // 24 or ''}.example"
    return Site(host, _KINDS[rank % 5], max(3000 // (rank + 1), 50))


def _arrival(rng: Random) -> tuple[str, str]:
    """Parameters of the entry page's address, and the referrer."""
    how = ARRIVALS.draw(rng)
    if how in ("search", "social", "ai"):
        return "", {"search": SEARCH, "social": SOCIAL, "ai": AI}[how].draw(rng)
    if how == "referral":
        return "", f"https://blog-{below(rng, 200)}.example/{pick(rng, _WORDS)}/{below(rng, 50)}"
    if how == "campaign":
        source, medium, name = CAMPAIGNS.draw(rng)
        words = (("source", source), ("medium", medium), ("campaign", name))
        text = "&".join(f"utm_{key}={value.replace('{n}', str(1 + below(rng, 12)))}" for key, value in words)
        return f"?{text}", "" if medium == "email" else "https://partner.example/"
    if how == "paid":
        key, referrer = CLICKS.draw(rng)
        return f"?{key}=Cj0KCQ{below(rng, 2**62):016x}", referrer
    return "", ""
