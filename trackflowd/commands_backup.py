"""Commands of the control socket about backups. ``commands`` has the others; ``backup`` says what is in one.

The daemon has its events frozen and writes down its state; who asked (``cli_backup``) copies both to where the backup
is to be, which the daemon could perhaps not write to, and says when it is done. Bringing one in is the same the other
way: the files lie in ``restore/NAME`` of the data directory, proved, before it is asked for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackflowd import __version__, backup
from trackflowd.backup import IN, OUT
from trackflowd.config import OPTIONS
from trackflowd.errors import ControlError, DataDirError, TrackflowError
from trackflowd.proto.control import BadRequest
from trackflowd.registry import Registry
from trackflowd.reload import shown, value_of
from trackflowd.selection import Selection, Tombstone
from trackflowd.sink.base import masked
from trackflowd.site import ANY, DEFAULT
from trackflowd.tombstones import Kept
from trackflowd.transfer import Transfer, document

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

log = logging.getLogger(__name__)

#: Seconds to have parts frozen: hard links of some thousand files.
FREEZE = 120.0
#: Seconds between two tries while an older batch is open.
AGAIN = 0.1
#: The long job's kind.
KIND = "restore"
_NOTHING = {"store": "", "parts": "", "rows": 0}

Flush = Callable[[float], Awaitable[Mapping[str, Any]]]


class BackupCommands:
    """The handlers.

    Args:
        daemon: whose events and state they are.
        flush: ``Commands.flush``.
    """

    def __init__(self, daemon: Supervisor, flush: Flush) -> None:
        self._daemon = daemon
        self._flush = flush
        self._transfer = Transfer(daemon.state, daemon.registry, daemon.keys)

    # ------------------------------------------------------------------- out

    async def backup_begin(self, wait: float, events: bool) -> dict[str, Any]:
        """Freeze what a backup is to have: where it is, and what it comes to.

        Raises:
            ControlError: what was answered is not stored within wait seconds.
        """
        made_ms = time.time_ns() // 1_000_000
        name = time.strftime("b%Y%m%d%H%M%S", time.gmtime(made_ms / 1000)) + secrets.token_hex(2)
        directory = self._daemon.data_dir.path / OUT / name
        try:
            directory.mkdir(mode=0o700, parents=True)
            found = await self._frozen(name, wait) if events else _NOTHING
            state = self._state()  # behind the freeze: what was erased meanwhile is among the tombstones
            await asyncio.to_thread(self._write, directory, state)
        except (TrackflowError, OSError) as error:
            await self.backup_end(name)
            if isinstance(error, OSError):
                raise DataDirError(f"{directory}: {error.strerror}", "make room there") from error
            raise
        counts = {
            "events": found["rows"] or 0, "sites": sum(one["site"] != ANY for one in state["sites"]["sites"]),
            "keys": len(state["sites"]["keys"]),
            "erasures": len(state["tombstones"]),
        }  # fmt: skip
        about = {
            "name": name, "made_ms": made_ms, "trackflowd": __version__, "store": masked(self._daemon.cfg.store.url),
            "has_events": bool(found["parts"]), "counts": counts,
        }  # fmt: skip
        apart = events and found["rows"] is None
        return {"directory": str(directory), "parts": found["parts"], "about": about, "apart": apart}

    async def _frozen(self, name: str, wait: float) -> Mapping[str, Any]:
        until = time.monotonic() + wait
        ask = self._daemon.crew.ask_flusher
        while True:
            since_ms = time.time_ns() // 1_000_000
            await self._flush(max(until - time.monotonic(), AGAIN))
            try:
                found: Mapping[str, Any] = await ask("backup_freeze", FREEZE, name=name, since_ms=since_ms)
            except ControlError as error:
                if error.code != "unavailable" or time.monotonic() >= until:
                    raise
                await asyncio.sleep(AGAIN)
                continue
            return found

    def _state(self) -> dict[str, Any]:
        daemon = self._daemon
        living = daemon.keys.living(time.time_ns() // 1_000_000)
        return {
            "sites": document(daemon.registry.all(), living),
            "tombstones": [
                {
                    "what": one.tombstone.what.as_dict(), "until_ms": one.tombstone.until_ms,
                    "retention": one.retention,
                }
                for one in daemon.tombstones.all()
            ],
        }  # fmt: skip

    def _write(self, directory: Path, state: Mapping[str, Any]) -> None:
        (directory / backup.STATE).write_text(json.dumps(state))
        options = {key: shown(key, value_of(self._daemon.cfg, key)) for key in OPTIONS}
        (directory / "options.json").write_text(json.dumps(options, indent=1))
        if file := self._daemon.reloader.file:
            try:
                shutil.copyfile(file, directory / "trackflow.toml")
            except OSError as error:
                log.warning("%s is not in the backup: %s", file, error.strerror)

    async def backup_end(self, name: str) -> dict[str, Any]:
        """Let go of what was frozen; ``released``."""
        _check_name(name)
        try:
            await self._daemon.crew.ask_flusher("backup_release", FREEZE, name=name)
        except TrackflowError as error:
            log.warning("what a backup had frozen goes with the next start of the flusher: %s", error)
        await asyncio.to_thread(shutil.rmtree, self._daemon.data_dir.path / OUT / name, ignore_errors=True)
        return {"released": name}

    # -------------------------------------------------------------------- in

    async def restore(self, name: str, events: bool) -> dict[str, Any]:
        """Take over what a backup in ``restore/NAME`` has and this daemon has not; the task that does it.

        Raises:
            BadRequest: ``bad_arguments``, ``bad_document`` and those of an import.
            ControlError: ``other_store``: its events cannot go into this store.
            DataDirError: not such a backup.
        """
        _check_name(name)
        directory = self._daemon.data_dir.path / IN / name
        manifest = await asyncio.to_thread(backup.read, directory)
        state = await asyncio.to_thread(_load, directory / backup.STATE)
        wanted = manifest["counts"]["events"] if events and manifest["has_events"] else 0
        if wanted and not self._daemon.cfg.store.url.startswith("chdb:"):
            url = masked(self._daemon.cfg.store.url)
            error = ControlError(
                f"the backup's events are an embedded store's; this daemon's is {url}",
                "restore them into a daemon with store.url = chdb:, or only the state: --state-only",
            )
            error.code = "other_store"
            raise error
        sites, keys = self._take_over(state["sites"])
        others = [_kept(one) for one in state["tombstones"]]
        fresh = self._daemon.tombstones.take_over(others)
        args = {
            "name": name, "events": wanted, "sites": sites, "keys": keys,
            "tombstones": {str(one.number): {"what": one.what.as_dict(), "until_ms": one.until_ms} for one in fresh},
        }  # fmt: skip
        task = self._daemon.runner.add(KIND, args)
        for one in fresh:
            self._daemon.tombstones.carried_by(one.number, task["id"])
        return task

    async def bring_in(self) -> None:
        """At the daemon's start: begin what was laid there while none ran, before a worker asks for sites."""
        for wish in sorted((self._daemon.data_dir.path / IN).glob(f"*/{backup.WANTED}")):
            name = wish.parent.name
            begun = [one for one in self._daemon.runner.all() if (one["kind"], one["args"].get("name")) == (KIND, name)]
            try:
                if not begun:  # else killed before the wish was removed
                    await self.restore(name, json.loads(wish.read_bytes())["events"])
            except (TrackflowError, OSError, ValueError, KeyError, TypeError) as error:
                log.error("the backup in %s is not brought in: %s", wish.parent, error)
            wish.unlink(missing_ok=True)

    def _take_over(self, value: Mapping[str, Any]) -> tuple[int, int]:
        """Import sites and keys that are not here: what is here is later. How many of each."""
        now_ms = time.time_ns() // 1_000_000
        registry: Registry = self._daemon.registry
        untouched = registry.get(ANY).site == DEFAULT
        sites = [one for one in value["sites"] if not registry.has(one["site"]) or (one["site"] == ANY and untouched)]
        keys = [one for one in value["keys"] if self._daemon.keys.get(one["id"]) is None]
        plan = self._transfer.plan({**value, "sites": sites, "keys": keys}, False, now_ms)
        if plan.changes:
            self._transfer.apply(plan, now_ms)
            self._daemon.snapshot.change()
        return len(plan.put), len(plan.keep)


def _check_name(name: str) -> None:
    if not backup.NAME.match(name):
        raise BadRequest("bad_arguments", f"{name[:80]!r} is not the name of a backup")


def _load(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_bytes())
        if not isinstance(state["sites"]["sites"], list) or not isinstance(state["tombstones"], list):
            raise ValueError
        state["sites"].setdefault("keys", [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataDirError(f"{path} is not what a backup has there", "use another backup") from error
    return dict(state)


def _kept(one: Mapping[str, Any]) -> Kept:
    tombstone = Tombstone(Selection.read(one["what"]), int(one["until_ms"]))
    if tombstone.what.empty:
        raise DataDirError("an erasure in the backup names every event there is", "use another backup")
    return Kept(tombstone, None, bool(one["retention"]))
