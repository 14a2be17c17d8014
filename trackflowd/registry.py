"""The sites that are registered, and their settings: rows of ``state.sqlite``, held in memory by the supervisor.

What a site and a setting are is in ``site``. The row ``*`` (settings of sites that are not registered) is always
there; it is on disk once it was changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trackflowd.bearer import veiled
from trackflowd.errors import DataDirError
from trackflowd.proto.control import BadRequest
from trackflowd.site import ANY, DEFAULT, Site, check_name, settings_of, with_settings
from trackflowd.state import State

#: Sites that may be registered: so many, with their keys, still fit into one request of an import.
MAX_SITES = 2_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One row.

    Args:
        site: with its settings.
        created_ms, changed_ms: ms since 1970 UTC; 0: the row ``*``, never changed.
    """

    site: Site
    created_ms: int = 0
    changed_ms: int = 0


class Registry:
    """The table.

    Args:
        state: the opened database.

    Attributes:
        version: grows with each change.

    Every method that changes something raises DataDirError when the disk refuses. Then nothing was changed.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._all: dict[str, Entry] = {}
        self.version = 0
        self.load()

    def load(self) -> None:
        """Read all of it.

        Raises:
            DataDirError: a row that makes no sense.
        """
        rows = self._state.execute("SELECT site, settings, created_ms, changed_ms FROM sites")
        self._all = {ANY: Entry(DEFAULT)} | {row[0]: _entry(*row) for row in rows}
        self.version += 1

    def all(self) -> Sequence[Entry]:
        """Every one, by its id; ``*`` is the first."""
        return [self._all[site] for site in sorted(self._all)]

    def get(self, site: str) -> Entry:
        """One of them.

        Raises:
            BadRequest: ``no_site``.
        """
        entry = self._all.get(site)
        if entry is None:
            hint = "`trackflow sites list` shows those there are, `trackflow sites add` makes one known"
            raise BadRequest("no_site", f"no site {veiled(site)[:80]} is registered", hint)
        return entry

    def has(self, site: str) -> bool:
        """Whether it is registered; ``*`` is."""
        return site in self._all

    def published(self) -> list[dict[str, Any]]:
        """What workers have to know."""
        return [asdict(entry.site) for entry in self.all()]

    # --------------------------------------------------------------- changes

    def add(self, site: str, settings: Mapping[str, Any], now_ms: int) -> Entry:
        """Register a site.

        Raises:
            BadRequest: ``bad_arguments``, ``site_exists``, ``too_many_sites``.
        """
        made = read(site, settings)
        if site in self._all:
            raise BadRequest("site_exists", f"{site} is registered", f"`trackflow sites set {site} …` changes it")
        self.check_room(len(self._all))  # "*" is one of them
        return self.put(made, now_ms)

    def change(self, site: str, settings: Mapping[str, Any], now_ms: int) -> tuple[Entry, Entry]:
        """Give some settings other values; the entry before, and as it is now.

        Raises:
            BadRequest: ``bad_arguments``, ``no_site``.
        """
        before = self.get(site)
        made = read(site, settings, before.site)
        return before, before if made == before.site else self.put(made, now_ms)

    def put(self, site: Site, now_ms: int) -> Entry:
        """Write a whole row."""
        before = self._all.get(site.site)
        entry = Entry(site, (before.created_ms if before else 0) or now_ms, now_ms)
        self._state.execute(
            "INSERT OR REPLACE INTO sites VALUES (?, ?, ?, ?)",
            (site.site, json.dumps(settings_of(site, sparse=True)), entry.created_ms, now_ms),
        )
        self._all[site.site] = entry
        self.version += 1
        return entry

    def remove(self, site: str) -> Entry:
        """Forget a site; of ``*``, its settings. What was there.

        Raises:
            BadRequest: ``no_site``.
        """
        gone = self.get(site)
        self._state.execute("DELETE FROM sites WHERE site = ?", (site,))
        self.version += 1
        if site == ANY:
            self._all[site] = Entry(DEFAULT)
        else:
            del self._all[site]
        return gone

    def check_room(self, registered: int) -> None:
        """Return if so many may be registered.

        Raises:
            BadRequest: ``too_many_sites``.
        """
        if registered > MAX_SITES:
            raise BadRequest("too_many_sites", f"at most {MAX_SITES} sites can be registered", "remove some")


def read(site: object, settings: Mapping[str, Any], base: Site | None = None) -> Site:
    """A site and its settings as they come from outside.

    Args:
        base: whose settings it has where none is given; None: the defaults.

    Raises:
        BadRequest: ``bad_arguments``.
    """
    try:
        return with_settings(base or Site(check_name(site)), settings)
    except ValueError as error:
        hint = "docs/sites.md has the table of settings"
        raise BadRequest("bad_arguments", f"{str(site)[:80]}: {error}", hint) from error


def _entry(site: str, settings: str, created_ms: int, changed_ms: int) -> Entry:
    try:
        return Entry(with_settings(Site(check_name(site)), json.loads(settings)), created_ms, changed_ms)
    except (ValueError, TypeError, AttributeError) as error:
        hint = (
            f"remove it while the daemon is stopped: sqlite3 state.sqlite \"DELETE FROM sites WHERE site = '{site}'\""
        )
        raise DataDirError(f"state.sqlite: the site {site} cannot be read: {error}", hint) from error
