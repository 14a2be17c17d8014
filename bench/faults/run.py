"""One run: everything is started, the plan is carried out, quiet is waited for, and the store is read."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.faults import dialect, oracle
from bench.faults.client import Client
from bench.faults.daemon import Daemon, DaemonFailed, free_port
from bench.faults.disk import Disk, NoDisk
from bench.faults.events import Events
from bench.faults.kinds import KINDS, Kind, Stage
from bench.faults.oracle import Oracle
from bench.faults.proxy import Proxy
from bench.faults.result import TOTALS, Account, Options, Result, broken
from bench.faults.schedule import GAP, Shot, plan
from bench.faults.store import StoreProcess
from bench.faults.traffic import Plan
from bench.faults.watch import Recovery, Watcher
from trackflowd.errors import TrackflowError

#: Seconds waited after the faults: for a fresh event to be stored (longer than is right, to say how long it takes),
#: for all that is sent again to be answered, and for the rings to be empty.
FRESH_PATIENCE, SETTLE_WITHIN, FLUSH_WITHIN = 60.0, 60.0, 120.0
#: Fresh events and repeats of the last life, whose counters must add up (I8).
BURST, REPEATS = 300, 50
#: Most bytes of a unix socket's path (sun_path of unix(7), less its end).
MAX_SOCKET = 107
#: How often a question to the store is asked before its error counts, and the wait in between, s.
_TRIES, _AGAIN = 5, 1.0


class Usage(Exception):
    """What was asked for cannot be done; the text says what would be right."""


@dataclass
class Progress:
    """What a screen shows while it runs; written by the run, read by the screen.

    Args:
        say: called with (text) at each step.
    """

    say: Callable[[str], None]
    phase: str = "starting"
    share: float = 0.0
    client: Client | None = None


class Run:
    """A run.

    Args:
        options: what was asked for.
        progress: told how it goes.
    """

    def __init__(self, options: Options, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._work = options.work
        self.result = Result(options, f"r{secrets.token_hex(4)}")
        self._events = Events(options.seed, self.result.run)
        self._dialect = dialect.of(options.store)
        self._strangers = 0
        self._data_wanted = True  # whatever ends this early is worth a look

    def go(self) -> Result:
        """Carry it out; everything that was started has ended when this returns or raises.

        Raises:
            Usage, StoreFailed, DaemonFailed, TrafficFailed: it could not be carried out.
        """
        began = time.monotonic()
        with _Cleanup() as stack:
            stage = self._set_up(stack)
            daemon = stage.daemon
            client = Client(self._plan_of(daemon), self._work / "traffic.log")
            stack.callback(client.kill)
            self._progress.client = client
            watcher, recovery = Watcher(daemon), Recovery(daemon, client, self._events)
            for thread in (watcher, recovery):
                thread.start()
                stack.callback(thread.end)
            self._strike(stage, client, recovery)
            self._quiet(stage, client, recovery)
            self._last_life(daemon, client)
            watcher.end()
            client.end()
            self._read(daemon, client)
            self._sum_up(stage, client, watcher, recovery)
            self._data_wanted = self._options.keep or bool(broken(self.result))
        self.result.took_s = time.monotonic() - began
        return self.result

    # ------------------------------------------------------------------- setting up

    def _set_up(self, stack: ExitStack) -> Stage:
        options = self._options
        disk, no_disk = self._mount(stack)
        url, proxy, no_proxy, store = self._store(stack)
        data_dir = (disk.path if disk else self._work) / "data"
        if len(os.fsencode(data_dir / "control.sock")) > MAX_SOCKET:
            raise Usage(f"{self._work} is too long a path for a socket in it; give a shorter --keep or $TMPDIR")
        if disk:
            stack.callback(self._copy_out, data_dir)
        sets = {"store.url": url, **options.sets}
        daemon = Daemon(options.daemon_command, data_dir, self._work / "daemon.log", sets, options.workers)
        stack.callback(daemon.kill)
        postgresql = dialect.is_postgresql(options.store)
        stage = Stage(daemon, random.Random(0), 0.0, disk, no_disk, proxy, no_proxy, store, postgresql)
        self.result.skipped = {name: why for name in options.kinds if (why := KINDS[name].needs(stage))}
        if len(self.result.skipped) == len(options.kinds):
            raise Usage("none of the faults can strike here: " + "; ".join(sorted(set(self.result.skipped.values()))))
        daemon.launch()
        daemon.await_ready()
        if count := oracle.foreign(daemon.query, self._dialect):
            raise Usage(f"the store holds {count} events of somebody else; name a database of its own in --store")
        self._strangers = oracle.strangers(daemon.query, self._events, self._dialect)
        return stage

    def _mount(self, stack: ExitStack) -> tuple[Disk | None, str]:
        if not self._options.disk:
            return None, "no disk of its own: --disk 0"
        path = self._work / "disk"
        path.mkdir()
        try:
            disk = Disk(path, self._options.disk)
        except (NoDisk, OSError) as error:
            return None, f"no disk of its own: {error}"
        stack.callback(disk.close)
        return disk, ""

    def _store(self, stack: ExitStack) -> tuple[str, Proxy | None, str, StoreProcess | None]:
        """The url the daemon is given; the proxy in front, or why there is none; the store's process."""
        options, parts = self._options, urlsplit(self._options.store)
        if parts.scheme == "chdb":
            return options.store, None, "the store is embedded in the flusher", None
        store = None
        postgresql = dialect.is_postgresql(options.store)
        port = parts.port or (free_port() if options.store_command else 5432 if postgresql else 8123)
        if options.store_command:
            store = StoreProcess(options.store_command, self._work / "store", port, self._work / "store.log")
            stack.callback(store.kill)
            port = store.port
        if postgresql:
            user, at, _ = parts.netloc.rpartition("@")
            url = parts._replace(netloc=f"{user}{at}{parts.hostname or '127.0.0.1'}:{port}").geturl()
            return url, None, "the store does not speak HTTP", store
        if parts.scheme != "clickhouse":
            return options.store, None, "the store speaks TLS, which no proxy can read", store
        proxy = Proxy(parts.hostname or "127.0.0.1", port, options.seed)
        stack.callback(proxy.close)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}").geturl(), proxy, "", store

    def _plan_of(self, daemon: Daemon) -> Plan:
        options = self._options
        acks = str(self._work / "acks.txt")
        return Plan(
            "127.0.0.1", daemon.port, options.seed, self.result.run, options.connections, options.rate, acks
        )  # fmt: skip

    # ----------------------------------------------------------------------- faults

    def _strike(self, stage: Stage, client: Client, recovery: Recovery) -> None:
        options = self._options
        kinds = {name: KINDS[name].lasts for name in options.kinds if name not in self.result.skipped}
        shots = plan(options.seed, options.seconds, kinds)
        self.result.planned.update(shot.kind for shot in shots)
        began = ended = time.monotonic()
        for shot in shots:
            self._wait(stage, client, began, max(began + shot.at, ended + GAP[0]))
            if time.monotonic() - began + shot.lasts > options.seconds:
                break  # those before took longer than planned
            recovery.fault_begins()
            self._progress.phase = f"{shot.kind} ({KINDS[shot.kind].about})"
            self._progress.say(f"{time.monotonic() - began:6.1f} s  {shot.kind}: {_words(KINDS[shot.kind], shot)}")
            stage.daemon.mend()
            KINDS[shot.kind].act(replace(stage, draws=random.Random(shot.draw), lasts=shot.lasts))
            stage.daemon.mend()
            self.result.injected[shot.kind] += 1
            recovery.fault_ends(shot.kind)
            ended = time.monotonic()
            self._progress.phase = "between two faults"
        if not self.result.injected:  # too short a run: even so a fresh event has to come through
            recovery.fault_ends("no fault")
        self._wait(stage, client, began, began + options.seconds)

    def _wait(self, stage: Stage, client: Client, began: float, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            self._progress.share = min((time.monotonic() - began) / self._options.seconds, 1.0)
            client.check()
            stage.daemon.mend()

    # ------------------------------------------------------------------------ quiet

    def _quiet(self, stage: Stage, client: Client, recovery: Recovery) -> None:
        """No faults from here on: a fresh event, then nothing but what is still owed."""
        self._step("no more faults; waiting for a fresh event to be stored")
        self.result.fresh_s = recovery.await_last(FRESH_PATIENCE)
        self._step("no more fresh events; waiting until nothing is owed")
        client.order("pause")
        self.result.settled = client.await_idle(SETTLE_WITHIN)
        self.result.flushed = _flush(stage.daemon)
        recovery.end()

    def _last_life(self, daemon: Daemon, client: Client) -> None:
        """A drain, another start, some events and repeats: what the counters say then must add up."""
        self._step("stopping, starting again, counting")
        if daemon.drain() != 0:
            daemon.unexpected.append("left events in the rings when it was stopped after everything was stored")
        daemon.launch()
        before, taken = daemon.await_ready(), client.tally.taken
        client.order(f"burst {BURST} {REPEATS}")
        client.await_idle(SETTLE_WITHIN)
        self.result.flushed &= _flush(daemon)
        time.sleep(1.5)  # gauges of the flusher are refreshed twice a second
        after = daemon.status() or before
        grown = {name: after["totals"][name] - before["totals"][name] for name in after["totals"]}
        self.result.account = Account(
            client.tally.taken - taken, grown["events_accepted"], grown["rows_stored"], grown["duplicates"],
            after["totals"]["rows_pending"], _rows(after, "spool"), grown["records_quarantined"],
        )  # fmt: skip

    def _read(self, daemon: Daemon, client: Client) -> None:
        self._step("comparing with the store")
        judge = Oracle(self._events, client.tally.next, self._work / "failures.txt")
        judge.take_acks(self._work / "acks.txt")

        def query(sql: str) -> str:
            for _ in range(_TRIES - 1):
                try:
                    return daemon.query(sql)
                except TrackflowError:
                    time.sleep(_AGAIN)
            return daemon.query(sql)

        try:
            judge.take_rows(oracle.rows(query, self._events, self._dialect))
            judge.take_strangers(oracle.strangers(query, self._events, self._dialect) - self._strangers)
        except TrackflowError as error:
            raise DaemonFailed(f"the store cannot be read: {error}") from error
        self.result.findings = judge.judge()

    def _sum_up(self, stage: Stage, client: Client, watcher: Watcher, recovery: Recovery) -> None:
        result = self.result
        result.tally = client.tally
        result.recovery, result.overtaken = recovery.times, recovery.overtaken
        result.totals = {name: watcher.total(name) for name in TOTALS}
        result.peak_rss, result.peak_fds = dict(watcher.peak_rss), dict(watcher.peak_fds)
        result.lives, result.unexpected = stage.daemon.lives, stage.daemon.unexpected
        result.spoilt = stage.proxy.spoilt if stage.proxy is not None else Counter()
        stage.daemon.drain()

    def _copy_out(self, data_dir: Path) -> None:
        """Copy the data directory from a disk that goes with this process, if somebody will look at it."""
        if self._data_wanted and data_dir.exists():
            self._step("copying the data directory")
            shutil.copytree(data_dir, self._work / "data", ignore=shutil.ignore_patterns("*.sock"))

    def _step(self, text: str) -> None:
        self._progress.phase = text
        self._progress.say(text)


def _words(kind: Kind, shot: Shot) -> str:
    return f"{kind.about}, {shot.lasts:.1f} s" if kind.lasts[1] else kind.about


def _flush(daemon: Daemon) -> bool:
    """Whether what the rings hold is stored within ``FLUSH_WITHIN``."""
    until = time.monotonic() + FLUSH_WITHIN
    while (left := until - time.monotonic()) > 0:
        daemon.mend()
        try:
            daemon.call("flush", left + 5, wait=left)
            return True
        except TrackflowError:
            time.sleep(_AGAIN)
    return False


def _rows(status: Mapping[str, Any], part: str) -> int:
    """Rows that a part of status says it holds; 0 where this daemon has no such part."""
    return int((status.get(part) or {}).get("rows") or 0)


class _Cleanup(ExitStack):
    """Ends everything; a second Ctrl-C does not stop it from that."""

    def __exit__(self, *about: Any) -> bool | None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return super().__exit__(*about)
        finally:
            signal.signal(signal.SIGINT, before)
