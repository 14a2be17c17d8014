"""Arrays of 100 events, as a server that collects them sends them."""

from __future__ import annotations

from bench.scenarios.frame import Scenario, Stage
from bench.scenarios.server import server
from bench.traffic.wire import Format

EVENTS = 100


def measure(stage: Stage) -> None:
    """See the module's text."""
    form = Format("array", array=EVENTS)
    with server(stage) as one:
        one.warm_up(form)
        for _ in stage.repetitions():
            one.turn(form)


SCENARIO = Scenario(
    "arrays", f"arrays of {EVENTS} events, as fast as answers come", measure, parameters={"events_per_request": EVENTS}
)
