"""The browser script: what is served belongs to the source, is small, and does what tracker/test says."""

from __future__ import annotations

import gzip
import runpy
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = runpy.run_path(str(ROOT / "tracker" / "build.py"))


def asset(name: str) -> str:
    return resources.files("trackflowd").joinpath("assets", name).read_text(encoding="utf-8")


def test_the_served_script_is_built_from_the_source() -> None:
    source = (ROOT / "tracker" / "t.js").read_text(encoding="utf-8")
    assert asset("t.js") == BUILD["served"](source), "run: python3 tracker/build.py"


def test_the_served_script_is_under_one_kilobyte_gzipped() -> None:
    assert len(gzip.compress(asset("t.js").encode(), 9, mtime=0)) < 1024


def test_the_build_drops_comments_and_indentation_and_nothing_else() -> None:
    built = BUILD["served"]('// head\nconst a = "//x"; \n\n  // why\n  b(`${a}`);\n')
    assert built.splitlines()[1:] == ['const a = "//x";', "b(`${a}`);"]


def test_the_script_passes_its_own_tests() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    files = sorted(str(path) for path in (ROOT / "tracker" / "test").glob("*.test.js"))
    ran = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_demo_page_loads_nothing_from_elsewhere() -> None:
    page = asset("demo.html")
    for mark in ('src="http', 'href="http', "url(http", "@import", "//cdn"):
        assert mark not in page
