"""Single events, each answered once the disk has it."""

from __future__ import annotations

from bench.scenarios.frame import Scenario, Stage
from bench.scenarios.openloop import at_shares
from bench.scenarios.server import server

SHARE = 0.5
SETS = {"ring.durability": "disk"}


def measure(stage: Stage) -> None:
    """See the module's text."""
    with server(stage, SETS) as one:
        at_shares(stage, one, (SHARE,))


SCENARIO = Scenario(
    "disk",
    'single events with ring.durability = "disk": at the most, and at 50 % of it',
    measure,
    parameters={"sets": SETS, "shares": [SHARE]},
)
