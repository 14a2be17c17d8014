"""Keeps the day's salts: made in time, handed to the workers, also over a disk that is full."""

from __future__ import annotations

import logging
import time

from trackflowd.errors import DataDirError
from trackflowd.shared import Page
from trackflowd.state import State

log = logging.getLogger(__name__)

#: Seconds between two looks at the salts.
SALTS_EVERY = 60.0


class Salts:
    """The office of the supervisor that renews them.

    Args:
        state: makes, keeps and publishes them.
        page: tells the workers which snapshot is the newest.
    """

    def __init__(self, state: State, page: Page) -> None:
        self._state = state
        self._page = page
        self._looked = 0.0
        self._published = False

    def begin(self) -> None:
        """Have a snapshot for the workers.

        Where the disk does not take a new one (it is full), that of an earlier start does if it has a salt for today:
        ``renew`` goes on trying.

        Raises:
            DataDirError: there is none.
        """
        try:
            self._refresh()
        except DataDirError as error:
            generation = self._state.published(_now_ms())
            if not generation:
                raise
            self._page.generation = generation
            log.error("%s; going on with the salts of the last start", error)

    def renew(self) -> None:
        """Do what is due; called every now and then."""
        if time.monotonic() - self._looked < SALTS_EVERY:
            return
        try:
            self._refresh()
        except DataDirError as error:
            log.error("salts are not renewed: %s", error)

    def _refresh(self) -> None:
        self._looked = time.monotonic()
        if self._state.rotate(_now_ms()):
            self._published = False
        if not self._published:
            self._page.generation = self._state.publish()
            self._published = True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
