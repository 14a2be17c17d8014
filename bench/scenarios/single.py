"""Single events, as fast as answers come."""

from __future__ import annotations

from bench.scenarios.frame import Scenario, Stage
from bench.scenarios.server import server


def measure(stage: Stage) -> None:
    """See the module's text."""
    with server(stage) as one:
        one.warm_up()
        for _ in stage.repetitions():
            one.turn()


SCENARIO = Scenario("single", "single events, as fast as answers come", measure)
