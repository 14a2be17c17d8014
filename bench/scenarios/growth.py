"""What a full table costs: an empty store and a filled one, taking turns.

Two daemons run side by side, one at a time with traffic: A B, A B, …. The filled one's rows went in through the
sink (``fill``), not over HTTP. The ratio of each pair is what to compare.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from bench.scenarios import fill
from bench.scenarios.figures import Series, Turn
from bench.scenarios.frame import Scenario, Skipped, Stage
from bench.scenarios.processes import CORES, on
from bench.scenarios.server import Server, server
from bench.traffic.target import TargetFailed
from trackflowd.errors import TrackflowError

EMPTY, FILLED = "empty", "filled"
STATS = "stats.overview"
#: Seconds a statistic may take.
_STATS_WITHIN = 120.0
_ROOT = Path(__file__).parent.parent.parent


def measure(stage: Stage) -> None:
    """See the module's text."""
    if stage.options.store != "chdb:":
        raise Skipped('two stores of its own are needed, one of them filled: only --store "chdb:" has them')
    line = _fill(stage, stage.work / FILLED / "data")
    with server(stage, name=EMPTY) as empty, server(stage, name=FILLED) as filled:
        if filled.rows != stage.options.rows:
            raise TargetFailed(f"{stage.options.rows:,} rows were put in, and the store has {filled.rows:,}")
        empty.warm_up()
        filled.warm_up()
        for _ in stage.repetitions(f"a pair: empty, and with {filled.rows:,} rows"):
            pair = [_turn(stage, one, label) for one, label in ((empty, EMPTY), (filled, FILLED))]
            ratios = {
                f"ratio.{name}": pair[1].figures[name] / pair[0].figures[name]
                for name in ("cpu_us.flusher", "cpu_us.total", STATS)
                if all(name in turn.figures for turn in pair)
            }
            stage.turns.append(Turn("", ratios, points={"CPU of an insert while filling": line, **_lines(pair)}))


def _turn(stage: Stage, one: Server, label: str) -> Turn:
    def more() -> dict[str, float]:
        try:
            return {STATS: _overview_ms(one), "rows": float(one.rows)}
        except TrackflowError as error:  # a query has limits, and so many rows may be over one
            stage.say(f"stats overview: {error}")
            return {"rows": float(one.rows)}

    return one.turn(label=label, more=more)


def _lines(pair: list[Turn]) -> dict[str, Series]:
    """From the empty store to the filled one."""
    return {
        about: Series("rows", unit, [(turn.figures["rows"], turn.figures[name]) for turn in pair])
        for about, unit, name in (
            ("flusher, an event", "CPU µs", "cpu_us.flusher"), ("stats overview", "ms", STATS),
        )
        if all(name in turn.figures for turn in pair)
    }  # fmt: skip


def _overview_ms(one: Server) -> float:
    """How long ``trackflow stats overview`` of the time that was filled takes."""
    now_ms = time.time_ns() // 1_000_000
    began = time.perf_counter()
    one.daemon.call("stats", _STATS_WITHIN, **{"from": now_ms - fill.DAYS * 86_400_000, "to": now_ms})
    return (time.perf_counter() - began) * 1e3


def _fill(stage: Stage, data: Path) -> Series:
    """Fill the store of a data directory; CPU of the inserts on the way. Raises TargetFailed."""
    rows = stage.options.rows
    stage.say(f"putting {rows:,} rows into a store")
    data.mkdir(parents=True, mode=0o700)
    command = [sys.executable, "-m", "bench.scenarios.fill", str(data), str(rows)]
    points: list[tuple[float, float]] = []
    log = stage.work / "fill.log"
    with on(*CORES), log.open("wb") as errors:
        process = subprocess.Popen(
            command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    try:
        assert process.stdout is not None
        for text in process.stdout:
            said = json.loads(text)
            if points and said["rows"] == points[-1][0]:
                stage.say(f"merges rest; they took {said['cpu_us']:.2f} µs a row more")
                continue
            points.append((said["rows"], said["cpu_us"]))
            stage.say(f"{said['rows']:,} of {rows:,} rows are in")
        if process.wait() or not points:
            raise TargetFailed(f"the store could not be filled:\n{log.read_text(errors='replace').strip()[-2000:]}")
    finally:
        process.kill()
        process.communicate()
    return Series("rows", "CPU µs a row", points)


SCENARIO = Scenario(
    "growth",
    "an empty store and one of 10 million rows (--rows), taking turns: inserts and a statistic",
    measure,
    "filled : empty",
    parameters={"filled_days": fill.DAYS},
    by_default=False,
)
