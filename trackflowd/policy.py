"""What is decided for an event before it becomes a row: may it be sent, is it counted, what of its url is kept.

::

    site known? ─▶ key good for it? ─▶ origin, path allowed? ─▶ opted out, excluded, a bot? ─▶ url without parameters
    unknown_site    key_site            origin, path             opted_out, excluded_address,    that are not kept
                                                                 excluded_path, bot
    ─▶ not too fast? (a request as a whole)
       rate_limited, address_rate_limited

Refused (403) is what may not be sent; what may be and is not counted is answered 200 with ``X-Trackflow-Refused``, so
that the sender does not try again. A server key stands for the site's owner: origins, paths and browsers' wishes are
not asked of it. All of it is pure: snapshot, headers and address in, a code out.
"""

from __future__ import annotations

import copy
import fnmatch
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from hmac import compare_digest
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from trackflowd import limits
from trackflowd.enrich import url as urls
from trackflowd.enrich.cache import Generations
from trackflowd.errors import Refused
from trackflowd.limits import Limit, Meter, Want
from trackflowd.proto.address import Proxies
from trackflowd.proto.refusals import refused
from trackflowd.site import ANY, IGNORE, OPEN, REFUSE, REGISTERED, Site, with_settings

#: Pages of one site whose verdict is remembered, and the longest worth it.
_PAGES, _LARGE = 1024, 2048
#: Headers whose key was checked; one entry is some 200 bytes.
_MAX_CHECKED = 4096
_HOUR_MS = 3_600_000
_PORTS = {"http": "80", "https": "443"}
_KEY = re.compile(rb"tfk_([1-9][0-9]{0,15})_([A-Za-z0-9_-]{43})\Z")
_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^/?#]*@)?([^/?#]+)")

#: Texts of refusals, by code.
_REASONS = {
    "unknown_site": "this site is not registered here: `trackflow sites add`",
    "key_site": "this key is not one of this site",
    "origin": "pages of this origin may not send events of this site",
    "path": "pages with this path may not send events of this site",
    "opted_out": "the browser asks not to be counted, and this site heeds it",
    "excluded_address": "events of this address are not counted",
    "excluded_path": "events of this page are not counted",
    "bot": "events of bots are not counted",
}


class Key(NamedTuple):
    """A server key that works.

    Args:
        number: of its row.
        site: whose; ``*``: of all.
        hash: SHA-256 of its secret.
        expires_ms: when it stops working, ms since 1970 UTC; None: never.
    """

    number: int
    site: str
    hash: bytes
    expires_ms: int | None


class Sender(NamedTuple):
    """What a request's headers say of who sends.

    Args:
        origin: of the page: the header Origin, else that of Referer; "": neither.
        gpc, dnt: what the browser asks for.
        key: it showed; None: none.
    """

    origin: str
    gpc: bool
    dnt: bool
    key: Key | None


