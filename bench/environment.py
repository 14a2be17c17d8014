"""What a figure was measured on: the machine, the versions, the commit. Part of every document of the bench."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from trackflowd import __version__

_ROOT = Path(__file__).parent.parent
#: Libraries whose version a figure may hang on; what is not installed is left out.
_LIBRARIES = (
    "chdb-core", "clickhouse-connect", "httptools", "maxminddb", "msgpack", "msgspec", "psutil", "ua-parser",
    "ua-parser-rs", "urllib3", "uvloop",
)  # fmt: skip
#: Seconds git may take.
_GIT_WITHIN = 10.0


def describe() -> dict[str, Any]:
    """``machine``, ``versions`` and ``commit`` as a document has them.

    Returns:
        machine: ``cpu`` (model, "" if unknown), ``cores`` (this process may use), ``cores_all``, ``memory_bytes``,
            ``system``, ``kernel``, ``architecture``, ``load`` (averages of 1, 5 and 15 minutes, now);
            versions: by name, ``trackflowd`` and ``python`` and libraries;
            commit: of this checkout, with "+" behind it where files differ from it; None: this is no checkout.
    """
    return {"machine": machine(), "versions": versions(), "commit": commit()}


def machine() -> dict[str, Any]:
    """What it runs on, and how busy that is now."""
    return {
        "cpu": _cpu_model(_text("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)),
        "cores_all": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": _system(_text("/etc/os-release")),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Versions by name."""
    found = {"trackflowd": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit(root: Path = _ROOT) -> str | None:
    """The commit that is checked out in a directory, "+" behind it where files differ; None: it is no checkout."""
    top = _git(root, "rev-parse", "--show-toplevel")
    # Installed below somebody's repository, the commit found would be theirs.
    if top is None or Path(top).resolve() != root.resolve():
        return None
    if not (head := _git(root, "rev-parse", "HEAD")):
        return None
    return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *words: str) -> str | None:
    """What git says; None: it cannot."""
    environ: Mapping[str, str] = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=_GIT_WITHIN, env=environ
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _cpu_model(cpuinfo: str) -> str:
    """The model's name in /proc/cpuinfo; "": it says none (on arm64)."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return ""


def _system(release: str) -> str:
    """The system's name in /etc/os-release."""
    for line in release.splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip().strip('"')
    return platform.system()
