"""Server keys of sites: ``tfk_NUMBER_SECRET``. What they are made of is in ``bearer``.

A server that sends events for others shows one as ``Authorization: Bearer tfk_…``; with it, it may say whose address
and agent an event has, and when it was. Workers check keys by the hashes in the snapshot.

Numbers are drawn, not counted: keys are carried to other hosts (``trackflow sites export --keys``), which have made
some of their own, and a key is found by its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from trackflowd.bearer import Bearer, Bearers, Words, veiled
from trackflowd.proto.control import BadRequest
from trackflowd.state import State

#: Keys that work at one time.
MAX_LIVING = 2_000
_COLUMNS = "id, name, site, hash, created_ms, expires_ms"


@dataclass(frozen=True, slots=True)
class Key(Bearer):
    """One row; its realm is a site, or ``*``: all of them."""

    REALM: ClassVar[str] = "site"

    @property
    def site(self) -> str:
        """Whose events it may send."""
        return self.realm


class Keys(Bearers[Key]):
    """The table.

    Args:
        state: the opened database.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state, Key, Words("key", "keys", "tfk", MAX_LIVING, "trackflow keys", drawn=True))

    def of(self, site: str, now_ms: int) -> Sequence[Key]:
        """Those of a site that work."""
        return [key for key in self.living(now_ms) if key.site == site]

    def published(self, now_ms: int) -> list[dict[str, Any]]:
        """What workers have to know: never a secret."""
        return [
            {"id": key.number, "site": key.site, "hash": key.hash, "expires_ms": key.expires_ms}
            for key in self.living(now_ms)
        ]

    def put(self, key: Key) -> None:
        """Write a whole row, as another host has it or as it is to be here."""
        values = (key.number, key.name, key.site, key.hash, key.created_ms, key.expires_ms)
        self._state.execute(
            f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "name = excluded.name, site = excluded.site, expires_ms = excluded.expires_ms",
            values,
        )
        before = self._all.get(key.number)
        self._all[key.number] = (
            replace(before, name=key.name, realm=key.site, expires_ms=key.expires_ms) if before else key
        )
        self._noted.setdefault(key.number, 0)

    def revoke_all(self, keys: Sequence[Key], now_ms: int) -> None:
        """Have these not work any more."""
        for key in keys:
            self.revoke(str(key.number), now_ms)

    def meant(self, which: str, now_ms: int) -> Sequence[Key]:
        """As ``Bearers`` has it; also by ``SITE/NAME``."""
        site, slash, name = which.partition("/")
        if not slash:
            return super().meant(which, now_ms)
        found = [key for key in self.of(site, now_ms) if key.name == name]
        if not found:
            raise BadRequest(
                "no_key", f"no key {veiled(which)[:130]} works", "`trackflow keys list` shows those there are"
            )
        return found

    def _same(self, name: str, realm: str, now_ms: int) -> Sequence[Key]:
        return [key for key in self.of(realm, now_ms) if key.name == name]
