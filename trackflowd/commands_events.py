"""Commands of the control socket about events: show, correct, erase. ``commands`` has the others.

An erasure is a tombstone first, on the disk and known to the flusher, and then a long job. A daemon killed between
the two makes the job at its next start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trackflowd.errors import ControlError, DataDirError, TrackflowError
from trackflowd.proto.control import BadRequest
from trackflowd.selection import Selection, Tombstone
from trackflowd.task_erase import SOON, survey

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

log = logging.getLogger(__name__)

#: Seconds on top of ``query.max_seconds``, and of what a correction is waited for.
GRACE = 30.0


class EventCommands:
    """The handlers.

    Args:
        daemon: its tombstones, tasks and flusher.
    """

    def __init__(self, daemon: Supervisor) -> None:
        self._daemon = daemon

    def _timeout(self) -> float:
        return self._daemon.cfg.query.max_seconds + GRACE

    async def events(self, what: Mapping[str, Any], limit: float, after: str, newest: bool) -> Any:
        """A page of events, as the flusher gives it."""
        Selection.read(what or {})
        ask = self._daemon.crew.ask_flusher
        return await ask("events", self._timeout(), what=what or {}, limit=int(limit), after=after, newest=newest)

    async def event_correct(self, id: str, site: str, put: Mapping[str, Any] | None, drop: Sequence[str]) -> Any:
        """Change properties of one event."""
        if not put and not drop:
            raise BadRequest("bad_arguments", "event_correct: nothing to put and nothing to drop")
        ask = self._daemon.crew.ask_flusher
        return await ask("event_correct", self._timeout(), id=id, site=site, put=put or {}, drop=list(drop))

    async def erase_count(self, what: Mapping[str, Any]) -> dict[str, Any]:
        """What an erasure would meet now: ``events``, ``waiting``, ``files``, ``unread``."""
        meant = _named(what)
        tally = await survey(self._daemon.crew.ask_flusher, meant.as_dict(), _now_ms(), delete=False)
        value = tally.result()
        del value["swept"]
        return value

    async def erase(self, what: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to erase events; the task.

        Raises:
            ControlError: nothing is named, or too many tasks wait.
            DataDirError: the tombstone cannot be written, so nothing is erased.
        """
        daemon = self._daemon
        tombstone = daemon.tombstones.add(_named(what), _now_ms())
        try:
            task = begin(daemon, tombstone)
        except TrackflowError:
            daemon.tombstones.remove(tombstone.number)
            raise
        log.warning("erasure %d is asked for: %s", tombstone.number, _masked(tombstone.what))
        return task

    async def erasures(self) -> list[dict[str, Any]]:
        """The tombstones, newest first: ``number``, ``what``, ``until_ms``, ``task``, ``state``, ``retention``."""
        return [
            {
                "number": one.tombstone.number, "what": one.tombstone.what.as_dict(),
                "until_ms": one.tombstone.until_ms, "task": one.task, "state": self._state(one.task),
                "retention": one.retention,
            }
            for one in reversed(self._daemon.tombstones.all())
        ]  # fmt: skip

    async def erasure_forget(self, number: float) -> dict[str, Any]:
        """Remove a tombstone whose task has ended; what it kept out may then come back."""
        kept = next((one for one in self._daemon.tombstones.all() if one.tombstone.number == int(number)), None)
        if kept is None:
            raise _error("no_erasure", f"there is no erasure {int(number)}", "`trackflow events erasures` lists them")
        if self._state(kept.task) in ("pending", "running"):
            raise _error("task_state", f"erasure {int(number)} is under way", "wait for its task, or cancel it")
        self._daemon.tombstones.remove(int(number))
        await self._daemon.crew.ask_flusher("erase_load", SOON)
        return {"forgotten": int(number)}

    def _state(self, task: int | None) -> str:
        """State of an erasure's task; "" where the task is no more on the list: it was done long ago."""
        try:
            return str(self._daemon.runner.one(task)["state"]) if task else ""
        except (ControlError, DataDirError):
            return ""


def begin(daemon: Supervisor, tombstone: Tombstone) -> dict[str, Any]:
    """Begin the long job of a tombstone; the task."""
    args = {"what": tombstone.what.as_dict(), "until_ms": tombstone.until_ms, "tombstone": tombstone.number}
    task = daemon.runner.add("erase", args)
    daemon.tombstones.carried_by(tombstone.number, task["id"])
    return task


def take_up(daemon: Supervisor) -> None:
    """At the daemon's start: begin what a kill left with a tombstone and no task."""
    for one in daemon.tombstones.all():
        if one.task is None and not one.retention:  # ``retention`` begins its own anew
            begin(daemon, one.tombstone)


def _named(what: Mapping[str, Any]) -> Selection:
    selection = Selection.read(what)
    if selection.empty:
        raise BadRequest("bad_arguments", "an erasure of every event there is", "name a site, a user, a period, …")
    return selection


def _masked(what: Selection) -> str:
    """What an erasure names, for the log, which outlives it: no ids of people."""
    return ", ".join(
        "a " + key if key in ("user", "visitor") else f"{key} {value}" for key, value in what.as_dict().items()
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _error(code: str, text: str, hint: str = "") -> ControlError:
    error = ControlError(text, hint)
    error.code = code
    return error
