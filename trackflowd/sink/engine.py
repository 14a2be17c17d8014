"""Two ways to the same engine: a ClickHouse server over HTTP, chDB in this process. One client library for both.

What differs is here, what is the same is in ``clickhouse``: how a connection is made, how a block is handed over,
and whether an insert can run on when its sender is gone (on a server it can, in this process it cannot).

Settings pinned with every insert, whatever the server's profile says. One batch must stay one block, or the
deduplication token means another thing at every try and half a batch can be kept:

- ``async_insert=0``: otherwise (the default of recent servers) the server gathers rows of several inserts.
- ``max_insert_threads=1`` and block sizes far above any batch: nothing splits or joins blocks.
- ``wait_end_of_query=1``: an error after the first bytes of the answer becomes a status, not a text in a 200.
- ``min_free_disk_bytes_to_perform_insert``: on a full disk an insert is refused before it begins (24.10 and later).

Embedded, a good answer is not believed at once. chDB 26.9 takes no notice of a write that fails (ENOSPC seen in
strace, the part renamed into place, the insert answered well): the part is whole in memory and broken on disk, gone
with the next start. The same of a merge, whose sources are deleted 8 minutes later. But it counts failed writes. So
the counter is looked at after inserts, before any of them is taken as stored, and once a minute because of merges;
when it has moved, the process ends, and the next one finds on disk what is there: broken parts set aside, the sources
of a broken merge taken up again, and each batch not yet confirmed asked for.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from urllib3 import Timeout

from trackflowd.errors import ConfigError, StoreAway, StoreDoubt, StoreReject
from trackflowd.event import FIELDS
from trackflowd.sink.base import Batch, QueryLimits, SinkOptions, embedded_path, shorten
from trackflowd.sink.pool import Pool

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

DEFAULT_DATABASE = "trackflow"

#: Bytes of a block a chunk holds on its way to a server. Each has store.timeout to be taken: 3 KB/s will do.
CHUNK = 64 * 1024

#: Above any batch (a batch has at most some 100 MB and a million rows).
_BLOCK_ROWS = 2**26
_BLOCK_BYTES = 2**36

INSERT_SETTINGS: Mapping[str, int] = {
    "async_insert": 0,
    "max_insert_threads": 1,
    "max_insert_block_size": _BLOCK_ROWS,
    "min_insert_block_size_rows": _BLOCK_ROWS,
    "min_insert_block_size_bytes": _BLOCK_BYTES,
}

#: Settings of the table (no insert can have them): a new part's files, and the directories that name it, are on
#: disk when the insert returns. A few dozen fdatasync for each. Parts that a merge made are not synced; those they
#: were made from stay on disk for 8 minutes (old_parts_lifetime), longer than the kernel waits with writing.
DURABLE = ("fsync_after_insert", "fsync_part_directory")

#: Bytes that an insert leaves free on the store's disk: for the journal, the state and the store's own merges.
KEEP_FREE = 64 * 2**20
_FREE = "min_free_disk_bytes_to_perform_insert"

#: The engine's counter of write() and pwrite() that failed, in this process, since it began.
_FAILED_WRITES = "WriteBufferFromFileDescriptorWriteFailed"

#: A start must not stop at broken parts, however many: what was in them is sent again, or in a merge's sources.
_LENIENT = {"max_suspicious_broken_parts": 2**31, "max_suspicious_broken_parts_bytes": 2**50}

_COLUMNS = [field.name for field in FIELDS]


class Engine(Protocol):
    """A way to the engine."""

    identity: str
    database: str
    #: That inserts go into.
    table: str
    #: Nothing runs on in it when the process that asked is gone.
    embedded: bool

    def writer(self) -> Client:
        """A connection for inserts."""

    def asker(self, writer: Client) -> Client:
        """A connection for everything else that the flusher does; may be the writer's."""

    def reader(self, limits: QueryLimits) -> Client:
        """A connection on which nothing but bounded reading is possible."""

    def check_room(self) -> None:
        """Whether a table may be changed. Raises StoreAway: its disk is full."""

    def patient(self, client: Client) -> AbstractContextManager[None]:
        """Within it, a statement on the connection may take as long as it takes."""

    def failed_writes(self, asker: Client) -> int:
        """Writes to files that failed since this process began, as far as the engine tells."""

    def prepare(self, writer: Client) -> None:
        """Settings of the table that follow options; called when the schema is up to date."""

    def insert(self, writer: Client, batch: Batch, block: bytes) -> None:
        """Hand a block over; raises what the driver raises, or ``StoreDoubt``."""

    def release(self, client: Client) -> None:
        """Close a connection."""


def engine(url: str, options: SinkOptions) -> Engine:
    """The way to the store of a url (see ``base.open_sink``).

    Raises:
        ConfigError: the url makes no sense.
    """
    return Embedded(url, options) if url.startswith("chdb:") else Server(url, options)


