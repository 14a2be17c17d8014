"""A daemon of a scenario's own, and one measurement against it."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.scenarios.figures import Series, Turn, percentiles
from bench.scenarios.frame import Stage
from bench.scenarios.processes import SERVER_CORE, cpu_by_role, on, rss_mb
from bench.traffic.loop import Loop, Tally
from bench.traffic.network import Network
from bench.traffic.report import Progress
from bench.traffic.target import Daemon, TargetFailed
from bench.traffic.wire import Format

SINGLE = Format("single")
#: Events that one wait of the generator gives: few where sendings are due in between (as in ``bench traffic``).
_MOST_CLOSED, _MOST_OPEN = 512, 32
#: Bytes of the parts that make up the table now; what merges have replaced is deleted minutes later.
_BYTES = "SELECT sum(bytes_on_disk) AS b, sum(rows) AS r FROM system.parts WHERE active AND table = 'events' " \
    "AND database = currentDatabase()"  # fmt: skip
ROLES = ("supervisor", "worker", "flusher")


class Server:
    """A running daemon, and what it costs.

    Args:
        stage: of the scenario.
        daemon: ready.
        data: its data directory.

    Attributes:
        rows: in the store when last counted.
    """

    def __init__(self, stage: Stage, daemon: Daemon, data: Path) -> None:
        self._stage = stage
        self.daemon = daemon
        self.data = data
        self.pids = {role: daemon.pids(role) for role in ROLES}
        self.rows = daemon.rows()
        self._counts_bytes = not stage.options.store.startswith("null:")

    def warm_up(self, form: Format = SINGLE, bad: float = 0.0) -> None:
        """Traffic before the first measurement: caches, branches and code as in service."""
        self._stage.say("warming up")
        self.turn(form, self._stage.options.warm_up, bad=bad, warm_up=True)

    def turn(
        self, form: Format = SINGLE, seconds: float = 0.0, rate: float = 0.0, label: str = "", *, bad: float = 0.0,
        warm_up: bool = False, tick: Callable[[int, Loop], None] | None = None, sent: Callable[[], None] | None = None,
        more: Callable[[], Mapping[str, float]] = dict, points: Callable[[], Mapping[str, Series]] = dict,
    ) -> Turn:  # fmt: skip
        """Measure, and add it to the stage's turns.

        Args:
            form: of the requests.
            seconds: how long; 0: as the options say.
            rate: requests a second, due at fixed moments; 0: as fast as answers come.
            bad: share of requests that must be refused.
            tick: called ten times a second with the ns passed and the loop.
            sent: called when the last answer is there, before all is stored.
            more, points: asked at the end for further figures, and for lines.

        Raises:
            TargetFailed: nothing was accepted, or a process of the daemon ended in between.
            TrackflowError: the daemon does not answer.
        """
        stage = self._stage
        pool = stage.pools.get(form, bad)
        network = Network(self.daemon.target.address, _MOST_OPEN if rate else _MOST_CLOSED)
        requests = pool.ready(stage.pools.seed, stage.pools.fresh_run())
        loop = Loop(network, requests, time.perf_counter_ns, stage.options.connections, form.depth, rate / form.depth)
        gc.collect()
        gc.freeze()  # the pools are there to stay
        try:
            spent, tally = self._send(loop, seconds or stage.options.seconds, tick)
        finally:
            network.close()
        if not tally.accepted:
            failed = ", ".join(f"{count} × {why}" for why, count in tally.failed.items())
            raise TargetFailed(f"no event was accepted: answers {dict(tally.statuses)}, failed connections {failed}")
        figures = self._settle(tally, spent, sent)
        if rate:
            figures |= {"offered": rate, "late": tally.delay.percentile(0.99) / 1e6, "unsent": tally.unsent}
        rows = self.daemon.rows()
        turn = Turn(
            label, {**figures, **self._disk(), **more()}, tally.accepted, rows - self.rows, tally.unanswered_events,
            tally.latency, points(), warm_up,
        )  # fmt: skip
        self.rows = rows
        stage.turns.append(turn)
        return turn

    def _send(
        self, loop: Loop, seconds: float, tick: Callable[[int, Loop], None] | None
    ) -> tuple[dict[str, float], Tally]:
        """CPU seconds by role until the last answer, the flusher's not yet counted, and the tally."""
        progress = Progress(loop, seconds, 0)

        def both(passed: int) -> None:
            progress.tick(passed)
            if tick is not None:
                tick(passed, loop)

        before = self._cpu()
        began = time.thread_time()
        try:
            tally = loop.run(seconds, both)
        finally:
            progress.end()
        generator = time.thread_time() - began
        spent = {role: after - before[role] for role, after in self._cpu().items()}
        return {**spent, "flusher": -before["flusher"], "generator": generator}, tally

    def _settle(self, tally: Tally, spent: dict[str, float], sent: Callable[[], None] | None) -> dict[str, float]:
        """Wait until all is stored; the figures. The flusher's CPU counts until then, others' until the last answer.

        The supervisor would be charged with the waiting: it looks 50 times a second whether the flush is done.
        """
        if sent is not None:
            sent()
        began = time.monotonic()
        self.daemon.flush()
        settle = time.monotonic() - began
        spent["flusher"] += self._cpu()["flusher"]
        cost = {f"cpu_us.{role}": spent[role] / tally.accepted * 1e6 for role in (*ROLES, "generator")}
        cost["cpu_us.total"] = sum(cost[f"cpu_us.{role}"] for role in ROLES)
        took = tally.took_s or 1e-9
        return {
            "rate": tally.accepted / took,
            "requests": tally.answered / took,
            **percentiles(tally.latency),
            **cost,
            "core.generator": spent["generator"] / took * 100,
            **{f"rss_mb.{role}": value for role, value in rss_mb({**self.pids, "generator": [os.getpid()]}).items()},
            "settle": settle,
            "refused": sum(count for status, count in tally.statuses.items() if status >= 400),
        }

    def _disk(self) -> dict[str, float]:
        if not self._counts_bytes:
            return {}
        size, rows = map(int, self.daemon.query(_BYTES).split()[1].split(b","))
        return {"disk_bytes.store": size / rows} if rows else {}

    def _cpu(self) -> dict[str, float]:
        try:
            return cpu_by_role(self.pids)
        except OSError as error:
            raise TargetFailed("a process of the daemon ended during the measurement") from error


@contextmanager
def server(stage: Stage, sets: Mapping[str, str] | None = None, store: str = "", name: str = "") -> Iterator[Server]:
    """A daemon on the server's core; ended when the block is left, unless the lender keeps it.

    Args:
        sets: options over ``stage.options.sets``.
        store: its ``store.url``; "": as the options say.
        name: of its directory; "": a new one.

    Raises:
        TargetFailed: it does not start.
    """
    key = ("daemon", tuple(sorted((sets or {}).items())), store, name)
    with stage.lend(key, lambda: _daemon(stage, sets or {}, store, name)) as (daemon, data):
        yield Server(stage, daemon, data)


@contextmanager
def _daemon(stage: Stage, sets: Mapping[str, str], store: str, name: str) -> Iterator[tuple[Daemon, Path]]:
    """A daemon, and its data directory."""
    work = stage.work / name if name else Path(tempfile.mkdtemp(prefix="daemon-", dir=stage.work))
    work.mkdir(exist_ok=True)
    stage.say("starting a daemon")
    options = stage.options
    with on(SERVER_CORE):
        daemon = Daemon(work, options.workers, store or options.store, {**sets, **options.sets})
    try:
        yield daemon, work / "data"
        daemon.end()
    finally:
        daemon.kill()