class Rules:
    """The settings of one site, ready for use.

    Args:
        site: the settings.

    Attributes:
        store_ip: the client's address is stored with each event.
        limits: how fast the site and each address at it may send.
        plain: nothing is decided by them: every event is taken as it is.
        shift_ms: how far behind midnight (UTC) a visitor's day begins.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._origins = tuple(map(_origin_pattern, site.origins))
        self._paths = _globs(site.paths)
        self._excluded_paths = _globs(site.exclude_paths)
        self._networks = Proxies(site.exclude_addresses)
        self._keep = None if site.query_params is None else {*site.query_params, *urls.UTM, *urls.CLICK_IDS}
        self._pages: Generations[str, tuple[str, str]] = Generations(_PAGES)
        self._looks_at_pages = bool(site.paths or site.exclude_paths) or self._keep is not None
        self._wishes = site.gpc == REFUSE or site.dnt == REFUSE
        self.refuses_bots = site.bot_policy == REFUSE
        self.limits = limits.of_site(site)
        self.store_ip = site.store_ip
        self.shift_ms = site.salt_hour * _HOUR_MS
        self.plain = not (
            self._origins or self._looks_at_pages or self._wishes or site.exclude_addresses or self.refuses_bots
            or self.shift_ms or self.limits or self.store_ip
        )  # fmt: skip

    def verdict(self, sender: Sender, address: str, url: str) -> tuple[str, str]:
        """Code of the refusal, "" if there is none; and the url to keep.

        Args:
            sender: from the headers.
            address: the client's, in its usual form; "" if unknown.
            url: of the page, as sent.
        """
        if sender.key is None:
            if self._origins and not self._origin_good(sender.origin or origin_of(url)):
                return "origin", url
            if self._wishes and self._opted_out(sender):
                return "opted_out", url
        if address and self._networks.trusts(address):
            return "excluded_address", url
        if not self._looks_at_pages:
            return "", url
        code, kept = self._page(url)
        return ("", kept) if code == "path" and sender.key is not None else (code, kept)

    def forget(self) -> None:
        """Let go of the pages nobody asked for since the last call."""
        self._pages.turn()

    def _origin_good(self, origin: str) -> bool:
        return any(pattern.fullmatch(origin) for pattern in self._origins)

    def _opted_out(self, sender: Sender) -> bool:
        site = self._site
        return (sender.gpc and site.gpc != IGNORE) or (sender.dnt and site.dnt != IGNORE)

    def _page(self, url: str) -> tuple[str, str]:
        known = self._pages.get(url) or self._pages.promote(url)
        if known is None:
            path = urls.split(url).path
            code = ""
            if any(glob.match(path) for glob in self._excluded_paths):
                code = "excluded_path"
            elif self._paths and not any(glob.match(path) for glob in self._paths):
                code = "path"
            known = code, url if self._keep is None else without_parameters(url, self._keep)
            if len(url) <= _LARGE:
                self._pages.put(url, known)
        return known


class Policy:
    """The snapshot's sites and keys, ready for use; a change is another ``Policy``.

    Args:
        mode: ``site.OPEN`` or ``site.REGISTERED``.
        sites: rows of the registry, with the one of ``*``.
        keys: those that work.
        address_limit: of one address at all sites; None: there is none.

    Attributes:
        idle: there is nothing to decide for events that come without a key.
        limited: there are limits of how fast to send.
        meter: notes what senders take of their limits; None: nobody does, and there are none.
        used: numbers of keys that were used; whoever reports them clears it.
    """

    def __init__(
        self,
        mode: str = OPEN,
        sites: Iterable[Site] = (),
        keys: Iterable[Key] = (),
        address_limit: Limit | None = None,
    ) -> None:
        rules = {site.site: Rules(site) for site in sites}
        self._others = None if mode == REGISTERED else rules.get(ANY) or Rules(Site(ANY))
        rules.pop(ANY, None)
        self._rules = rules
        self._keys = {key.number: key for key in keys}
        self._checked: dict[bytes, Key] = {}
        self.used: set[int] = set()
        self._address_limit = address_limit
        self.meter: Meter | None = None
        every = [*rules.values(), *filter(None, [self._others])]
        self.idle = self._others is not None and address_limit is None and all(one.plain for one in every)
        self.limited = address_limit is not None or any(one.limits for one in every)

    @classmethod
    def of(cls, snapshot: Mapping[str, Any]) -> Policy:
        """From the supervisor's snapshot (see ``snapshot``).

        Raises:
            ValueError, KeyError, TypeError: it is not one of this version.
        """
        sites = [with_settings(Site(row["site"]), {k: v for k, v in row.items() if k != "site"})
                 for row in snapshot["sites"]]  # fmt: skip
        keys = [Key(row["id"], row["site"], row["hash"], row["expires_ms"]) for row in snapshot["keys"]]
        # not in the snapshot of an earlier version, which a start on a full disk has to do with
        address_limit = limits.of_address(snapshot.get("address_rate", 0.0), snapshot.get("address_burst", 0.0))
        return cls(snapshot["mode"], sites, keys, address_limit)

    def apart(self) -> Policy:
        """The same for looking only: which keys are used is not noted, and nothing is taken of limits."""
        other = copy.copy(self)
        other.used, other.meter = set(), None
        return other

    def rules(self, site: str) -> Rules | None:
        """Of a site; None: it may not send."""
        return self._rules.get(site, self._others)

    def registered(self, site: str) -> bool:
        """Whether somebody registered it, whatever the mode."""
        return site in self._rules

    def key(self, shown: bytes, now_ms: int) -> Key:
        """The key a request showed.

        Args:
            shown: what follows ``Bearer``.
            now_ms: ms since 1970 UTC.

        Raises:
            Refused: ``bad_key``: there is none like it, or it does not work any more. How long that takes to find
                says nothing of the right one.
        """
        key = self._checked.get(shown)
        if key is None:
            found = _KEY.match(shown)
            key = self._keys.get(int(found[1])) if found else None
            # of an unknown number as much is computed as of a known one
            same = compare_digest(hashlib.sha256(found[2] if found else b"").digest(), key.hash if key else bytes(32))
            if key is None or not same:
                raise refused(
                    "bad_key", "this server key does not work here: `trackflow keys list` shows those that do"
                )
            if len(self._checked) >= _MAX_CHECKED:
                self._checked.clear()
            self._checked[shown] = key
        if key.expires_ms is not None and now_ms >= key.expires_ms:
            raise refused("bad_key", "this server key has expired: `trackflow keys rotate` makes its successor")
        self.used.add(key.number)
        return key

    def spend(self, events: Mapping[str, int], address: str) -> None:
        """Take what a request needs of the limits that hold for it.

        Args:
            events: how many it has of each site; sites that may send.
            address: the client's, in its usual form; "": unknown, or limits of addresses do not hold.

        Raises:
            Limited: it comes too early, and nothing was taken.
        """
        if self.meter is None:
            return
        wants = []
        for site, count in events.items():
            rules = self.rules(site)
            for limit in rules.limits if rules is not None else ():
                if not limit.of_address:
                    wants.append(Want(limit, site, "", count))
                elif address:
                    wants.append(Want(limit, site, address, count))
        total = sum(events.values())
        if self._address_limit is not None and address:
            wants.append(Want(self._address_limit, "", address, total))
        short = self.meter.take(wants)
        if short is not None:
            limit, wait = short
            raise limit.refusal(wait, total)

    def forget(self) -> None:
        """Let go of the pages and addresses nobody asked for since the last call."""
        for rules in self._rules.values():
            rules.forget()
        if self.meter is not None:
            self.meter.forget()


def reason(code: str) -> Refused:
    """The refusal of an event for one of the codes above."""
    return refused(code, _REASONS[code])


def sender(headers: Mapping[bytes, bytes], key: Key | None) -> Sender:
    """What a request's headers say."""
    origin = headers.get(b"origin", b"").decode("latin-1")
    if not origin:
        origin = headers.get(b"referer", b"").decode("latin-1")
    # "null" (a sandboxed page, a file) is an origin of its own, which no pattern fits
    return Sender(
        "null" if origin == "null" else origin_of(origin),
        headers.get(b"sec-gpc") == b"1",
        headers.get(b"dnt") == b"1",
        key,
    )


