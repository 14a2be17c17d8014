"""How a batch gets into PostgreSQL: one transaction, from its lock to its COMMIT.

::

    BEGIN
    lock of the batch's id          taken: an earlier sending still runs; ask before anything else
    lock of landings, shared        kept from a sweep of the dimensions (``pg_edit``)
    row in batches                  there already: that sending landed, and this one ends here
    COPY distinct dimension rows → staged
    INSERT what the dimensions lack of it; read their ids
    COPY facts with those ids, ``CHUNK`` rows at a time
    COMMIT

The lock is one of the transaction's (advisory): it is free again once the transaction is over and, if it landed, can
be seen. So whoever holds it knows that no other sending of this batch can still land.

Facts go straight into their table: by then the ids are known, and a second staging table would only be written once
more. Each step has the timeout for itself; a slow store that goes on taking rows is no dead one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from trackflowd.errors import StoreDoubt
from trackflowd.sink.base import Batch
from trackflowd.sink.pg_outcome import code_of
from trackflowd.sink.pg_rows import Staged, signed
from trackflowd.sink.pg_tables import DIMENSIONS, FACTS, IDS, LANDING, STAGED, STAGING, UPSERT

if TYPE_CHECKING:
    import asyncpg

Answer = TypeVar("Answer")

#: Rows of facts a COPY takes to the server.
CHUNK = 5000

#: Seconds the server has to take a transaction back that it refused itself.
_ROLLBACK = 2.0

_NOTE = "INSERT INTO batches (id, month, rows, attempt) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING rows"
_NOTE_AGAIN = "UPDATE batches SET rows = $2, attempt = $3, at = now() WHERE id = $1"


def lock_of(batch_id: int) -> int:
    """Key (bigint) of a batch's advisory lock: the random half of its id."""
    return signed([batch_id & 2**64 - 1])[0]


class Landing:
    """One sending of a batch.

    Args:
        batch: what is sent.
        staged: the same, prepared.
        timeout_s: of each step.
        breathe: called after each.

    Attributes:
        committing: the COMMIT has been sent; before that nothing can have been kept.
        over: the transaction is, and the connection good for the next.
    """

    def __init__(self, batch: Batch, staged: Staged, timeout_s: float, breathe: Callable[[], None]) -> None:
        self._batch = batch
        self._staged = staged
        self._timeout = timeout_s
        self._breathe = breathe
        self.committing = self.over = False

    async def run(self, connection: asyncpg.Connection) -> None:
        """Send it.

        Raises:
            StoreDoubt: an earlier sending of it still runs.
        """
        transaction = connection.transaction(isolation="read_committed")
        await self._step(transaction.start())
        try:
            if not await self._fill(connection):
                await self._step(transaction.rollback())
                self.over = True
                return
        except Exception as error:
            if code_of(error) or isinstance(error, StoreDoubt):  # the server is there and answers
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(transaction.rollback(), _ROLLBACK)
                    self.over = True
            raise
        self.committing = True
        await self._step(transaction.commit())
        self.over = True

    async def _fill(self, connection: asyncpg.Connection) -> bool:
        """Everything but the COMMIT; False when the batch is there already."""
        batch = self._batch
        locks = f"pg_try_advisory_xact_lock({lock_of(batch.batch_id)}), pg_advisory_xact_lock_shared({LANDING})"
        free = await self._step(connection.fetchval(f"SELECT {locks}"))
        if not free:
            raise StoreDoubt("an earlier sending of the batch still runs in the store")
        if not await self._note(connection):
            return False
        await self._step(connection.execute(STAGING))
        staged = self._staged.dimensions
        await self._step(connection.copy_records_to_table("staged", records=staged, columns=STAGED))
        await self._step(connection.execute(UPSERT))
        rows = self._staged.facts(_by_number(await self._step(connection.fetch(IDS)), len(DIMENSIONS)))
        for start in range(0, len(rows), CHUNK):
            # A list: a generator that raises leaves the server waiting for the rest (asyncpg issue 1354).
            chunk = rows[start : start + CHUNK]
            await self._step(connection.copy_records_to_table("facts", records=chunk, columns=FACTS))
        return True

    async def _note(self, connection: asyncpg.Connection) -> bool:
        """Write the batch's row; False when it is there, and its facts are."""
        batch = self._batch
        key = batch.batch_id.to_bytes(16, "big")
        values = (key, batch.partition, batch.rows, batch.attempt)
        if await self._step(connection.fetchval(_NOTE, *values)) is not None:
            return True
        held = await self._step(connection.fetchval("SELECT count(*) FROM facts WHERE _batch = $1", key))
        if held == batch.rows:
            return False
        # Somebody deleted facts by hand; whoever sends the batch again wants all of them.
        await self._step(connection.execute("DELETE FROM facts WHERE _batch = $1", key))
        await self._step(connection.execute(_NOTE_AGAIN, key, batch.rows, batch.attempt))
        return True

    async def _step(self, work: Awaitable[Answer]) -> Answer:
        async with asyncio.timeout(self._timeout):
            answer = await work
        self._breathe()
        return answer


def _by_number(found: Sequence[Any], dimensions: int) -> list[list[int]]:
    """Ids by dimension, in the order of their numbers."""
    ids: list[list[int]] = [[] for _ in range(dimensions)]
    for kind, _, row_id in sorted(tuple(row) for row in found):
        ids[kind].append(row_id)
    return ids
