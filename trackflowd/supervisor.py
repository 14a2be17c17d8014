"""The supervisor: holds the sockets, starts and replaces the children, answers for the daemon, ends it.

::

    start     data dir locked → state, salts, snapshot → listeners → control, admin → children
    serving   each tick: children looked at, listeners dealt, health judged; signals only queue
    drain     readiness says "stopping", long jobs rest → workers answer what is in flight and end → nobody
              listens any more → the flusher stores what the rings hold and ends → exit

How it ends is in ``drain``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from trackflowd import __version__, activation, proc, ringview, statusview
from trackflowd import config as configuration
from trackflowd import log as logs
from trackflowd.admin import Admin
from trackflowd.admin_desk import Desk
from trackflowd.admin_routes import routes
from trackflowd.audit import Audit
from trackflowd.budget import Budget, full_in
from trackflowd.commands import Commands
from trackflowd.commands_events import take_up
from trackflowd.control import Control
from trackflowd.crew import SOON, Crew
from trackflowd.datadir import DataDir
from trackflowd.drain import Drain, Stage, verdict
from trackflowd.errors import TrackflowError
from trackflowd.history import History
from trackflowd.keys import Keys
from trackflowd.listeners import Listeners, shares
from trackflowd.logbook import LogBook
from trackflowd.mail import Mail
from trackflowd.notify import Notifier
from trackflowd.refusalbook import RefusalBook
from trackflowd.registry import Registry
from trackflowd.reload import Reloader
from trackflowd.retention import Retention
from trackflowd.ring.space import doubt_of_durability
from trackflowd.ringview import RingFill
from trackflowd.sealing import Sealing
from trackflowd.snapshot import Snapshot
from trackflowd.state import State
from trackflowd.statusview import Health, Told
from trackflowd.tail import Row, Tail, Watcher
from trackflowd.taskkinds import KINDS
from trackflowd.taskrunner import Runner
from trackflowd.tasks import Table
from trackflowd.tokens import Tokens
from trackflowd.tombstones import Tombstones
from trackflowd.unit import Unit
from trackflowd.vitals import Vitals

log = logging.getLogger(__name__)

#: Seconds between two looks when nothing happens: the longest a dead worker's share waits is this
#: plus a worker's own tick (an ended child wakes us at once; this is for one that falls silent).
TICK = 0.1
#: Seconds between two looks at totals and ring files.
NOTE_EVERY = 1.0
#: Seconds a port may stay taken by dying children of a killed supervisor.
PORT_WAIT = 3.0

OnReady = Callable[[Mapping[str, Any]], None]
OnEvent = Callable[[Row], None]


class Supervisor:
    """The daemon's first process.

    Args:
        cfg: in effect.
        on_ready: called once with the status, when events can be delivered for the first time.
        on_event: called with every accepted row; None: rows are not asked for.
        source: where the options come from, to be read again.
    """

    def __init__(
        self,
        cfg: configuration.Config,
        on_ready: OnReady | None,
        on_event: OnEvent | None,
        source: configuration.Source | None = None,
    ) -> None:
        self.cfg = cfg
        self._on_ready = on_ready
        self.reloader = Reloader(self, source)
        self.started = time.monotonic()
        self.rates = statusview.Rates()
        self.history = History()
        self.rings: Sequence[RingFill] = ()
        self.health = Health(False, "starting")
        self.wake = asyncio.Event()
        self._signals: list[str] = []
        self._noted = 0.0
        self.told = Told()
        self._full_in_s: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.mail = Mail(self)
        self.tail = Tail(self.wake.set)
        if on_event is not None:
            self.tail.add(Watcher("", "", lambda row: _printed(on_event, row)))
        self._open()

    def _open(self) -> None:
        """Take everything that only one daemon may have; raise before anything was changed."""
        cfg = self.cfg
        self.data_dir = DataDir(Path(cfg.daemon.data_dir))
        self.logbook = LogBook("supervisor")
        try:
            self.data_dir.await_children()
            if cfg.ring.durability == "disk" and (doubt := doubt_of_durability(self.data_dir.path)):
                log.warning('ring.durability is "disk", but %s', doubt)
            self.state = State(self.data_dir.path)
            self.sealing = Sealing(cfg.tls)
            handed = activation.take(os.environ, cfg)
            self.listeners = self._listen(handed.events)
            cfg = self.cfg
            self.crew = Crew(cfg, self.listeners, self.mail.received, self.logbook.fd)
            self.crew.seal(self.sealing.pairs)
            self.drain = Drain(self.crew, self.listeners)
            self.tokens, self.keys, self.registry = Tokens(self.state), Keys(self.state), Registry(self.state)
            self.refusals = RefusalBook(self.state)
            self.snapshot = Snapshot(self.state, self.crew.page, self._published)
            self.budget = Budget(cfg)
            self.tombstones = Tombstones(self.state, self.data_dir.path)
            self.tombstones.publish()
            self.runner = Runner(Table(self.state), KINDS, self.crew.ask_flusher, cfg)
            self.retention = Retention(self)
            self.vitals = Vitals(self)
            self.unit = Unit(self, Notifier.take(os.environ))
            self._commands = Commands(self)
            commands = self._commands.handlers(), self._commands.openers()
            self.control = Control(cfg.control.socket, *commands, Audit(self.data_dir.path), handed.control)
            desk = Desk(self.control.handlers, lambda: self.cfg.query.max_seconds, self.control.audit)
            table = routes(desk, {"/healthz": self._healthz, "/readyz": self._readyz}, self.vitals.metrics)
            self.admin = Admin(cfg.admin.listen, table, self.tokens, handed.admin)
        except BaseException:
            self.logbook.close()
            self.data_dir.close()
            raise

    def _listen(self, lent: Sequence[socket.socket]) -> Listeners:
        if lent:
            listeners = Listeners.borrow(lent, self.cfg.http.listen)
            self.cfg = activation.fitting(self.cfg, listeners.addresses, listeners.each)
            return listeners
        each = shares(self.cfg.daemon.workers, len(os.sched_getaffinity(0)))
        patience = PORT_WAIT if self.data_dir.unclean else 0.0
        return Listeners.open(self.cfg.http.listen, each, self.cfg.http.backlog, patience)

    async def run(self) -> int:
        """Serve until told to stop; the exit code."""
        self._catch_signals()
        try:
            self.logbook.start()
            await self.control.start()
            if self.cfg.admin.listen:
                await self.admin.start()
            self.snapshot.begin()
            self.runner.start()
            take_up(self)
            await self._commands.backups.bring_in()
            log.info(
                "trackflowd %s starts: %s in %s", __version__, ", ".join(self.listeners.addresses), self.data_dir.path
            )
            while self.drain.stage is not Stage.OVER:
                await self._tick()
            return verdict(ringview.look(self.data_dir.path / "rings"), self.budget.spool(None))
        finally:
            self._close()

    # ---------------------------------------------------------------- signals

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.wake.set)
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            number = signal.Signals[name]
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish is respected
                loop.add_signal_handler(number, self.queue, name)

    def queue(self, what: str) -> None:
        """Note a signal or a command ("drain", "stop"); the loop acts on it."""
        self._signals.append(what)
        self.wake.set()

    def _act(self, what: str) -> None:
        if what == "SIGHUP" and not (sys.stdin and sys.stdin.isatty()):  # with a terminal: it was closed
            self._background(self.reloader.by_signal())
            return
        hurry = what == "stop" or self.stopping
        self.begin_drain(what)
        if hurry:
            self.drain.hurry()

    @property
    def stopping(self) -> bool:
        """Whether a drain has begun."""
        return self.drain.stage is not Stage.SERVING

    def _published(self, now_ms: int) -> Mapping[str, Any]:
        """What workers are to know beside the salts; see ``snapshot``."""
        return {
            "mode": self.cfg.sites.mode,
            "address_rate": self.cfg.sites.address_rate,
            "address_burst": self.cfg.sites.address_burst,
            "sites": self.registry.published(),
            "keys": self.keys.published(now_ms),
            "admin_tokens": self.tokens.published(now_ms),
        }

    def take(self, cfg: configuration.Config) -> None:
        """Take on options that have changed; children are told by who calls this."""
        turned = cfg.sites != self.cfg.sites
        self.cfg = cfg
        if turned:
            self.snapshot.change()
        self.budget.take(cfg)
        self.runner.take(cfg)
        if self.sealing.take(cfg.tls):
            self.crew.seal(self.sealing.pairs)
        self.wake.set()

    def begin_drain(self, why: str) -> None:
        """Begin to stop; nothing if that has begun."""
        if self.drain.begin(why, self.cfg.daemon.drain_timeout):
            self.runner.stop()
            self._judge()

    # ------------------------------------------------------------------- loop

    async def _tick(self) -> None:
        timer = asyncio.get_running_loop().call_later(
            TICK, self.wake.set
        )  # half the cost of wait_for, ten times a second
        await self.wake.wait()
        timer.cancel()
        self.wake.clear()
        waiting, self._signals = self._signals, []
        for what in waiting:
            self._act(what)
        await self.crew.tick()
        self.crew.check_start()
        self._note()
        if self.stopping:
            self.drain.step()
        self.mail.tell_tail()
        self.unit.tick(time.monotonic())

    def _note(self) -> None:
        now = time.monotonic()
        if now - self._noted >= NOTE_EVERY:
            self._noted, now_ms = now, time.time_ns() // 1_000_000
            self.rings = ringview.look(self.data_dir.path / "rings")
            if self.sealing.look():
                self.crew.seal(self.sealing.pairs)
            self.budget.note(self.rings)
            totals = {**statusview.totals(self.crew), "ring_bytes": self.budget.written}
            self.rates.note(now, totals)
            room = self.budget.spool(statusview.spool_gauges(self.crew))
            self._full_in_s = full_in(self.rings, room, self.rates.per_second("ring_bytes"))
            self.vitals.note(now, room, self._full_in_s, judge=not self.stopping)
            self.refusals.tick(now, now_ms)
            self.history.note(now, now_ms, totals, self.vitals.latency(NOTE_EVERY))
            if statusview.well(self.crew):
                self.told = Told()
            elif self._asking is None or self._asking.done():
                self._asking = self._background(self._ask_why())
            if self.budget.walk_due(now):
                self._background(self.budget.walk(now))
            if not self.stopping and self.retention.due(now):
                self._background(self.retention.run())
        self.snapshot.renew()
        self._judge()

    def _judge(self) -> None:
        before = self.health
        self.health = statusview.health(self.crew, self.rings, self.stopping, self.told, self._full_in_s)
        if self.health == before:
            return
        if not self.health.ready:
            # While it starts, one reason follows another; what is not as it should be is logged where it is.
            log.log(logging.INFO if before.ready else logging.DEBUG, "not ready: %s", self.health.reason)
            return
        log.info("ready: events are taken at %s", ", ".join(self.listeners.addresses))
        if self._on_ready is not None:
            self._background(self._tell_ready(self._on_ready))
            self._on_ready = None

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _tell_ready(self, on_ready: OnReady) -> None:
        on_ready(await self._commands.status())

    async def _ask_why(self) -> None:
        """Fetch what the flusher says of a store that is not well, for the reason of not being ready."""
        self.told = Told.of(await self.flusher_status())

    async def flusher_status(self) -> Mapping[str, Any]:
        """What the flusher says of itself; empty when it does not answer: its heartbeat says how it is."""
        try:
            said = await self.crew.ask_flusher("status", SOON)
        except TrackflowError:
            return {}
        return said if isinstance(said, dict) else {}

    def _close(self) -> None:
        self.runner.stop()
        self.control.close()
        self.admin.close()
        self.vitals.close()
        self.unit.close()
        self.listeners.close()
        for child in (*self.crew.children("worker"), *self.crew.children("flusher")):  # only after an exception
            child.kill()
            child.process.wait()
        self.tokens.save()
        self.keys.save()
        self.refusals.save()
        self.state.close()
        self.crew.close()
        self.logbook.close()
        self.data_dir.close()

    # ------------------------------------------------------------------ admin

    def _healthz(self) -> tuple[bool, Mapping[str, Any]]:
        return True, {"alive": True, "pid": os.getpid()}

    def _readyz(self) -> tuple[bool, Mapping[str, Any]]:
        if self.health.ready:
            return True, {"ready": True}
        return False, {"ready": False, "reason": self.health.reason}


def _printed(on_event: OnEvent, row: Row) -> bool:
    try:
        on_event(row)
    except OSError as error:  # standard output is closed: no reason to stop taking events
        log.debug("an event could not be shown: %s", error)
    return True


def run(
    cfg: configuration.Config,
    on_ready: OnReady | None = None,
    on_event: OnEvent | None = None,
    source: configuration.Source | None = None,
) -> int:
    """Run the daemon until it is told to stop.

    Args:
        cfg: as ``config.load`` made it.
        source: what it was made from; None: it cannot be read again.
        on_ready: called once, with the value of ``status``, when events can be delivered.
        on_event: called with every row as it is accepted (a sample when there are very many).

    Returns:
        0: everything that was answered 2xx is stored. 3: some of it waits in rings and spool.

    Raises:
        ConfigError: a port, an address or the control socket cannot be had.
        DataDirError: the data directory cannot, or another daemon works in it.
    """
    proc.become("trackflowd: supervisor")
    logs.setup(cfg.log.level, cfg.log.format, "supervisor")

    async def serve() -> int:
        return await Supervisor(cfg, on_ready, on_event, source).run()

    return asyncio.run(serve())
