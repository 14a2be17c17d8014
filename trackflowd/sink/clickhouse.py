"""ClickHouse: a server, or the embedded chDB. See ``engine`` for what differs between them.

Two connections belong to the flusher: one for inserts, one that asks about them (after a timeout the first may be
in any state). Queries of people run on connections of their own, each good for one query at a time, opened when
needed and kept for the next: a shared one made an insert wait 5.5 s for a query.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trackflowd.errors import AnswerTooLong, EngineBroken, QueryError, SinkError, StoreAway, StoreReject
from trackflowd.event import FIELDS
from trackflowd.sink import migrations, native_block, outcome, readonly
from trackflowd.sink.archive import Archive
from trackflowd.sink.base import Batch, Format, Params, QueryLimits, SinkOptions, embedded_path
from trackflowd.sink.ch_edit import ClickHouseEditor
from trackflowd.sink.edit import Editor
from trackflowd.sink.engine import Engine, copying, engine

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: The oldest server whose behaviour this was written for (a long-term release of August 2024).
LEAST_VERSION = (24, 8)

#: Idle query connections kept.
_IDLE_READERS = 2

#: Event ids asked about at once: 1000 of 50 bytes of SQL stay well under the server's max_query_size of 256 KiB.
_IDS_AT_ONCE = 1000

_FORMATS: dict[Format, str] = {"table": "PrettyCompactMonoBlock", "json": "JSONEachRow", "csv": "CSVWithNames"}

_SCHEMA_TABLE = """
CREATE TABLE IF NOT EXISTS trackflow_schema
(version UInt32, name String, applied DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'))
ENGINE = MergeTree ORDER BY version
"""


class ClickHouseSink:
    """See the module's text and ``base.Sink``.

    Args:
        way: makes the way to the engine; a cluster's hosts have their own.

    Raises:
        ConfigError: the url makes no sense.
    """

    def __init__(self, url: str, options: SinkOptions, way: Callable[[str, SinkOptions], Engine] = engine) -> None:
        self._engine: Engine = way(url, options)
        self._table = self._engine.table
        self._retention_days = options.retention_days
        self._breathe = options.breathe
        self._writer: Client | None = None
        self._asker: Client | None = None
        self._opened = False
        self._readers = Readers(self._engine)
        self.edit: Editor = ClickHouseEditor(self._asking, self._table)
        root = embedded_path(url, options.data_dir)
        self.archive = Archive(self._asking, root, copying, self._breathe) if root else None

    @property
    def identity(self) -> str:
        """See ``base.Sink``."""
        return self._engine.identity

    def open(self) -> None:
        """See ``base.Sink``."""
        self.close()
        try:
            self._connect()
            self._check_version()
            self._choose_database()
            self._migrate()
            self._retain()
            self._engine.prepare(self._clients()[0])
        except SinkError:
            self.close()
            raise
        except Exception as error:  # whatever the driver raises: this is its border
            self.close()
            raise outcome.of_question(error) from error
        self._opened = True
        self._readers.open()

    def insert(self, batch: Batch) -> None:
        """See ``base.Sink``."""
        block = native_block.encode(batch)
        writer, _ = self._clients()
        try:
            self._engine.insert(writer, batch, block)
        except SinkError:
            raise
        except Exception as error:
            self._renew()
            raise outcome.of_insert(error) from error

    @property
    def vouches(self) -> bool:
        """See ``base.Sink``. A full disk under a server is its operator's to see; see ``engine.KEEP_FREE``."""
        return not self._engine.embedded

    def confirm(self) -> None:
        """See ``base.Sink``."""
        with self._asking() as asker:
            failed = self._engine.failed_writes(asker)
        if failed:
            raise EngineBroken(
                f"the embedded store failed to write {failed} times and does not know which of its parts are whole",
                "starting it afresh, which finds out; make room on its disk if that is full, or see dmesg",
            )

    def count(self, batch_id: int, partition: int) -> int:
        """See ``base.Sink``."""
        with self._asking() as asker:
            return _number(asker.command(f"SELECT count() FROM {self._table} WHERE {of_batch(batch_id, partition)}"))

    def kill(self, batch: Batch) -> None:
        """See ``base.Sink``. An embedded engine's inserts end before their call does: nothing to do."""
        if self._engine.embedded:
            return
        with self._asking() as asker:
            # SYNC waits until they are gone: what is counted next does not change any more.
            asker.command(f"KILL QUERY WHERE startsWith(query_id, '{batch.batch_id:032x}.') SYNC")

    def delete(self, batch_id: int, partition: int) -> None:
        """See ``base.Sink``."""
        with self._asking() as asker:
            where = f"_batch = {_u128(batch_id)}"
            statement = f"ALTER TABLE {self._table} DELETE IN PARTITION {partition} WHERE {where}"
            asker.command(statement, settings={"mutations_sync": 2})

    def present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """See ``base.Sink``."""
        found: set[tuple[str, bytes]] = set()
        with self._asking() as asker:
            for start in range(0, len(ids), _IDS_AT_ONCE):
                found |= _present(asker, ids[start : start + _IDS_AT_ONCE])
        return found

    def table_fault(self) -> str:
        """See ``base.Sink``."""
        with self._asking() as asker:
            raw = asker.raw_query(
                f"SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{self._table}'",
                fmt="TabSeparatedRaw",
            )
        return _difference(dict(line.split("\t", 1) for line in raw.decode().splitlines()))

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None = None) -> bytes:
        """See ``base.Sink``."""
        return self._readers.query(sql, fmt, limits, params)

    def close(self) -> None:
        """See ``base.Sink``. A query that still runs ends by itself, at the latest at its limit."""
        self._opened = False
        self._readers.close()
        self._disconnect()

    def _connect(self) -> None:
        self._writer = self._engine.writer()
        self._asker = self._engine.asker(self._writer)

    def _disconnect(self) -> None:
        clients = {id(client): client for client in (self._writer, self._asker) if client is not None}
        self._writer = self._asker = None
        for client in clients.values():
            self._engine.release(client)

    def _clients(self) -> tuple[Client, Client]:
        """Connections for inserts and for questions."""
        if self._writer is None or self._asker is None:
            if not self._opened:
                raise StoreAway("the store is not open")
            try:
                self._connect()
            except Exception as error:
                raise outcome.of_question(error) from error
            self._use_database()
        assert self._writer is not None and self._asker is not None
        return self._writer, self._asker

    def _renew(self) -> None:
        """After a failure: what an embedded engine had written of its answer would open that of the next question."""
        if self._engine.embedded:
            with contextlib.suppress(Exception):  # it has nothing to say that the failure did not
                self._disconnect()

    @contextmanager
    def _asking(self) -> Iterator[Client]:
        _, asker = self._clients()
        try:
            yield asker
        except SinkError:
            raise
        except Exception as error:
            self._renew()
            raise outcome.of_question(error) from error

    def _check_version(self) -> None:
        writer, _ = self._clients()
        version = str(writer.server_version)
        found = re.match(r"(\d+)\.(\d+)", version)
        if found is None or (int(found[1]), int(found[2])) < LEAST_VERSION:
            least = ".".join(map(str, LEAST_VERSION))
            raise StoreReject(f"ClickHouse {version} is older than {least}", "upgrade the server")

    def _choose_database(self) -> None:
        with self._asking() as asker:
            name = self._engine.database
            quoted = "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
            known = f"SELECT count() FROM system.databases WHERE name = {_text(name)}"
            if not _number(asker.command(known, use_database=False)):
                asker.command(self._ddl(f"CREATE DATABASE IF NOT EXISTS {quoted}"), use_database=False)
        self._use_database()

    def _use_database(self) -> None:
        for client in self._clients():
            client.database = self._engine.database

    def _migrate(self) -> None:
        with self._asking() as asker:
            asker.command(self._ddl(_SCHEMA_TABLE))
            migrations.apply(
                migrations.load("clickhouse"),
                lambda: [int(line) for line in asker.raw_query("SELECT version FROM trackflow_schema").split()],
                lambda statement: self._change(asker, statement),
                lambda done: self._change(
                    asker, f"INSERT INTO trackflow_schema (version, name) VALUES ({done.version}, {_text(done.name)})"
                ),
                self._breathe,
            )

    def _retain(self) -> None:
        """Make the table's TTL what the option says."""
        with self._asking() as asker:
            where = f"database = currentDatabase() AND name = '{self._table}'"
            engine_full = asker.raw_query(f"SELECT engine_full FROM system.tables WHERE {where} FORMAT LineAsString")
            found = re.search(rb"\bTTL .*?toIntervalDay\((\d+)\)", engine_full)
            days = int(found[1]) if found else 0
            if days == self._retention_days:
                return
            if self._retention_days:
                ttl = f"MODIFY TTL toDateTime(received) + toIntervalDay({self._retention_days})"
            else:
                ttl = "REMOVE TTL"
            self._change(asker, f"ALTER TABLE events {ttl}", {"mutations_sync": 0})

    def _change(self, asker: Client, statement: str, settings: dict[str, Any] | None = None) -> None:
        """A statement that rewrites a table's description: one cut short by a full disk would end the table."""
        self._engine.check_room()
        with self._engine.patient(asker):
            asker.command(self._ddl(statement), settings=settings)

    def _ddl(self, statement: str) -> str:
        """A statement about tables as this store wants it."""
        return statement


