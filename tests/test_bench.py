"""The bench runs, and counts what it sent. Its figures are for people; nothing here looks at them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing: apt-get install wrk")
@pytest.mark.skipif(
    not shutil.which("nginx", path="/usr/sbin:/usr/bin"), reason="nginx is missing: apt-get install nginx"
)
def test_every_request_answered_is_stored_and_stdout_is_one_document() -> None:
    command = [sys.executable, "-m", "bench", "cost", "--pairs", "1", "--seconds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["answered"] == figures["stored"] > 0
    assert figures["worker_us"] > 0 and figures["nginx_us"] > 0


@pytest.mark.parametrize("words", [["--help"], ["cost", "--help"]])
@pytest.mark.parametrize("buffered", [True, False])
def test_help_may_be_read_in_part(words: list[str], buffered: bool) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    read, write = os.pipe()
    os.close(read)  # as `| head` leaves it
    command = [sys.executable, "-m", "bench", *words]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_program_is_named_with_what_to_type() -> None:
    command = [sys.executable, "-m", "bench", "cost"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": "/nowhere"}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "apt-get install wrk" in done.stderr
