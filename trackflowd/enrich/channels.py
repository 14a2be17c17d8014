"""Source kind and medium → marketing channel.

The names and the order of the rules are those of Google Analytics 4's default channel group, for
that is what people compare with; added are "AI Assistants" and "News & Aggregators", which it
counts as referrals. The first rule that holds decides.
"""

from __future__ import annotations

import re

from trackflowd.enrich.sources import Kind

#: Arrived by typing, a bookmark, or from a place that says nothing.
DIRECT = "Direct"

#: Medium of a source's kind when no utm_medium says otherwise.
MEDIUM: dict[Kind, str] = {
    "search": "organic",
    "social": "social",
    "email": "email",
    "video": "video",
    "ai": "ai",
    "news": "referral",
    "shopping": "referral",
    "ads": "cpc",
    "": "referral",
}

_PAID = re.compile(r".*cp.*|ppc|retargeting|paid.*")
_DISPLAY = frozenset({"display", "banner", "expandable", "interstitial", "cpm"})
_SOCIAL = frozenset({"social", "social-network", "social-media", "sm", "social network", "social media"})
_EMAIL = frozenset({"email", "e-mail", "e_mail", "e mail", "newsletter", "mail"})
_AFFILIATE = frozenset({"affiliate", "affiliates"})
_REFERRAL = frozenset({"referral", "app", "link"})
_PAID_KIND: dict[Kind, str] = {
    "shopping": "Paid Shopping",
    "search": "Paid Search",
    "social": "Paid Social",
    "video": "Paid Video",
}
_ORGANIC_KIND: dict[Kind, str] = {
    "shopping": "Organic Shopping",
    "social": "Organic Social",
    "video": "Organic Video",
    "search": "Organic Search",
    "email": "Email",
    "ai": "AI Assistants",
    "news": "News & Aggregators",
}


def paid(medium: str) -> bool:
    """Whether a medium (lower case) says that the click was bought: cpc, ppc, paid-social, cpm, …"""
    return _PAID.fullmatch(medium) is not None


def channel(kind: Kind, medium: str, bought: bool) -> str:
    """Channel of an arrival that has a source, a medium or a campaign.

    Args:
        kind: the source's.
        medium: lower case; "" where the campaign names none and the source is unknown.
        bought: whether a click id says so.
    """
    if bought or paid(medium):
        if kind in _PAID_KIND:
            return _PAID_KIND[kind]
        return "Display" if medium in _DISPLAY or kind == "ads" else "Paid Other"
    return _by_medium(medium) or _ORGANIC_KIND.get(kind) or ("Referral" if medium in _REFERRAL else "Unassigned")


def _by_medium(medium: str) -> str:
    """Channel that the medium alone decides, or ""."""
    if medium in _DISPLAY:
        return "Display"
    if medium in _SOCIAL:
        return "Organic Social"
    if "video" in medium:
        return "Organic Video"
    if medium == "organic":
        return "Organic Search"
    if medium in _EMAIL:
        return "Email"
    if medium in _AFFILIATE:
        return "Affiliates"
    if medium == "ai":
        return "AI Assistants"
    if medium == "audio":
        return "Audio"
    if medium == "sms":
        return "SMS"
    if medium.endswith("push") or "mobile" in medium or "notification" in medium:
        return "Push"
    return ""
