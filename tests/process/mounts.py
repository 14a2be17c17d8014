"""A file system of a daemon's own: mounted where only it and its children see it, gone when they are.

``Daemon(…, before=ext4(…))`` runs it in a mount namespace. The test looks into it by ``inside``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_SCRIPT = 'mkdir -p -m 700 "$1" && mount -o loop "$0" "$1" && shift && exec "$@"'


def ext4(at: Path, image: Path, size: int) -> Sequence[str]:
    """Words that run a command with an ext4 mounted there.

    Args:
        image: the file that holds it, made now.
        size: bytes; none of them are reserved for root.
    """
    with image.open("wb") as file:
        file.truncate(size)
    done = subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = ["unshare", "--mount", "sh", "-c", _SCRIPT, str(image), str(at)]
    done = subprocess.run([*words, "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine cannot mount a file in a namespace: {done.stderr.strip()}")
    return words


def inside(pid: int, path: Path) -> Path:
    """A path as a process in the namespace sees it."""
    return Path(f"/proc/{pid}/root{path}")


def fill(path: Path) -> None:
    """Take all the room there is, in a file."""
    with path.open("wb", buffering=0) as file:
        for step in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(bytes(step))
            except OSError:
                continue
