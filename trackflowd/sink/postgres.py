"""PostgreSQL: dimensions and monthly facts in one transaction a batch. See ``pg_landing`` for how that goes.

One connection belongs to the flusher. A call that fails lets go of it: what the server makes of a connection that is
gone is then asked on a new one, after every backend that still has the batch's lock was ended. Queries of people run
on connections of their own (``pg_reader``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from trackflowd.errors import SinkError, StoreAway, StoreReject
from trackflowd.sink import migrations, pg_months, pg_outcome, pg_rows, pg_tables
from trackflowd.sink.base import Batch, Format, Params, QueryLimits, SinkOptions
from trackflowd.sink.edit import Editor
from trackflowd.sink.pg_edit import PostgresEditor
from trackflowd.sink.pg_landing import Landing, lock_of
from trackflowd.sink.pg_link import SCHEMA, Link, address
from trackflowd.sink.pg_reader import Readers

if TYPE_CHECKING:
    import asyncpg

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

#: The oldest major version this was written for: the first with client_connection_check_interval.
LEAST_VERSION = 14

#: Event ids asked about at once.
_IDS_AT_ONCE = 1000

#: Seconds between two looks whether months are to be made or dropped.
_MONTHS_EVERY = 3600.0
#: …and after one that went wrong.
_MONTHS_AGAIN = 60.0

#: How often a running backend looks whether its client is still there.
_CHECK_CLIENT = "2s"

_END_BACKENDS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32 | objid::bigint) = $1::bigint
"""

_PRESENT = """
SELECT DISTINCT s.site, f.event_id
FROM unnest($1::text[], $2::uuid[]) AS asked (site, event_id)
JOIN facts f ON f.event_id = asked.event_id
JOIN sites s ON s.id = f.site_id AND s.site = asked.site
"""

