"""The store a mover reads: PostgreSQL, as ``sink.postgres`` has filled it. Nothing here writes.

A batch's rows are found by the index on ``_batch``, within the partition of its month. Facts come with the numbers of
their dimensions' rows, and each of those rows once: what repeats crosses the wire once, and becomes ``Coded`` columns.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from trackflowd.errors import SinkError, StoreReject
from trackflowd.event import FIELDS
from trackflowd.migrate import checksums
from trackflowd.migrate.chunks import Chunk, Landed, Rows
from trackflowd.sink import pg_months, pg_outcome
from trackflowd.sink.base import Coded
from trackflowd.sink.pg_link import SCHEMA, Link, address
from trackflowd.sink.pg_tables import DIMENSIONS, OWN, Dimension

if TYPE_CHECKING:
    import asyncpg

Answer = TypeVar("Answer")

#: Expressions of own columns whose plain value costs the driver more (a Decimal).
_EXPRESSIONS = {"revenue": "(revenue * 10000)::bigint"}
_FACTS = ", ".join((*(each.column for each in DIMENSIONS), *(_EXPRESSIONS.get(f.name, f.name) for f in OWN)))

_LISTING = """
SELECT _batch, count(*) FROM facts WHERE received >= '{start}' AND received < '{end}' AND _batch > $1
GROUP BY _batch ORDER BY _batch LIMIT $2
"""

_SINCE = """
SELECT month, id FROM batches WHERE at >= to_timestamp($1::double precision / 1000) AND (month, id) > ($2, $3)
ORDER BY month, id LIMIT $4
"""

_MONTHS = """
SELECT to_char(received AT TIME ZONE 'UTC', 'YYYYMM')::integer AS month, count(*) FROM facts GROUP BY 1 ORDER BY 1
"""

_BYTES = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'
"""


