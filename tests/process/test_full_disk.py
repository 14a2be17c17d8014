"""A disk that is really full (a small tmpfs), wherever the daemon writes: clear words, no crash, all stored later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.full_disk import CANNOT
from tests.process.harness import ROOT

#: Seconds a story may take before its test fails.
PATIENCE = 240


@pytest.mark.parametrize("story", ["killed", "spool", "ring", "within"])
def test_a_full_disk_loses_nothing_and_is_got_over_without_help(tmp_path: Path, story: str) -> None:
    tell(story, tmp_path)


def test_a_build_that_believes_the_embedded_store_is_found_out(tmp_path: Path) -> None:
    tell("believed", tmp_path)


def tell(story: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.process.full_disk", story, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode == CANNOT:
        pytest.skip(f"this machine cannot mount a small disk: {done.stdout.strip()}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
