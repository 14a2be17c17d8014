"""A machine of its own for a test: Debian 12 with systemd, by systemd-nspawn, on a network of its own.

::

    with Machine(tmp_path, binds={dist: "/mnt"}) as machine:     # boots; about 2 s
        machine.run("dpkg", "-i", "/mnt/trackflow.deb")           # as root inside; AssertionError unless it ends with 0
        machine.systemctl("restart", "trackflowd")
        machine.until_ready()
        status, answer = machine.post({"site": "s", "name": "pageview"})
        machine.trackflow("status", "--json")                     # text
        machine.journal("trackflowd")                             # lines of its log
        machine.on_its_network(sys.executable, "-m", "…")         # Popen of ours, on the machine's loopback

``installed(directory)`` is a booted machine with the package of this tree (``packages.deb``), started, and site "shop".

The tree of Debian's packages is made once by debootstrap, from the mirror this machine's apt uses, and kept in
``$XDG_CACHE_HOME/trackflow-tests`` (``~/.cache``); each machine has an overlay over it. Wants root, systemd-nspawn and
debootstrap (packages systemd-container, debootstrap): ``required()`` skips a test where they are missing. With CI=true
they have to be there, and only a kernel that refuses is a reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.debian import mirror
from tests.process.harness import PATIENCE, until
from tests.process.packages import LONG, alone, built, cache, deb

SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "ca-certificates", "curl", "procps", "iproute2"),
)
PATH = "PATH=/usr/local/bin:/usr/sbin:/usr/bin"
EVENTS = "http://127.0.0.1:8080/v1/events"


def required() -> None:
    """Skip the test where no machine can be had, with the reason."""
    missing = [name for name in ("systemd-nspawn", "debootstrap", "nsenter", "dpkg-deb") if shutil.which(name) is None]
    reason = "needs root" if os.geteuid() else f"no {', '.join(missing)} here" if missing else ""
    if not reason:
        # Apart from the rest, so that a kernel that refuses is told from a bug of ours.
        if _runs("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "true"):
            return
        pytest.skip("the kernel refuses namespaces")
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _runs(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def tree() -> Path:
    """The root of a Debian, made by the first who asks."""
    key = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:8]
    path = cache() / f"{SUITE}-{key}"
    with alone(path.name):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=cache()) as work:
                made = Path(work, "root")
                include = f"--include={','.join(PACKAGES)}"
                built("debootstrap", "--variant=minbase", include, SUITE, str(made), *mirror())
                for archive in (made / "var/cache/apt/archives").glob("*.deb"):
                    archive.unlink()
                made.rename(path)
    return path


class Machine:
    """A booted Debian.

    Args:
        directory: the test's own; overlay and console log lie in it.
        binds: directories of this machine → where they are seen inside, read-only.

    Attributes:
        root: its file system, seen from here.
        leader: process id, here, of its process 1.
    """

    def __init__(self, directory: Path, binds: Mapping[Path, str] | None = None) -> None:
        self.directory = directory
        self.binds = dict(binds or {})
        self.root = directory / "root"
        self.log_path = directory / "console.log"
        self.leader = 0
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._cgroups = directory / "cgroups"
        self._own = f"trackflow-{os.getpid()}-{os.urandom(4).hex()}"

    def __enter__(self) -> Machine:
        lower = tree()
        try:
            self._mount(lower)
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            log = self.try_run("journalctl", "--no-pager", "--lines", "60").stdout
            error.add_note(f"--- end of the machine's journal\n{log[-8000:]}")
        self._end()
        if error is None:
            # Gigabytes, with a few releases in it; pytest keeps a test's directory for three runs.
            shutil.rmtree(self.directory / "upper")

    # ----------------------------------------------------------------- life

    def _mount(self, lower: Path) -> None:
        for name in ("upper", "work", "root", "cgroups"):
            (self.directory / name).mkdir(parents=True)
        options = f"lowerdir={lower},upperdir={self.directory}/upper,workdir={self.directory}/work"
        if not _runs("mount", "-t", "overlay", "-o", options, "overlay", str(self.root)):
            # No overlay upon an overlay, say: then a copy.
            built("cp", "-a", "--reflink=auto", f"{lower}/.", str(self.root))
        built("mount", "-t", "cgroup2", "none", str(self._cgroups))

    def _boot(self) -> None:
        # A control group of its own: --keep-unit uses the caller's, and two machines in one would end each other.
        group = self._cgroups / self._own
        group.mkdir()
        join = ("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group))
        command = (
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--boot"),
            *("--console=pipe", "--machine", self._own[:60], "--directory", str(self.root)),
            *(f"--bind-ro={path}:{inside}" for path, inside in self.binds.items()),
        )
        with self.log_path.open("wb") as log:
            self._nspawn = subprocess.Popen(
                [*join, *command],
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._has_booted)

    def _has_booted(self) -> bool:
        assert self._nspawn is not None
        pid = self._nspawn.pid
        assert self._nspawn.poll() is None, self.log_path.read_text(errors="replace")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.leader = int(children[0]) if children else 0
        said = self.try_run("systemctl", "is-system-running").stdout.strip() if children else ""
        return said in ("running", "degraded")

    def _end(self) -> None:
        """Nothing of it runs or is mounted any more."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            if self.leader:
                os.kill(self.leader, signal.SIGKILL)  # and with it all in its namespace
            else:
                self._nspawn.kill()
            self._nspawn.wait(PATIENCE)
        group = self._cgroups / self._own
        if group.exists():
            until(lambda: self._rid(group))
        for path in (self._cgroups, self.root):
            if os.path.ismount(path):
                built("umount", "--recursive", str(path))

    @staticmethod
    def _rid(group: Path) -> bool:
        """Remove a control group and those in it; False while a process is in one of them still."""
        for path, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                return False
        return True

    # -------------------------------------------------------------- commands

    def _inside(self, words: Sequence[str]) -> list[str]:
        return ["nsenter", "--target", str(self.leader), "--all", "--", "env", "-i", PATH, *words]

    def try_run(self, *words: str, timeout: float = PATIENCE, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program inside, as root; what came of it."""
        return subprocess.run(
            self._inside(words), input=stdin, capture_output=True, text=True, check=False, timeout=timeout
        )

    def run(self, *words: str, timeout: float = LONG, stdin: str = "") -> str:
        """The same; its standard output. AssertionError with all it said unless it ends with 0."""
        done = self.try_run(*words, timeout=timeout, stdin=stdin)
        assert done.returncode == 0, f"{shlex.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def on_its_network(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program of this machine's, with this machine's files, whose loopback is the other's."""
        return subprocess.Popen(["nsenter", "--target", str(self.leader), "--net", "--", *words], **options)

    def systemctl(self, *words: str, timeout: float = LONG) -> str:
        return self.run("systemctl", *words, timeout=timeout).strip()

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--property", name, "--value", unit)

    def until_active(self, unit: str) -> None:
        """Return once a unit is active."""
        until(lambda: self.show(unit, "ActiveState") == "active")

    def pid(self, unit: str = "trackflowd.service") -> int:
        """Process id of a unit's main process, as it is seen inside."""
        return int(self.show(unit, "MainPID"))

    def journal(self, unit: str, *words: str) -> list[str]:
        """What a unit has logged."""
        return self.run("journalctl", "--no-pager", "--unit", unit, *words).splitlines()

    # ------------------------------------------------------------- TrackFlow

    def until_ready(self) -> None:
        """Return once the daemon delivers, with each of its processes, and all of them know the sites there are."""
        until(self._is_ready)

    def _is_ready(self) -> bool:
        done = self.try_run("trackflow", "status", "--json")
        if done.returncode != 0:
            return False
        status = json.loads(done.stdout)
        newest = status["sites"]["snapshot"]
        return bool(status["health"]["ready"]) and all(
            row["state"] == "ready" and row.get("snapshot", newest) == newest for row in status["processes"]
        )

    def register(self, site: str) -> None:
        """Make a site known; from then on every worker takes its events."""
        self.until_ready()
        self.trackflow("sites", "add", site)
        self.until_ready()

    def trackflow(self, *words: str) -> str:
        """What the operator's tool answers root."""
        return self.run("trackflow", *words)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query's answer."""
        return [json.loads(line) for line in self.trackflow("query", "--format", "json", sql).splitlines()]

    def post(self, events: object, url: str = EVENTS) -> tuple[int, dict[str, Any]]:
        """POST events; status and decoded answer. 0 where nobody answers."""
        done = self.try_run(
            *("curl", "-sS", "--max-time", str(int(PATIENCE)), "-w", "\n%{http_code}", "--data-binary", "@-", url),
            stdin=json.dumps(events),
        )
        body, _, code = done.stdout.rpartition("\n")
        return int(code or 0), json.loads(body) if body.strip() else {}


@contextmanager
def installed(directory: Path, binds: Mapping[Path, str] | None = None) -> Iterator[Machine]:
    """A booted machine with this tree's package, its daemon up, and the site "shop"."""
    package = deb()
    with Machine(directory, {package.parent: "/mnt", **(binds or {})}) as machine:
        machine.run("dpkg", "--install", f"/mnt/{package.name}")
        machine.register("shop")
        yield machine
