"""The command ``watch``: the status again and again, made once for all who watch.

Each watcher has a task that waits, takes the status and sends it; for a client that has not read the last one none is
made, and nobody waits for it. A status made less than ``FRESH`` ago is given to whoever asks, and two that ask at a
time wait for the same one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from trackflowd.errors import TrackflowError
from trackflowd.outlet import Begin, Close, Outlet
from trackflowd.proto.control import BadRequest

log = logging.getLogger(__name__)

#: Seconds between two events that may be asked for.
LEAST, MOST = 0.2, 60.0
#: Seconds a status is good for: half of the shortest interval.
FRESH = 0.1


class Watch:
    """Who watches.

    Args:
        status: makes the value of ``status``.
    """

    def __init__(self, status: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._status = status
        self._making: asyncio.Task[Mapping[str, Any]] | None = None
        self._made = -FRESH

    def watch(self, interval: float) -> Begin:
        """The command ``watch``: see ``outlet``.

        Raises:
            BadRequest: an interval out of bounds.
        """
        if not LEAST <= interval <= MOST:
            raise BadRequest("bad_arguments", f"watch: interval must be {LEAST:g} to {MOST:g} seconds")

        def begin(outlet: Outlet) -> Close:
            task = asyncio.get_running_loop().create_task(self._send(outlet, interval))

            def close() -> None:
                task.cancel()

            return close

        return begin

    async def _send(self, outlet: Outlet, interval: float) -> None:
        due = time.monotonic()
        while True:
            try:
                if outlet.clear:
                    outlet.send(await self._fresh())
            except TrackflowError as error:
                log.warning("no status for who watches: %s", error)
            due = max(due + interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _fresh(self) -> Mapping[str, Any]:
        if self._making is None or (self._making.done() and time.monotonic() - self._made >= FRESH):
            self._making = asyncio.get_running_loop().create_task(self._make())
        return await asyncio.shield(self._making)

    async def _make(self) -> Mapping[str, Any]:
        value = await self._status()
        self._made = time.monotonic()
        return value
