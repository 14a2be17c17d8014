"""Wrong on purpose: the head is published by ``struct.pack_into``, which zeroes it before it stores it.

A worker killed between the two leaves a ring without a head, and what was answered out of reach.
``struct`` asks the value for its number in just that moment, so the point ``w0`` can lie there.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

from tests import daemon, failpoints
from trackflowd.ring.layout import HEAD_AT, encode_word


class _Number:
    """An integer that ``struct`` asks for when it needs it: after the zeroes."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        failpoints.reach("w0")
        return self._value


def wrong(right: Any) -> Any:
    def publish(writer: Any) -> None:
        if writer._staged != writer._head:
            struct.pack_into("<Q", writer._buffer, HEAD_AT, _Number(encode_word(writer._staged)))
            writer._head = writer._staged

    return publish


if __name__ == "__main__":
    sys.exit(daemon.main("tests.broken.pack_into_head", "trackflowd.ring.writer:Writer.publish", wrong))
