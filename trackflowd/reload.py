"""Options changed while the daemon runs: read again, checked as at the start, then taken on by every process.

::

    SIGHUP, `trackflow reload` ─▶ load ─wrong─▶ error, nothing has changed
                                    └─right─▶ those that may change (``Spec.reload``) ─▶ supervisor, children
                                              the others are named and stay as they are until a restart

All of it or nothing: no process takes on anything before the whole configuration was found right, and what is then
taken on cannot fail for its values. A child that does not answer in time finds the message when it goes on; one that
is started meanwhile is given the new options. Where an option means "automatic", the value in effect stays.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from trackflowd import log as logs
from trackflowd import sealing
from trackflowd.config import OPTIONS, Config, Source
from trackflowd.errors import ControlError, TrackflowError
from trackflowd.sink.base import masked

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

log = logging.getLogger(__name__)


class Reloader:
    """The office of the supervisor that does it.

    Args:
        daemon: whose options they are.
        source: where they come from; None: from nowhere, they cannot be read again.
    """

    def __init__(self, daemon: Supervisor, source: Source | None) -> None:
        self._daemon = daemon
        self._source = source
        self._one_at_a_time = asyncio.Lock()

    @property
    def file(self) -> str | None:
        """Path of the configuration file; None: there is none."""
        return self._source.path if self._source else None

    async def reload(self, dry_run: bool) -> dict[str, Any]:
        """Read the options again and take on what may change.

        Returns:
            ``changed`` (``key``, ``old``, ``new`` of each option that differs), ``restart`` (keys of those that take
            one), ``applied``.

        Raises:
            ConfigError: something is wrong with them, and nothing was changed.
            ControlError: the daemon is stopping.
        """
        async with self._one_at_a_time:
            with nullcontext() if dry_run else self._daemon.unit.reloading():
                return await self._reload(dry_run)

    async def _reload(self, dry_run: bool) -> dict[str, Any]:
        daemon = self._daemon
        if self._source is None:
            raise ControlError("this daemon was started without a configuration it could read again")
        wanted = await asyncio.to_thread(self._source.load, daemon.cfg)
        await asyncio.to_thread(sealing.check, wanted.tls)
        keys = changed(daemon.cfg, wanted)
        restart = [key for key in keys if not self._may_change(key, wanted)]
        told = {"changed": [_told(key, daemon.cfg, wanted) for key in keys], "restart": restart}
        if not dry_run:
            if daemon.stopping:
                raise ControlError("the daemon is stopping", "its next start reads the options anyway")
            await self._apply(with_values(daemon.cfg, wanted, set(keys) - set(restart)))
        return {**told, "applied": not dry_run}

    async def by_signal(self) -> None:
        """The same on SIGHUP: what comes of it is in the log."""
        try:
            told = await self.reload(False)
        except TrackflowError as error:
            log.error("SIGHUP: the options stay as they are: %s", error)
            return
        taken = [each["key"] for each in told["changed"] if each["key"] not in told["restart"]]
        words = [f"{', '.join(taken)} taken on"] if taken else []
        words += [f"{', '.join(told['restart'])} changed, which takes a restart"] if told["restart"] else []
        log.info("SIGHUP: %s", "; ".join(words) or "no option has changed")

    async def log_from(self, level: str) -> None:
        """Log from this level on, in every process."""
        async with self._one_at_a_time:
            cfg = self._daemon.cfg
            await self._apply(dataclasses.replace(cfg, log=dataclasses.replace(cfg.log, level=level)))

    def _may_change(self, key: str, wanted: Config) -> bool:
        if key == "daemon.workers" and wanted.daemon.workers > self._daemon.listeners.each:
            return False  # the listeners were opened at the start, and a worker without one would do nothing
        return OPTIONS[key].spec.reload

    async def _apply(self, cfg: Config) -> None:
        daemon = self._daemon
        if cfg.log != daemon.cfg.log:
            logs.set_level(cfg.log.level)
            logs.set_form(cfg.log.format)
        daemon.take(cfg)
        for name in await daemon.crew.take(cfg):
            log.warning("%s has not said that it took on the options; it will once it goes on", name)


def changed(old: Config, new: Config) -> Sequence[str]:
    """Keys of the options that differ, in table order."""
    return [key for key in OPTIONS if value_of(old, key) != value_of(new, key)]


def value_of(cfg: Config, key: str) -> Any:
    """Value of the option "section.name"."""
    section, _, name = key.partition(".")
    return getattr(getattr(cfg, section), name)


def with_values(cfg: Config, other: Config, keys: Iterable[str]) -> Config:
    """Cfg with the values other has for these keys."""
    sections: dict[str, dict[str, Any]] = {}
    for key in keys:
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value_of(other, key)
    fresh: Mapping[str, Any] = {
        section: dataclasses.replace(getattr(cfg, section), **values) for section, values in sections.items()
    }
    return dataclasses.replace(cfg, **fresh)


def _told(key: str, old: Config, new: Config) -> dict[str, Any]:
    return {"key": key, "old": shown(key, value_of(old, key)), "new": shown(key, value_of(new, key))}


def shown(key: str, value: Any) -> Any:
    """A value as it may be shown: without a password."""
    return masked(str(value)) if OPTIONS[key].kind.secret else value
