"""The flusher: the one process that cuts batches, journals them and lands them in the store.

::

    rings ──read──▶ pending ──cut──▶ journal ──settle──▶ store
      ▲                                                    │
      └──── tails ◀──────────── journal "done" ◀───────────┘

One loop in one thread does all of it; while a batch waits for the store, events wait in the rings,
which are on disk. Calls of the supervisor are served by ``calls`` in threads of their own and only
set flags here. A kill at any point is covered by the journal: see there.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from trackflowd import config as configuration
from trackflowd import log as logs
from trackflowd import proc, stats
from trackflowd.batch import Columns, checksum, chosen
from trackflowd.calls import Calls
from trackflowd.cutter import ColumnMap, Cutter
from trackflowd.errors import DataDirError, TrackflowError
from trackflowd.feeds import Feeds
from trackflowd.journal import Cut, Journal, Range
from trackflowd.ring.layout import Record
from trackflowd.settle import Settler
from trackflowd.shared import Page, Slot, State
from trackflowd.sink.base import Batch, Format, QueryLimits, Sink, SinkOptions, masked, open_sink
from trackflowd.window import Window

log = logging.getLogger(__name__)

#: Seconds between two looks at the rings when they are quiet: short beside ``batch.max_age``, and
#: 20 looks a second at a few header pages are a thousandth of a core.
POLL = 0.05
#: Seconds between two refreshes of the gauges that need a ring to be read.
GAUGES = 0.5
#: Seconds between two tries when a batch belongs to another store than the one configured.
OTHER_STORE = 10.0

#: Part of ``daemon.stall_after`` one call to the store may take.
STALL_SHARE = 2 / 3

SINK_STATES = {"starting": 0, "ok": 1, "away": 2, "doubt": 3, "rejects": 4}


class Stopped(TrackflowError):
    """The process is to end now; open batches stay in the journal."""

    code = "stopped"


class Flusher:
    """Owns the store, the journal and the id window of a data directory.

    Args:
        cfg: the daemon's configuration.
        slot: this process's part of the shared page.
        page: says how many worker slots are meant to be filled.

    Raises:
        DataDirError, JournalError: the data directory cannot be used.
    """

    def __init__(self, cfg: configuration.Config, slot: Slot, page: Page) -> None:
        data_dir = Path(cfg.daemon.data_dir)
        self._cfg = cfg
        self._slot = slot
        self._wake = threading.Event()
        self._draining = self._flush_asked = self._stopping = False
        # No call to the store may outlast what the supervisor takes for a sign of life.
        timeout = min(cfg.store.timeout, cfg.daemon.stall_after * STALL_SHARE)
        options = SinkOptions(data_dir, timeout, cfg.store.memory, cfg.store.retention_days)
        self._sink: Sink = open_sink(cfg.store.url, options)
        self._sink_state, self._sink_text, self._sink_since = "starting", "", time.time()
        self._last_batch: dict[str, Any] = {}
        self._gauges_at = 0.0
        self._lock = _own(data_dir / "flusher.lock")
        self._journal = Journal(data_dir / "journal", keep=self._still_held)
        self._window = Window(data_dir / "window", cfg.dedup.max_ids, self._journal.state.window, _now_ms())
        self._feeds = Feeds(data_dir, self._journal, slot, page)
        self._columns = Columns()
        self._settler = Settler(self._sink, self._journal.attempt, self._pause, self._report)
        self._cutter = Cutter(
            cfg.batch, self._feeds, self._journal, self._window, self._columns, slot, self._present, self._pause
        )

    def run(self) -> None:
        """Work until drained.

        Raises:
            Stopped: told to end at once.
        """
        self._feeds.scan()
        self._settler.ask(self._sink.open)
        self._report("ok", "")
        self._recover()
        gc.collect()
        gc.freeze()
        if not self._draining:
            self._slot.state = State.READY
        while not self._step():
            pass
        self._feeds.remove_drained()

    def _step(self) -> bool:
        """One turn of the loop; True when drained."""
        self._beat()
        self._feeds.scan_when_due()
        took = self._cutter.read()
        if self._cutter.due(took > 0, self._draining or self._flush_asked):
            self._flush_asked = self._flush_asked and took > 0  # a flush lasts until all that was there is cut
            self._land()
        elif not took:
            if self._draining and self._cutter.idle:
                self._feeds.scan()
                if self._feeds.empty:
                    return True
            self._flush_asked = self._flush_asked and not self._cutter.idle
            if self._wake.wait(POLL):
                self._wake.clear()
        return False

    def _land(self) -> None:
        """Cut what is pending and settle it."""
        gc.disable()  # a collection over 50,000 rows costs as much as their encoding
        try:
            sealed, columns = self._cutter.cut(self._sink.identity, _now_ms())
            self._settle(sealed.cut, columns, in_doubt=False)
        finally:
            gc.enable()

    def _settle(self, cut: Cut, columns: ColumnMap, in_doubt: bool) -> None:
        began = time.monotonic()
        if cut.rows:
            self._slot.set("rows_pending", cut.rows)
            outcome = self._settler.settle(Batch(cut.batch_id, cut.attempt, cut.partition, cut.rows, columns), in_doubt)
            self._slot.add("rows_stored", cut.rows)
            self._slot.add("batches_confirmed", 1)
            self._slot.add("batches_retried", max(outcome.sendings - 1, 0))
            self._slot.add("batches_doubted", 1 if outcome.doubts or in_doubt else 0)
        self._journal.done(cut.batch_id)
        self._feeds.settle_tails()
        self._slot.set("rows_pending", 0)
        self._last_batch = {"rows": cut.rows, "ms": round((time.monotonic() - began) * 1000, 1), "at_ms": cut.at}

    def _recover(self) -> None:
        """Settle what a process before this one had cut, oldest first."""
        for cut in sorted(self._journal.state.open.values(), key=lambda cut: (cut.at, cut.batch_id)):
            while cut.store != self._sink.identity:
                self._report("rejects", f"a batch cut for {cut.store} is not settled; set store.url back until it is")
                self._pause(OTHER_STORE)
            rows = self._rebuild(cut)
            if rows is None:
                self._give_up(cut)
            else:
                log.info("batch %032x of %d rows was open at the restart: asking the store", cut.batch_id, cut.rows)
                self._settle(cut, self._columns.build(rows, cut.batch_id) if rows else {}, in_doubt=True)

    def _rebuild(self, cut: Cut) -> list[Record] | None:
        """Rows of a journaled batch from its rings; None when they are not all there unharmed."""
        rows: list[Record] = []
        for span in cut.ranges:
            feed = self._feeds.get(span.ring)
            rows += chosen(span, feed.read_range(span.start, span.end) if feed else ())
        return rows if len(rows) == cut.rows and checksum(rows) == cut.crc else None

    def _give_up(self, cut: Cut) -> None:
        """A batch that can not be rebuilt: fine when the store has it, an alarm when not."""
        held = self._settler.ask(lambda: self._sink.count(cut.batch_id, cut.partition))
        if held != cut.rows:
            log.error("batch %032x: the store has %d of its %d rows and the rings do not hold the others unharmed",
                      cut.batch_id, held, cut.rows)  # fmt: skip
            self._feeds.set_ranges_aside(cut)
            self._slot.add("records_quarantined", max(cut.rows - held, 0))
        self._journal.done(cut.batch_id)
        self._feeds.settle_tails()

    def _present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        return self._settler.ask(lambda: self._sink.present(ids))

    def _pause(self, seconds: float) -> None:
        """Wait for the store, or shorter when a flush is asked for. Raises Stopped."""
        self._beat()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._beat()
            if self._wake.wait(min(left, GAUGES)):
                self._wake.clear()
                return

    def _report(self, state: str, text: str) -> None:
        """Note the store's state; a change is logged once."""
        if state != self._sink_state:
            level = {"ok": logging.INFO, "rejects": logging.ERROR}.get(state, logging.WARNING)
            log.log(level, "store %s: %s%s", masked(self._cfg.store.url), state, f": {text}" if text else "")
            self._sink_since = time.time()
        self._sink_state, self._sink_text = state, text
        self._slot.set("sink_state", SINK_STATES[state])

    def _beat(self) -> None:
        self._slot.beat()
        if self._stopping:
            raise Stopped("told to stop")
        now = time.monotonic()
        if now - self._gauges_at >= GAUGES:
            self._gauges_at = now
            self._feeds.gauges()
            self._slot.set("window_ids", self._window.ids)
            self._slot.set("window_span_ms", max(_now_ms() - self._window.since_ms, 0))

    def _still_held(self, span: Range) -> bool:
        feed = self._feeds.get(span.ring)
        return feed is not None and feed.still_held(span.start)

    # What the supervisor may ask; called in other threads.

    def status(self) -> dict[str, Any]:
        """What ``trackflow status`` shows of store and batches."""
        return {
            "sink": {
                "url": masked(self._cfg.store.url), "identity": self._sink.identity, "state": self._sink_state,
                "text": self._sink_text, "since_ms": int(self._sink_since * 1000),
            },
            "journal": {"open": len(self._journal.state.open), "bytes": self._journal.used},
            "window": {"ids": self._window.ids, "since_ms": self._window.since_ms},
            "last_batch": self._last_batch,
        }  # fmt: skip

    def query(self, sql: str, format: str = "json", params: dict[str, Any] | None = None) -> bytes:
        """Answer of a read-only query, in format "table", "json" (a row a line) or "csv"."""
        limits = QueryLimits(self._cfg.query.max_seconds, self._cfg.query.max_rows, self._cfg.query.max_memory)
        return self._sink.query(sql, cast(Format, format), limits, params)

    def stats(self, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """A named statistic (see ``stats.answer``)."""
        return stats.answer(lambda sql, params: stats.rows(self.query(sql, "json", dict(params))), name, args)

    def flush(self) -> bool:
        """Cut and send what is there now, without waiting for ``batch.max_age``."""
        self._flush_asked = True
        self._wake.set()
        return True

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
        self._sink.close()
        self._feeds.close()
        self._window.close()
        self._journal.close()
        os.close(self._lock)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _own(path: Path) -> int:
    """Lock the data directory for this flusher; the lock goes with the process.

    Raises:
        DataDirError: another flusher has it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise DataDirError(f"{path} is held by another flusher", "wait for it to end, or end it") from error
    return fd


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the process; the supervisor starts it."""
    parser = argparse.ArgumentParser(prog="trackflowd.flusher")
    for name in ("--config-json", "--page", "--channel"):
        parser.add_argument(name, type=int, required=True)
    args = parser.parse_args(argv)
    proc.become("trackflowd: flusher", args.channel)
    with os.fdopen(args.config_json) as file:
        cfg = configuration.load_dump(file.read())
    logs.setup(cfg.log.level, cfg.log.format, "flusher")
    page = Page.attach(args.page)
    slot = page.slot("flusher")
    slot.begin()
    try:
        return _serve(Flusher(cfg, slot, page), slot, socket.socket(fileno=args.channel))
    except TrackflowError as error:
        log.error("%s", error)
        return 1


def _serve(flusher: Flusher, slot: Slot, channel: socket.socket) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: flusher.drain_soon())
    quick = {"status": flusher.status, "flush": flusher.flush, "drain": flusher.drain}
    calls = Calls(channel, quick, {"query": flusher.query, "stats": flusher.stats}, flusher.stop)
    calls.start()
    calls.say({"type": "ready"})
    try:
        flusher.run()
    except Stopped:
        log.info("stopped; what is not stored waits in the rings")
        return 0
    slot.state = State.DRAINED
    calls.say({"type": "drained"})
    flusher.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