class Readers:
    """Connections for queries; each runs one at a time."""

    def __init__(self, way: Engine) -> None:
        self._engine = way
        self._lock = threading.Lock()
        self._open = False
        self._idle: list[tuple[QueryLimits, Client]] = []
        self._functions: frozenset[str] | None = None

    def open(self) -> None:
        """Queries may run from now on."""
        self._open = True

    def close(self) -> None:
        """No more queries; idle connections are closed, the others when their query ends."""
        with self._lock:
            self._open = False
            idle, self._idle = self._idle, []
        for _, client in idle:
            self._engine.release(client)

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None) -> bytes:
        """See ``base.Sink.query``."""
        if fmt not in _FORMATS:
            raise QueryError(f"no such format: {fmt}", "table, json or csv")
        try:
            client = self._take(limits)
        except QueryError:
            raise
        except Exception as error:
            raise outcome.of_query(error, limits) from error
        try:
            statement = readonly.check(sql, self._table_functions(client))
            # The driver takes parameters without a {name:Type} in the statement for a template of its own.
            bound = dict(params) if params and re.search(r"\{\s*\w+\s*:", sql) else None
            answer: bytes = client.raw_query(f"{statement}\nFORMAT {_FORMATS[fmt]}", parameters=bound)
        except QueryError:
            self._give_back(limits, client)
            raise
        except Exception as error:
            self._engine.release(client)  # an embedded engine's would put what it had written before the next answer
            raise outcome.of_query(error, limits) from error
        self._give_back(limits, client)
        if len(answer) > limits.max_answer:
            raise AnswerTooLong(f"the query answers with more than {limits.max_answer} bytes", "ask for less, or LIMIT")
        return answer

    def _take(self, limits: QueryLimits) -> Client:
        with self._lock:
            if not self._open:
                raise QueryError("the store is not open yet")
            for n, (made_for, client) in enumerate(self._idle):
                if made_for == limits:
                    del self._idle[n]
                    return client
        return self._engine.reader(limits)

    def _give_back(self, limits: QueryLimits, client: Client) -> None:
        with self._lock:
            surplus: Client | None = client
            if self._open:
                self._idle.append((limits, client))
                surplus = self._idle.pop(0)[1] if len(self._idle) > _IDLE_READERS else None
        if surplus is not None:
            self._engine.release(surplus)

    def _table_functions(self, client: Client) -> frozenset[str]:
        """Names of the engine's table functions: its own list, so that those of later versions are known too."""
        if self._functions is None:
            # The scalar function of the same name stays allowed; readonly refuses these as tables.
            sql = """
                SELECT lower(name) FROM system.table_functions
                WHERE lower(name) NOT IN (SELECT lower(name) FROM system.functions)
                """
            self._functions = frozenset(client.raw_query(sql, fmt="TabSeparated").decode().split())
        return self._functions