def bearer(headers: Mapping[bytes, bytes]) -> bytes | None:
    """What follows ``Bearer`` in Authorization (RFC 6750); None: there is no such header, or it has another scheme."""
    scheme, _, shown = headers.get(b"authorization", b"").partition(b" ")
    return shown.strip() if scheme.lower() == b"bearer" else None


def origin_of(url: str) -> str:
    """Origin of an address as browsers write it; "" if it has none."""
    found = _ORIGIN.match(url)
    if found is None:
        return ""
    scheme, host = found[1].lower(), found[2].lower()
    return f"{scheme}://{host.removesuffix(':' + _PORTS.get(scheme, '-'))}"


def without_parameters(url: str, keep: Collection[str]) -> str:
    """An address without the query parameters that are not to be kept; the others stay byte for byte.

    Args:
        url: as sent.
        keep: names that stay.
    """
    whole, sharp, fragment = url.partition("#")
    front, mark, query = whole.partition("?")
    if not mark:
        return url
    kept = "&".join(part for part in query.split("&") if unquote_plus(part.partition("=")[0]) in keep)
    return f"{front}{'?' if kept else ''}{kept}{sharp}{fragment}"


def _origin_pattern(origin: str) -> re.Pattern[str]:
    scheme, _, rest = origin.partition("://*.")
    if rest:
        return re.compile(rf"{re.escape(scheme)}://[^/]+\.{re.escape(rest)}")
    return re.compile(re.escape(origin))


def _globs(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """``*`` is any text; fnmatch's patterns do not backtrack, whatever a stranger's path looks like."""
    return tuple(re.compile(fnmatch.translate(pattern.replace("[", "[[]"))) for pattern in patterns)
