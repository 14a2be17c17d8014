"""bench.tracker: what of a trace is the script's, and that a load is measured at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.tracker import spent

ROOT = Path(__file__).parent.parent
ADDRESS = "https://s.example/t.js"


def run(name: str, url: str, micros: int, phase: str = "X") -> dict[str, Any]:
    return {"ph": phase, "name": name, "tdur": micros, "args": {"data": {"url": url}}}


def test_time_counts_that_the_trace_ascribes_to_the_script() -> None:
    trace = [
        run("EvaluateScript", ADDRESS, 4000),
        run("FunctionCall", ADDRESS, 500),
        run("FunctionCall", "https://s.example/app.js", 9000),
        run("v8.compile", ADDRESS, 1000),  # within the first run
        run("EvaluateScript", ADDRESS, 7000, phase="B"),
        {"ph": "X", "name": "FunctionCall", "tdur": 5, "args": {}},
    ]
    assert spent(trace, ADDRESS) == (4.0, 4.5)


@pytest.mark.skipif(
    not (shutil.which("chromium") or shutil.which("chromium-browser")),
    reason="chromium is missing: apt-get install chromium",
)
def test_a_load_is_measured() -> None:
    command = [sys.executable, "-m", "bench", "tracker", "--loads", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert 0 < figures["first_ms"] <= figures["all_ms"]