_COLUMNS = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
"""

_SCHEMA_TABLE = """
CREATE TABLE IF NOT EXISTS trackflow_schema
(version integer PRIMARY KEY, name text NOT NULL, applied timestamptz NOT NULL DEFAULT now())
"""


class PostgresSink:
    """See the module's text and ``base.Sink``.

    Raises:
        ConfigError: the url makes no sense.
    """

    vouches = True

    def __init__(self, url: str, options: SinkOptions) -> None:
        self._where = address(url)
        self._timeout = options.timeout_s
        self._retention_days = options.retention_days
        self._breathe = options.breathe
        self._held: Link | None = None
        self._opened = False
        self._made: set[int] = set()
        self._months_due = 0.0
        self._readers = Readers(self._where, options.timeout_s)
        self.edit: Editor = PostgresEditor(self._ask, self._connect_apart, options.timeout_s)

    @property
    def identity(self) -> str:
        """See ``base.Sink``."""
        return self._where.identity

    def open(self) -> None:
        """See ``base.Sink``."""
        self.close()
        self._opened = True
        try:
            self._ask(self._check)
            self._migrate()
            self._tend_months(int(datetime.now(UTC).strftime("%Y%m")))
        except BaseException:
            self.close()
            raise
        self._readers.open()

    def insert(self, batch: Batch) -> None:
        """See ``base.Sink``."""
        staged = pg_rows.stage(batch)
        self._tend_months(batch.partition)
        link = self._link()
        landing = Landing(batch, staged, self._timeout, self._breathe)
        try:
            link.run(landing.run)
        except SinkError:
            raise
        except Exception as error:  # whatever the driver raises: this is its border
            raise pg_outcome.of_insert(error, landing.committing) from error
        finally:
            if not landing.over:
                self._drop()

    def confirm(self) -> None:
        """See ``base.Sink``. A commit that was answered needs no more."""

    def count(self, batch_id: int, partition: int) -> int:
        """See ``base.Sink``. Facts, not the row in ``batches``: somebody may have deleted some."""
        sql = f"SELECT count(*) FROM facts WHERE {_of_batch(partition)}"
        return int(self._ask(lambda connection: connection.fetchval(sql, _uuid(batch_id))))

    def kill(self, batch: Batch) -> None:
        """See ``base.Sink``. What had not reached its lock by now finds the batch's row, or loses it to the next."""
        key = lock_of(batch.batch_id)

        async def end(connection: asyncpg.Connection) -> None:
            await connection.fetch(_END_BACKENDS, key)
            async with connection.transaction():  # free: the transaction that had it is over
                await connection.execute(f"SELECT pg_advisory_xact_lock({key})")

        self._ask(end)

    def delete(self, batch_id: int, partition: int) -> None:
        """See ``base.Sink``."""

        async def delete(connection: asyncpg.Connection) -> None:
            async with connection.transaction():
                await connection.execute(f"DELETE FROM facts WHERE {_of_batch(partition)}", _uuid(batch_id))
                await connection.execute("DELETE FROM batches WHERE id = $1", _uuid(batch_id))

        self._ask(delete)

    def present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """See ``base.Sink``."""
        found: set[tuple[str, bytes]] = set()
        for start in range(0, len(ids), _IDS_AT_ONCE):
            sites, events = map(list, zip(*ids[start : start + _IDS_AT_ONCE], strict=True))
            rows = self._ask(lambda connection, args=(sites, events): connection.fetch(_PRESENT, *args))  # type: ignore[misc]
            found |= {(row[0], row[1]) for row in rows}
        return found

    def table_fault(self) -> str:
        """See ``base.Sink``."""
        rows = self._ask(lambda connection: connection.fetch(_COLUMNS, SCHEMA))
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in rows:
            found.setdefault(table, {})[column] = kind
        return _difference(found)

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None = None) -> bytes:
        """See ``base.Sink``."""
        return self._readers.query(sql, fmt, limits, params)

    def close(self) -> None:
        """See ``base.Sink``. A query that still runs ends by itself, at the latest at its limit."""
        self._opened = False
        self._readers.close()
        link, self._held = self._held, None
        if link is not None:
            link.close()

    def _link(self) -> Link:
        """The connection; a new one where there is none that works."""
        if not self._opened:
            raise StoreAway("the store is not open")
        if self._held is not None and not self._held.alive:
            self._drop()
        if self._held is None:
            self._held = self._connect()
        return self._held

    def _connect(self) -> Link:
        self._breathe()  # connecting has the timeout for itself
        try:
            link = Link(self._where, self._settings(), self._timeout)
        except SinkError:
            raise
        except Exception as error:
            raise pg_outcome.of_question(error) from error
        try:
            link.run(_wait_for_commits, self._timeout)
        except Exception as error:
            link.drop()
            raise pg_outcome.of_question(error) from error
        self._breathe()
        return link

    def _connect_apart(self) -> Link:
        """A connection for what takes long and keeps no batch waiting."""
        if not self._opened:
            raise StoreAway("the store is not open")
        settings = self._settings() | {"statement_timeout": "0"}
        return Link(self._where, settings, self._timeout)

    def _settings(self) -> dict[str, str]:
        """A backend whose client is gone, or that waits for a lock for ever, has to end by itself."""
        timeout, later = (str(int(self._timeout * 1000 * times)) for times in (1, 2))  # we give up first
        return {
            "statement_timeout": later,
            "lock_timeout": timeout,
            "idle_in_transaction_session_timeout": later,
            "client_connection_check_interval": _CHECK_CLIENT,
            "tcp_user_timeout": timeout,
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "timezone": "UTC",
            "jit": "off",
        }

    def _drop(self) -> None:
        link, self._held = self._held, None
        if link is not None:
            link.drop()

    def _ask(self, work: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        return self._ask_within(self._timeout, work)

    def _ask_within(self, timeout_s: float | None, work: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        link = self._link()
        try:
            return link.run(work, timeout_s)
        except SinkError:
            raise
        except Exception as error:
            self._drop()
            raise pg_outcome.of_question(error) from error

    async def _check(self, connection: asyncpg.Connection) -> None:
        version = connection.get_server_version()
        if version.major < LEAST_VERSION:
            raise StoreReject(f"PostgreSQL {version.major} is older than {LEAST_VERSION}", "upgrade the server")
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise StoreAway("the server is a standby: it only reads", "name the primary in store.url")
        if await connection.fetchval("SHOW fsync") == "off":
            log.warning("store: fsync is off in the server: a power cut may destroy what it holds")

    def _migrate(self) -> None:
        def run(statement: str) -> None:
            self._ask(lambda connection: connection.execute(statement))
            self._breathe()

        def change(statement: str) -> None:
            self._ask_within(None, lambda connection: connection.execute(statement))

        def applied() -> list[int]:
            rows = self._ask(lambda connection: connection.fetch("SELECT version FROM trackflow_schema"))
            return [row[0] for row in rows]

        def note(done: migrations.Migration) -> None:
            run(f"INSERT INTO trackflow_schema (version, name) VALUES ({done.version}, '{done.name}')")

        # No statement_timeout: an index takes what it takes. A lock that is not to be had ends the try all the same.
        run("SET statement_timeout = 0")
        run("BEGIN")  # all of it or nothing; what fails drops the connection, and so the transaction
        run(f"SELECT pg_advisory_xact_lock({pg_months.CHANGING})")
        if not self._ask(lambda connection: connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", SCHEMA)):
            run(f"CREATE SCHEMA {SCHEMA}")
        run(_SCHEMA_TABLE)
        migrations.apply(migrations.load("postgresql"), applied, change, note, self._breathe)
        run("COMMIT")
        run("RESET statement_timeout")

    def _tend_months(self, month: int) -> None:
        """Make and drop partitions where it is time to. What goes wrong is said; rows land without it."""
        if month in self._made and time.monotonic() < self._months_due:
            return
        self._months_due = time.monotonic() + _MONTHS_EVERY
        self._made.add(month)

        async def tend(connection: asyncpg.Connection) -> None:
            await pg_months.make(connection, month)
            if self._retention_days:
                await pg_months.drop(connection, pg_months.oldest_kept(self._retention_days, datetime.now(UTC)))

        try:
            self._ask(tend)
        except StoreAway as error:
            self._months_due = time.monotonic() + _MONTHS_AGAIN
            log.warning("store: partitions are not made or dropped now: %s", error)
        self._breathe()


async def _wait_for_commits(connection: asyncpg.Connection) -> None:
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        # Set for the role or database: an answered COMMIT could be gone after a crash.
        await connection.execute("SET synchronous_commit = on")


def _difference(found: Mapping[str, Mapping[str, str]]) -> str:
    """How tables (column: type) differ from the schema's; other columns of somebody's own do no harm."""
    for table, columns in pg_tables.columns().items():
        if table not in found:
            return f"table {table} is missing"
        for name, kind in columns.items():
            there = found[table].get(name)
            if there is None:
                return f"column {table}.{name} is missing"
            if there != kind:
                return f"column {table}.{name} is {there}, {kind} is expected"
    return ""


def _of_batch(partition: int) -> str:
    start, end = pg_months.start_of(partition), pg_months.start_of(pg_months.following(partition))
    return f"_batch = $1 AND received >= '{start.isoformat()}' AND received < '{end.isoformat()}'"


def _uuid(batch_id: int) -> bytes:
    return batch_id.to_bytes(16, "big")
