"""The browser script: what is served belongs to the source, and does what tracker/test says."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from trackflowd.enrich import url

ROOT = Path(__file__).resolve().parent.parent
TRACKER = ROOT / "tracker"
BUILT = ("t.js", "t.extras.js", "t.min.js")


def asset(name: str) -> str:
    return resources.files("trackflowd").joinpath("assets", name).read_text(encoding="utf-8")


def node() -> str:
    """The program that runs JavaScript outside of browsers."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs npm)")
    return found


def run(*words: str) -> None:
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_is_built_belongs_to_its_source(tmp_path: Path) -> None:
    program = node()
    if not (TRACKER / "node_modules" / "esbuild").exists():
        pytest.skip("the build's packages are not installed: npm ci --prefix tracker")
    run(program, str(TRACKER / "build.js"), str(tmp_path))
    for name in BUILT:
        assert (TRACKER / "dist" / name).read_bytes() == (tmp_path / name).read_bytes(), "run: make tracker"


@pytest.mark.parametrize("name", BUILT)
def test_the_daemon_serves_what_is_built(name: str) -> None:
    assert asset(name) == (TRACKER / "dist" / name).read_text(encoding="utf-8"), "run: make tracker"


def test_the_script_passes_its_own_tests() -> None:
    run(node(), "--test", *(str(path) for path in sorted((TRACKER / "test").glob("*.test.js"))))


def test_the_script_sends_the_parameters_the_server_reads_and_no_others() -> None:
    found = re.search(r"CAMPAIGN =\s*/(.*)/i;", (TRACKER / "src" / "address.js").read_text())
    assert found is not None
    sent = re.compile(found[1], re.I)
    for name in (*url.UTM, *url.CLICK_IDS):
        assert sent.match(f"{name}="), name
        for other in (f"x{name}=", f"{name}x=", name[:-1] + "="):
            known = other.rstrip("=") in {*url.UTM, *url.CLICK_IDS}
            assert bool(sent.match(other)) is known, other


def options_of_the_source() -> dict[str, str]:
    """Every data- option the code asks for, and its default."""
    found: dict[str, str] = {}
    for path in sorted((TRACKER / "src").glob("*.js")):
        if path.name == "options.js":
            text = path.read_text().replace("export const", "")
        else:
            text = path.read_text()
        for kind, name, _, preset in re.findall(r'\b(option|on|words)\(\s*"(\w+)"(,\s*"([^"]*)")?', text):
            found[name] = preset or ("on" if kind == "on" else "")
    return found


def test_the_documentation_lists_every_option_with_its_default() -> None:
    text = (ROOT / "docs" / "tracker.md").read_text()
    cells = re.findall(r"^\| `data-(\w+)` \|(?: `([^`]*)`)?", text, re.M)
    rows = {name: preset.replace("\\|", "|") for name, preset in cells}
    facts = {"title", "screen", "viewport", "lang", "tz", "referrer"}
    assert {name: preset for name, preset in rows.items() if name not in facts} == options_of_the_source()
    assert {rows[name] for name in facts} == {"on"}


def test_the_demo_page_loads_nothing_from_elsewhere() -> None:
    page = asset("demo.html")
    for mark in ('src="http', 'href="http', "url(http", "@import", "//cdn"):
        assert mark not in page
