"""Keeps the workers' snapshot: salts made in time; sites, keys, tokens as they are; also over a disk that is full.

::

    "mode": "open" | "registered"                              whether only sites of the list may send
    "address_rate", "address_burst"                            ``sites.Sites``: limits of one address at all sites
    "sites": [{"site": …, settings of ``site.Site``}, …]       with the row "*"
    "keys": [{"id", "site", "hash", "expires_ms"}, …]          server keys that work; hash: 32 bytes
    "admin_tokens": [{"id", "hash", "expires_ms"}, …]          tokens of the admin listener that may change things

It is written at each change, and by its generation in the shared page each worker knows within its tick (0.1 s)
that there is another. Where the disk refuses, the workers keep the one before and it is tried again every second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from trackflowd.errors import DataDirError
from trackflowd.shared import Page
from trackflowd.state import State

log = logging.getLogger(__name__)

#: Seconds between two looks at the salts, and between two lines in the log about the same trouble.
SALTS_EVERY = 60.0

#: What goes into the snapshot beside the salts, as of a time (ms since 1970 UTC).
Parts = Callable[[int], Mapping[str, Any]]


class Snapshot:
    """The office of the supervisor that renews it.

    Args:
        state: makes and keeps salts, writes the file.
        page: tells the workers which snapshot is the newest.
        parts: see ``Parts``.
    """

    def __init__(self, state: State, page: Page, parts: Parts) -> None:
        self._state = state
        self._page = page
        self._parts = parts
        self._looked = 0.0
        self._moaned = float("-inf")
        self._due = True

    def begin(self) -> None:
        """Have a snapshot for the workers.

        Where the disk does not take a new one (it is full), that of an earlier start does if it has a salt for today:
        ``renew`` goes on trying.

        Raises:
            DataDirError: there is none.
        """
        try:
            self._rotate()
            self._publish()
        except DataDirError as error:
            generation = self._state.published(_now_ms())
            if not generation:
                raise
            self._page.generation = generation
            log.error("%s; going on with salts, sites and keys of the last start", error)

    def renew(self) -> None:
        """Do what is due; called every second."""
        now = time.monotonic()
        try:
            if now - self._looked >= SALTS_EVERY:
                self._rotate()
            if self._due:
                self._publish()
        except DataDirError as error:
            if now - self._moaned >= SALTS_EVERY:
                self._moaned = now
                log.error("salts, sites and keys of the workers are not renewed: %s", error)

    def change(self) -> bool:
        """Tell the workers of a change of sites, keys, tokens or the mode.

        Returns:
            False: the disk refuses; it is tried again every second.
        """
        self._due = True
        try:
            self._publish()
        except DataDirError as error:
            log.error("the workers do not know of a change yet: %s", error)
        return not self._due

    def _rotate(self) -> None:
        self._looked = time.monotonic()
        self._due |= self._state.rotate(_now_ms())

    def _publish(self) -> None:
        self._page.generation = self._state.publish(self._parts(_now_ms()))
        self._due = False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
