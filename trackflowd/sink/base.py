"""What every sink is: the batch it is given, what it may raise, how one is chosen by its url.

A sink is a thin door to one store. It keeps no queue, retries nothing by itself and never guesses: an
``insert`` that returns has put the whole batch there; one that raises says which of three things is
known (``StoreAway``: surely not stored, ``StoreDoubt``: ask before anything else, ``StoreReject``: never
as it is). Nothing but ``errors.SinkError`` and ``errors.QueryError`` leaves a sink: the exceptions of
its driver stop here, and their texts, which may quote values of rows, are cut short.

Sinks never read the configuration; they get ``SinkOptions``.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload, runtime_checkable
from urllib.parse import unquote, urlsplit

from trackflowd.errors import ConfigError
from trackflowd.sink.edit import Editor

if TYPE_CHECKING:
    from trackflowd.sink.archive import Archive

#: Formats a query's answer may take: a drawn table, one JSON object per line, CSV with a head line.
Format = Literal["table", "json", "csv"]

#: Values of the ``{name:Type}`` parameters in a query.
Params = Mapping[str, str | int]

#: Longest text of a store's error that is kept: enough for its meaning, little of the rows it may quote.
MAX_ERROR_TEXT = 300


class Coded(Sequence[Any]):
    """A column that repeats few values: each of them once, and which of them each row has.

    Columns of one part of the event share their codes, so a batch makes these once a part, and a sink that
    stores dictionaries translates them instead of looking at every value again.

    Args:
        values: the values; equal ones may stand there more than once.
        codes: index into values per row; bytes where values are at most 256, else an array.
    """

    __slots__ = ("codes", "values")

    def __init__(self, values: Sequence[Any], codes: bytes | array[int]) -> None:
        self.values = values
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self.values[code] for code in self.codes[index]]
        return self.values[self.codes[index]]

    def __iter__(self) -> Iterator[Any]:
        return map(self.values.__getitem__, self.codes)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one partition, to be stored as one part, once.

    Args:
        batch_id: 128 bits, unique across machines; fills the ``_batch`` column of every row.
        attempt: 1, 2, …; raised whenever the store may have poisoned the token of the one before.
        partition: UTC month the rows were received in, as YYYYMM.
        rows: length of each column, at least 1.
        columns: one sequence per ``event.FIELDS``, in that order, values as ``Field.kind`` says; any of them
            may be ``Coded``.
    """

    batch_id: int
    attempt: int
    partition: int
    rows: int
    columns: Mapping[str, Sequence[Any]]

    @property
    def token(self) -> str:
        """Name of this attempt, for the store's deduplication and its list of running queries."""
        return f"{self.batch_id:032x}.{self.attempt}"


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Bounds of one query.

    Args:
        max_seconds: of running time.
        max_rows: of the answer.
        max_memory: bytes the store may use for it.
        max_answer: bytes of the answer as it is written; it has to pass the control socket in one frame.
    """

    max_seconds: float = 30.0
    max_rows: int = 100_000
    max_memory: int = 2**30
    max_answer: int = 4 * 2**20


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What a sink may be told.

    Args:
        data_dir: the daemon's own directory; an embedded store lives in ``store/`` there unless its url
            names a path.
        timeout_s: seconds to wait for an answer before the outcome is in doubt.
        memory: bytes an embedded store may use.
        retention_days: rows older than this go; 0 keeps them.
        durable: an embedded store has a batch on disk before its insert returns (durability "disk").
        breathe: called while a batch is on its way, as often as the store has taken some more of it.
        cluster: name of the ClickHouse cluster the hosts of the url belong to; "": none, the url names one host.
        replicas: how many hosts that follow each other in the url hold the same rows.
    """

    data_dir: Path
    timeout_s: float = 20.0
    memory: int = 2 * 2**30
    retention_days: int = 0
    durable: bool = False
    breathe: Callable[[], None] = lambda: None
    cluster: str = ""
    replicas: int = 1


