"""The PROXY protocol, versions 1 and 2: what a balancer says of a connection before its first byte.

After the specification of HAProxy (proxy-protocol.txt, 2020). Version 1 is a line of text, version 2 is
binary::

    PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\\r\\n
    \\r\\n\\r\\n\\0\\r\\nQUIT\\n | version, command | family, transport | length (u16) | addresses | TLVs

A header is read from bytes as they come, however they are cut; nothing behind it is looked at. It is
bounded, and what cannot become one any more is refused at once. Of a header that names no client
(LOCAL, UNKNOWN, a unix socket's) the connection's own peer counts. TLVs are skipped.
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

from trackflowd.proto.address import normal

#: Bytes of the longest line of version 1, with its end (§2.1: the worst case, UNKNOWN with two IPv6 addresses).
MAX_LINE: Final = 107
#: Bytes behind the fixed part of version 2: what one smallest TCP segment holds (§2.2). Addresses take 216 at most,
#: the rest is TLVs.
MAX_LENGTH: Final = 536

_LINE: Final = b"PROXY "
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = len(_SIGNATURE) + 4
_LOCAL, _PROXY = 0x20, 0x21
#: By family and transport (streams only): bytes of both addresses with what belongs to them.
_LENGTHS: Final = {0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216}


class NotAnnounced(ValueError):
    """What came is no such header; its text says why and holds nothing of what came."""


class Announced(NamedTuple):
    """A header.

    Args:
        client: the client's address in its usual form; "": the header names none.
        rest: bytes that came behind it.
    """

    client: str
    rest: bytes


class Announcement:
    """Reads the header of one connection."""

    def __init__(self) -> None:
        self._read = b""

    def receive(self, data: bytes) -> Announced | None:
        """Take what was read; call no more once it has returned a header.

        Returns:
            The header once it is whole, None before.

        Raises:
            NotAnnounced: there will never be one.
        """
        read = self._read = self._read + data
        if read.startswith(_LINE[: len(read)]):
            return self._line(read)
        if read.startswith(_SIGNATURE[: len(read)]):
            return self._binary(read) if len(read) >= _FIXED else None
        raise NotAnnounced("the connection does not begin with a PROXY header")

    @property
    def begun(self) -> bool:
        """Whether anything came."""
        return bool(self._read)

    def _line(self, read: bytes) -> Announced | None:
        end = read.find(b"\r\n", 0, MAX_LINE)
        if end >= 0:
            return Announced(_client(read[:end].split(b" ")), read[end + 2 :])
        if len(read) >= MAX_LINE:
            raise NotAnnounced(f"its PROXY line is longer than {MAX_LINE} bytes")
        return None

    def _binary(self, read: bytes) -> Announced | None:
        command, kind = read[12], read[13]
        length = int.from_bytes(read[14:16], "big")
        if command not in (_LOCAL, _PROXY):
            raise NotAnnounced(f"version and command of its PROXY header are 0x{command:02x}")
        if length > MAX_LENGTH:
            raise NotAnnounced(f"its PROXY header is longer than {MAX_LENGTH} bytes")
        if command == _PROXY and kind not in _LENGTHS:
            raise NotAnnounced(f"family and transport of its PROXY header are 0x{kind:02x}")
        if command == _PROXY and length < _LENGTHS[kind]:
            raise NotAnnounced("its PROXY header is too short for its addresses")
        end = _FIXED + length
        if len(read) < end:
            return None
        client = ""
        if command == _PROXY and kind == 0x11:
            client = str(ipaddress.IPv4Address(read[_FIXED : _FIXED + 4]))
        elif command == _PROXY and kind == 0x21:
            client = normal(str(ipaddress.IPv6Address(read[_FIXED : _FIXED + 16]))) or ""
        return Announced(client, read[end:])


def _client(words: list[bytes]) -> str:
    """Address in a line of version 1."""
    kind = words[1]
    if kind == b"UNKNOWN":
        return ""
    if kind not in (b"TCP4", b"TCP6") or len(words) != 6:
        raise NotAnnounced("its PROXY line is not of the form PROXY TCP4|TCP6|UNKNOWN address address port port")
    if not all(map(_is_port, words[4:])):
        raise NotAnnounced("a port of its PROXY line is none")
    family = ipaddress.IPv4Address if kind == b"TCP4" else ipaddress.IPv6Address
    try:
        source, _ = (family(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        raise NotAnnounced("an address of its PROXY line is none of its family") from None
    return normal(str(source)) or ""


def _is_port(word: bytes) -> bool:
    return word.isdigit() and len(word) <= 5 and int(word) <= 65535 and (word == b"0" or not word.startswith(b"0"))
