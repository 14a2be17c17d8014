"""The files around the code: metadata, lock, licence, verbs, documents; each held to the others."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import trackflowd

ROOT = Path(__file__).parent.parent
TEXTS = ("*.md", "*.py", "*.toml", "*.cfg", "*.lock", "*.sql", "*.js", "*.html", "*.service", "Makefile", "NOTICE")
TREES = ("trackflowd", "tests", "tracker", "docs", "tools", ".ci", "systemd", "bench")


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements(text: str) -> set[str]:
    """Names in a list of requirements, as the index writes them."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return {re.split(r"[ \[<>=]", line)[0].lower().replace("_", "-") for line in lines}


def locked() -> dict[str, str]:
    """Name → its lines in requirements.lock."""
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.findall(r"^([a-z0-9.-]+)==(.*?)(?=^[a-z0-9.-]+==|\Z)", text, re.M | re.S)
    return dict(blocks)


def files() -> list[Path]:
    """Every text of the project."""
    tops = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".venv.lock"]
    return tops + [
        path for tree in TREES for pattern in ("*",) for path in (ROOT / tree).rglob(pattern) if path.is_file()
    ]


@pytest.mark.parametrize("extra", ["", "embedded", "postgres", "docker", "test", "dev"])
def test_the_lock_holds_what_setup_cfg_asks_for(extra: str) -> None:
    cfg = setup()
    asked = cfg["options.extras_require"][extra] if extra else cfg["options"]["install_requires"]
    assert requirements(asked) - locked().keys() == set()


def test_every_locked_package_has_hashes() -> None:
    assert len(locked()) > 20
    assert [name for name, block in locked().items() if "--hash=sha256:" not in block] == []


def test_pyproject_holds_the_build_system_and_ruff_only() -> None:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(tables) == {"build-system", "tool"}
    assert set(tables["tool"]) == {"ruff"}


def test_every_file_the_package_reads_is_packed() -> None:
    packed = {pattern.strip() for pattern in setup()["options.package_data"]["trackflowd"].split(",")}
    found = {path.suffix for path in (ROOT / "trackflowd").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {f"**/*{suffix}" for suffix in found - {".py", ".typed"}} == packed - {"py.typed"}


def test_the_commands_are_functions() -> None:
    scripts = setup()["options.entry_points"]["console_scripts"]
    for line in scripts.strip().splitlines():
        module, _, function = line.partition("=")[2].strip().partition(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_the_changelog_knows_this_version_or_has_it_to_come() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {trackflowd.__version__}" in text


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "IP Geolocation by DB-IP" in (ROOT / "NOTICE").read_text()


def test_no_text_names_a_package_registry_or_somebodys_home() -> None:
    hosts = [
        ".".join(parts)
        for parts in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org"), ("npmjs", "com"))
    ]
    wrong = [*hosts, "/".join(["", "root", ""]), "/".join(["", "work", ""]), "/".join(["", "opt", "wheels"])]
    for path in files():
        if not {"__pycache__", "node_modules"} & set(path.parts) and path.suffix not in (
            ".br",
            ".mmdb",
            ".gif",
            ".png",
        ):
            text = path.read_text("utf-8", "replace" if "golden" in path.parts else "strict")
            assert [name for name in wrong if name in text] == [], path


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_files_the_documents_name_exist() -> None:
    for page in [ROOT / "README.md", ROOT / "docs" / "architecture.md"]:
        for name in re.findall(r"`((?:trackflowd|tests|docs|tools|tracker)/[\w./-]+\.\w+)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_every_document_is_reached_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in text] == []


def test_make_alone_lists_every_verb() -> None:
    text = (ROOT / "Makefile").read_text()
    verbs = re.search(r"^\.PHONY: (.*)$", text, re.M)
    assert verbs is not None
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert re.findall(r"^  make ([\w-]+)", done.stdout, re.M) == verbs[1].split()
