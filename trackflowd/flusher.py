"""The flusher: the one process that cuts batches, journals them and lands them in the store.

::

    rings ──read──▶ pending ──cut──▶ journal ──▶ open batches ──sender──▶ store
      ▲                                │  ▲
      └───────────── tails ◀───────────┤  └── spool: batches that wait on disk
                                       └── done, quarantined, replaced

One loop in one thread decides everything and writes everything; a second thread, the ``sender``, speaks
to the store, so that a store that hangs keeps nobody else waiting. While the store does not keep up,
events wait in the rings; from ``spool.start_at`` on, batches go to the spool, and the rings are free
again. Calls of the supervisor are served by ``calls`` in threads of their own; what they change is
handed to the loop. A kill at any point is covered by the journal: see there.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from trackflowd import config as configuration
from trackflowd import log as logs
from trackflowd import proc, stats
from trackflowd.archivist import Archivist
from trackflowd.batch import Columns
from trackflowd.calls import Calls, Errands, Stopped, reply_to
from trackflowd.cutover import Cutover
from trackflowd.cuts import Range
from trackflowd.cutter import Cutter
from trackflowd.datadir import own
from trackflowd.eraser import Eraser
from trackflowd.erasure import Erasures
from trackflowd.errors import ConfigError, DataDirError, JournalError, TrackflowError
from trackflowd.feeds import Feeds
from trackflowd.journal import Journal
from trackflowd.lander_cluster import hosts_of, lander_for, stores_of
from trackflowd.quarantine import Quarantine
from trackflowd.replayer import Replayer
from trackflowd.sender import Sender
from trackflowd.settle import Backoff
from trackflowd.shared import Page, Slot, State
from trackflowd.shelf import Shelf
from trackflowd.sink.base import Format, QueryLimits, Sink, SinkOptions, masked, open_sink, sql_of
from trackflowd.sources import Sources
from trackflowd.spool import Spool
from trackflowd.storestate import StoreState
from trackflowd.window import Window

log = logging.getLogger("trackflowd.flusher")  # __name__ is "__main__" here: held at "warning" like others' loggers

#: Seconds between two looks at the rings when they are quiet: short beside ``batch.max_age``, and
#: 20 looks a second at a few header pages are a thousandth of a core.
POLL = 0.05
#: The same once nothing has come for ``CALM`` of them: 0.42 % of a core instead of 0.67, engine included.
SLOW_POLL, CALM = 0.1, 20
#: Seconds between two refreshes of the gauges that need a ring to be read.
GAUGES = 0.5
#: Seconds between two collections of garbage while batches follow each other (between batches they are cheap).
COLLECT = 60.0

#: Seconds the store has to let go at the end.
CLOSING = 5.0

#: Part of ``daemon.stall_after`` one call to the store may take.
STALL_SHARE = 2 / 3


class Flusher:
    """Owns the store, the journal, the id window and the spool of a data directory.

    Args:
        cfg: the daemon's configuration.
        slot: this process's part of the shared page.
        page: says how many worker slots are meant to be filled.

    Raises:
        DataDirError, JournalError: the data directory cannot be used.
    """

    def __init__(self, cfg: configuration.Config, slot: Slot, page: Page) -> None:
        data_dir = Path(cfg.daemon.data_dir)
        durable = cfg.ring.durability == "disk"
        self._cfg = cfg
        self._limits = QueryLimits(cfg.query.max_seconds, cfg.query.max_rows, cfg.query.max_memory)
        self._slot = slot
        self._page = page
        self._wake = threading.Event()
        self.errands = Errands(self._wake.set)
        self._draining = self._stopping = False
        self._sender = Sender(self._wake.set)
        # No call to the store may outlast what the supervisor takes for a sign of life.
        self._timeout = min(cfg.store.timeout, cfg.daemon.stall_after * STALL_SHARE)
        first = (data_dir, self._timeout, cfg.store.memory, cfg.store.retention_days, durable, self._sender.breathe)
        options = SinkOptions(*first, cfg.store.cluster, cfg.store.replicas)
        self._gauges_at, self._collected, self._calm = 0.0, 0.0, 0
        self._lock = own(data_dir / "flusher.lock")
        # Opening one of format 1 begins a new file, before the rings are known: it takes all along.
        self._journal = Journal(data_dir / "journal", keep=lambda span: True, durable=durable)
        self.cutover = Cutover(cfg.store.url, data_dir, self._journal, lambda url: open_sink(url, options), self.stop)
        self._sink: Sink = open_sink(self.cutover.url, options)
        self._state = StoreState(slot, lambda: masked(self.cutover.url))
        self._window = Window(data_dir / "window", cfg.dedup.max_ids, self._journal.state.window, _now_ms())
        self._spool = Spool(data_dir / "spool", cfg.spool.max_bytes, cfg.spool.keep_free)
        quarantine = Quarantine(data_dir / "quarantine")
        self._feeds = Feeds(data_dir / "rings", quarantine, self._journal, slot, page, durable)
        self._journal.keep = self._still_held
        columns = Columns()
        self._cutter = Cutter(
            cfg.batch, self._feeds, self._journal, self._window, columns, quarantine, slot, self._ensure
        )
        sources = Sources(self._feeds, self._spool, quarantine, Erasures(data_dir))
        self._lander = lander_for(
            self._sink, self._journal, sources, columns, self._sender, slot, self._state.report, self._ensure
        )
        self._replayer = Replayer(self._journal, sources, self._lander, self._sender, slot)
        url, limits, self._sums = self.cutover.url, self._limits, stats.Sums()
        self.eraser = Eraser(
            self._sink, url, limits, self._journal, sources, self._sender, self.errands.do, self._sums.clear
        )
        self.shelf = Shelf(self._journal, sources, self._lander, slot)
        self.archivist = Archivist(self._sink, data_dir, self._journal, sources, self._sender, self.errands.do)

    def run(self) -> None:
        """Work until drained.

        Raises:
            Stopped: told to end at once, or the rest cannot be stored now.
        """
        self._slot.add("journal_damaged", self._journal.damaged)
        self._feeds.scan()
        self._ensure(self.cutover.settle)
        self._lander.recover()
        self._sender.start()
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection over 50,000 rows costs as much as their encoding; ``_beat`` collects now and then
        try:
            while not self._step():
                pass
        finally:
            self.errands.over.set()
        self._feeds.remove_drained()

    def _step(self) -> bool:
        """One turn of the loop; True when drained."""
        self._beat()
        self._feeds.look_when_due()
        answered = self._sender.deliver()
        self.errands.serve()
        paused = self._page.paused
        if paused and self._draining:
            raise Stopped("it is paused")
        if not (paused and self._lander.opened):
            self._lander.step()
        if self._lander.opened and self._slot.state is State.STARTING:
            self._slot.state = State.READY
        took = self._cutter.read()
        pressed = self._feeds.fill * 100 >= self._cfg.spool.start_at
        due = self._cutter.due(took > 0, self._draining or pressed)
        clear = pressed and self._cfg.spool.max_bytes > 0 and self._lander.crowded and self._lander.relieve()
        # A batch is bound to its store: while that was never reached, its url may yet be put right.
        held = self.cutover.holds(pressed or self._draining)
        wanted = pressed or (self._lander.opened and not paused)
        if due and not held and (clear or not self._lander.crowded) and wanted:
            self._cut()
        elif not took and not answered:
            return self._idle()
        self._calm = 0
        return False

    def _idle(self) -> bool:
        """Nothing to do right now; True when nothing is left either, and nothing is to come. Raises Stopped."""
        settled = self._lander.empty
        over = settled or (self._draining and self._sender.idle and self._lander.last_try.over())
        if self._draining and self._cutter.idle and over:
            self._feeds.scan()
            if self._feeds.empty and not settled:
                raise Stopped("the store refuses what is left")
            if self._feeds.empty:
                return True
        self._calm += 1
        if self._wake.wait(POLL if self._calm <= CALM else SLOW_POLL):
            self._wake.clear()
        return False

    def _cut(self) -> None:
        """Cut what is pending and hand it on."""
        for fresh in self._cutter.cut(stores_of(self._sink), _now_ms()):
            self._lander.add(*fresh)

    def _ensure(self, action: Callable[[], Any]) -> Any:
        """Run an action until the disk takes it; events wait in the rings meanwhile. Raises Stopped."""
        backoff, said = Backoff(), ""
        while True:
            try:
                return action()
            except (DataDirError, JournalError) as error:
                if str(error) != said:
                    said = str(error)
                    log.error("%s", error)
                self._pause(backoff.wait())

    def _pause(self, seconds: float) -> None:
        """Wait. Raises Stopped."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._beat()
            time.sleep(min(left, POLL))

    def _beat(self) -> None:
        """Show that this process lives, which it does while its sender does."""
        if self._stopping:
            raise Stopped("told to stop")
        if self._sender.silence <= self._timeout:
            self._slot.beat()
        now = time.monotonic()
        if now - self._gauges_at >= GAUGES:
            self._gauges_at = now
            if self._cutter.idle or now - self._collected >= COLLECT:
                self._collected = now
                gc.collect(1)
            self._feeds.gauges()
            self._lander.gauge()
            self._slot.set("window_ids", self._window.ids)
            self._slot.set("window_span_ms", max(_now_ms() - self._window.since_ms, 0))
            self._gauge_sums(self._sums.tell())

    def _gauge_sums(self, use: stats.Use) -> None:
        self._slot.add("sums_found", use.found)
        self._slot.add("sums_made", use.made)
        self._slot.set("sums_bytes", use.size)
        self._slot.set("sums_unstamped", use.unstamped)

    def _still_held(self, span: Range) -> bool:
        feed = self._feeds.get(span.ring)
        return feed is not None and feed.still_held(span.start)

    # What the supervisor may ask; called in other threads.

    def status(self) -> dict[str, Any]:
        """What ``trackflow status`` shows of store and batches."""
        return {
            "sink": {
                **self._state.as_dict(), "identity": self._sink.identity, "warning": self.cutover.warning,
            },
            "journal": {"open": len(self._journal.state.open), "bytes": self._journal.used},
            "window": {"ids": self._window.ids, "since_ms": self._window.since_ms},
            "spool": {"text": self._lander.spool_text}, "hosts": hosts_of(self._lander),
            "last_batch": self._lander.last,
        }  # fmt: skip

    def replay_plan(self, since_ms: int) -> Any:
        """See ``Replayer.plan``."""
        return self.errands.do(lambda answer: answer.set_result(self._replayer.plan(since_ms)))

    def replay_batch(self, batch: str, dry_run: bool) -> Any:
        """See ``Replayer.batch``."""
        return self.errands.do(lambda answer: self._replayer.batch(batch, dry_run, reply_to(answer)))

    def quarantine_retry(self, names: Sequence[str]) -> Any:
        """See ``Shelf.retry``."""
        return self.errands.do(lambda answer: answer.set_result(self.shelf.retry(names)))

    def quarantine_drop(self, names: Sequence[str]) -> Any:
        """See ``Shelf.drop``."""
        return self.errands.do(lambda answer: answer.set_result(self.shelf.drop(names)))

    def spool_drop(self, names: Sequence[str]) -> Any:
        """See ``Shelf.drop_spooled``."""
        return self.errands.do(lambda answer: answer.set_result(self.shelf.drop_spooled(names)))

    def query(self, sql: str, format: str = "json", params: dict[str, Any] | None = None) -> bytes:
        """Answer of a read-only query, in format "table", "json" (a row a line) or "csv"."""
        return self._sink.query(sql, cast(Format, format), self._limits, params)

    def stats(self, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """A named statistic (see ``stats.answer``)."""
        store = sql_of(self.cutover.url)
        # Of a cluster nobody can say in one question whether all its parts have the stamps that sums go by.
        sums = self._sums if store == "clickhouse" and not self._cfg.store.cluster else None

        def run(sql: str, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
            return stats.rows(self.query(sql, "json", dict(params)))

        return stats.answer(run, name, args, store, sums)

    def reload(self, config: str) -> bool:
        """Take on options that have changed (``config.dump``), those that can be without a restart."""
        cfg = configuration.load_dump(config)
        self.errands.ask(lambda answer: self._take(cfg))
        return True

    def _take(self, cfg: configuration.Config) -> None:
        self._cfg = cfg
        limits = QueryLimits(cfg.query.max_seconds, cfg.query.max_rows, cfg.query.max_memory)
        if limits != self._limits:
            self._sums.clear()  # some may be known for too long because of the old ones
        self._limits = self.eraser.limits = limits
        self._cutter.take(cfg.batch)
        self._spool.take(cfg.spool)
        logs.set_level(cfg.log.level)
        logs.set_form(cfg.log.format)

    def flush(self) -> bool:
        """Cut and send what is there now, without waiting for ``batch.max_age`` or a store that was away."""
        self.errands.ask(lambda answer: self._flush())  # in the loop, before it looks at the rings
        return True

    def _flush(self) -> None:
        self._lander.hurry()
        self._cutter.flush()

    def drain(self) -> bool:
        """Send everything, then end."""
        self.drain_soon()
        self._wake.set()
        return True

    def drain_soon(self) -> None:
        """The same from a signal handler, which must not touch the event: this thread may hold its lock."""
        self._draining = True
        self._slot.state = State.DRAINING

    def stop(self) -> None:
        """End now; what is open stays in journal and rings."""
        self._stopping = True
        self._wake.set()

    def close(self) -> None:
        """Let go of store, files and lock."""
        self._sender.stop(self._sink.close, CLOSING)
        self._feeds.close()
        self._window.close()
        self._journal.close()
        os.close(self._lock)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the process; the supervisor starts it."""
    parser = argparse.ArgumentParser(prog="trackflowd.flusher")
    for name in ("--config-json", "--page", "--channel"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--log", type=int, help="socket to hand log lines on to; none: standard error only")
    args = parser.parse_args(argv)
    try:
        proc.become("trackflowd: flusher", args.channel, proc.FLUSHER_NICE)
        proc.keep_freed_memory()
        with os.fdopen(args.config_json) as file:
            cfg = configuration.load_dump(file.read())
        logs.setup(cfg.log.level, cfg.log.format, "flusher", args.log)
        page = Page.attach(args.page)
        slot = page.slot("flusher")
        slot.begin()
        return _serve(Flusher(cfg, slot, page), slot, socket.socket(fileno=args.channel))
    except TrackflowError as error:
        log.error("%s", error)
        return 2 if isinstance(error, ConfigError) else 1


def _serve(flusher: Flusher, slot: Slot, channel: socket.socket) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: flusher.drain_soon())
    names = ("query", "stats", "replay_plan", "replay_batch", "quarantine_retry", "quarantine_drop", "spool_drop")
    slow = {name: getattr(flusher, name) for name in names} | flusher.eraser.calls()
    slow |= flusher.shelf.calls(flusher.errands.do) | flusher.cutover.calls(flusher.errands.do)
    slow |= flusher.archivist.calls()
    quick = {name: getattr(flusher, name) for name in ("status", "flush", "drain", "reload")}
    calls = Calls(channel, quick, slow, flusher.stop)
    calls.start()
    calls.say({"type": "ready"})
    try:
        flusher.run()
    except Stopped as stopped:
        log.info("stopped: %s; what is not stored waits in rings and spool", stopped)
        return 0
    slot.state = State.DRAINED
    calls.say({"type": "drained"})
    flusher.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
