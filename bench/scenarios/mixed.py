"""A day's mixture: single events, pixels and small arrays, bots, and requests that must be refused."""

from __future__ import annotations

from bench.scenarios.frame import Scenario, Stage
from bench.scenarios.openloop import at_shares
from bench.scenarios.server import server
from bench.traffic.wire import Format

#: Share of the requests that must be refused, and of the most that is offered.
BAD, SHARE = 0.01, 0.5


def measure(stage: Stage) -> None:
    """See the module's text."""
    with server(stage) as one:
        at_shares(stage, one, (SHARE,), Format("mixed"), BAD)


SCENARIO = Scenario(
    "mixed", "a day's mixture: 85 % single, 10 % pixel, 5 % arrays, bots, 1 % bad; at the most and at 50 % of it",
    measure, parameters={"bad": BAD, "shares": [SHARE]},
)  # fmt: skip