class Source:
    """The store; one thread at a time.

    Args:
        url: of it.
        timeout_s: seconds for a question; a statement over a chunk or a whole table may take ten times that.

    Raises:
        ConfigError: the url makes no sense.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._where = address(url)
        self._timeout = timeout_s
        self._held: Link | None = None

    @property
    def identity(self) -> str:
        """As ``Sink.identity``."""
        return self._where.identity

    def open(self) -> None:
        """Connect and look whether it is what a mover can read.

        Raises:
            StoreAway: not reachable now.
            StoreReject: no tables of ours in it, or texts that are not UTF-8.
        """
        found = self._ask(lambda one: one.fetchrow("SELECT to_regclass('facts') IS NOT NULL, getdatabaseencoding()"))
        if not found[0]:
            raise StoreReject(f"{self.identity} has no events of ours", f"its schema {SCHEMA} lacks the table facts")
        if found[1] != "UTF8":
            raise StoreReject(f"{self.identity} keeps texts as {found[1]}", "only UTF8 can be moved")

    def close(self) -> None:
        """Let go of it."""
        link, self._held = self._held, None
        if link is not None:
            link.close()

    def now_ms(self) -> int:
        """Its clock."""
        return int(self._ask(lambda one: one.fetchval("SELECT now()")))

    def months(self) -> dict[int, int]:
        """Rows by month (YYYYMM)."""
        return {row[0]: row[1] for row in self._ask(lambda one: one.fetch(_MONTHS), 10)}

    def size(self) -> int:
        """Bytes on its disk, indexes included."""
        return int(self._ask(lambda one: one.fetchval(_BYTES, SCHEMA)))

    def listing(self, month: int, after: int, limit: int) -> list[Landed]:
        """Its batches of a month behind an id, in the order of ids, at most limit."""
        sql = _LISTING.format(start=_start(month), end=_start(pg_months.following(month)))
        rows = self._ask(lambda one: one.fetch(sql, _uuid(after), limit), 10)
        return [Landed(month, int.from_bytes(row[0], "big"), row[1]) for row in rows]

    def since(self, ms: int, month: int, after: int, limit: int) -> list[tuple[int, int]]:
        """(month, id) of batches that landed since a moment of its clock, in that order, behind one, at most limit."""
        rows = self._ask(lambda one: one.fetch(_SINCE, float(ms), month, _uuid(after), limit), 10)
        return [(row[0], int.from_bytes(row[1], "big")) for row in rows]

    def counts(self, month: int, batches: Sequence[int]) -> dict[int, int]:
        """Rows of those of some batches that it has."""
        sql = f"SELECT _batch, count(*) FROM facts WHERE {_of(month)} GROUP BY _batch ORDER BY _batch"
        rows = self._ask(lambda one: one.fetch(sql, _uuids(batches)), 10)
        return {int.from_bytes(row[0], "big"): row[1] for row in rows}

    def noted(self, batches: Sequence[int]) -> set[int]:
        """Those of some batches that landed in it once, whatever became of their rows."""
        sql = "SELECT id FROM batches WHERE id = ANY($1::uuid[])"
        rows = self._ask(lambda one: one.fetch(sql, _uuids(batches)), 10)
        return {int.from_bytes(row[0], "big") for row in rows}

    def read(self, chunk: Chunk) -> dict[str, Sequence[Any]]:
        """Rows of a chunk as columns, as ``Batch.columns``.

        Raises:
            StoreReject: a fact whose dimension's row is gone.
        """
        sql = f"SELECT {_FACTS} FROM facts WHERE {_of(chunk.month)}"
        rows = self._ask(lambda one: one.fetch(sql, _uuids(chunk.batches)), 10)
        facts = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _FACTS.split(", ")]
        values: dict[str, Sequence[Any]] = {}
        for dimension, numbers in zip(DIMENSIONS, facts, strict=False):
            values.update(self._dimension(dimension, numbers))
        for field, column in zip(OWN, facts[len(DIMENSIONS) :], strict=True):
            values[field.name] = _value(field.name, column)
        return {field.name: values[field.name] for field in FIELDS}

    def checksums(self, month: int, batches: Rows) -> dict[str, int]:
        """Checksums of some batches, by ``checksums.NAMES``."""
        ids = _uuids(batches)

        async def ask(connection: asyncpg.Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            async with connection.transaction(isolation="repeatable_read", readonly=True):  # all of one moment
                for names, sql in checksums.postgres(_of(month)):
                    found.update(zip(names, map(int, await connection.fetchrow(sql, ids)), strict=True))
            return found

        return self._ask(ask, 10)

    def _dimension(self, dimension: Dimension, numbers: Sequence[int]) -> dict[str, Coded]:
        distinct = list(dict.fromkeys(numbers))
        sql = f"SELECT id, {', '.join(dimension.fields)} FROM {dimension.table} WHERE id = ANY($1::bigint[])"
        rows = {row[0]: tuple(row)[1:] for row in self._ask(lambda one: one.fetch(sql, distinct), 10)}
        if missing := [number for number in distinct if number not in rows]:
            raise StoreReject(f"{self.identity}: facts name row {missing[0]} of {dimension.table}, which is not there")
        index = {number: code for code, number in enumerate(distinct)}
        codes = map(index.__getitem__, numbers)
        packed = bytes(codes) if len(index) <= 256 else array("I", codes)
        columns = zip(*(rows[number] for number in distinct), strict=True)
        return {name: Coded(column, packed) for name, column in zip(dimension.fields, columns, strict=True)}

    def _ask(self, work: Callable[[asyncpg.Connection], Awaitable[Answer]], times: int = 1) -> Answer:
        try:
            if self._held is None or not self._held.alive:
                self._held = Link(self._where, self._settings(), self._timeout)
            return self._held.run(work, self._timeout * times)
        except SinkError:
            raise
        except Exception as error:  # whatever the driver raises: this is its border
            link, self._held = self._held, None
            if link is not None:
                link.drop()
            if pg_outcome.code_of(error)[:2] in pg_outcome.REJECT:
                raise StoreReject(f"{self.identity}: {pg_outcome.text_of(error)}") from error
            raise pg_outcome.of_question(error) from error

    def _settings(self) -> Mapping[str, str]:
        return {
            "application_name": "trackflowd mover",
            "default_transaction_read_only": "on",
            "statement_timeout": str(int(self._timeout * 10_000)),
            "client_connection_check_interval": "2s",
            "timezone": "UTC",
            "jit": "off",
        }


def _value(name: str, column: Sequence[Any]) -> Sequence[Any]:
    if name == "visitor":
        return [value & 2**64 - 1 for value in column]
    if name == "props":
        made = {text: msgspec.json.decode(text) for text in set(column)}
        return [made[text] for text in column]
    if name == "_batch":
        distinct = list(dict.fromkeys(column))
        index = {raw: code for code, raw in enumerate(distinct)}
        return Coded([int.from_bytes(raw, "big") for raw in distinct], array("I", map(index.__getitem__, column)))
    return column


def _of(month: int) -> str:
    """Condition on the facts of the batches in ``$1``; they are of one month."""
    start, end = _start(month), _start(pg_months.following(month))
    return f"_batch = ANY($1::uuid[]) AND received >= '{start}' AND received < '{end}'"


def _start(month: int) -> str:
    return pg_months.start_of(month).isoformat()


def _uuid(batch: int) -> bytes:
    return batch.to_bytes(16, "big")


def _uuids(batches: Sequence[int] | Rows) -> list[bytes]:
    return [_uuid(batch) for batch in batches]
