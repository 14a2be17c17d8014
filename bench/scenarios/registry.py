"""The scenarios by name, in the order they run."""

from __future__ import annotations

from collections.abc import Mapping

from bench.scenarios import arrays, away, disk, growth, idle, idle_connections, mixed, openloop, pixel, single, slow
from bench.scenarios.frame import Scenario

SCENARIOS: Mapping[str, Scenario] = {
    one.SCENARIO.name: one.SCENARIO
    for one in (single, openloop, arrays, pixel, mixed, disk, slow, away, idle_connections, idle, growth)
}