class Sink(Protocol):
    """One store. All methods belong to one thread but ``query`` and ``identity``, which any other may call."""

    @property
    def identity(self) -> str:
        """Which store this is, without secrets; stays the same across restarts. Journal entries carry it."""

    def open(self) -> None:
        """Connect, check the version, bring the schema up to date. May be called again after it raised.

        Raises:
            StoreAway: not reachable now.
            StoreReject: too old, or its schema is newer than this program.
        """

    def insert(self, batch: Batch) -> None:
        """Store the batch; a return means that all of it is there.

        Raises:
            StoreAway: nothing was sent, or nothing can have been kept.
            StoreDoubt: it may be there, wholly or in part.
            StoreReject: this store does not take these rows as they are; nothing was kept.
        """

    @property
    def vouches(self) -> bool:
        """The answer of ``insert`` is proof. False: only that of ``confirm`` is."""

    def confirm(self) -> None:
        """Prove that all that was answered well so far is where the next start finds it.

        Raises:
            StoreAway: cannot be asked now.
            EngineBroken: it may not be; this process can not find out, one that opens the store afresh does.
        """

    def count(self, batch_id: int, partition: int) -> int:
        """Rows of the batch that are there.

        Raises:
            StoreAway: cannot be asked now.
        """

    def kill(self, batch: Batch) -> None:
        """End every attempt of the batch that still runs; returns when none does, as far as can be known.

        Raises:
            StoreAway: cannot be asked now.
        """

    def delete(self, batch_id: int, partition: int) -> None:
        """Take a batch that landed in part out again; returns when it is gone.

        Raises:
            StoreAway: cannot be asked now, or did not finish in time.
        """

    def present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """Those of the (site, event id of 16 bytes) that are there.

        Raises:
            StoreAway: cannot be asked now.
        """

    @property
    def edit(self) -> Editor:
        """What can be done to events that are there."""

    def table_fault(self) -> str:
        """How the table of events differs from the schema, in words; "" when it does not.

        Raises:
            StoreAway: cannot be asked now.
        """

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None = None) -> bytes:
        """Answer of a read-only query, on a connection of its own: it never makes an insert wait.

        Args:
            sql: one statement that only reads.
            fmt: how the answer is written.
            limits: bounds; going over one is an error, not a shorter answer.
            params: values of the ``{name:Type}`` parameters in sql.

        Raises:
            QueryError: not allowed, wrong, over a limit, or the store is away.
        """

    def close(self) -> None:
        """Let go of the store. Nothing else may be called afterwards but ``open``."""


class Host(Sink, Protocol):
    """One of the stores of a ``Clustered`` sink.

    Attributes:
        shard: number of the shard it belongs to, from 0.
    """

    shard: int

    def reach(self, ping: bool) -> None:
        """Have it open.

        Args:
            ping: find out first whether it answers, so that one that hangs takes no longer than that.

        Raises:
            StoreAway: it does not answer, or its tables are not made yet.
            StoreReject: too old, or its schema is newer than this program.
        """


@runtime_checkable
class Clustered(Protocol):
    """What a sink of several hosts has on top: batches are sent to one of them, and asked about there.

    Attributes:
        hosts: by identity.
        shards: identity of each shard: what a batch is cut for; it is bound to a host when it is first sent.
        replicated: the hosts of a shard are replicas of one table.
    """

    hosts: Mapping[str, Host]
    shards: Sequence[str]
    replicated: bool


@runtime_checkable
class Archived(Protocol):
    """What a sink may have on top: copies of its events, taken out and brought in again.

    Attributes:
        archive: None: the store has backups of its own.
    """

    archive: Archive | None


def open_sink(url: str, options: SinkOptions) -> Sink:
    """The sink for a store's url; its ``open`` is still to be called.

    Args:
        url: ``chdb:``, ``chdb:///path``, ``clickhouse://[user[:password]@]host[:port][/database]``,
            the same with ``clickhouses`` for TLS, ``postgresql://[user[:password]@]host[:port][/database]``
            (``?host=/directory`` instead of a host for a unix socket), or ``null:``. With ``options.cluster``,
            ``clickhouse://…host[:port],host[:port],…[/database]``.
        options: see there.

    Raises:
        ConfigError: not the url of a store we know.
    """
    scheme = url.partition(":")[0]
    if scheme == "null":
        from trackflowd.sink.null import NullSink  # here and below: a driver is loaded only where it is used

        return NullSink()
    if options.cluster and scheme in ("clickhouse", "clickhouses"):
        from trackflowd.sink.cluster import ClusterSink

        return ClusterSink(url, options)
    if scheme in ("chdb", "clickhouse", "clickhouses"):
        from trackflowd.sink.clickhouse import ClickHouseSink

        return ClickHouseSink(url, options)
    if scheme in ("postgresql", "postgres"):
        from trackflowd.sink.postgres import PostgresSink

        return PostgresSink(url, options)
    raise ConfigError(
        f"store url {masked(url)!r}: no such kind of store",
        "chdb:, chdb:///path, clickhouse://host:8123/database, clickhouses://host:8443/database, "
        "postgresql://host:5432/database or null:",
    )


def sql_of(url: str) -> str:
    """Which SQL a store speaks: "clickhouse" (chDB too) or "postgresql"."""
    return "postgresql" if url.startswith(("postgresql:", "postgres:")) else "clickhouse"


def embedded_path(url: str, data_dir: Path) -> Path | None:
    """Where the files of an embedded store are; None for a store that is not embedded."""
    if not url.startswith("chdb:"):
        return None
    path = urlsplit(url).path
    return Path(unquote(path)) if path else data_dir / "store"


def masked(url: str) -> str:
    """A url without what is secret in it, for status and logs: a store's password, all but the host of a webhook."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https"):
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"
        if parts.password is None:
            return url
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return url.partition(":")[0] + ":…"
    return parts._replace(netloc=f"{parts.username}:***@{host}").geturl()


def shorten(text: str) -> str:
    """A store's error text on one line, cut to ``MAX_ERROR_TEXT`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_ERROR_TEXT else line[: MAX_ERROR_TEXT - 1] + "…"
