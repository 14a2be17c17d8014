"""Page address → the columns about the page, and what it says of the campaign.

Never raises: the sender is a stranger, and half an address is worth more than none.

=================================== =====================================================
``https://User:pw@Shop.Example:8443/a/b?x=1&utm_source=mail&gclid=Cj0#top`` becomes
-----------------------------------------------------------------------------------------
url                                 ``https://Shop.Example:8443/a/b?x=1``
hostname                            ``shop.example``
path, query                         ``/a/b``, ``x=1``
campaign (five utm parameters)      ``("mail", "", "", "", "")``
click_id                            ``gclid``
=================================== =====================================================

Fragment, user and password, the values of click ids and of mailing tools' recipient ids are
dropped: they are nobody's page, and they name people. Other parameters stay byte for byte as
they were sent, in their order.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_plus

from trackflowd.event import bound, cut

#: Characters of an address that are looked at: twice what is stored, so that campaign
#: parameters behind a long query are still found, and the work per event has an end.
MAX_LOOK = 4096

#: Query parameters that are looked at; what is behind them is dropped, for it might be a click id.
MAX_PARAMS = 256

#: Parameter → index in ``Url.campaign``.
UTM = {"utm_source": 0, "utm_medium": 1, "utm_campaign": 2, "utm_term": 3, "utm_content": 4}
NO_CAMPAIGN = ("", "", "", "", "")

#: Click ids by parameter name, lower case → the source that adds them, and whether only paid
#: clicks carry one. Facebook marks every outgoing link, Yandex and Google's free product
#: listings mark unpaid ones, so those say where from, not that it was paid.
CLICK_IDS: dict[str, tuple[str, bool]] = {
    "gclid": ("Google", True),
    "gbraid": ("Google", True),
    "wbraid": ("Google", True),
    "dclid": ("Google", True),
    "msclkid": ("Bing", True),
    "ttclid": ("TikTok", True),
    "twclid": ("X", True),
    "li_fat_id": ("LinkedIn", True),
    "yclid": ("Yandex", True),
    "rdt_cid": ("Reddit", True),
    "sccid": ("Snapchat", True),
    "epik": ("Pinterest", True),
    "qclid": ("Quora", True),
    "tblci": ("Taboola", True),
    "dicbo": ("Outbrain", True),
    "fbclid": ("Facebook", False),
    "igshid": ("Instagram", False),
    "ysclid": ("Yandex", False),
    "srsltid": ("Google", False),
}

#: Parameters that name one recipient of a mailing, or carry state between one company's own
#: sites: dropped, and no sign of anything.
_PERSONAL = frozenset({"mc_eid", "_hsenc", "_hsmi", "mkt_tok", "vero_id", "oly_enc_id", "_gl", "igsh"})

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,31}):")
_BARE_HOST = re.compile(r"[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?(?:\.[a-z0-9\-]+)*\.[a-z]{2,}(?::\d{1,5})?", re.I)
_CONTROL = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)))

_UTM_BOUND = bound("utm_source")


class Url(NamedTuple):
    """A page address taken apart; every text is within its column's bound."""

    url: str
    hostname: str
    path: str
    query: str
    campaign: tuple[str, str, str, str, str]
    click_id: str


EMPTY = Url("", "", "", "", NO_CAMPAIGN, "")


def split(text: str) -> Url:
    """Take an address apart.

    Args:
        text: absolute or ``//host`` address, path, or anything else. A text without scheme and
            host is taken as a path; one with a scheme but no ``//`` (``about:blank``, ``data:…``)
            gives its scheme only, as what follows is content and not a place.
    """
    text = text[:MAX_LOOK].translate(_CONTROL).partition("#")[0].strip()
    if not text:
        return EMPTY
    scheme, authority, rest = _head(text)
    if authority is None and scheme:
        return EMPTY._replace(url=f"{scheme}:")
    path, _, query = rest.partition("?")
    kept, campaign, click_id = _parameters(query) if query else ("", NO_CAMPAIGN, "")
    host_port = (authority or "").rpartition("@")[2]
    prefix = "" if authority is None else f"{scheme}://{host_port}" if scheme else f"//{host_port}"
    whole = f"{prefix}{path}?{kept}" if kept else f"{prefix}{path}"
    return Url(
        cut(whole, bound("url")),
        hostname(host_port),
        cut(path or ("/" if host_port else ""), bound("path")),
        cut(kept, bound("query")),
        campaign,
        click_id,
    )


def hostname(host_port: str) -> str:
    """Host of ``host[:port]``: lower case, in its ASCII form, without port and trailing dot.

    Browsers send international names as ``xn--…``; one written with its letters is brought to
    that form so that both count as one. What is no name at all is kept as it stands.
    """
    if not host_port:
        return ""
    if host_port[0] == "[":
        host = host_port[1:].partition("]")[0]
    else:
        host = host_port.partition(":")[0]
    host = host[: bound("hostname")].rstrip(".").lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            pass
    return cut(host, bound("hostname"))


def bare_host(text: str) -> bool:
    """Whether a text without scheme begins with what can only be a host (``news.example/item``)."""
    return _BARE_HOST.fullmatch(re.split(r"[/?#]", text, maxsplit=1)[0]) is not None


def _head(text: str) -> tuple[str, str | None, str]:
    """(scheme or "", authority or None where there is none, the rest)."""
    scheme = ""
    if found := _SCHEME.match(text):
        scheme = found[1].lower()
        text = text[found.end() :]
    if not text.startswith(("//", "\\\\")):
        return scheme, None, text
    end = len(text)
    for mark in "/?":
        at = text.find(mark, 2)
        if 0 <= at < end:
            end = at
    return scheme, text[2:end], text[end:]


def _parameters(query: str) -> tuple[str, tuple[str, str, str, str, str], str]:
    """(query without what is dropped, campaign, click id kind); the first of each counts."""
    campaign = ["", "", "", "", ""]
    click_id = ""
    kept = []
    pairs = query.split("&", MAX_PARAMS)
    for pair in pairs[:MAX_PARAMS]:
        name, _, value = pair.partition("=")
        name = name.lower()
        if (index := UTM.get(name)) is not None:
            if not campaign[index]:
                campaign[index] = _value(value)
        elif name in CLICK_IDS:
            # A paid kind says more than an unpaid one beside it (gclid with srsltid).
            if value and (not click_id or (CLICK_IDS[name][1] and not CLICK_IDS[click_id][1])):
                click_id = name
        elif name not in _PERSONAL:
            kept.append(pair)
    return "&".join(kept), (campaign[0], campaign[1], campaign[2], campaign[3], campaign[4]), click_id


def _value(raw: str) -> str:
    """A parameter's text, decoded once; wrong percent signs and wrong UTF-8 stay visible as U+FFFD."""
    text = unquote_plus(raw) if "%" in raw or "+" in raw else raw
    return cut(text.translate(_CONTROL).strip(), _UTM_BOUND)
