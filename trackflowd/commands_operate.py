"""Commands of the control socket by which the daemon is watched and steered. ``commands`` has the others."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trackflowd import history, option
from trackflowd.children import Unavailable
from trackflowd.proto.control import BadRequest
from trackflowd.sections import LOG_LEVELS

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

#: Seconds a worker may take to look an address up: a cold disk's page faults.
LOOKUP = 2.0
#: Most entries of the audit log in one answer.
MOST_ENTRIES = 1000


class OperateCommands:
    """The handlers.

    Args:
        daemon: watched and steered.
    """

    def __init__(self, daemon: Supervisor) -> None:
        self._daemon = daemon

    async def pause(self) -> dict[str, Any]:
        """Send nothing to the store until ``resume``."""
        return self._pause(True)

    async def resume(self) -> dict[str, Any]:
        """End a pause."""
        return self._pause(False)

    def _pause(self, paused: bool) -> dict[str, Any]:
        crew = self._daemon.crew
        crew.page.paused = paused
        self._daemon.wake.set()
        return {"paused": paused, "sending": crew.slot(crew.flusher).get("rows_pending")}

    async def loglevel(self, level: str) -> dict[str, Any]:
        """Log from this level on."""
        if level not in LOG_LEVELS:
            raise BadRequest("bad_arguments", f"loglevel: level must be one of {', '.join(LOG_LEVELS)}")
        await self._daemon.reloader.log_from(level)
        return {"level": level}

    async def reload(self, dry_run: bool) -> dict[str, Any]:
        """Read the options again and take on what may change."""
        return await self._daemon.reloader.reload(dry_run)

    async def history(self, seconds: float) -> dict[str, Any]:
        """What happened in each of the last seconds."""
        if not 1 <= seconds <= history.KEPT:
            raise BadRequest("bad_arguments", f"history: seconds must be 1 to {history.KEPT}")
        return self._daemon.history.last(int(seconds))

    async def audit(self, limit: float) -> Sequence[dict[str, Any]]:
        """Acting commands, newest first."""
        if not 1 <= limit <= MOST_ENTRIES:
            raise BadRequest("bad_arguments", f"audit: limit must be 1 to {MOST_ENTRIES}")
        return await asyncio.to_thread(self._daemon.control.audit.last, int(limit))

    async def geo(self, ip: str) -> dict[str, Any]:
        """What a worker's geo database says of an address; the first worker that answers speaks for all.

        Raises:
            BadRequest: no address.
            Unavailable: no worker answers.
        """
        try:
            address = str(ipaddress.ip_address(ip))
        except ValueError:
            raise BadRequest("bad_arguments", "geo: ip is no IPv4 or IPv6 address") from None
        found = await self._ask_a_worker("lookup", address=address)
        built = found["built"]
        age = round(max(time.time() - built, 0.0) / option.SECONDS["d"], 1) if built else None
        return {"ip": address, **found, "age_days": age}

    async def debug_request(self, request: str, peer: str) -> dict[str, Any]:
        """What the daemon would decide for a request, by a worker's own code; nothing is stored or counted.

        Raises:
            BadRequest: no address, or not one whole request.
            Unavailable: no worker answers.
        """
        if any(character > "\xff" for character in request):
            raise BadRequest("bad_arguments", "debug_request: request is not bytes as latin-1 characters")
        return await self._ask_a_worker("debug", request=request, peer=peer)

    async def _ask_a_worker(self, name: str, **args: Any) -> dict[str, Any]:
        """What the first worker that answers says; it speaks for all."""
        for child in self._daemon.crew.children("worker"):
            try:
                found: dict[str, Any] = await child.channel.call(name, LOOKUP, **args)
                return found
            except Unavailable:
                continue
        raise Unavailable("no worker answers", "see `trackflow status`; try again")
