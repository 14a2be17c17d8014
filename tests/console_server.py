"""A control socket with prepared answers that serves many clients at a time, as the console needs it."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from trackflowd.proto.control import Decoder, encode, failed, hello, ok

#: Seconds any single step may take.
PATIENCE = 20.0


class Server:
    """A control socket for many clients; streams give their events and then stay open.

    Args:
        path: of the socket.
        answers: value by command; a (code, text, hint) is an error.
        streams: events by command.
    """

    def __init__(self, path: Path, answers: Mapping[str, Any], streams: Mapping[str, list[Any]]) -> None:
        self.answers, self.streams = answers, streams
        self.asked: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._connections: list[socket.socket] = []
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        self._listener.close()
        self._path.unlink()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        decoder, last = Decoder(), ""
        with connection, suppress(OSError):
            connection.sendall(encode(hello("9.9.9")))
            while raw := connection.recv(65536):
                for message in decoder.feed(raw):
                    if "name" in message:
                        last = message["name"]
                        self.asked.put((last, message["args"]))
                        connection.sendall(self._answer(message))
        self.ended.put(last)

    def _answer(self, message: Mapping[str, Any]) -> bytes:
        number, name = message["id"], message["name"]
        if name in self.streams:
            events = [encode({"id": number, "event": event}) for event in self.streams[name]]
            return b"".join([encode(ok(number, None)), *events])
        value = self.answers.get(name, ("unknown_command", f"there is no command {name!r}", ""))
        return encode(failed(number, *value) if isinstance(value, tuple) else ok(number, value))
