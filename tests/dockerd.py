"""A Docker engine of a test's own: data, socket and containers in a temporary directory, nothing of it left after.

::

    with Dockerd() as engine:
        engine.client.images.list()
        engine.stop()      # with its containers
        engine.start()

It has no bridge and no rules in iptables: containers use the host's network or none. Images come from no registry:
``base`` makes the smallest Debian with a Python by debootstrap, once, kept in ``~/.cache/trackflow-tests``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
import psutil
import pytest

from tests.debian import mirror
from tests.process.harness import until

_CACHE = Path.home() / ".cache" / "trackflow-tests"
#: What the image of this name holds: a Python with venv, of the version that Debian 12 has.
BASE = "python:3.11-slim-bookworm"
_PACKAGES = "python3,python3-venv,ca-certificates"
_SUITE = "bookworm"
_SHM = Path("/dev/shm")
#: Bytes the images of a test and their making take at most, and as much again for everybody else.
_ROOM = 8 * 2**30
_CLEARED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man")


class Dockerd:
    """A running engine.

    Attributes:
        url: of its socket.
        client: of Docker's library.
    """

    def __init__(self) -> None:
        for program in ("dockerd", "containerd", "runc"):
            if shutil.which(program) is None:
                pytest.skip(f"no {program} here: apt-get install docker.io")
        if os.geteuid() != 0:
            pytest.skip("this machine cannot run dockerd: not root")
        # A short path: it holds a unix socket. In memory where there is enough: gigabytes are written and thrown away.
        roomy = _SHM.is_dir() and shutil.disk_usage(_SHM).free > _ROOM and psutil.virtual_memory().available > _ROOM
        self.home = Path(tempfile.mkdtemp(prefix="tfd", dir=_SHM if roomy else None))
        self.url = f"unix://{self.home}/sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["setpriv", "--pdeathsig", "TERM", "dockerd", "--host", self.url]
        command += [
            "--bridge",
            "none",
            "--iptables=false",
            "--data-root",
            f"{self.home}/data",
            "--exec-root",
            f"{self.home}/exec",
        ]
        command += ["--pidfile", f"{self.home}/pid", "--shutdown-timeout", "5"]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._up)
        self.client = docker.DockerClient(self.url, version="auto", timeout=300)

    def _up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            said = (self.home / "log").read_text(errors="replace").strip().splitlines()
            pytest.skip(f"this machine cannot run dockerd: {said[-1] if said else self._process.returncode}")
        with socket.socket(socket.AF_UNIX) as tried:
            return tried.connect_ex(f"{self.home}/sock") == 0

    def stop(self) -> None:
        """SIGTERM, which ends its containers too, and wait."""
        if self.client is not None:
            self.client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def base(self) -> str:
        """Load the image of Debian with a Python; its name. Skips where there is neither a copy nor a mirror."""
        with _base_tar().open("rb") as tar:
            self.client.api.import_image_from_data(tar, repository=BASE.partition(":")[0], tag=BASE.partition(":")[2])
        return BASE

    def close(self) -> None:
        """End it and remove what it kept."""
        self.stop()
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{self.home}/")]):
            subprocess.run(["umount", mount], check=True)  # an engine leaves some behind
        shutil.rmtree(self.home)

    def __enter__(self) -> Dockerd:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            error.add_note("--- end of dockerd's log\n" + (self.home / "log").read_text(errors="replace")[-3000:])
        self.close()


def _base_tar() -> Path:
    _CACHE.mkdir(parents=True, exist_ok=True)
    kept = _CACHE / f"{_SUITE}-python3.tar"
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests side by side make it once
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE) as work:
                _make(Path(work, "tree"))
                made = Path(work, "tar")
                subprocess.run(["tar", "-C", f"{work}/tree", "--numeric-owner", "-cf", made, "."], check=True)
                made.rename(kept)
    return kept


def _make(tree: Path) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(tree), *mirror()]
    if shutil.which(command[0]) is None:
        pytest.skip("no debootstrap here: apt-get install debootstrap")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine cannot make a Debian tree: {done.stdout.strip().splitlines()[-1]}")
    for name in _CLEARED:
        shutil.rmtree(tree / name, ignore_errors=True)
