"""Edits in PostgreSQL: rows of facts by ranges of blocks, and rows of dimensions that no fact uses any more.

**Facts.** A month is walked from its first block to its last, ``BLOCKS`` at a time, each range one statement and one
transaction: bounded without an index (most of what can be named has none), and where an index helps, the planner
takes it within the range. Rows that arrive meanwhile are not meant (they came after the tombstone), so an end behind
the one seen at first is not missed. A row that a correction moves can be; whoever erases looks again when all is done.

**Dimensions.** A page's url and title are as much about a person as the view of it. But a landing (``pg_landing``)
reads the id of a page that is there, and writes facts with it a moment later: taken away in between, those facts would
have no page. So::

    landing    LANDING lock, shared ─ read ids ─ COPY facts ─ COMMIT
    sweep   1  LANDING lock, alone, for a moment: every landing so far is over, and T is the time
            2  ids that no fact uses, of each dimension: one pass over the facts, beside landings
            3  LANDING lock, alone: delete those of them that no batch since T uses; ``IDS`` at a time

A landing that begins after 1 is found by 3, by its row in ``batches``, whose ``at`` is the begin of its transaction;
that may be a little before T, by as much as the server lets a transaction wait, and so 3 looks back by ``SLACK``.
A landing waits for 3 at most, some milliseconds; a sweep runs on a connection of its own and holds up nobody else.
Every daemon that lands in the same database has to take the lock: versions before this one do not.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from trackflowd.selection import Condition, Tombstone
from trackflowd.sink import pg_months, pg_outcome
from trackflowd.sink.edit import Piece
from trackflowd.sink.pg_link import Link
from trackflowd.sink.pg_rows import signed
from trackflowd.sink.pg_tables import DIMENSIONS, LANDING, Dimension

if TYPE_CHECKING:
    import asyncpg

Answer = TypeVar("Answer")

#: Blocks (8 KiB) of a table looked at by one statement: 64 MiB, some 400,000 events, some 0.1 s.
BLOCKS = 8192
#: Rows of a dimension deleted under one lock.
IDS = 1000
#: How far behind T a landing may have begun, in times of the timeout: a transaction may idle for two.
SLACK = 4

#: Runs work on the flusher's connection (``PostgresSink._ask``).
Ask = Callable[[Callable[["asyncpg.Connection"], Awaitable[Any]]], Any]


class PostgresEditor:
    """See the module's text and ``edit.Editor``.

    Args:
        ask: asks the server on the flusher's connection.
        connect: a connection of our own, whose statements may take long.
        timeout_s: of the flusher's transactions.
    """

    def __init__(self, ask: Ask, connect: Callable[[], Link], timeout_s: float) -> None:
        self._ask = ask
        self._connect = connect
        self._timeout = timeout_s

    def count_left(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> int:
        """See ``edit.Editor``. IS NOT TRUE: a tombstone's site may be gone from its dimension, and NULL is no yes."""
        values: list[Any] = [batch_id.to_bytes(16, "big")]
        sql = f"_batch = $1 AND {_in(partition)} AND ({_any_of(without, values)}) IS NOT TRUE"
        return int(self._ask(lambda one: one.fetchval(f"SELECT count(*) FROM facts WHERE {sql}", *values)))

    def clear(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> None:
        """See ``edit.Editor``."""
        values: list[Any] = [batch_id.to_bytes(16, "big")]
        sql = f"_batch = $1 AND {_in(partition)} AND ({_any_of(without, values)})"
        self._ask(lambda one: one.execute(f"DELETE FROM facts WHERE {sql}", *values))

    def erase(self, what: Tombstone, month: int, at: int) -> Piece:
        """See ``edit.Editor``. ``at`` is a block's number."""
        values: list[Any] = [(at, 0), (at + BLOCKS, 0)]
        meant = f"ctid >= $1 AND ctid < $2 AND {_in(month)} AND {_all_of(what.conditions(), values)}"

        async def delete(connection: asyncpg.Connection) -> Piece:
            table = await connection.fetchval(_TABLE, f"facts_{month}")
            blocks = await connection.fetchval(_SIZE, table)
            if at >= blocks:
                return Piece(None)
            done = await connection.execute(f"DELETE FROM {table} WHERE {meant}", *values)
            return Piece(at + BLOCKS if at + BLOCKS < blocks else None, int(done.rpartition(" ")[2]))

        piece: Piece = self._ask(delete)
        return piece

    def sweep(self) -> int:
        """See ``edit.Editor``."""
        with self._own() as link:
            since = link.run(lambda one: _alone(one, lambda: one.fetchval("SELECT clock_timestamp()")))
            return sum(self._sweep(link, dimension, since) for dimension in DIMENSIONS)

    def correct(self, site: str, event: bytes, month: int, props: Mapping[str, str]) -> None:
        """See ``edit.Editor``."""
        values: list[Any] = [json.dumps(dict(props), ensure_ascii=False)]
        meant = _all_of([Condition("site", "=", site), Condition("event_id", "=", event)], values)
        self._ask(lambda one: one.execute(f"UPDATE facts SET props = $1 WHERE {meant} AND {_in(month)}", *values))

    @contextmanager
    def _own(self) -> Iterator[Link]:
        try:
            link = self._connect()
            try:
                yield link
            finally:
                link.close()
        except Exception as error:
            raise pg_outcome.of_question(error) from error

    def _sweep(self, link: Link, dimension: Dimension, since_ms: int) -> int:
        table, column = dimension.table, dimension.column
        rows = link.run(
            lambda one: one.fetch(
                f"SELECT id FROM {table} d WHERE NOT EXISTS (SELECT FROM facts f WHERE f.{column} = d.id)"
            )
        )
        ids = [row[0] for row in rows]
        gone = 0
        for start in range(0, len(ids), IDS):
            chunk = ids[start : start + IDS]
            sql = f"""
                WITH recent AS MATERIALIZED (
                    SELECT DISTINCT f.{column} AS id FROM batches b JOIN facts f ON f._batch = b.id WHERE b.at >= $2
                )
                DELETE FROM {table} d WHERE d.id = ANY($1::bigint[]) AND NOT EXISTS (SELECT FROM recent WHERE id = d.id)
                """
            args = (chunk, since_ms - int(SLACK * self._timeout * 1000))
            done = link.run(lambda one, sql=sql, args=args: _alone(one, lambda: one.execute(sql, *args)))  # type: ignore[misc]
            gone += int(done.rpartition(" ")[2])
        return gone


_TABLE = "SELECT COALESCE(to_regclass($1), 'facts_default'::regclass)::text"
_SIZE = "SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::int"


async def _alone(connection: asyncpg.Connection, work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do something while nobody lands."""
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({LANDING})")
        return await work()


def _in(month: int) -> str:
    start, end = pg_months.start_of(month), pg_months.start_of(pg_months.following(month))
    return f"received >= '{start.isoformat()}' AND received < '{end.isoformat()}'"


def _any_of(tombstones: Sequence[Tombstone], values: list[Any]) -> str:
    return " OR ".join(f"({_all_of(one.conditions(), values)})" for one in tombstones)


def _all_of(conditions: Sequence[Condition], values: list[Any]) -> str:
    """Conditions on columns of ``facts``; their values are added to those there are."""
    parts = []
    for field, op, value in conditions:
        values.append(signed([value])[0] if field == "visitor" and isinstance(value, int) else value)
        here = f"${len(values)}"
        if field == "site":
            parts.append(f"site_id = (SELECT id FROM sites WHERE site = {here})")
        else:
            parts.append(f"{field} {op} {here}")
        if field == "user_id":
            parts.append("user_id <> ''")  # never so here; it lets the planner take the index of users
    return " AND ".join(parts)
