"""The store takes less than comes: what waits goes to the spool, and lands when the store is quick again."""

from __future__ import annotations

from bench.faults.proxy import Mode
from bench.scenarios.frame import FIXED_RATE, Scenario, Stage
from bench.scenarios.spoiled import SETS, SpoolWatch, spoiled

#: Bytes a second that pass between daemon and store.
PACE = 64 * 1024


def measure(stage: Stage) -> None:
    """See the module's text."""
    with spoiled(stage) as (one, spoiler):
        one.warm_up()
        for _ in stage.repetitions(f"{FIXED_RATE:,.0f} requests a second, the store slow"):
            watch = SpoolWatch(one.data / "spool")
            spoiler.set(Mode("slow", size=PACE))
            one.turn(
                rate=FIXED_RATE, tick=watch.tick, sent=lambda: spoiler.set(None), more=watch.figures,
                points=watch.points,
            )  # fmt: skip


SCENARIO = Scenario(
    "slow", "single events at a fixed rate; the store takes 64 KiB a second until the last answer, then catches up",
    measure, "store slow", parameters={"rate": FIXED_RATE, "store_bytes_s": PACE, "sets": SETS},
)  # fmt: skip
