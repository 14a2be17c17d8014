"""Commands of the control socket about sites and their server keys. ``commands`` has the others.

A key's text is in the answer to who asked for it, and nowhere else: not in the log, not in the audit, not on disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trackflowd.proto.control import BadRequest
from trackflowd.registry import Entry
from trackflowd.site import ANY, OPEN, check_name, settings_of
from trackflowd.transfer import Plan, Transfer, differences, document

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

log = logging.getLogger(__name__)

#: Most sites in one answer.
MAX_PAGE = 2_001


class SiteCommands:
    """The handlers.

    Args:
        daemon: whose sites they are.
    """

    def __init__(self, daemon: Supervisor) -> None:
        self._daemon = daemon
        self._registry, self._keys = daemon.registry, daemon.keys
        self._transfer = Transfer(daemon.state, daemon.registry, daemon.keys)

    # ----------------------------------------------------------------- sites

    async def sites(self, limit: float, after: str) -> dict[str, Any]:
        """Sites by their ids, a page of them, and the mode."""
        if not 1 <= limit <= MAX_PAGE:
            raise BadRequest("bad_arguments", f"sites: limit must be from 1 to {MAX_PAGE}")
        left = [entry for entry in self._registry.all() if entry.site.site > after]
        page = left[: int(limit)]
        following = page[-1].site.site if len(left) > len(page) else ""
        return {"mode": self._daemon.cfg.sites.mode, "sites": [self._said(one) for one in page], "next": following}

    async def site(self, site: str) -> dict[str, Any]:
        """One of them."""
        return self._said(self._registry.get(site))

    async def site_add(self, site: str, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """Register one; as ``site`` has it."""
        entry = self._registry.add(site, settings or {}, _now_ms())
        log.info("site %s is registered", site)
        return {**self._said(entry), "published": self._daemon.snapshot.change()}

    async def site_set(self, site: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Give some settings of one other values; as ``site`` has it, and ``changed``."""
        before, after = self._registry.change(site, settings, _now_ms())
        changed = differences(before.site, after.site)
        if changed:
            log.info("site %s: %s changed", site, ", ".join(changed))
        published = self._daemon.snapshot.change() if changed else True
        return {**self._said(after), "changed": changed, "published": published}

    async def site_remove(self, site: str, revoke_keys: bool) -> dict[str, Any]:
        """Forget one; ``removed``, and ``revoked``: its keys."""
        self._registry.get(site)
        now_ms = _now_ms()
        keys = self._keys.of(site, now_ms) if site != ANY else []
        if keys and not revoke_keys:
            hint = f"`trackflow sites remove {site} --revoke-keys` revokes them, too"
            raise BadRequest("site_has_keys", f"keys of {site} work: {len(keys)}", hint)
        self._transfer.apply(Plan(drop=[site], revoke=list(keys)), now_ms)
        log.info("site %s is removed, with %d keys", site, len(keys))
        return {
            "removed": site,
            "revoked": [{**key.as_dict(now_ms), "state": "revoked", "revoked_ms": now_ms} for key in keys],
            "published": self._daemon.snapshot.change(),
        }

    async def sites_import(self, document: Mapping[str, Any], replace: bool, dry_run: bool) -> dict[str, Any]:
        """Take on sites, and keys where there are some, of another host; what that changes."""
        now_ms = _now_ms()
        plan = self._transfer.plan(document, replace, now_ms)
        published = True
        if plan.changes and not dry_run:
            self._transfer.apply(plan, now_ms)
            log.info("sites are imported: %d changes", len(plan.changes))
            published = self._daemon.snapshot.change()
        return {"changes": plan.changes, "same": plan.same, "applied": not dry_run, "published": published}

    async def sites_export(self, keys: bool) -> dict[str, Any]:
        """The document that ``sites_import`` takes."""
        return document(self._registry.all(), self._keys.living(_now_ms()) if keys else None)

    def _said(self, entry: Entry) -> dict[str, Any]:
        site = entry.site.site
        return {
            "site": site,
            "settings": settings_of(entry.site),
            "keys": len(self._keys.of(site, _now_ms())),
            "created_ms": entry.created_ms or None,
            "changed_ms": entry.changed_ms or None,
        }

    # ------------------------------------------------------------------ keys

    async def keys(self, site: str) -> list[dict[str, Any]]:
        """Every key, or those of a site, newest first, without their secrets."""
        now_ms = _now_ms()
        return [key.as_dict(now_ms) for key in self._keys.all() if site in ("", key.site)]

    async def key_add(self, site: str, name: str, expires: float) -> dict[str, Any]:
        """A new one: as ``keys`` has it, and ``key``, its text."""
        try:
            check_name(site)
        except ValueError as error:
            raise BadRequest("bad_arguments", f"key_add: {error}") from error
        if self._daemon.cfg.sites.mode != OPEN:
            self._registry.get(site)
        now_ms = _now_ms()
        made, text = self._keys.add(name, site, expires, now_ms)
        log.info("key %d (%s of %s) is made", made.number, made.name, made.site)
        return {**made.as_dict(now_ms), "key": text, "published": self._daemon.snapshot.change()}

    async def key_revoke(self, which: str) -> dict[str, Any]:
        """Have one, or all of a name, not work any more; ``revoked``: those."""
        now_ms = _now_ms()
        gone = self._keys.revoke(which, now_ms)
        for key in gone:
            log.info("key %d (%s of %s) is revoked", key.number, key.name, key.site)
        return {"revoked": [key.as_dict(now_ms) for key in gone], "published": self._daemon.snapshot.change()}

    async def key_rotate(self, which: str, overlap: float) -> dict[str, Any]:
        """A successor, as ``key_add`` answers it, with ``old``: the one before."""
        now_ms = _now_ms()
        made, text, old = self._keys.rotate(which, overlap, now_ms)
        log.info("key %d (%s of %s) follows key %d", made.number, made.name, made.site, old.number)
        published = self._daemon.snapshot.change()
        return {**made.as_dict(now_ms), "key": text, "old": old.as_dict(now_ms), "published": published}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
