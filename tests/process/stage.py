"""A daemon, a store behind a ClickHouse server's face, and the wire between them: for tests of the store's faults.

One stage serves the tests of a module: a daemon and a front take four seconds to start. Each test sends events with
the next numbers, and all that was ever sent on the stage is judged at its end.
"""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from tests.front_process import FrontProcess
from tests.process.harness import PATIENCE, Daemon
from tests.process.judge import flush, judge
from tests.process.sender import event_of
from tests.tcp_proxy import TcpProxy


class Stage:
    """The three of them.

    Args:
        directory: the module's own.
        sets: options of the daemon.

    Attributes:
        sent: events sent so far, numbered from 0.
        answered: numbers of those answered 200.
    """

    def __init__(self, directory: Path, *sets: str) -> None:
        self.front = FrontProcess(directory / "front")
        self.wire = TcpProxy(self.front.port)
        url = f"store.url=clickhouse://default:@127.0.0.1:{self.wire.port}/trackflow"
        self.daemon = Daemon(directory, url, *sets)
        self.sent = 0
        self.answered: set[int] = set()
        self._owed: list[range] = []
        self._attempt = 0

    def __enter__(self) -> Stage:
        self.daemon.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.daemon.end()
        self.wire.refuse()
        self.front.kill()

    def send(self, count: int, array: int = 20) -> list[int]:
        """Send fresh events, each array on a connection of its own; the answers' statuses."""
        end = self.sent + count
        arrays = [range(n, min(n + array, end)) for n in range(self.sent, end, array)]
        self.sent = end
        return [self._post(each, 0)[0] for each in arrays]

    def send_until_full(self, array: int = 20) -> dict[str, str]:
        """Send fresh events until an answer is 503; its headers (lower case)."""
        while True:
            numbers = range(self.sent, self.sent + array)
            self.sent = numbers.stop
            status, headers = self._post(numbers, 0)
            if status == 503:
                return headers

    def _post(self, numbers: range, attempt: int) -> tuple[int, dict[str, str]]:
        host, _, port = self.daemon.http.removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        try:
            connection.request("POST", "/v1/events", json.dumps([event_of(n, attempt) for n in numbers]))
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status == 200:
            self.answered.update(numbers)
        else:
            assert answer.status == 503, answer.status
            self._owed.append(numbers)
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def assert_kept(self) -> None:
        """Send again what was answered 503, until it is taken; then everything is there once, and well again."""
        deadline = time.monotonic() + PATIENCE
        while self._owed:
            assert time.monotonic() < deadline, "answered 503 for ever"
            owed, self._owed = self._owed, []
            self._attempt += 1
            for numbers in owed:
                self._post(numbers, self._attempt)
            flush(self.daemon)
        flush(self.daemon)
        assert self.answered == set(range(self.sent))
        verdict = judge(self.daemon, self.sent, self.answered)
        assert verdict.kept, verdict
        status = self.daemon.await_status(lambda status: status["health"]["ready"])
        assert status["totals"]["spool_segments"] == status["batches"]["open"] == 0

    def sql(self, statement: str) -> str:
        """Run a statement in the store, past wire and daemon; its answer."""
        return ask(self.front.port, statement)


def ask(port: int, statement: str) -> str:
    """Run a statement on a server; its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", f"/?database=trackflow&query={quote(statement)}", b"")
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == 200, text
    return text


def inserts(front: FrontProcess) -> list[dict[str, Any]]:
    """The daemon's inserts that the store has run, in their order: ``token`` and ``rows``."""
    return [
        {"token": one["settings"]["insert_deduplication_token"], "rows": one["rows"]}
        for one in front.log()
        if "insert_deduplication_token" in one["settings"]
    ]
