"""Single events at a quarter, half and three quarters of what was found to be the most."""

from __future__ import annotations

import statistics

from bench.scenarios.frame import Scenario, Stage
from bench.scenarios.server import SINGLE, Server, server
from bench.traffic.wire import Format

SHARES = (0.25, 0.5, 0.75)


def at_shares(stage: Stage, one: Server, shares: tuple[float, ...], form: Format = SINGLE, bad: float = 0.0) -> None:
    """Find the most requests a second, then offer shares of it, taking turns; latency is from the due time."""
    one.warm_up(form, bad)
    found = [one.turn(form, bad=bad).figures["requests"] for _ in stage.repetitions("as fast as answers come")]
    most = statistics.median(found)
    for _ in stage.repetitions(f"shares of {most:,.0f} requests a second"):
        for share in shares:
            one.turn(form, rate=most * share, label=f"{share:.0%}", bad=bad)


def measure(stage: Stage) -> None:
    """See the module's text."""
    with server(stage) as one:
        at_shares(stage, one, SHARES)


SCENARIO = Scenario(
    "open",
    "single events at 25, 50 and 75 % of the most, latency from when each was due",
    measure,
    parameters={"shares": SHARES},
)
