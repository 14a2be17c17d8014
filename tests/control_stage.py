"""A control socket with prepared answers, for tests of the tools that speak to a daemon."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trackflowd.proto.command_table import COMMANDS
from trackflowd.proto.control import Decoder, encode, failed, hello, ok

#: Value of a call by its name: a (code, text, hint) is answered as an error, a function is called for one.
Answers = Mapping[str, Any]


@contextmanager
def stage(
    directory: Path, answers: Answers, events: Sequence[Mapping[str, Any]] = ()
) -> Iterator[list[dict[str, Any]]]:
    """A daemon at directory/control.sock for one connection at a time.

    Args:
        directory: stands for its data directory.
        answers: see there.
        events: what a stream gives before the daemon goes away.

    Yields:
        The requests, as they come: name and args.
    """
    asked: list[dict[str, Any]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "control.sock"))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, answers, events, asked))
        thread.start()
        try:
            yield asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(
    listener: socket.socket, answers: Answers, events: Sequence[Mapping[str, Any]], asked: list[dict[str, Any]]
) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # the test is over
        with connection:
            connection.sendall(encode(hello("0.0.0")))
            decoder = Decoder()
            while raw := connection.recv(65536):
                for message in decoder.feed(raw):
                    asked.append({"name": message["name"], "args": message["args"]})
                    connection.sendall(_answer(message, answers))
                    if COMMANDS[message["name"]].streams:
                        connection.sendall(b"".join(encode({"id": message["id"], "event": event}) for event in events))
                        connection.shutdown(socket.SHUT_RDWR)


def _answer(message: Mapping[str, Any], answers: Answers) -> bytes:
    value = answers.get(message["name"])
    if callable(value):
        value = value()
    if isinstance(value, tuple):
        return encode(failed(message["id"], *value))
    return encode(ok(message["id"], value))
