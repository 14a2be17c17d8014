"""Compressed bodies: gzip, one member, with an end.

Content types and encodings are not believed much: SDKs send gzip as ``text/plain`` without a word
(posthog-js), so a body that begins as gzip does (1f 8b, which no JSON does) is taken as gzip.
"""

from __future__ import annotations

import zlib
from typing import Final

from trackflowd.proto.refusals import refused

MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib.decompressobj: expect a gzip header and check its crc
_NAMES = frozenset({b"gzip", b"x-gzip"})


def plain(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Body as it was before compression.

    Args:
        body: as sent.
        encoding: value of Content-Encoding, or b"".
        limit: most bytes it may inflate to; never are more held in memory.

    Raises:
        Refused: ``unsupported_encoding``, ``bad_encoding``, ``inflated_too_large``.
    """
    name = encoding.strip().lower()
    if name not in _NAMES and name not in (b"", b"identity"):
        raise refused("unsupported_encoding", "Content-Encoding must be gzip or identity")
    if name in _NAMES or body.startswith(MAGIC):
        return _gunzip(body, limit)
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_GZIP)
    try:
        inflated = stream.decompress(body, limit + 1)
    except zlib.error:
        raise refused("bad_encoding", "body is not gzip") from None
    if len(inflated) > limit:
        raise refused("inflated_too_large", f"body inflates to more than {limit} bytes")
    if not stream.eof:
        raise refused("bad_encoding", "gzip body is cut off")
    if stream.unused_data:
        raise refused("bad_encoding", "something follows the gzip member; only one is taken")
    return inflated
