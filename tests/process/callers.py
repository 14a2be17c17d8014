"""A program that sends events one by one, each on a connection of its own, and says what became of them.

::

    python -m tests.process.callers PORT SITE FILE

An event that was answered 200 is a line of FILE, its id, at once. One whose connection was refused or lost is sent
again under its id, marked by ``attempt``. It ends with its standard input, after the answers it is owed, and prints a
JSON object: ``refused`` and ``lost`` connections, and answers other than 200 (``wrong``).
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

#: At one time: with one, a connection is seldom between two daemons.
CALLERS = 4


class Calls:
    """What all of them share."""

    def __init__(self, port: int, site: str, file: Path) -> None:
        self.port, self.site = port, site
        self.over = threading.Event()
        self.found: dict[str, Any] = {"refused": 0, "lost": 0, "wrong": []}
        self._file = file.open("a", buffering=1)
        self._lock = threading.Lock()

    def run(self) -> None:
        """Send until it is over."""
        while not self.over.is_set():
            event = {"site": self.site, "name": "call", "id": str(uuid.uuid4())}
            attempt = 0
            while not self._sent({**event, **({"attempt": attempt} if attempt else {})}):
                attempt += 1
                self.over.wait(0.01)

    def _sent(self, event: dict[str, Any]) -> bool:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            link.request("POST", "/v1/events", json.dumps(event))
            answer = link.getresponse()
            status, body = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                self.found["refused" if isinstance(error, ConnectionRefusedError) else "lost"] += 1
            return False
        finally:
            link.close()
        with self._lock:
            if status == 200:
                self._file.write(f"{event['id']}\n")
            else:
                self.found["wrong"].append(f"{status} {body.decode(errors='replace')[:200]}")
        return True


def main(port: str, site: str, file: str) -> None:
    """Send while somebody holds our standard input open."""
    calls = Calls(int(port), site, Path(file))
    threads = [threading.Thread(target=calls.run) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    calls.over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(calls.found))


if __name__ == "__main__":
    main(*sys.argv[1:])
