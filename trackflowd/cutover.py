"""The flusher's half of a move to another store: batches held back, then the switch. ``migrate`` has the whole story.

A hold keeps the cutter from cutting, so that what is open can be settled and nothing new is bound to the old store;
events wait in the rings. It is a lease: it ends by itself after the seconds it was asked for, and at once when a ring
is as full as ``spool.start_at`` or the daemon stops. Until the switch nothing has happened that would have to be
taken back.

The switch is one rename in the journal (``Journal.switch``). Right before it ``store.switch`` is written, which has
what a journal must not hold: the url with its password. After it this process ends; the next one opens the new store::

    options name    journal says    what is opened
    old             old → new       new, by store.switch, and an error in log and status until the options follow
    new             old → new       new; the journal forgets the switch: from now on the options decide alone
    a third         old → new       the third: that is nobody's oversight
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trackflowd.cuts import Moved
from trackflowd.errors import ConfigError, ControlError, DataDirError
from trackflowd.journal import Journal
from trackflowd.sink.base import Sink, masked

log = logging.getLogger(__name__)

FILE = "store.switch"
#: Longest hold, seconds: who wants more renews it.
MOST = 60.0

Open = Callable[[str], Sink]


class Cutover:
    """Which store batches go to, and whether they may be cut now.

    Args:
        configured: ``store.url``.
        data_dir: where ``store.switch`` is.
        journal: opened.
        make: the sink of a url, not opened.
        end: has this process end soon.

    Attributes:
        url: of the store in effect.
        warning: what is to be said of it until the options are right; "": nothing.

    Raises:
        DataDirError: the journal says that stores were switched, and how to reach the new one is lost.
    """

    def __init__(self, configured: str, data_dir: Path, journal: Journal, make: Open, end: Callable[[], None]) -> None:
        self._path = data_dir / FILE
        self._journal = journal
        self._make = make
        self._end = end
        self._until = 0.0
        self._agreed = False
        self.url, self.warning = configured, ""
        self._choose()

    def settle(self) -> None:
        """Forget the switch once the options follow it. Raises JournalError: the disk refuses; to be tried again."""
        if self._agreed:
            self._journal.switch(None)
            self._path.unlink(missing_ok=True)
            self._agreed = False
            log.info("store.url names the store events were moved to: from now on it decides alone")

    def _choose(self) -> None:
        moved = self._journal.state.moved
        named = self._make(self.url).identity
        if moved is None or named not in (moved.before, moved.store):
            return
        self._agreed = named == moved.store
        if self._agreed:
            return
        since = datetime.fromtimestamp(moved.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        text = f"store.url still names {named}, but events go to {moved.store} since the cutover of {since}"
        self.url = self._read(moved, text)
        self.warning = f"{text}: set store.url to {masked(self.url)}"
        log.error("%s", self.warning)

    def _read(self, moved: Moved, text: str) -> str:
        try:
            found = json.loads(self._path.read_text())
            if found["store"] == moved.store and self._make(found["url"]).identity == moved.store:
                return str(found["url"])
        except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
            log.debug("%s: %s", self._path, error)
        raise DataDirError(f"{text}; {self._path}, which says how to reach it, is missing or damaged",
                           f"set store.url to {moved.store}, with its password")  # fmt: skip

    def holds(self, needed: bool) -> bool:
        """Whether cutting has to wait.

        Args:
            needed: it cannot: rings fill up, or the daemon is stopping. Ends the hold.
        """
        if not self._until:
            return False
        if needed or time.monotonic() >= self._until:
            self._until = 0.0
            log.warning("store: batches are cut again before the stores were switched: %s",
                        "the rings fill up" if needed else "the hold was not renewed")  # fmt: skip
        return bool(self._until)

    def calls(self, in_loop: Callable[[Callable[[Future[Any]], object]], Any]) -> dict[str, Callable[..., Any]]:
        """Handlers by the name of their call, for threads other than the loop's."""
        return {
            "store_hold": lambda seconds, renew: in_loop(lambda to: to.set_result(self.hold(seconds, renew))),
            "store_switch": lambda url: in_loop(
                lambda to: to.set_result(self.switch(url, self._make(self.url).identity))
            ),
        }

    def hold(self, seconds: float, renew: bool) -> dict[str, Any]:
        """Hold batches back, or no more.

        Args:
            seconds: from now on, at most ``MOST``; 0: batches are cut again.
            renew: only if they are held already.

        Returns:
            ``held``, and ``open``: batches not settled.
        """
        if not seconds:
            self._until = 0.0
        elif self._until or not renew:
            self._until = time.monotonic() + min(seconds, MOST)
        return {"held": bool(self._until), "open": len(self._journal.state.open)}

    def switch(self, url: str, before: str) -> str:
        """Have batches go to another store, from the next process on; its identity.

        Args:
            url: of the store to go to.
            before: identity of the store that is left.

        Raises:
            ControlError: nothing is held, or not all is settled; nothing has changed.
            ConfigError, DataDirError: likewise.
            JournalError: the next process may find that it has, or has not.
        """
        moved = Moved(before, self._make(url).identity, time.time_ns() // 1_000_000)
        if not self._until or self._journal.state.open:
            error = ControlError("batches are not held, or not all are settled: stores are not switched now")
            error.code = "not_held"
            raise error
        self._write({"store": moved.store, "url": url})
        try:
            self._journal.switch(moved)
        finally:
            self._end()  # failed or not, what counts is what the next process finds on the disk
        log.warning("store: events go to %s from now on, not to %s any more", moved.store, moved.before)
        return moved.store

    def _write(self, value: dict[str, str]) -> None:
        """Write ``store.switch``, durably."""
        aside = self._path.with_suffix(".tmp")
        try:
            aside.unlink(missing_ok=True)
            with open(aside, "xb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
                file.write(json.dumps(value).encode())
                file.flush()
                os.fsync(file.fileno())
            aside.rename(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise DataDirError(f"{self._path}: {error.strerror}", "free space there; nothing was switched") from error