def _difference(found: Mapping[str, str]) -> str:
    """How a table's columns (name: type) differ from the schema's; others of somebody's own do no harm."""
    if not found:
        return "table events is missing"
    for field in FIELDS:
        kind = found.get(field.name)
        if kind is None:
            return f"column {field.name} is missing"
        if kind != field.clickhouse:
            return f"column {field.name} is {kind}, {field.clickhouse} is expected"
    return ""


def _present(asker: Client, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    pairs = ", ".join(f"({_text(site)}, '{event_id.hex()}')" for site, event_id in ids)
    sites = ", ".join({_text(site) for site, _ in ids})
    uuids = ", ".join(f"toUUID('{event_id.hex()}')" for _, event_id in ids)
    raw = asker.raw_query(
        f"""
        SELECT DISTINCT hex(site), replaceAll(toString(event_id), '-', '') AS id FROM events
        WHERE site IN ({sites}) AND event_id IN ({uuids}) AND (site, id) IN ({pairs})
        """,
        fmt="TabSeparated",
    )
    rows = (line.split("\t") for line in raw.decode().splitlines())
    return {(bytes.fromhex(site).decode(), bytes.fromhex(event_id)) for site, event_id in rows}


def of_batch(batch_id: int, partition: int) -> str:
    return f"_batch = {_u128(batch_id)} AND toYYYYMM(received) = {partition}"


def _u128(batch_id: int) -> str:
    return f"toUInt128('{batch_id}')"  # a bare literal of more than 64 bits would become a Float64


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _number(answer: Any) -> int:
    return int(answer)
