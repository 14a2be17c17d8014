"""Nothing to do: what the processes take all the same."""

from __future__ import annotations

import time

from bench.scenarios.figures import Turn
from bench.scenarios.frame import Scenario, Stage
from bench.scenarios.processes import cpu_by_role, rss_mb
from bench.scenarios.server import server


def measure(stage: Stage) -> None:
    """See the module's text."""
    with server(stage) as one:
        stage.say("letting it come to rest")
        time.sleep(stage.options.warm_up)
        for _ in stage.repetitions():
            began, before = time.monotonic(), cpu_by_role(one.pids)
            time.sleep(stage.options.seconds)
            took, after = time.monotonic() - began, cpu_by_role(one.pids)
            shares = {f"idle.{role}": (after[role] - before[role]) / took * 100 for role in after}
            shares["idle.total"] = sum(shares.values())
            memory = {f"rss_mb.{role}": value for role, value in rss_mb(one.pids).items()}
            stage.turns.append(Turn("", {**shares, **memory}))


SCENARIO = Scenario("idle", "nothing to do: share of a core, and memory, of each process", measure, "nothing to do")
