"""The store goes away for a third of the time and comes back, while traffic flows."""

from __future__ import annotations

from bench.faults.proxy import Mode
from bench.scenarios.frame import FIXED_RATE, Scenario, Stage
from bench.scenarios.spoiled import SETS, Spoiler, SpoolWatch, spoiled
from bench.traffic.loop import Loop

#: Of the time: when it goes, and when it is back.
GOES, BACK = 1 / 3, 2 / 3


class Outage:
    """Cuts the store off for the middle third of a measurement.

    Args:
        spoiler: does it.
        seconds: the measurement takes.
        watch: looks at the spool meanwhile.
    """

    def __init__(self, spoiler: Spoiler, seconds: float, watch: SpoolWatch) -> None:
        self._spoiler = spoiler
        self._goes, self._back = seconds * 1e9 * GOES, seconds * 1e9 * BACK
        self._watch = watch
        self._away = False

    def tick(self, passed: int, loop: Loop) -> None:
        """To be called often, with the ns that have passed."""
        self._watch.tick(passed, loop)
        if (due := self._goes <= passed < self._back) != self._away:
            self._spoiler.set(Mode("refuse") if due else None)
            self._away = due

    def end(self) -> None:
        """It is back, whatever the time."""
        if self._away:
            self._spoiler.set(None)
            self._away = False


def measure(stage: Stage) -> None:
    """See the module's text."""
    with spoiled(stage) as (one, spoiler):
        one.warm_up()
        for _ in stage.repetitions(f"{FIXED_RATE:,.0f} requests a second, the store away and back"):
            watch = SpoolWatch(one.data / "spool")
            outage = Outage(spoiler, stage.options.seconds, watch)
            one.turn(rate=FIXED_RATE, tick=outage.tick, sent=outage.end, more=watch.figures, points=watch.points)


SCENARIO = Scenario(
    "away",
    "single events at a fixed rate; the store is away for the middle third of the time",
    measure,
    "store away and back",
    parameters={"rate": FIXED_RATE, "goes": round(GOES, 3), "back": round(BACK, 3), "sets": SETS},
)
