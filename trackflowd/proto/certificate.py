"""What an X.509 certificate says that a server has to know of its own: names, and when it ends (RFC 5280 §4.1)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
#: Tags of DER (X.690): times, an octet string, a list of extensions ([3]), a DNS name ([2] of GeneralName).
_UTC, _TIME, _OCTETS, _EXTENSIONS, _DNS = 0x17, 0x18, 0x04, 0xA3, 0x82
_VERSION: Final = 0xA0
#: OID of subjectAltName, 2.5.29.17.
_ALT_NAME: Final = b"\x55\x1d\x11"


class Facts(NamedTuple):
    """Of a certificate.

    Args:
        names: DNS names it is for, in lower case; "*.example.org" for each name one label below.
        ends: when it is not valid any more, seconds since 1970.
    """

    names: tuple[str, ...]
    ends: int


def facts(pem: bytes) -> Facts:
    """Of the first certificate in a PEM text, which is the server's own.

    Raises:
        ValueError: there is none, or it is broken.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("no certificate in PEM form")
    try:
        return _facts(base64.b64decode(found[1]))
    except (binascii.Error, IndexError, StopIteration, UnicodeDecodeError, ValueError) as error:
        raise ValueError("a certificate that is broken") from error


def _facts(der: bytes) -> Facts:
    _, certificate = next(_items(der))
    _, body = next(_items(certificate))
    parts = list(_items(body))
    if parts[0][0] == _VERSION:
        del parts[0]
    _, (tag, ends) = _items(parts[3][1])  # behind serial number, algorithm and issuer: from when until when
    form = {_UTC: "%y%m%d%H%M%SZ", _TIME: "%Y%m%d%H%M%SZ"}[tag] if tag in (_UTC, _TIME) else ""
    until = datetime.strptime(ends.decode("ascii"), form).replace(tzinfo=UTC)
    names = [name for tag, value in parts if tag == _EXTENSIONS for name in _names(value)]
    return Facts(tuple(names), int(until.timestamp()))


def _names(extensions: bytes) -> Iterator[str]:
    _, each = next(_items(extensions))
    for _, extension in _items(each):
        (_, oid), *rest = _items(extension)
        if oid == _ALT_NAME and rest[-1][0] == _OCTETS:
            _, names = next(_items(rest[-1][1]))
            yield from (value.decode("ascii").lower() for tag, value in _items(names) if tag == _DNS)


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError("an element is longer than what it is in")
        yield tag, der[at : at + length]
        at += length
