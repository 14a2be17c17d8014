"""What children say by themselves, and what the supervisor tells them for it: rows to watch, keys used, refusals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from trackflowd.children import Child

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor


class Mail:
    """The office of the supervisor that reads it.

    Args:
        daemon: whose children they are.
    """

    def __init__(self, daemon: Supervisor) -> None:
        self._daemon = daemon

    def received(self, child: Child, message: dict[str, Any]) -> None:
        """Act on a message that is no reply."""
        daemon, kind = self._daemon, message.get("type")
        if kind == "event":
            rows = message.get("rows")
            daemon.tail.offer(row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else None
        elif kind == "keys":
            for number in message.get("used", ()):
                daemon.keys.used(number, time.time_ns() // 1_000_000)
        elif kind == "refused":
            daemon.refusals.add(message.get("rows"), time.time_ns() // 1_000_000)
        elif kind in ("ready", "drained"):
            daemon.wake.set()  # the shared page says it too; this only saves a tick

    def tell_tail(self) -> None:
        """Tell workers whether rows are watched, those that do not know yet."""
        on = self._daemon.tail.on
        for child in self._daemon.crew.children("worker"):
            if ("tail" in child.told) != on:
                (child.told.add if on else child.told.discard)("tail")
                child.channel.tell("tail", on=on)
