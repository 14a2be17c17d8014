"""The last lines the processes have logged, for ``trackflow log`` and the console.

Every process writes its lines to standard error as ever, and hands each on through one socket made here
(``log.hand_on``): a datagram a line, sent without waiting, so that nobody who logs ever waits for the supervisor. What
does not fit is left out, counted, and told with the next line; standard error has all of them. What a process
writes without logging it (a crash of the interpreter, say) is there only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections import deque

from trackflowd import log as logs
from trackflowd.outlet import Begin, Close, Event, Outlet
from trackflowd.proto.control import BadRequest
from trackflowd.tail import Watcher

#: Lines that are kept.
KEPT = 2000
#: Bytes that may wait in the socket: some thousand lines, while the supervisor is busy with something else.
WAITING = 2**20
#: Datagrams taken in one turn of the loop.
AT_ONCE = 200


class LogBook:
    """The lines, and who watches them.

    Args:
        process: name of this process in its own lines.
    """

    def __init__(self, process: str) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)
        self._theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WAITING)
        self._handler = logs.hand_on(self._theirs.fileno(), process)
        self._lines: deque[Event] = deque(maxlen=KEPT)
        self._watchers: set[Watcher] = set()

    @property
    def fd(self) -> int:
        """Descriptor a child hands its lines on to."""
        return self._theirs.fileno()

    def start(self) -> None:
        """Begin to take lines in; the event loop runs."""
        asyncio.get_running_loop().add_reader(self._ours.fileno(), self.take)

    def take(self) -> None:
        """Take in what waits."""
        for _ in range(AT_ONCE):
            try:
                raw = self._ours.recv(logs.MAX_DATAGRAM)
            except BlockingIOError:
                return
            at_ms, level, process, text, left_out = json.loads(raw)
            if left_out:
                note = f"{left_out} lines before this one are on standard error only"
                self._add({"at_ms": at_ms, "level": "warning", "process": process, "text": note})
            self._add({"at_ms": at_ms, "level": level, "process": process, "text": text})

    def _add(self, line: Event) -> None:
        self._lines.append(line)
        for watcher in self._watchers:
            watcher.offer(line)

    def watch(self, lines: float, follow: bool) -> Begin:
        """The command ``log``: see ``outlet``.

        Raises:
            BadRequest: a number of lines there cannot be.
        """
        if not 0 <= lines <= KEPT:
            raise BadRequest("bad_arguments", f"log: lines must be 0 to {KEPT}")

        def begin(outlet: Outlet) -> Close:
            watcher = Watcher("", "", outlet.send)
            for line in list(self._lines)[max(len(self._lines) - int(lines), 0) :]:
                watcher.offer(line)
            if not follow:
                outlet.end()
                return lambda: None
            self._watchers.add(watcher)
            return lambda: self._watchers.discard(watcher)

        return begin

    def close(self) -> None:
        """Take no more lines; children must have ended."""
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()
        try:
            asyncio.get_running_loop().remove_reader(self._ours.fileno())
        except RuntimeError:
            pass  # it was never started
        self._ours.close()
        self._theirs.close()
