"""Wrong on purpose: the head moves before the records are written.

A flusher that reads in between finds bytes that prove to be nothing, takes them for damage and goes on
behind them; the records that then come there, and are answered, are never read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tests import daemon
from trackflowd.ring.layout import HEAD_AT, encode_word
from trackflowd.ring.writer import Row


def wrong(right: Any) -> Any:
    def append(writer: Any, rows: Iterable[Row]) -> None:
        rows = list(rows)
        end = writer.staged
        for *_, payload in rows:
            size, rest = writer.footprint(len(payload)), -end % writer.capacity
            end += size + (rest if size > rest else 0)
        if writer.used + end - writer.staged <= writer.capacity:
            writer._words[HEAD_AT // 8] = encode_word(end)
        right(writer, rows)

    return append


if __name__ == "__main__":
    sys.exit(daemon.main("tests.broken.head_before_payload", "trackflowd.ring.writer:Writer.append", wrong))
