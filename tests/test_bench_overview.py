"""bench/overview on a small store: all ways of asking give one answer, and what is known is not read again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: As ``python -m bench overview``, with days so small that a daemon reads them whole; a filling of small batches.
RUN = (
    "import sys; from trackflowd.stats import pieces; from bench.overview import main;"
    " pieces.WORTH = 1; sys.exit(main())"
)
FILL = "import sys; from bench.scenarios import fill; fill.BATCH = 500; sys.exit(fill.main())"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_a_period_is_read_added_up_and_known(tmp_path: Path) -> None:
    fill = [sys.executable, "-c", FILL, str(tmp_path), "20000"]
    subprocess.run(fill, cwd=ROOT, check=True, timeout=120, capture_output=True)
    done = run(str(tmp_path), "--days", "7", "--repeat", "1", "--json")
    assert done.returncode == 0, done.stderr
    largest, every = json.loads(done.stdout)
    assert (largest["days"], every["days"], every["site"]) == (7, 7, "")
    assert 0 < largest["events"] < every["events"] < 20_000
    for line in (largest, every):
        assert (line["whole"]["questions"], line["again"]["questions"]) == (6, 2)
        assert line["again"]["questions"] < line["moved"]["questions"] < line["first"]["questions"]
    shown = run(str(tmp_path), "--days", "1", "--repeat", "1")
    assert largest["site"] in shown.stdout and "all sites" in shown.stdout


def test_what_makes_no_sense_is_said(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 2 and "bench.scenarios.fill" in done.stderr
    (tmp_path / "store").mkdir()
    done = run(str(tmp_path), "--days", "week")
    assert done.returncode == 2 and "--days week" in done.stderr
