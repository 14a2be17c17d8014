"""A sink that keeps nothing: for measuring what stands before it.

It confirms every batch and remembers how many rows each had, for as many batches as a restart may
ask about, so that the check after a doubt finds what was said to be stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from trackflowd.errors import QueryError
from trackflowd.sink.base import Batch, Format, Params, QueryLimits
from trackflowd.sink.edit import Editor, NoEvents

#: Batches remembered. A check asks about batches of the last seconds; a batch a second makes this an hour.
REMEMBERED = 4096


class NullSink:
    """See the module's text. Rows counted before a restart of the process are unknown after it."""

    identity = "null:"
    vouches = True

    def __init__(self) -> None:
        self.edit: Editor = NoEvents()
        self.rows = 0
        self._rows_of: dict[int, int] = {}

    def open(self) -> None:
        """Nothing to do."""

    def insert(self, batch: Batch) -> None:
        """Count the rows."""
        self.rows += batch.rows
        self._rows_of[batch.batch_id] = batch.rows
        if len(self._rows_of) > REMEMBERED:
            del self._rows_of[next(iter(self._rows_of))]

    def confirm(self) -> None:
        """Nothing to add."""

    def count(self, batch_id: int, partition: int) -> int:
        """Rows of a batch that this process confirmed."""
        return self._rows_of.get(batch_id, 0)

    def kill(self, batch: Batch) -> None:
        """Nothing ever runs on."""

    def delete(self, batch_id: int, partition: int) -> None:
        """Forget the batch."""
        self.rows -= self._rows_of.pop(batch_id, 0)

    def present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """None: event ids are not kept."""
        return set()

    def table_fault(self) -> str:
        """There is no table."""
        return ""

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None = None) -> bytes:
        """Refused: there are no rows.

        Raises:
            QueryError: always.
        """
        raise QueryError("the null store keeps no rows", "set store.url to chdb: or to a ClickHouse server")

    def close(self) -> None:
        """Nothing to do."""
