"""The Debian package of this tree, and of trees that differ from it, made once for all who ask.

``deb()`` is the package of this tree; ``deb_of(copy_of(directory, "0.2.0"))`` that of a later version. Wheels and
packages are kept in ``$XDG_CACHE_HOME/trackflow-tests`` (``~/.cache``).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: What a package is made from.
SOURCES = ("trackflowd", "bench", "systemd", "docs", "tools")
TOPS = (
    *("setup.cfg", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md"),
    "trackflowd.example.toml",
)
#: Seconds for what downloads or builds.
LONG = 600.0


def cache() -> Path:
    """Where trees, wheels and packages are kept from run to run."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackflow-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One process at a time makes the thing of that name."""
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built(*words: str, **env: str) -> None:
    done = subprocess.run(
        words, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=LONG, cwd=cache()
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def deb() -> Path:
    """The Debian package of this tree; made anew only where a file of it changed."""
    with alone("deb"):
        return _package(ROOT, cache() / "dist")


def deb_of(source: Path) -> Path:
    """The Debian package of another tree (``copy_of``); in its ``dist``."""
    return _package(source, source / "dist")


def built_wheels(source: Path, dist: Path | None = None) -> Path:
    """The wheels of a tree, in ``dist/wheels`` of it."""
    wheels = (dist or source / "dist") / "wheels"
    built(sys.executable, str(source / "tools" / "wheels"), str(wheels))
    return wheels


def _package(source: Path, dist: Path) -> Path:
    stamp, state = dist / "stamp", _state(source)
    if not (stamp.exists() and stamp.read_text() == state):
        for old in dist.glob("*.deb"):
            old.unlink()
        wheels = built_wheels(source, dist)
        built(str(source / "tools" / "deb"), WHEELS=str(wheels), DIST=str(dist), VERSION="")
        stamp.write_text(state)
    (found,) = dist.glob("*.deb")
    return found


def _state(source: Path) -> str:
    summed = hashlib.sha256()
    found = [path for name in SOURCES for path in sorted((source / name).rglob("*")) if "__pycache__" not in path.parts]
    for path in [*found, *(source / name for name in TOPS)]:
        if path.is_file():
            summed.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes())
    return summed.hexdigest()


def copy_of(directory: Path, version: str, edits: Mapping[str, tuple[str, str]] | None = None) -> Path:
    """A copy of this tree as another version.

    Args:
        directory: where to; made.
        version: its ``trackflowd.__version__``.
        edits: file → (text in it, what it becomes).
    """
    for name in SOURCES:
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in TOPS:
        shutil.copy(ROOT / name, directory / name)
    init = directory / "trackflowd" / "__init__.py"
    init.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', init.read_text()))
    for name, (old, new) in (edits or {}).items():
        text = (directory / name).read_text()
        assert old in text, f"{name} does not hold {old!r}"
        (directory / name).write_text(text.replace(old, new))
    # The others' wheels are the same files.
    wheels = directory / "dist" / "wheels"
    wheels.mkdir(parents=True)
    for path in deb().parent.joinpath("wheels").glob("*.whl"):
        if not path.name.startswith("trackflowd-"):
            os.link(path, wheels / path.name) if _same_disk(path, wheels) else shutil.copy(path, wheels)
    return directory


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev
