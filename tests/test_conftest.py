"""conftest: a test that is skipped for want of something installable fails in CI, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


def outcome(directory: Path, body: str, ci: str) -> str:
    """Closing line of pytest over one file that holds body."""
    (directory / "conftest.py").write_text(CONFTEST.read_text())
    (directory / "test_it.py").write_text("import pytest\n" + body)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(directory),
        str(directory),
    ]
    done = subprocess.run(command, env=os.environ | {"CI": ci}, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1]


IN_A_TEST = "def test_it(): pytest.skip('chromium is missing')\n"
IN_A_MARK = "@pytest.mark.skipif(True, reason='chromium is missing')\ndef test_it(): pass\n"
IN_A_MODULE = "pytest.importorskip('no_such_module')\ndef test_it(): pass\n"


@pytest.mark.parametrize("body", [IN_A_TEST, IN_A_MARK, IN_A_MODULE])
def test_a_skip_fails_in_ci_only(tmp_path: Path, body: str) -> None:
    assert "1 skipped" in outcome(tmp_path, body, "")
    line = outcome(tmp_path, body, "true")
    assert "skipped" not in line
    assert "1 failed" in line or "1 error" in line


def test_what_the_machine_cannot_do_is_let_through_and_so_is_an_expected_failure(tmp_path: Path) -> None:
    body = "def test_it(): pytest.skip('this machine cannot make btrfs')\n"
    assert "1 skipped" in outcome(tmp_path, body, "true")
    body = "@pytest.mark.xfail\ndef test_it(): assert False\n"
    assert "1 xfailed" in outcome(tmp_path, body, "true")
