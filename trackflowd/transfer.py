"""Sites and keys carried from one host to others: the document of ``trackflow sites export``, and what an import does.

::

    {"trackflow": "sites", "version": 1,
     "sites": [{"site": "example.com", "settings": {"gpc": "refuse"}}, …],       those that are not the default
     "keys": [{"id": 481516234, "name": "backend", "site": "example.com", "hash": "9f86…",
               "created_ms": …, "expires_ms": null}, …]}                       only where asked for

A key's hash is not the key: nobody can send with it. An import is worked out whole before anything is changed, and then
is in the database all of it or not at all. It may be done again: the second time nothing changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trackflowd.keys import Key, Keys
from trackflowd.proto.control import BadRequest
from trackflowd.registry import Entry, Registry, read
from trackflowd.site import ANY, DEFAULT, SETTINGS, Site, check_name, settings_of
from trackflowd.state import State

KIND, VERSION = "sites", 1
MAX_MS = 253_402_300_799_999
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}\Z")


def document(entries: Iterable[Entry], keys: Iterable[Key] | None) -> dict[str, Any]:
    """What an export writes.

    Args:
        entries: of the registry.
        keys: those that work; None: they are left out.
    """
    sites = [{"site": one.site.site, "settings": settings_of(one.site, sparse=True)} for one in entries]
    value: dict[str, Any] = {"trackflow": KIND, "version": VERSION, "sites": sites}
    if keys is not None:
        value["keys"] = [
            {
                "id": key.number, "name": key.name, "site": key.site, "hash": key.hash.hex(),
                "created_ms": key.created_ms, "expires_ms": key.expires_ms,
            }
            for key in keys
        ]  # fmt: skip
    return value


@dataclass(slots=True)
class Plan:
    """What an import would do.

    Args:
        put, drop: sites to be written, and to be forgotten.
        keep: keys to be written.
        revoke: keys that are not to work any more.
        changes: the same for a person: ``site`` or ``key``, ``change``, and what else there is to say.
        same: how many sites and keys of the document are here as they are there.
    """

    put: list[Site] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    keep: list[Key] = field(default_factory=list)
    revoke: list[Key] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    same: int = 0


class Transfer:
    """Carries out imports.

    Args:
        state: the database of both.
        registry, keys: what is here.
    """

    def __init__(self, state: State, registry: Registry, keys: Keys) -> None:
        self._state = state
        self._registry = registry
        self._keys = keys

    def plan(self, value: Mapping[str, Any], replace: bool, now_ms: int) -> Plan:
        """Work out an import.

        Args:
            value: a document.
            replace: what is here and not there goes; keys only where the document has some.

        Raises:
            BadRequest: ``bad_document``, ``key_conflict``, ``too_many_sites``, ``too_many_keys``.
        """
        sites, keys = _read(value)
        plan = Plan()
        self._plan_sites(plan, sites, replace)
        self._plan_keys(plan, keys, replace, now_ms)
        here = {one.site.site for one in self._registry.all()}
        self._registry.check_room(len((here - set(plan.drop) | set(sites)) - {ANY}))
        fresh = sum(self._keys.get(key.number) is None for key in plan.keep)
        self._keys.check_room(fresh - len(plan.revoke), now_ms)
        return plan

    def _plan_sites(self, plan: Plan, sites: Mapping[str, Site], replace: bool) -> None:
        for name, site in sites.items():
            here = self._registry.get(name).site if self._registry.has(name) else None
            if here == site:
                plan.same += 1
                continue
            plan.put.append(site)
            change = {"site": name, "change": "changed" if here else "added", "settings": differences(here, site)}
            plan.changes.append(change)
        if not replace:
            return
        for entry in self._registry.all():
            name = entry.site.site
            if name not in sites and (name != ANY or entry.site != DEFAULT):
                plan.drop.append(name)
                plan.changes.append({"site": name, "change": "removed", "settings": {}})

    def _plan_keys(self, plan: Plan, keys: Sequence[Key] | None, replace: bool, now_ms: int) -> None:
        meant = {key.number for key in keys or ()}
        for key in keys or ():
            here = self._keys.get(key.number)
            if here is not None and here.hash != key.hash:
                hint = "rotate it there or here, revoke the old one, and export again"
                raise BadRequest("key_conflict", f"another key has the number {key.number} here", hint)
            if here is not None and here.revoked_ms is not None:
                plan.changes.append(_told(key, "stays revoked"))
            elif here and (here.name, here.site, here.expires_ms) == (key.name, key.site, key.expires_ms):
                plan.same += 1
            else:
                plan.keep.append(key)
                plan.changes.append(_told(key, "changed" if here else "added"))
        for key in self._keys.living(now_ms):
            if key.number not in meant and (key.site in plan.drop or (replace and keys is not None)):
                plan.revoke.append(key)
                plan.changes.append(_told(key, "revoked"))

    def apply(self, plan: Plan, now_ms: int) -> None:
        """Do it.

        Raises:
            DataDirError: the disk refuses; nothing was changed.
        """
        self._keys.save()
        try:
            with self._state.together():
                self._keys.revoke_all(plan.revoke, now_ms)
                for name in plan.drop:
                    self._registry.remove(name)
                for site in plan.put:
                    self._registry.put(site, now_ms)
                for key in plan.keep:
                    self._keys.put(key)
        except BaseException:
            self._registry.load()
            self._keys.load()
            raise


def differences(old: Site | None, new: Site) -> dict[str, Any]:
    """Settings that are others: ``old`` and ``new`` of each, as JSON has them."""
    before, after = settings_of(old or Site(new.site)), settings_of(new)
    return {name: {"old": before[name], "new": after[name]} for name in SETTINGS if before[name] != after[name]}


def _told(key: Key, change: str) -> dict[str, Any]:
    return {"key": key.number, "name": key.name, "site": key.site, "change": change}


# ------------------------------------------------------------------------ reading


def _read(value: Mapping[str, Any]) -> tuple[dict[str, Site], list[Key] | None]:
    if value.get("trackflow") != KIND or value.get("version") != VERSION:
        hint = "it is what `trackflow sites export` writes; one of a later version says another number"
        raise _bad(f'no export of sites: "trackflow": "{KIND}" and "version": {VERSION} were expected', hint)
    if strange := sorted(set(value) - {"trackflow", "version", "sites", "keys"}, key=str):
        raise _bad(f"nothing is known by the name {str(strange[0])[:80]!r}")
    sites: dict[str, Site] = {}
    for place, one in _maps(value, "sites", {"site", "settings"}):
        settings = one.get("settings", {})
        if not isinstance(settings, dict):
            raise _bad(f"{place}: settings must be an object")
        try:
            site = read(check_name(one.get("site")), settings)
        except (BadRequest, ValueError) as error:
            raise _bad(f"{place}: {error}") from error
        if site.site in sites:
            raise _bad(f"{place}: {site.site} is there twice")
        sites[site.site] = site
    if "keys" not in value:
        return sites, None
    columns = {"id", "name", "site", "hash", "created_ms", "expires_ms"}
    keys = [_key(place, one) for place, one in _maps(value, "keys", columns)]
    if len({key.number for key in keys}) < len(keys):
        raise _bad("keys: two have one number")
    return sites, keys


def _maps(value: Mapping[str, Any], name: str, known: set[str]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Each object of a list, and where it stands."""
    items = value.get(name, [])
    if not isinstance(items, list):
        raise _bad(f"{name} must be a list")
    for n, one in enumerate(items):
        place = f"{name}[{n}]"
        if not isinstance(one, dict):
            raise _bad(f"{place} must be an object")
        if strange := sorted(set(one) - known, key=str):
            raise _bad(f"{place}: nothing is known by the name {str(strange[0])[:80]!r}")
        yield place, one


def _key(place: str, one: Mapping[str, Any]) -> Key:
    number, name, site, hash = (one.get(column) for column in ("id", "name", "site", "hash"))
    created_ms, expires_ms = one.get("created_ms"), one.get("expires_ms")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 10**15:
        raise _bad(f"{place}: id must be the number of a key")
    if not isinstance(name, str) or not _NAME.match(name):
        raise _bad(f"{place}: name must be the name of a key")
    if not isinstance(hash, str) or not _HASH.match(hash):
        raise _bad(f"{place}: hash must be 64 digits of hex")
    if not _is_ms(created_ms) or not (expires_ms is None or _is_ms(expires_ms)):
        raise _bad(f"{place}: created_ms and expires_ms must be ms since 1970 UTC; expires_ms may be null")
    try:
        return Key(number, name, check_name(site), bytes.fromhex(hash), created_ms, expires_ms)  # type: ignore[arg-type]
    except ValueError as error:
        raise _bad(f"{place}: {error}") from error


def _is_ms(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_MS


def _bad(text: str, hint: str = "") -> BadRequest:
    return BadRequest("bad_document", text, hint)
