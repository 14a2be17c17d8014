"""Bytes of a connection → answers. Pure.

As strict as a generator needs: answers have a length (Content-Length, or a status without a body),
and what has not, or is no HTTP, is a ``BadAnswer``; the connection is of no use then.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Longest head that is waited for.
_MAX_HEAD = 65_536
#: Heads that are remembered: those of one server differ by site, status and second.
_MAX_KNOWN = 4096

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:[ \t]*([a-z-]+)", re.IGNORECASE)
_PICTURE = re.compile(rb"\r\ncontent-type:[ \t]*image/", re.IGNORECASE)
_POLICY = re.compile(rb"\r\nx-trackflow-refused:", re.IGNORECASE)
_ACCEPTED = re.compile(rb'\{"accepted": ?([0-9]+)')


class BadAnswer(Exception):
    """What came is no answer; the text says why."""


class Answer:
    """One answer, or several that were the same to the byte.

    Attributes:
        status: 200 to 599.
        accepted: events it promises to keep, as it says; 0 if it says nothing of them.
        closes: the connection ends with it.
        times: how often it came.
    """

    __slots__ = ("accepted", "closes", "status", "times")

    def __init__(self, status: int, accepted: int, closes: bool) -> None:
        self.status = status
        self.accepted = accepted
        self.closes = closes
        self.times = 0


class _Head(NamedTuple):
    status: int
    length: int
    closes: bool
    picture: bool
    policy: bool


_known: dict[bytes, _Head] = {}


class Answers:
    """Cuts what comes in on one connection into answers."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def whole(self) -> bool:
        """Whether nothing of a further answer is here yet."""
        return not self._rest

    def receive(self, data: bytes) -> list[Answer]:
        """The answers that became whole.

        Raises:
            BadAnswer: these bytes are none.
        """
        data = self._rest + data
        found: list[Answer] = []
        start = 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            head = _head(data[start : end + 4])
            stop = end + 4 + head.length
            if stop > len(data):
                break
            if head.status >= 200:
                found.append(Answer(head.status, _accepted(head, data[end + 4 : stop]), head.closes))
            start = stop
        self._rest = data[start:]
        if end < 0 and len(self._rest) > _MAX_HEAD:
            raise BadAnswer("an answer's head does not end")
        return found


def _accepted(head: _Head, body: bytes) -> int:
    if not 200 <= head.status < 300 or head.policy:
        return 0
    said = _ACCEPTED.match(body)
    return int(said[1]) if said else int(head.picture)


def _head(text: bytes) -> _Head:
    head = _known.get(text)
    if head is None:
        head = _read(text)
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[text] = head
    return head


def _read(text: bytes) -> _Head:
    line = _STATUS.match(text)
    if line is None:
        raise BadAnswer(f"an answer begins {text[:40]!r}")
    status = int(line[2])
    length = _LENGTH.search(text)
    bodiless = status < 200 or status in (204, 304)
    if length is None and not bodiless:
        raise BadAnswer("an answer without Content-Length")
    said = _CONNECTION.search(text)
    closes = said[1].lower() == b"close" if said else line[1] == b"0"
    return _Head(
        status, 0 if bodiless or length is None else int(length[1]), closes, _PICTURE.search(text) is not None,
        _POLICY.search(text) is not None,
    )  # fmt: skip
