"""Live rows on their way from the workers to whoever watches.

Workers make rows of events only while somebody watches; ``changed`` is called when the first comes
and the last goes. A watcher that reads too slowly loses rows, and is told how many; nobody waits
for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trackflowd.outlet import Begin, Close, Outlet

Row = Mapping[str, Any]


class Watcher:
    """One subscription.

    Args:
        site, name: only rows of this site, of this name; "": all.
        send: takes a row, or refuses it by returning False when the watcher lags.
    """

    def __init__(self, site: str, name: str, send: Callable[[Row], bool]) -> None:
        self._site = site
        self._name = name
        self._send = send
        self._dropped = 0

    def offer(self, row: Row) -> None:
        """Send the row if it is asked for and can be taken."""
        if (self._site and row.get("site") != self._site) or (self._name and row.get("name") != self._name):
            return
        if self._dropped:
            if not self._send({"dropped": self._dropped}):
                self._dropped += 1
                return
            self._dropped = 0
        if not self._send(row):
            self._dropped += 1


class Tail:
    """All subscriptions.

    Args:
        changed: called when the first watcher has come and when the last has gone (see ``on``).
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._watchers: set[Watcher] = set()

    @property
    def on(self) -> bool:
        """Whether anybody watches."""
        return bool(self._watchers)

    def add(self, watcher: Watcher) -> None:
        """A watcher comes."""
        self._watchers.add(watcher)
        if len(self._watchers) == 1:
            self._changed()

    def remove(self, watcher: Watcher) -> None:
        """A watcher goes; nothing if it is gone already."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)
            if not self._watchers:
                self._changed()

    def watch(self, site: str, name: str) -> Begin:
        """The command ``tail``: see ``outlet``."""

        def begin(outlet: Outlet) -> Close:
            watcher = Watcher(site, name, outlet.send)
            self.add(watcher)
            return lambda: self.remove(watcher)

        return begin

    def offer(self, rows: Iterable[Row]) -> None:
        """Rows from a worker."""
        for row in rows:
            for watcher in self._watchers:
                watcher.offer(row)
