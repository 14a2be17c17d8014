"""System calls of a running process made to fail, or to kill it, by strace's ``inject``.

It strikes when the call begins, so the call is not made. strace counts for each thread and each name of a
call by itself, from when it came.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.process.harness import gone, until

#: Every call that renames a file.
RENAMES = "rename,renameat,renameat2"


def need_tracing() -> None:
    """Skip the test where nobody may be traced, before a process is started under strace."""
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine cannot trace processes: {done.stderr.strip()}")


@contextmanager
def injecting(pid: int, *what: str) -> Iterator[None]:
    """While it lasts, or the process does, what strace's ``-e inject`` is told to do is done to it.

    Args:
        pid: of the process.
        what: ``CALLS:error=NAME:when=N`` or ``CALLS:signal=KILL:when=N``.
    """
    calls = ",".join(one.partition(":")[0] for one in what)
    with tempfile.TemporaryDirectory() as directory:
        said = Path(directory, "said")
        command = ["strace", "-f", "-e", f"trace={calls}", "-o", f"{directory}/trace"]
        for one in what:
            command += ["-e", f"inject={one}"]
        with said.open("wb") as stderr:
            tracer = subprocess.Popen([*command, "-p", str(pid)], stderr=stderr)
        try:
            until(lambda: tracer.poll() is not None or b"attached" in said.read_bytes())
            if tracer.poll() is not None:
                pytest.skip(f"this machine cannot trace processes: {said.read_text().strip()}")
            yield
        finally:
            _end(tracer, pid)


def _end(tracer: subprocess.Popen[bytes], pid: int) -> None:
    """End strace, who ends by itself when there is nobody left to trace.

    Told to end just then, it waits for ever for a process that waits for it: that is what the kill is for.
    """
    if not gone(pid):
        tracer.terminate()
    try:
        tracer.wait(5)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.wait(60)
