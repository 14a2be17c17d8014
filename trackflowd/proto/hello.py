"""The first message of a TLS client (ClientHello, RFC 8446 §4.1.2), read only as far as the name it asks for.

So the certificate is chosen before the TLS library is set to work, and what is no TLS is turned away
before it costs any of its memory. Whatever else is in the message is the library's to judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Bytes a hello may have. Browsers send 0.5 to 2 KiB (with post-quantum key shares); a record holds 16 KiB.
MAX_HELLO: Final = 16 * 1024
#: Records it may be cut into. Two are seen from browsers that hide its name from simple filters.
MAX_RECORDS: Final = 32

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0


class NotTls(ValueError):
    """What came is no ClientHello; its text says why and holds nothing of what came."""


class _Short(Exception):
    """A part is longer than what it is in."""


def server_name(data: bytes) -> str | None:
    """The name a client asks for.

    Args:
        data: everything that came so far; what is behind the hello is not looked at.

    Returns:
        The name in lower case, "" where the client names none; None: the hello is not whole yet.

    Raises:
        NotTls: it will never be one.
    """
    message = _message(data)
    if message is None:
        return None
    try:
        return _name_in(message)
    except _Short:
        raise NotTls("its TLS hello is broken") from None


def _message(data: bytes) -> bytes | None:
    """Body of the hello, out of the records that carry it; None: not whole yet."""
    if data and data[0] != _HANDSHAKE:
        raise NotTls("it does not begin with a TLS handshake")
    if len(data) > 1 and data[1] != 3:
        raise NotTls("it begins with a TLS version that is none")
    at, message, records = 0, b"", 0
    while True:
        if len(message) >= 4:
            length = int.from_bytes(message[1:4], "big")
            if message[0] != _CLIENT_HELLO:
                raise NotTls("its first TLS message is no hello")
            if length > MAX_HELLO:
                raise NotTls(f"its TLS hello is longer than {MAX_HELLO} bytes")
            if len(message) >= 4 + length:
                return message[4 : 4 + length]
        if records == MAX_RECORDS:
            raise NotTls(f"its TLS hello is cut into more than {MAX_RECORDS} pieces")
        if len(data) < at + 5:
            return None
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if data[at] != _HANDSHAKE or data[at + 1] != 3 or not 0 < length <= MAX_HELLO:
            raise NotTls("its TLS hello is broken")
        if len(data) < at + 5 + length:
            return None
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        records += 1


class _Parts:
    """Parts of a message, each with its length before it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next count bytes."""
        part = self._data[self._at : self._at + count]
        if len(part) < count:
            raise _Short
        self._at += count
        return part

    def number(self, size: int) -> int:
        """A number of size bytes."""
        return int.from_bytes(self.take(size), "big")

    def part(self, size: int) -> bytes:
        """What follows a length of size bytes."""
        return self.take(self.number(size))

    @property
    def more(self) -> bool:
        return self._at < len(self._data)


def _name_in(message: bytes) -> str:
    hello = _Parts(message)
    hello.take(2 + 32)  # version, random
    hello.part(1)  # session id
    hello.part(2)  # ciphers
    hello.part(1)  # compressions
    for kind, value in _extensions(hello):
        if kind == _SERVER_NAME:
            names = _Parts(_Parts(value).part(2))
            while names.more:
                kind, name = names.number(1), names.part(2)
                if kind == _HOST_NAME:
                    return name.decode("latin-1").lower()
    return ""


def _extensions(hello: _Parts) -> Iterator[tuple[int, bytes]]:
    if hello.more:
        extensions = _Parts(hello.part(2))
        while extensions.more:
            yield extensions.number(2), extensions.part(2)
