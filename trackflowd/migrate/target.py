"""The store a mover writes: ClickHouse or chDB, as ``sink.clickhouse`` makes it, with the daemon's own schema.

What it adds to the sink: a batch here is a chunk, rows of many batches that keep their ids. So it is counted and
deleted by those, and its inserts carry a name made of the two stores, so that the next mover can end those of one that
was killed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from trackflowd.errors import StoreAway, StoreReject
from trackflowd.migrate import checksums
from trackflowd.migrate.chunks import MAX_BATCHES, Chunk, Rows
from trackflowd.settle import Case, Settler, Verdict
from trackflowd.sink.base import Batch, QueryLimits, SinkOptions
from trackflowd.sink.clickhouse import ClickHouseSink

_LIMITS = QueryLimits(max_seconds=600.0, max_rows=5_000_000, max_answer=512 * 2**20)


class Target(ClickHouseSink):
    """The store; one thread at a time. Errors are the sink's.

    Args:
        url: of it.
        options: see ``base.SinkOptions``.
        source: identity of the store rows come from.

    Raises:
        ConfigError: the url makes no sense.
    """

    def __init__(self, url: str, options: SinkOptions, source: str) -> None:
        super().__init__(url, options)
        self._mine = blake2b(f"{source}\0{self.identity}".encode(), digest_size=8).hexdigest()
        self._sent: Rows = {}

    def put(self, chunk: Chunk, columns: Mapping[str, Sequence[Any]], breathe: Callable[[], None]) -> None:
        """Have the rows of a chunk, of whose batches nothing is there, once.

        Raises:
            StoreAway, StoreDoubt: not now.
            StoreReject: it does not take them.
        """
        batch = Batch(int(self._mine, 16) << 64 | chunk.id >> 64, 1, chunk.month, chunk.rows, columns)
        self._sent = chunk.batches
        case = Case(batch, doubt=True)
        while (verdict := Settler(self, breathe).settle(case)) is Verdict.FRESH:
            pass  # it was asked for first: nothing that anybody would have to remember
        if verdict is not Verdict.HELD:
            fault = f"; its table is not as it should be: {case.fault}" if case.fault else ""
            raise StoreReject(f"{self.identity} does not take rows of {chunk.month}: {case.words}{fault}")

    def kill(self, batch: Batch | None = None) -> None:
        """End every insert of a mover between these two stores."""
        if self._engine.embedded:
            return  # they ended with their process
        with self._asking() as asker:
            asker.command(f"KILL QUERY WHERE startsWith(query_id, '{self._mine}') SYNC")

    def count(self, batch_id: int, partition: int) -> int:
        """Rows that are there of the chunk that is being put."""
        return sum(self.counts(partition, list(self._sent)).values())

    def delete(self, batch_id: int, partition: int) -> None:
        """Take out what is there of the chunk that is being put."""
        self.remove(partition, list(self._sent))

    def remove(self, month: int, batches: Sequence[int]) -> None:
        """Take batches out; returns when they are gone."""
        for start in range(0, len(batches), MAX_BATCHES):
            where = f"_batch IN ({_ids(batches[start : start + MAX_BATCHES])})"
            with self._asking() as asker:
                statement = f"ALTER TABLE events DELETE IN PARTITION {month} WHERE {where}"
                asker.command(statement, settings={"mutations_sync": 2})

    def months(self) -> dict[int, int]:
        """Rows by month (YYYYMM)."""
        rows = self._rows("SELECT toYYYYMM(received) AS month, count() AS n FROM events GROUP BY month ORDER BY month")
        return {row["month"]: row["n"] for row in rows}

    def size(self) -> int:
        """Bytes of the table on disk."""
        where = "database = currentDatabase() AND table = 'events' AND active"
        return int(self._rows(f"SELECT sum(bytes_on_disk) AS n FROM system.parts WHERE {where}")[0]["n"])

    def listing(self, month: int, after: int, last: int) -> dict[int, int]:
        """Rows by batch, of a month's batches behind one id up to another."""
        return self._counted(month, f"_batch > toUInt128('{after}') AND _batch <= toUInt128('{last}')")

    def counts(self, month: int, batches: Sequence[int]) -> dict[int, int]:
        """Rows of those of some batches that it has."""
        return self._counted(month, f"_batch IN ({_ids(batches)})") if batches else {}

    def checksums(self, month: int, batches: Rows) -> dict[str, int]:
        """Checksums of some batches, by ``checksums.NAMES``."""
        where = f"toYYYYMM(received) = {month} AND _batch IN ({_ids(list(batches))})"
        (row,) = self._rows(checksums.clickhouse(where))
        return {name: int(row[f"c{n}"]) for n, name in enumerate(checksums.NAMES)}

    def _counted(self, month: int, which: str) -> dict[int, int]:
        where = f"toYYYYMM(received) = {month} AND {which}"
        rows = self._rows(f"SELECT toString(_batch) AS batch, count() AS n FROM events WHERE {where} GROUP BY _batch")
        return {int(row["batch"]): row["n"] for row in rows}

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self.query(sql, "json", _LIMITS).splitlines()]
        except Exception as error:
            raise StoreAway(f"{self.identity} does not answer: {error}") from error


def _ids(batches: Sequence[int]) -> str:
    return ", ".join(f"toUInt128('{batch}')" for batch in batches)
