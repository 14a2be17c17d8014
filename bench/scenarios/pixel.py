"""Events as a picture's parameters: what a page without scripts sends."""

from __future__ import annotations

from bench.scenarios.frame import Scenario, Stage
from bench.scenarios.server import server
from bench.traffic.wire import Format


def measure(stage: Stage) -> None:
    """See the module's text."""
    form = Format("pixel")
    with server(stage) as one:
        one.warm_up(form)
        for _ in stage.repetitions():
            one.turn(form)


SCENARIO = Scenario("pixel", "pixels, as fast as answers come", measure)
