"""Referrer and campaign → where an arrival came from.

A page opened from another page of the same host is no arrival: its referrer and host are stored,
its source, medium and channel are empty, as Plausible and Google Analytics leave self-referrals
out of their source reports. ``WHERE channel != ''`` is therefore "arrivals".

What decides, first one that says something:

=========== ============================================================================
source      utm_source (in the table's spelling if it is there) · click id · referrer's host
medium      utm_medium · "cpc" if the click id is a paid kind · the source's kind
=========== ============================================================================
"""

from __future__ import annotations

from typing import NamedTuple

from trackflowd.enrich import channels, sources, url
from trackflowd.event import bound, cut


class Origin(NamedTuple):
    """The part of the source columns that the campaign does not hold itself."""

    referrer: str
    referrer_host: str
    source: str
    medium: str
    channel: str


def origin(referrer: str, page: url.Url) -> Origin:
    """Where the visit to page came from.

    Args:
        referrer: address of the page before, as sent; "" for none. Never trusted to be one.
        page: the page, from ``url.split``.
    """
    before = _split(referrer)
    host = before.hostname.removeprefix("www.")
    tagged = page.campaign[0] or page.campaign[1] or page.campaign[2] or page.click_id
    if tagged:
        source, medium, channel = _campaign(host, page)
    elif before.url and (not host or host == page.hostname.removeprefix("www.")):
        source = medium = channel = ""
    elif host:
        source, medium, channel = _plain(host)
    else:
        # An event without a page (sent by a server) has not arrived anywhere.
        source, medium, channel = "", "", channels.DIRECT if page.url else ""
    return Origin(
        cut(before.url, bound("referrer")),
        host,
        cut(source, bound("source")),
        cut(medium, bound("medium")),
        channel,
    )


def _split(referrer: str) -> url.Url:
    if "://" not in referrer and url.bare_host(referrer):
        referrer = f"//{referrer}"
    return url.split(referrer)


def _plain(host: str) -> tuple[str, str, str]:
    source = sources.by_host(host)
    medium = channels.MEDIUM[source.kind]
    return source.name, medium, channels.channel(source.kind, medium, False)


def _campaign(host: str, page: url.Url) -> tuple[str, str, str]:
    utm_source, utm_medium = page.campaign[0], page.campaign[1].lower()
    clicked, bought = url.CLICK_IDS.get(page.click_id, ("", False))
    name = utm_source or clicked
    if name:
        source = sources.by_name(name)
    elif host and host != page.hostname.removeprefix("www."):
        source = sources.by_host(host)
    else:
        source = sources.Source("", "")
    medium = utm_medium or ("cpc" if bought else channels.MEDIUM[source.kind] if source.kind or host else "")
    return source.name, medium, channels.channel(source.kind, medium, bought)
