"""A daemon of a later version: it knows one change of the store's schema more, and that takes seconds.

``python -m tests.newer run …``; see ``daemon``.
"""

from __future__ import annotations

import sys
from typing import Any

from tests import daemon
from trackflowd.sink.migrations import Migration

#: Seconds the change takes: longer than tests give the store, and a silent process.
TAKES = 5
_SLOW = {
    "clickhouse": f"SELECT sleepEachRow(1) FROM numbers({TAKES}) SETTINGS max_block_size = 1",
    "postgresql": f"SELECT pg_sleep({TAKES})",
}
_COLUMN = {
    "clickhouse": "ALTER TABLE events ADD COLUMN IF NOT EXISTS later UInt8",
    "postgresql": "ALTER TABLE facts ADD COLUMN IF NOT EXISTS later smallint NOT NULL DEFAULT 0",
}


def later(load: Any) -> Any:
    """``migrations.load`` of that version."""

    def loaded(store: str) -> tuple[Migration, ...]:
        known: tuple[Migration, ...] = load(store)
        return (*known, Migration(known[-1].version + 1, "later", (_COLUMN[store], _SLOW[store])))

    return loaded


if __name__ == "__main__":
    sys.exit(daemon.main("tests.newer", "trackflowd.sink.migrations:load", later))
