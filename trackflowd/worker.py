"""The worker: takes requests, makes finished rows, lands them in its ring, answers.

::

    listeners ──▶ door (sockets) ──▶ proto.http ──▶ intake ──▶ dialect ──▶ enrich ──▶ ring
                                  ◀── answers, after the ring's head has moved

One process per core, one thread, no connection to anywhere else: an answer can only go to the
socket its request came from. Everything periodic (heartbeat, deadlines, counters, whose listeners
are whose, is the ring still there) happens in one tick.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trackflowd import config as configuration
from trackflowd import log as logs
from trackflowd import loop as loops
from trackflowd import proc
from trackflowd.buckets import Buckets
from trackflowd.counters import REQUEST
from trackflowd.door import Door
from trackflowd.enrich.finish import Finisher, Row, as_dict
from trackflowd.enrich.geo import Geo
from trackflowd.entrances import Entrances
from trackflowd.errors import ConfigError, DataDirError, RingDamaged, TrackflowError
from trackflowd.histogram import Tally
from trackflowd.intake import Intake, Peer
from trackflowd.keeper import CallSoon, Keeper, SyncedKeeper
from trackflowd.ledger import Ledger
from trackflowd.line import Line
from trackflowd.proto import dialects
from trackflowd.proto.control import BadRequest
from trackflowd.proto.headers import DEBUG
from trackflowd.proto.request import Request
from trackflowd.published import read_snapshot
from trackflowd.shared import Page, State
from trackflowd.trial import Trial

log = logging.getLogger(__name__)

#: Seconds between ticks: a listener of a dead worker is served by another within one.
TICK = 0.1
#: Rows a second that are sent to whoever watches; more nobody can read.
TAIL_ROWS = 200
#: Unread bytes of the channel above which rows are left out.
TAIL_UNREAD = 1024 * 1024


def _geo_of(cfg: configuration.Config) -> Geo:
    return Geo(cfg.geo.database or str(Path(cfg.daemon.data_dir) / "geo"), cfg.geo.check_every)


class Worker:
    """One worker process.

    Args:
        cfg: the daemon's configuration.
        index: worker slot.
        page: the shared page.
        buckets: of the limits.
        listen: descriptors of all listeners, in order.

    Raises:
        RingError, DataDirError: the slot's ring or the data directory cannot be used.
    """

    def __init__(
        self, cfg: configuration.Config, index: int, page: Page, buckets: Buckets, listen: Sequence[int]
    ) -> None:
        data_dir = Path(cfg.daemon.data_dir)
        self._cfg = cfg
        self._index = index
        self._page = page
        self._slot = page.slot("worker", index)
        self._slot.begin()
        self._before = self._slot.values()
        self._snapshot = data_dir / "snapshot.msgpack"
        self._generation = page.generation
        self._geo = _geo_of(cfg)
        self._buckets = buckets
        snapshot = read_snapshot(self._snapshot)
        snapshot.policy.meter = buckets
        self._salts, self._admins = snapshot.salts, snapshot.admins
        self._finisher = Finisher(self._geo, snapshot.salts)
        keeper = SyncedKeeper if cfg.ring.durability == "disk" else Keeper
        self._keeper = keeper(data_dir / "rings", index, cfg.ring.size)
        writer, sites = self._keeper.writer, cfg.metrics.sites
        self._intake = Intake(cfg.http, dialects.load(), self._finisher, writer, time.time(), sites)
        self._intake.policy, self._intake.debug = snapshot.policy, self._told
        self._hall = self._keeper.hall(cfg.http, self._intake, time.monotonic())
        self._took = Tally(REQUEST, self._slot.histogram(REQUEST))
        self._ledger = Ledger()
        self._sites_before = self._slot.sites(len(sites))
        self._entrances = Entrances(cfg, listen, self._hall, self._door, time.monotonic())
        self._rows: list[Row] = []
        self._rows_left = TAIL_ROWS
        self._second = 0
        self._geo_error = ""
        self._draining = self._retiring = False

    async def run(self, channel: socket.socket) -> None:
        """Work until drained."""
        loop = asyncio.get_running_loop()
        calls: dict[str, Callable[..., Any]] = {"drain": self.drain, "tail": self.tail, "geo": self.geo}
        calls |= {"lookup": self.lookup, "retire": self.retire, "reload": self.reload, "debug": self.debug}
        calls["seal"] = self._entrances.seal
        _, line = await loop.create_unix_connection(lambda: Line(calls, self.drain), sock=channel)
        loop.add_signal_handler(signal.SIGTERM, self.drain)
        self._finisher.warm()
        gc.collect()
        gc.freeze()  # what lives for ever is not looked at again
        self._keeper.start(loop)
        self._slot.state = State.DRAINING if self._retiring else State.READY
        line.say({"type": "ready"})
        while self._hall.doors or self._entrances.open or not (self._draining or self._retiring):
            await self._tick(loop, line)
            await asyncio.sleep(TICK)
        self._publish()
        self._tell_refused(line)
        await self._keeper.close()
        self._slot.state = State.DRAINED
        line.say({"type": "drained"})
        await asyncio.sleep(0)  # the message goes out

    def drain(self) -> None:
        """Take no more connections, answer what is in flight, end."""
        if not self._draining:
            self._draining = True
            self._slot.state = State.DRAINING
            self._entrances.close()
            self._hall.drain()

    def retire(self, on: bool) -> None:
        """End once the connections that are there have; off: go on as before, if it has not ended yet.

        Nobody is cut off: a connection is closed after its next answer, which says so, or by its deadline. Listeners
        are served for as long as the shared page says that they are ours.
        """
        if not self._draining:
            self._retiring = self._hall.draining = on
            self._slot.state = State.DRAINING if on else State.READY

    def reload(self, config: str) -> None:
        """Take on options that have changed (``config.dump``), those that can be without a restart."""
        before, self._cfg = self._cfg, configuration.load_dump(config)
        cfg = self._cfg
        logs.set_level(cfg.log.level)
        logs.set_form(cfg.log.format)
        if cfg.http != before.http:
            self._intake.take(cfg.http, time.time())
            self._hall.take(cfg.http)
        self._entrances.take(cfg.tls)
        if cfg.geo != before.geo:
            self._geo = _geo_of(cfg)
            self._finisher.use(self._geo)

    def tail(self, on: bool) -> None:
        """Send rows of events while somebody watches."""
        self._rows.clear()
        self._intake.tail = self._keep if on else None

    def geo(self) -> dict[str, Any] | None:
        """What geo database is open."""
        info = self._geo.info()
        return {"database": info[0].path, "built": info[0].built, "type": info[0].kind} if info else None

    def lookup(self, address: str) -> dict[str, Any]:
        """What the database says of an address; nothing is kept of it."""
        info = self._geo.info()
        open_file = {"database": info[0].path, "built": info[0].built} if info else {"database": None, "built": None}
        return {**self._geo.lookup(address)._asdict(), **open_file}

    def debug(self, request: str, peer: str) -> dict[str, Any]:
        """What would be decided for a request (its bytes as latin-1) of this address; nothing comes of it."""
        try:
            return self._trial().raw(request.encode("latin-1"), peer)
        except TrackflowError:
            raise
        except Exception as error:
            log.exception("a trial has failed")
            raise BadRequest("error", f"the worker cannot say: {error!r}", "its log has more") from error

    def _told(self, request: Request, peer: Peer) -> bytes:
        self._admins.check(request.headers[DEBUG], self._intake.now_ms)
        return self._trial().json(request, peer)

    def _trial(self) -> Trial:
        intake, cfg = self._intake, self._cfg
        args = intake.policy, self._geo, self._salts, cfg.ring.size, time.time(), intake.ring_failed
        return Trial(cfg.http, *args)

    def _keep(self, rows: Sequence[Row]) -> None:
        taken = rows[: self._rows_left]
        self._rows_left -= len(taken)
        self._rows.extend(taken)

    async def _tick(self, loop: asyncio.AbstractEventLoop, line: Line) -> None:
        now = time.monotonic()
        self._slot.beat()
        self._intake.tick(time.time())
        self._hall.tick(now)
        self._entrances.tick(now)
        if self._page.generation != self._generation:
            self._renew()
        if not self._draining:
            await self._entrances.serve(loop, self._page.owners.served_by(self._index))
        self._publish()
        if self._rows:
            rows, self._rows = self._rows, []
            if line.unread < TAIL_UNREAD:
                line.say({"type": "event", "rows": [as_dict(row) for row in rows]})
        if int(now) != self._second:
            self._second = int(now)
            used, self._intake.policy.used = self._intake.policy.used, set()
            if used:
                line.say({"type": "keys", "used": sorted(used)})
            self._tell_refused(line)
            self._each_second(now)

    def _tell_refused(self, line: Line) -> None:
        if rows := self._ledger.take():
            line.say({"type": "refused", "rows": rows})

    def _each_second(self, now: float) -> None:
        self._rows_left = TAIL_ROWS
        self._keeper.each_second()
        self._finisher.tick(now)
        if self._geo.error != self._geo_error:
            self._geo_error = self._geo.error
            if self._geo_error:
                log.warning("%s", self._geo_error)

    def _renew(self) -> None:
        """Take on another snapshot."""
        self._generation = self._page.generation
        try:
            snapshot = read_snapshot(self._snapshot)
            snapshot.policy.meter = self._buckets
            self._finisher.swap_salts(snapshot.salts)
            self._salts, self._admins = snapshot.salts, snapshot.admins
            self._intake.policy = snapshot.policy
        except (DataDirError, ValueError) as error:
            log.error("salts, sites and keys stay as they were: %s", error)

    def _door(self, call_soon: CallSoon) -> Door:
        return self._keeper.door(self._hall, call_soon)

    def _publish(self) -> None:
        """Counters into the shared page; counts go on from those of the worker before."""
        intake, hall, ring = self._intake, self._hall, self._keeper.ring
        counts = {
            "requests": intake.requests,
            "events_accepted": intake.accepted - hall.owed_events,
            "events_refused": intake.refused,
            "bots": self._finisher.bots,
            "geo_missing": self._finisher.geo_missing,
            "bytes_in": hall.bytes_in,
            "bytes_out": hall.bytes_out,
            "responses_2xx": intake.answers[2] - hall.owed_answers,
            "responses_3xx": intake.answers[3],
            "responses_4xx": intake.answers[4],
            "responses_5xx": intake.answers[5],
            "connections_total": hall.total,
            "refused_connections": hall.turned_away,
            "deadline_closed": hall.late,
            "ring_full": intake.ring_full,
            "rings_failed": self._keeper.failed,
            **self._entrances.counts(),
        }
        for name, (accepted, refused) in intake.by_dialect().items():
            counts[f"accepted_{name}"], counts[f"refused_{name}"] = accepted, refused
        values = {name: self._before[name] + count for name, count in counts.items()}
        values["connections_open"] = len(hall.doors)
        values["inflight_bytes"] = hall.inflight
        values["ring_capacity"] = self._cfg.ring.size
        values["snapshot"] = self._generation
        if ring is not None and not intake.ring_failed:
            try:
                values["ring_used"] = ring.writer.used
            except RingDamaged as error:
                intake.ring_failed = True
                log.error("nothing is accepted any more: %s", error)
        self._slot.publish(values)
        for code, count in intake.refusals.items():
            self._slot.refuse(code, count)
        self._ledger.add(intake.refusals, intake.refused_sites)
        intake.refusals.clear()
        intake.refused_sites.clear()
        by_site = zip(self._sites_before, intake.by_site, strict=True)
        self._slot.publish_sites([before + count for before, count in by_site])
        self._took.take(hall.took)
        self._slot.publish_histogram(REQUEST, self._took.words)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the process; the supervisor starts it."""
    parser = argparse.ArgumentParser(prog="trackflowd.worker")
    for name in ("--slot", "--config-json", "--page", "--buckets", "--channel"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--log", type=int, help="socket to hand log lines on to; none: standard error only")
    parser.add_argument("--listen", type=lambda text: [int(fd) for fd in text.split(",")], required=True)
    args = parser.parse_args(argv)
    try:
        proc.become(f"trackflowd: worker {args.slot}", args.channel)
        with os.fdopen(args.config_json) as stream:
            cfg = configuration.load_dump(stream.read())
        logs.setup(cfg.log.level, cfg.log.format, f"worker {args.slot}", args.log)
        buckets = Buckets.attach(args.buckets, args.slot)
        worker = Worker(cfg, args.slot, Page.attach(args.page), buckets, args.listen)
        loops.run(worker.run(socket.socket(fileno=args.channel)))
    except TrackflowError as error:
        log.error("%s", error)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
