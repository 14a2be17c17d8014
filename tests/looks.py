"""A look at a daemon that never was, for tests of its metrics; and what is done with their text."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from trackflowd.alerts import Alert, Figures
from trackflowd.counters import HISTOGRAMS, TABLES
from trackflowd.histogram import Tally
from trackflowd.metrics import Look
from trackflowd.ringview import RingFill
from trackflowd.webhook import Count

NOW_MS = 1_795_000_000_000
COUNTS = {counter.name: number for number, counter in enumerate(c for table in TABLES.values() for c in table)}
FIGURES = Figures(
    at_ms=NOW_MS,
    now=100.0,
    counts={**COUNTS, "oldest_pending_ms": NOW_MS - 1500, "open_since_ms": 0, "window_span_ms": 61_000},
    rings=[RingFill("0-a.ring", 0, "", 1000, 700, 200), RingFill("0-b.ring", 0, "", 1000, 9, 9)],
    store="in doubt",
    spool_used=10,
    spool_free=20,
    full_in_s=None,
    disk_free=5,
    disk_total=10,
    disk_days=2.0,
    quarantine_files=1,
    quarantine_rows=3,
    geo_built=NOW_MS // 1000 - 60,
)
PROCESSES: list[dict[str, Any]] = [
    {"role": "supervisor", "slot": 0, "state": "ready", "restarts": 0, "cpu_s": 1.5, "rss": 2**20, "fds": 9}
    | {"heartbeat_age_s": 0.0},
    {"role": "worker", "slot": 1, "state": "waiting", "restarts": 3, "cpu_s": None, "rss": None, "fds": None}
    | {"heartbeat_age_s": None},
]


def look(**figures: Any) -> Look:
    """The look, some of its figures changed."""
    return Look(
        figures=replace(FIGURES, **figures),
        refusals={"bad_json": 4},
        sites={"": 90, "shop.example": 10},
        histograms={one: Tally(one).words for table in HISTOGRAMS.values() for one in table},
        alerts=[Alert("store_away", "critical", NOW_MS, "text", "hint")],
        ready=False,
        started=NOW_MS / 1000 - 7,
        spool_limit=30,
        told=Count(1, 2, 3),
        unaudited=6,
        admin={"connections": 4, "requests": [{"route": "/v1/stats/{name}", "status": 200, "count": 5}], "refused": {}},
    )


def promtool(*words: str, text: bytes = b"") -> None:
    """Run Prometheus' own checker (apt package prometheus); skip where it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (apt package prometheus)")
    done = subprocess.run([program, *words], input=text, capture_output=True)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def names_in(text: str) -> set[str]:
    """Every name of a metric of ours that a text mentions."""
    return set(re.findall(r"\btrackflow_[a-z0-9_]+", text))
