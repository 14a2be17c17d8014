"""What each command of the control socket does. The table of commands is in ``proto.control``; a handler
is found by its name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackflowd import __version__, quarantine, ringview, statusview
from trackflowd.children import Unavailable
from trackflowd.commands_backup import BackupCommands
from trackflowd.commands_events import EventCommands
from trackflowd.commands_operate import OperateCommands
from trackflowd.commands_sites import SiteCommands
from trackflowd.commands_tokens import TokenCommands
from trackflowd.config import OPTIONS
from trackflowd.crew import SOON
from trackflowd.errors import ControlError, QueryError, TrackflowError
from trackflowd.machine import Machine, Shares
from trackflowd.migration import check_urls
from trackflowd.outlet import Opener
from trackflowd.proto.command_table import COMMANDS
from trackflowd.proto.control import MAX_RESULT, PROTOCOL, BadRequest
from trackflowd.reload import shown, value_of
from trackflowd.segment import SUFFIX
from trackflowd.stats.request import period_of
from trackflowd.watch import Watch

if TYPE_CHECKING:
    from trackflowd.children import Child
    from trackflowd.supervisor import Supervisor

#: Seconds on top of ``query.max_seconds``: the store enforces the limit, this only ends the waiting.
GRACE = 10.0
#: Seconds between two looks whether a flush is done.
LOOK = 0.02
#: Seconds the flusher may take for an order about files: it syncs some, between two batches.
ORDER = 60.0
#: Quarantine files that are retried in one call: at some ms of syncs for each, the flusher's loop goes on in between.
AT_ONCE = 100


class Commands:
    """The handlers.

    Args:
        daemon: asked, and told to stop.
    """

    def __init__(self, daemon: Supervisor) -> None:
        self._daemon = daemon
        tokens = TokenCommands(daemon.tokens, daemon.snapshot.change)
        self.backups = BackupCommands(daemon, self.flush)
        self._offices = (
            self,
            EventCommands(daemon),
            OperateCommands(daemon),
            SiteCommands(daemon),
            tokens,
            self.backups,
        )
        self._watch = Watch(self.status)
        self._machine, self._shares = Machine(), Shares()

    def handlers(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """A handler for every command that does not stream, by name."""
        plain = [name for name, command in COMMANDS.items() if not command.streams]
        return {name: next(getattr(one, name) for one in self._offices if hasattr(one, name)) for name in plain}

    def openers(self) -> Mapping[str, Opener]:
        """What begins each command that streams, by name."""
        return {"tail": self._daemon.tail.watch, "log": self._daemon.logbook.watch, "watch": self._watch.watch}

    async def version(self) -> dict[str, Any]:
        """Versions."""
        return {"version": __version__, "protocol": PROTOCOL}

    async def status(self) -> dict[str, Any]:
        """Everything ``trackflow status`` shows."""
        daemon = self._daemon
        looked = asyncio.to_thread(daemon.budget.look)
        said, geo, space = await asyncio.gather(daemon.flusher_status(), self._geo(), looked)
        rings = ringview.look(daemon.data_dir.path / "rings")
        room = daemon.budget.spool(statusview.spool_gauges(daemon.crew))
        value = statusview.status(
            daemon.crew, daemon.cfg, rings, daemon.health, daemon.rates, daemon.started, said, room
        )
        value["quarantine"] = space["quarantine"]
        value["disk"] = {**space["disk"], "spool": room.used}
        value["listen"] = {
            "http": daemon.listeners.addresses,
            "admin": daemon.admin.address or None,
            "control": daemon.cfg.control.socket,
        }
        value["geo"] = geo
        value["tls"] = daemon.sealing.status()
        value["admin"] = daemon.admin.counts()
        value["sites"] = {
            "mode": daemon.cfg.sites.mode,
            "registered": len(daemon.registry.all()) - 1,  # without "*"
            "snapshot": daemon.crew.page.generation,
        }
        value["machine"] = self._machine.look(time.monotonic())
        self._shares.add(value["processes"])
        return value | daemon.vitals.status()

    async def _geo(self) -> Any:
        """What a worker says of its geo database; None: it has none, or no worker answers."""
        try:
            return await self._daemon.crew.ask_workers("geo")
        except TrackflowError:
            return None

    async def processes(self) -> list[dict[str, Any]]:
        """The processes."""
        rows = statusview.processes(self._daemon.crew, self._daemon.started)
        self._shares.add(rows)
        return rows

    async def rings(self) -> list[dict[str, Any]]:
        """The ring files."""
        return [ring.as_dict() for ring in ringview.look(self._daemon.data_dir.path / "rings")]

    async def config(self) -> dict[str, Any]:
        """Options in effect by key; passwords masked."""
        return {key: shown(key, value_of(self._daemon.cfg, key)) for key in OPTIONS}

    async def query(self, sql: str, format: str, params: Mapping[str, Any] | None) -> bytes:
        """Answer of one statement, as the flusher gives it."""
        timeout = self._daemon.cfg.query.max_seconds + GRACE
        answer = await self._daemon.crew.ask_flusher("query", timeout, sql=sql, format=format, params=params)
        raw = answer.encode() if isinstance(answer, str) else answer
        if not isinstance(raw, bytes):
            raise ControlError("the flusher gave an answer that is not text", "this is a bug")
        if len(raw) > MAX_RESULT:
            raise QueryError(f"an answer of {len(raw)} bytes; the most is {MAX_RESULT}", "ask for fewer rows: LIMIT")
        return raw

    async def stats(self, name: str, **period: Any) -> Any:
        """A named statistic, as the flusher gives it; what was refused is known here."""
        if name == "refused":
            start_ms, end_ms = period_of(name, period)
            return self._daemon.refusals.answer(start_ms, end_ms, str(period["site"]))
        timeout = self._daemon.cfg.query.max_seconds + GRACE
        return await self._daemon.crew.ask_flusher("stats", timeout, name=name, args=period)

    async def flush(self, wait: float) -> dict[str, Any]:
        """Have everything stored that is in the rings now, or in the spool once these have passed it on.

        A flusher that is just being replaced is waited for, and the next one asked again.

        Raises:
            ControlError: it is not, after so many seconds.
        """
        rings, spool = self._daemon.data_dir.path / "rings", self._daemon.data_dir.path / "spool"
        if self._daemon.crew.page.paused:
            raise BadRequest("paused", "nothing is sent to the store: it is paused", "trackflow resume")
        behind: list[Path] | None = None  # segments, the oldest last: what was in the rings and is not stored
        due = {ring.file: ring.head for ring in ringview.look(rings) if not ring.damage}
        began, asked = time.monotonic(), None
        while True:
            try:
                asked = await self._cut(asked)
            except Unavailable:
                if not wait:
                    raise  # otherwise another may come; what is left is said
            now = (ring for ring in ringview.look(rings) if not ring.damage)
            # A ring that failed meanwhile ends before what its head was.
            left = sum(max(min(due.get(ring.file, 0), ring.head) - ring.tail, 0) for ring in now)
            if not left and behind is None:
                behind = sorted(spool.glob(f"*{SUFFIX}"), reverse=True)
            while behind and not behind[-1].exists():
                behind.pop()
            waited = time.monotonic() - began
            if behind == [] or waited >= wait:
                break
            await asyncio.sleep(LOOK)
        if (behind or left) and wait:
            raise self._not_stored(left, len(behind or ()), waited)
        return {"stored": behind == [], "left": left, "spooled": len(behind or ()), "seconds": round(waited, 3)}

    async def _cut(self, asked: Child | None) -> Child | None:
        """Have the flusher cut what it holds, unless it is the one that was asked; who was. Raises Unavailable."""
        flusher = self._daemon.crew.child(self._daemon.crew.flusher)
        if flusher is None or flusher is not asked:
            await self._daemon.crew.ask_flusher("flush", SOON)
        return flusher

    def _not_stored(self, left: int, spooled: int, waited: float) -> ControlError:
        crew, reason = self._daemon.crew, self._daemon.health.reason
        open_rows, batches = (crew.slot(crew.flusher).get(name) for name in ("rows_open", "batches_open"))
        places = [f"{left} bytes of events in the rings"] if left else []
        places += [f"{spooled} batches in the spool"] if spooled else []
        cut = f" ({open_rows} rows in {batches} batches are cut and not settled)" if open_rows else ""
        because = f": {reason}" if reason else ""
        error = ControlError(
            f"{' and '.join(places)} are not stored after {waited:.0f} s{cut}{because}",
            "see `trackflow status` and `trackflow spool list`",
        )
        error.code = "not_stored"
        return error

    async def replay(self, since: float, dry_run: bool) -> dict[str, Any]:
        """Start to send again what the store has lost; the task.

        Raises:
            ControlError: since is no span of time, or too many tasks wait.
        """
        now = time.time()
        if not 0 < since <= now:
            raise BadRequest("bad_arguments", "replay: since must be above 0 seconds and no more than since 1970")
        return self._daemon.runner.add("replay", {"since_ms": int((now - since) * 1000), "dry_run": dry_run})

    async def migrate(self, **args: Any) -> dict[str, Any]:
        """Start to move events to another store; the task.

        Raises:
            ConfigError, ControlError: urls that cannot be moved between, or too many tasks wait.
        """
        check_urls(args, self._daemon.cfg)
        return self._daemon.runner.add("migrate", args)

    async def tasks(self) -> Sequence[dict[str, Any]]:
        """The long jobs, newest first."""
        return self._daemon.runner.all()

    async def task(self, id: float) -> dict[str, Any]:
        """One of them."""
        return self._daemon.runner.one(int(id))

    async def task_cancel(self, id: float) -> dict[str, Any]:
        """Have one end; the task."""
        return self._daemon.runner.cancel(int(id))

    async def task_resume(self, id: float) -> dict[str, Any]:
        """Have one go on; the task."""
        return self._daemon.runner.resume(int(id))

    async def spool_drop(self, names: Sequence[str]) -> Any:
        """Give up batches of the spool; how many, and how many rows."""
        return await self._order("spool_drop", names)

    async def spool_release(self, names: Sequence[str]) -> Any:
        """Free batches in doubt from their host; how many, and how many rows."""
        return await self._order("spool_release", names)

    async def quarantine_drop(self, names: Sequence[str]) -> Any:
        """Delete quarantine files; how many, and how many rows."""
        return await self._order("quarantine_drop", names)

    async def _order(self, name: str, names: Sequence[str]) -> Any:
        if not names:
            raise BadRequest("bad_arguments", f"{name}: names must not be empty", "name what is to go")
        return await self._daemon.crew.ask_flusher(name, ORDER, names=list(names))

    async def quarantine_retry(self, names: Sequence[str]) -> dict[str, Any]:
        """Send quarantined rows again, those named or all that can be; what came of it."""
        if not names:
            found = await asyncio.to_thread(quarantine.look, self._daemon.data_dir.path / "quarantine")
            names = [one["name"] for one in found if one["retry"]]
        told: dict[str, Any] = {"retried": 0, "rows": 0, "skipped": []}
        for at in range(0, len(names), AT_ONCE):
            part = await self._daemon.crew.ask_flusher("quarantine_retry", ORDER, names=list(names[at : at + AT_ONCE]))
            told = {key: told[key] + part[key] for key in told}
        return told

    async def drain(self) -> dict[str, bool]:
        """Stop as SIGTERM does; whether nothing is sent to the store meanwhile."""
        paused = bool(self._daemon.crew.page.paused)
        self._daemon.queue("drain")
        return {"paused": paused}

    async def stop(self) -> None:
        """Stop in about a second."""
        self._daemon.queue("stop")