def _query_settings(limits: QueryLimits) -> dict[str, Any]:
    return {
        "max_execution_time": limits.max_seconds,
        "max_result_rows": limits.max_rows,
        # In memory; text is at most a few times smaller (a number of one digit takes eight bytes here).
        "max_result_bytes": 8 * limits.max_answer,
        "result_overflow_mode": "throw",
        "timeout_overflow_mode": "throw",
        "max_memory_usage": limits.max_memory,
        "output_format_json_quote_64bit_integers": 0,
        "output_format_json_quote_decimals": 0,
        "output_format_json_escape_forward_slashes": 0,
        "output_format_pretty_row_numbers": 0,
        "output_format_pretty_color": 0,
        "readonly": 1,  # last: after it nothing can be set
    }


def _deduplication(client: Client, on: bool) -> dict[str, Any]:
    """Settings that turn it on or off: where the engine knows the newer one, that one decides alone."""
    settings: dict[str, Any] = {"insert_deduplicate": int(on)}
    if "deduplicate_insert" in client.server_settings:
        settings["deduplicate_insert"] = "enable" if on else "disable"
    return settings


def _keep_free(client: Client, block: bytes) -> dict[str, Any]:
    """Of an insert: what it leaves free on the disk, where the engine knows how."""
    return {_FREE: KEEP_FREE + len(block)} if _FREE in client.server_settings else {}


def copying(client: Client) -> dict[str, Any]:
    """Settings of an insert from one table into another: what was deleted since it was last copied comes again."""
    return {"async_insert": 0, "max_insert_threads": 1, **_deduplication(client, on=False), **_keep_free(client, b"")}


def _number(client: Client, sql: str) -> int:
    answer: Any = client.command(sql)
    return int(answer)


def _library() -> Any:
    import clickhouse_connect  # here, not at import: a second, and in no process but the one with the store
    from clickhouse_connect import common

    common.set_setting("autogenerate_session_id", False)  # a session would make connections wait for each other
    common.set_setting("send_os_user", False)
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # what it would say is raised as well
    return clickhouse_connect


class Server:
    """``clickhouse://[user[:password]@]host[:port][/database]`` (HTTP), ``clickhouses://…`` (HTTPS)."""

    embedded = False
    table = "events"
    #: Settings on top of the others: of inserts, of questions, of readers.
    writing: Mapping[str, Any] = {}
    asking: Mapping[str, Any] = {}
    reading: Mapping[str, Any] = {}

    def __init__(self, url: str, options: SinkOptions) -> None:
        hint = "clickhouse://user:password@host:8123/database"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"store url: {error}", hint) from error
        if (
            not parts.hostname
            or "," in parts.netloc.rpartition("@")[2]
            or parts.query
            or parts.fragment
            or parts.path.count("/") > 1
        ):
            raise ConfigError("store url: a host, then at most a database", hint)
        self._tls = parts.scheme == "clickhouses"
        self._host = parts.hostname
        self._port = port or (8443 if self._tls else 8123)
        self._user = unquote(parts.username or "default")
        self._password = unquote(parts.password or "")
        self._timeout = options.timeout_s
        self._breathe = options.breathe
        self.database = unquote(parts.path.strip("/")) or DEFAULT_DATABASE
        self.identity = f"{parts.scheme}://{self._host}:{self._port}/{self.database}"

    def writer(self) -> Client:
        return self._connect(self._timeout, {"async_insert": 0})

    def asker(self, writer: Client) -> Client:
        return self._connect(self._timeout, {"async_insert": 0, **self.asking})

    def reader(self, limits: QueryLimits) -> Client:
        settings = {"cancel_http_readonly_queries_on_client_close": 1, **self.reading, **_query_settings(limits)}
        client = self._connect(limits.max_seconds + self._timeout, settings)
        client.database = self.database
        return client

    def check_room(self) -> None:
        pass  # its disk is not here

    @contextmanager
    def patient(self, client: Client) -> Iterator[None]:
        http: Any = client
        before, http.timeout = http.timeout, Timeout(connect=self._timeout, read=None)
        try:
            yield
        finally:
            http.timeout = before

    def failed_writes(self, asker: Client) -> int:
        return 0  # it may have other users, whose failures are not ours

    def prepare(self, writer: Client) -> None:
        pass  # when a server has its rows on disk is its operator's choice

    def insert(self, writer: Client, batch: Batch, block: bytes) -> None:
        settings = {
            **INSERT_SETTINGS,
            **_deduplication(writer, on=True),
            **_keep_free(writer, block),
            **self.writing,
            "insert_deduplication_token": batch.token,
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            "query_id": batch.token,
            "wait_end_of_query": 1,
        }
        # A generator: a body of bytes would be sent again by the driver, unasked, when the connection is lost.
        writer.raw_insert(self.table, _COLUMNS, _chunks(block, self._breathe), settings=settings, fmt="Native")
        answer = _pool(writer).answer
        if answer.strip():
            raise StoreDoubt(f"the store took it, with a text: {shorten(answer.decode(errors='replace'))}")

    def release(self, client: Client) -> None:
        client.close()
        _pool(client).clear()

    def _connect(self, timeout: float, settings: Mapping[str, Any]) -> Client:
        pool = Pool()
        try:
            client: Client = _library().get_client(
                interface="https" if self._tls else "http",
                host=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                pool_mgr=pool,
                compress=False,
                query_retries=0,
                connect_timeout=ceil(timeout),
                send_receive_timeout=ceil(timeout),
                client_name="trackflowd",
                show_clickhouse_errors="scrub",  # texts without the url
                settings=dict(settings),
            )
        except BaseException:
            pool.clear()
            raise
        http: Any = client
        http.http_retries = 0  # the driver's own default is one
        http.timeout = Timeout(connect=timeout, read=timeout)
        return client


