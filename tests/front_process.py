"""Starts ``clickhouse_front`` as a process of its own and orders faults from it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent


class FrontProcess:
    """A running front.

    Args:
        data: directory of its engine, not used by another process.
        version: what it says its version is; "" for the engine's own.
        password: of its user ``default``; "" for none.
        port: that clients see; 0 for any free one.
    """

    def __init__(self, data: Path, version: str = "", password: str = "", port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.clickhouse_front", "--data", str(data), "--port", str(port)]
        command += ["--version", version, "--password", password]
        self._process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the front did not start"
        ports = json.loads(line)
        self.pid = self._process.pid
        self.port: int = ports["port"]
        self._admin: int = ports["admin"]
        self.url = f"clickhouse://default:{password}@127.0.0.1:{self.port}/trackflow"

    def fault(self, kind: str, **args: Any) -> None:
        """Order a fault; args as ``front_engine.Fault`` has them."""
        self._ask("POST", "/fault", {"kind": kind, **args})

    def order(self, what: str) -> None:
        """One of clear, refuse, accept, release."""
        self._ask("POST", f"/{what}")

    def log(self) -> list[dict[str, Any]]:
        """The inserts that were run: query, format, blocks, rows, bytes, settings, transport, chunked."""
        found: list[dict[str, Any]] = self._ask("GET", "/log")
        return found

    def running(self) -> list[str]:
        """Ids of running queries."""
        found: list[str] = self._ask("GET", "/running")
        return found

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> FrontProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def _ask(self, method: str, path: str, value: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=30)
        try:
            connection.request(method, path, json.dumps(value))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()
