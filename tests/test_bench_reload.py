"""bench reload: that it counts what it changed, and finds out what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import reload

ROOT = Path(__file__).parent.parent
GOOD: dict[str, Any] = {
    "seconds": 60.0, "rate": 5000.0, "connections": 64, "reloads": 50, "slowest_reload_s": 0.1,
    "workers": {1: 20, 3: 30}, "left": {}, "wrong": [], "requests": 10, "statuses": {200: 10}, "failed": {},
    "unanswered": 0, "unsent": 0, "acked": 10, "stored": 10, "p50_ms": 1.0, "p99_ms": 2.0,
}  # fmt: skip


def test_a_run_without_a_fault_says_so() -> None:
    assert reload.faults(GOOD) == []
    assert reload.lines(GOOD)[-1] == "nothing failed and nothing is lost"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"statuses": {200: 9, 503: 1}}, "1 answers with status 503"),
        ({"failed": {"closed by the server": 2}}, "2 connections failed: closed by the server"),
        ({"unanswered": 3}, "3 requests were not answered"),
        ({"stored": 9}, "10 events were answered and 9 are stored"),
        ({"stored": 11}, "10 events were answered and 11 are stored"),
        ({"wrong": ["no"]}, "a reload: no"),
        ({"reloads": 0}, "the run was too short for a reload: nothing was tried"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], words: str) -> None:
    found = {**GOOD, **change}
    assert reload.faults(found) == [words]
    assert reload.lines(found)[-2:] == [words, "1 things are wrong"]


def test_a_run_changes_the_number_of_workers_under_load(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    command = [sys.executable, "-m", "bench", "reload", "--seconds", "5", "--every", "0.5", "--rate", "200"]
    command += ["--store", "null:", "--connections", "8", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert found["acked"] == found["stored"] > 100
    assert found["reloads"] == sum(found["workers"].values()) > 1
    assert reload.faults({**found, "statuses": {int(key): n for key, n in found["statuses"].items()}}) == []


def test_there_must_be_something_to_change() -> None:
    with pytest.raises(SystemExit) as ended:
        reload.main(["--workers", "1"])
    assert ended.value.code == 2