def _pool(client: Client) -> Pool:
    http: Any = client
    pool: Pool = http.http
    return pool


def _chunks(block: bytes, breathe: Callable[[], None]) -> Generator[bytes, None, None]:
    for start in range(0, len(block), CHUNK):
        breathe()  # each chunk has store.timeout; a slow store that goes on taking them is no dead one
        yield block[start : start + CHUNK]


class Embedded:
    """``chdb:`` (the engine's files are in the data directory) or ``chdb:///path``."""

    embedded = True
    database = "default"
    table = "events"

    def __init__(self, url: str, options: SinkOptions) -> None:
        parts = urlsplit(url)
        if parts.netloc or parts.query or parts.fragment:
            raise ConfigError(f"store url {url!r}", "chdb: for the data directory, or chdb:///path")
        path = embedded_path(url, options.data_dir)
        assert path is not None
        self._path = path
        # Without a path the store moves with the data directory, and so with the journal that names it.
        self.identity = f"chdb://{self._path}" if parts.path else "chdb:"
        self._memory = options.memory
        self._durable = options.durable

    def writer(self) -> Client:
        if not self._path.exists():
            self.check_room()
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._connect({"async_insert": 0})

    def asker(self, writer: Client) -> Client:
        return writer

    def reader(self, limits: QueryLimits) -> Client:
        # Half of the cores: what a query leaves of the engine's threads and caches, inserts have.
        threads = max(1, (os.cpu_count() or 1) // 2)
        return self._connect({"max_threads": threads, **_query_settings(limits)})

    def check_room(self) -> None:
        there = next(path for path in (self._path, *self._path.parents) if path.exists())
        space = os.statvfs(there)
        if (free := space.f_bavail * space.f_frsize) < KEEP_FREE:
            raise StoreAway(f"{free} bytes free on the disk of {self._path}, {KEEP_FREE} are needed", "make room")

    def patient(self, client: Client) -> AbstractContextManager[None]:
        return nullcontext()  # no call to it has a timeout

    def failed_writes(self, asker: Client) -> int:
        return _number(asker, f"SELECT sum(value) FROM system.events WHERE event = '{_FAILED_WRITES}'")

    def prepare(self, writer: Client) -> None:
        known = f"SELECT count() FROM system.events WHERE event = '{_FAILED_WRITES}'"
        if not _number(writer, f"{known} SETTINGS system_events_show_zero_values = 1"):
            raise StoreReject("this chDB does not count the writes that fail", "install the version in setup.cfg")
        made = str(
            writer.command(
                "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
            )
        )
        wanted = _LENIENT | dict.fromkeys(DURABLE, 1) if self._durable else _LENIENT
        missing = [f"{name} = {value}" for name, value in wanted.items() if f"{name} = {value}" not in made]
        surplus = [name for name in DURABLE if name in made and name not in wanted]
        for verb, settings in (("MODIFY", missing), ("RESET", surplus)):
            if settings:
                self.check_room()
                writer.command(f"ALTER TABLE events {verb} SETTING {', '.join(settings)}")

    def insert(self, writer: Client, batch: Batch, block: bytes) -> None:
        # No token: the engine dies with this process, so no late twin of a sending exists; the check after a doubt
        # needs none. Without a token the engine would compare contents, and a batch sent again after its half
        # was deleted would be taken for a repeat and dropped.
        settings = {**INSERT_SETTINGS, **_deduplication(writer, on=False), **_keep_free(writer, block)}
        clause = ", ".join(f"{name}='{value}'" for name, value in settings.items())
        file = os.memfd_create("trackflow-batch", os.MFD_CLOEXEC)  # rows never touch a disk outside of the store
        try:
            with open(file, "wb", closefd=False) as out:
                out.write(block)
            source = f"/proc/self/fd/{file}"
            columns = ", ".join(_COLUMNS)
            writer.command(f"INSERT INTO events ({columns}) FROM INFILE '{source}' SETTINGS {clause} FORMAT Native")
        finally:
            os.close(file)

    def release(self, client: Client) -> None:
        client.close()

    def _connect(self, settings: Mapping[str, Any]) -> Client:
        options = {
            "max_server_memory_usage": self._memory,
            "mark_cache_size": self._memory // 16,  # its own default is 5 GiB
            # It reads the memory's figures 20 times a second, half of what the engine takes at rest.
            "memory_worker_period_ms": 1000,
            "logger.console": "0",  # "logger.level" would turn it on where stderr is a terminal
        }
        client: Client = _library().get_client(
            interface="chdb",
            path=str(self._path),
            chdb_options=options,
            settings=dict(settings),
            show_clickhouse_errors="scrub",
        )
        return client
