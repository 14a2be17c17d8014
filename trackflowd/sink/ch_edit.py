"""Edits in ClickHouse and chDB: mutations, which rewrite the parts that hold a row that is meant.

``ALTER TABLE … DELETE``, not the lightweight ``DELETE FROM``: that one only writes a mask beside the part. The rows
stay in its files, readable, until a merge takes the part up, which for a large one may be never; and what was asked
for here is that they are gone. (It is no cheaper to ask for either: docs/schema.md has both measured.) The files of a
rewritten part stay on the disk for 8 minutes more (``old_parts_lifetime``).

A mutation runs in the background (``mutations_sync = 0``), one at a time, and inserts go on beside it: it is started
by one call and asked about by the next ones. What is counted says when it is done: no row is left that is meant. So a
call that is made again, after a kill as well, finds out by itself where things are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from trackflowd.errors import StoreAway
from trackflowd.selection import Condition, Tombstone, Values, where
from trackflowd.sink.base import shorten
from trackflowd.sink.edit import Piece

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_RUNNING = """
SELECT count(), sum(parts_to_do), max(latest_fail_reason) FROM system.mutations
WHERE database = currentDatabase() AND table = '{table}' AND NOT is_done
"""


class ClickHouseEditor:
    """See the module's text and ``edit.Editor``.

    Args:
        asking: lends the connection for questions; what the driver raises within becomes a ``StoreAway``.
        table: that has the events.
    """

    def __init__(self, asking: Callable[[], AbstractContextManager[Client]], table: str = "events") -> None:
        self._asking = asking
        self._table = table

    def count_left(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> int:
        """See ``edit.Editor``."""
        named, values = any_of(without)
        with self._asking() as asker:
            return _count(asker, self._table, f"{_of_batch(batch_id)} AND {_in(partition)} AND NOT ({named})", values)

    def clear(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> None:
        """See ``edit.Editor``."""
        named, values = any_of(without)
        meant = f"{_of_batch(batch_id)} AND ({named})"
        with self._asking() as asker:
            if _count(asker, self._table, f"{meant} AND {_in(partition)}", values):
                _alter(asker, self._table, f"DELETE IN PARTITION {partition} WHERE {meant}", values, sync=2)

    def erase(self, what: Tombstone, month: int, at: int) -> Piece:
        """See ``edit.Editor``. ``at`` says nothing here: the store itself does a month bit by bit."""
        meant, values = where(what.conditions(), "clickhouse")
        with self._asking() as asker:
            running, parts, failed = (
                asker.raw_query(_RUNNING.format(table=self._table), fmt="TabSeparatedRaw")
                .decode()
                .rstrip("\n")
                .split("\t")
            )
            if failed:
                raise StoreAway(
                    f"a mutation of the table events fails: {shorten(failed)}",
                    "see system.mutations; make room on the store's disk, or end it with KILL MUTATION",
                )
            if int(running):
                return Piece(0, busy=f"the store rewrites {parts} parts of the table")
            if not (rows := _count(asker, self._table, f"{meant} AND {_in(month)}", values)):
                return Piece(None)
            _alter(asker, self._table, f"DELETE IN PARTITION {month} WHERE {meant}", values, sync=0)
            return Piece(0, busy=f"the store deletes {rows} events of {month}")

    def sweep(self) -> int:
        """Nothing is kept apart from the events."""
        return 0

    def correct(self, site: str, event: bytes, month: int, props: Mapping[str, str]) -> None:
        """See ``edit.Editor``."""
        meant, values = where([Condition("site", "=", site), Condition("event_id", "=", event)], "clickhouse")
        arrays = {"names": list(props), "values": list(props.values())}
        new = "mapFromArrays({names:Array(String)}, {values:Array(String)})"
        with self._asking() as asker:
            _alter(
                asker,
                self._table,
                f"UPDATE props = {new} IN PARTITION {month} WHERE {meant}",
                {**values, **arrays},
                sync=0,
            )


def any_of(tombstones: Sequence[Tombstone]) -> tuple[str, Values]:
    """What any of some tombstones names, and the values."""
    parts, values = [], Values()
    for n, one in enumerate(tombstones):
        sql, own = where(one.conditions(), "clickhouse", f"t{n}_")
        parts.append(f"({sql})")
        values |= own
    return " OR ".join(parts), values


def _of_batch(batch_id: int) -> str:
    return f"_batch = toUInt128('{batch_id}')"


def _in(partition: int) -> str:
    return f"toYYYYMM(received) = {partition}"


def _count(asker: Client, table: str, condition: str, values: Values) -> int:
    answer: Any = asker.command(f"SELECT count() FROM {table} WHERE {condition}", parameters=values)
    return int(answer)


def _alter(asker: Client, table: str, change: str, values: Mapping[str, Any], sync: int) -> None:
    asker.command(f"ALTER TABLE {table} {change}", parameters=dict(values), settings={"mutations_sync": sync})
