"""ClickHouse as a cluster: hosts that each take inserts of their own and answer queries for all.

::

    host 1 ── events_local ──┐          shard 1 = the first ``store.replicas`` hosts of the url, and so on
    host 2 ── events_local ──┼── events (Distributed, on every host): what queries read
    host 3 ── events_local ──┘

Tables are made ON CLUSTER; a host that is away makes them when it is back, from the cluster's own queue, and counts
as away until it has. An insert goes to the local table of one host and to no other: which one is ``clusterlander``'s
to say, who asks the same host about it. The table that people and statistics read is called ``events`` in both forms
of the store; where a shard does not answer, reading it is an error, never an answer that lacks rows.

A Replicated table commits a part, its place in the log and its deduplication token in one transaction of Keeper. So
a local count may be ahead of the truth: a host that lost its session in the middle shows the part for five minutes,
then drops it if Keeper does not have it. ``HostSink.count`` waits for that to be settled.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

from trackflowd.errors import ConfigError, QueryError, StoreAway, StoreReject
from trackflowd.selection import Tombstone
from trackflowd.sink import migrations
from trackflowd.sink.base import Batch, Format, Params, QueryLimits, SinkOptions, shorten
from trackflowd.sink.clickhouse import ClickHouseSink, of_batch
from trackflowd.sink.edit import Editor, Piece
from trackflowd.sink.engine import Server

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

LOCAL = "events_local"

#: Seconds an ON CLUSTER statement waits for hosts that are slow or away; they do it later.
DDL_WAIT = 5
#: Seconds a host has to answer a ping. One that hangs keeps the others waiting no longer than this at each try.
PING = 1.0
#: Seconds a replica has to take over what Keeper's log has for it.
SYNC = 5

_DDL: Mapping[str, Any] = {
    "distributed_ddl_task_timeout": DDL_WAIT,
    "distributed_ddl_output_mode": "null_status_on_timeout",
}

#: Of each insert where shards have replicas. Not parallel: only then a sequentially consistent count knows it.
QUORUM = {"insert_quorum": "auto", "insert_quorum_parallel": 0, "insert_quorum_timeout": 10_000}

#: All shards or an error; a subquery on ``events`` in IN or JOIN is run over all of them too.
WHOLE: Mapping[str, Any] = {"skip_unavailable_shards": 0, "distributed_product_mode": "global"}

#: How table names, engines and settings of the schema read in a cluster. The schema's own version is one for all.
_FORMS = (
    (r"^CREATE TABLE IF NOT EXISTS events\b", f"CREATE TABLE IF NOT EXISTS {LOCAL}{{on}}"),
    (r"^CREATE TABLE IF NOT EXISTS trackflow_schema\b", "CREATE TABLE IF NOT EXISTS trackflow_schema{on}"),
    (r"^CREATE DATABASE IF NOT EXISTS (`.*`|\w+)$", r"CREATE DATABASE IF NOT EXISTS \1{on}"),
    (r"^ALTER TABLE events\b", f"ALTER TABLE {LOCAL}{{on}}"),
)
_REPLICATED = "ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')"
_EVERYWHERE = "ReplicatedMergeTree('/clickhouse/tables/all/{database}/{table}', '{shard}.{replica}')"


def clustered(statement: str, cluster: str) -> str:
    """A statement of the schema as a cluster wants it; one that changes no table (INSERT) as it is.

    Args:
        statement: of ``schema/clickhouse``, or of ``clickhouse``.
        cluster: its name.

    Raises:
        StoreReject: there is no known way to say it ON CLUSTER.
    """
    text = statement.strip()
    if text.startswith("INSERT INTO trackflow_schema "):
        return text
    for pattern, form in _FORMS:
        found, n = re.subn(pattern, form.replace("{on}", f" ON CLUSTER {quoted(cluster)}"), text, count=1)
        if n:
            engine = _EVERYWHERE if "trackflow_schema" in form else _REPLICATED
            found = found.replace("ENGINE = MergeTree", f"ENGINE = {engine}")
            return re.sub(r"\bnon_replicated_deduplication_window\b", "replicated_deduplication_window", found)
    raise StoreReject(f"no cluster form is known of: {shorten(text)}", "this is a bug")


def distributed(cluster: str, on_cluster: bool) -> str:
    """The statement that makes ``events``.

    Args:
        on_cluster: where it is missing; else anew, on one host.
    """
    verb, where = ("CREATE TABLE IF NOT EXISTS", f" ON CLUSTER {quoted(cluster)}") if on_cluster else (
        "CREATE OR REPLACE TABLE", "")  # fmt: skip
    name = cluster.replace("\\", "\\\\").replace("'", "\\'")
    return f"{verb} events{where} AS {LOCAL} ENGINE = Distributed('{name}', currentDatabase(), '{LOCAL}')"


def quoted(name: str) -> str:
    """A name as an identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def hosts_of(url: str) -> list[str]:
    """A url for each host of ``scheme://[user[:password]@]host[:port],host[:port],…[/database]``.

    Raises:
        ConfigError: the url makes no sense, or names a host twice.
    """
    hint = "clickhouse://user:password@host1:8123,host2:8123/database"
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in ("clickhouse", "clickhouses"):
        raise ConfigError("store.cluster goes with a clickhouse:// url", hint)
    end = next((at for at, char in enumerate(rest) if char in "/?#"), len(rest))
    user, at, hosts = rest[:end].rpartition("@")
    names = hosts.split(",")
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError("store url: a host is empty or named twice", hint)
    urls = [f"{scheme}://{user}{at}{name}{rest[end:]}" for name in names]
    try:
        for one in urls:  # not the whole: an address in brackets beside other hosts is no authority of RFC 3986
            urlsplit(one)
    except ValueError as error:
        raise ConfigError(f"store url: {error}", hint) from error
    return urls


class HostEngine(Server):
    """The way to one host of a cluster."""

    table = LOCAL
    asking = _DDL
    reading = WHOLE

    def __init__(self, url: str, options: SinkOptions) -> None:
        super().__init__(url, options)
        self.writing = QUORUM if options.replicas > 1 else {}
        self.ping_url = f"{'https' if self._tls else 'http'}://{self._host}:{self._port}/ping"


class HostSink(ClickHouseSink):
    """One host of a cluster: what is asked of it is asked of its local table, but ``present`` and ``query``.

    Args:
        url: of this host alone.
        options: see there; its cluster is not "".
        shard: number of its shard, from 0.
    """

    _engine: HostEngine

    def __init__(self, url: str, options: SinkOptions, shard: int) -> None:
        super().__init__(url, options, HostEngine)
        self.shard = shard
        self._cluster = options.cluster
        self._replicated = options.replicas > 1
        self._pings = PoolManager(num_pools=1, maxsize=2, retries=False, timeout=Timeout(total=PING))

    @property
    def opened(self) -> bool:
        """``open`` went well, and ``close`` was not called since."""
        return self._opened

    def answers(self) -> bool:
        """Whether it answers a ping soon. Any thread may ask."""
        try:
            return self._pings.request("GET", self._engine.ping_url).status == 200
        except HTTPError:
            return False

    def reach(self, ping: bool) -> None:
        """See ``base.Host``."""
        if (ping or not self._opened) and not self.answers():
            raise StoreAway(f"{self.identity} does not answer")
        if not self._opened:
            self.open()

    def count(self, batch_id: int, partition: int) -> int:
        """See ``base.Sink``; of what Keeper knows too."""
        with self._asking() as asker:
            asker.command(f"SYSTEM SYNC REPLICA {LOCAL}", settings={"receive_timeout": SYNC})
            self._check_sure(asker)
            return _count(asker, LOCAL, batch_id, partition, {"select_sequential_consistency": int(self._replicated)})

    def count_everywhere(self, batch_id: int, partition: int) -> int:
        """Rows of the batch on all shards.

        Raises:
            StoreAway: cannot be asked now, or a shard does not answer.
        """
        with self._asking() as asker:
            return _count(asker, "events", batch_id, partition, WHOLE)

    def _check_sure(self, asker: Client) -> None:
        where = f"database = currentDatabase() AND table = '{LOCAL}'"
        sql = f"SELECT toUInt8(is_readonly), toUInt64(parts_to_check) FROM system.replicas WHERE {where}"
        found = asker.raw_query(sql, fmt="TabSeparated").split()
        if found != [b"0", b"0"]:
            raise StoreAway(f"{self.identity} is not sure of its parts: it has no session with Keeper, or checks them")

    def delete(self, batch_id: int, partition: int) -> None:
        """See ``base.Sink``. The other replicas do it in their time: a part that comes back comes without the rows."""
        with self._asking() as asker:
            where = f"_batch = toUInt128('{batch_id}')"
            statement = f"ALTER TABLE {LOCAL} DELETE IN PARTITION {partition} WHERE {where}"
            asker.command(statement, settings={"mutations_sync": 1})

    def _migrate(self) -> None:
        if not self._up_to_date():
            super()._migrate()
        with self._asking() as asker:
            self._distribute(asker)
        if words := self.table_fault():
            raise StoreAway(f"{self.identity}: {words.replace('table events ', f'table {LOCAL} ')}; it has not made "
                            f"what was ordered ON CLUSTER {self._cluster} yet")  # fmt: skip

    def _up_to_date(self) -> bool:
        """Whether nothing is to be ordered ON CLUSTER: then a start need not wait for hosts that are away."""
        known = {one.version for one in migrations.load("clickhouse")}
        with self._asking() as asker:
            tables = asker.raw_query("SHOW TABLES LIKE 'trackflow_schema'", fmt="TabSeparatedRaw")
            if not tables.strip():
                return False
            have = set(map(int, asker.raw_query("SELECT version FROM trackflow_schema", fmt="TabSeparated").split()))
        return have == known

    def _distribute(self, asker: Client) -> None:
        sql = """
            SELECT table, name, type FROM system.columns
            WHERE database = currentDatabase() AND table IN ('events', 'events_local') ORDER BY name
            """
        rows = [line.split("\t", 1) for line in asker.raw_query(sql, fmt="TabSeparatedRaw").decode().splitlines()]
        shown = [columns for table, columns in rows if table == "events"]
        if not shown:
            asker.command(distributed(self._cluster, on_cluster=True))
            return
        where = "database = currentDatabase() AND name = 'events'"
        made = (
            asker.raw_query(f"SELECT engine FROM system.tables WHERE {where}", fmt="TabSeparatedRaw").decode().strip()
        )
        if made != "Distributed":
            raise StoreReject(
                f"{self.identity}: table events is {made}, made before store.cluster was set",
                "name another database in store.url, and move its rows to the new one's events_local (docs/scaling.md)",
            )
        if shown != [columns for table, columns in rows if table == LOCAL]:
            asker.command(distributed(self._cluster, on_cluster=False))

    def _ddl(self, statement: str) -> str:
        self._breathe()  # before each that may wait for a host
        return clustered(statement, self._cluster)


def _count(asker: Client, table: str, batch_id: int, partition: int, settings: Mapping[str, Any]) -> int:
    sql = f"SELECT count() FROM {table} WHERE {of_batch(batch_id, partition)}"
    answer: Any = asker.command(sql, settings=dict(settings))
    return int(answer)


class ClusterEditor:
    """Edits on every host, one after the other. One that is away ends the try: nothing is edited by halves unsaid.

    Args:
        hosts: of the cluster.
    """

    def __init__(self, hosts: Collection[HostSink]) -> None:
        self._hosts = hosts

    def count_left(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> int:
        """See ``edit.Editor``."""
        return sum(one.count_left(batch_id, partition, without) for one in self._editors())

    def clear(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> None:
        """See ``edit.Editor``."""
        for one in self._editors():
            one.clear(batch_id, partition, without)

    def erase(self, what: Tombstone, month: int, at: int) -> Piece:
        """See ``edit.Editor``: of the first host that is not done."""
        pieces = (one.erase(what, month, at) for one in self._editors())
        return next((piece for piece in pieces if piece.next is not None), Piece(None))

    def sweep(self) -> int:
        """See ``edit.Editor``."""
        return sum(one.sweep() for one in self._editors())

    def correct(self, site: str, event: bytes, month: int, props: Mapping[str, str]) -> None:
        """See ``edit.Editor``."""
        for one in self._editors():
            one.correct(site, event, month, props)

    def _editors(self) -> Iterator[Editor]:
        for host in self._hosts:
            host.reach(ping=True)
            yield host.edit


class ClusterSink:
    """All hosts. Batches are sent through ``hosts``, each of them a sink of its own; see ``clusterlander``.

    Args:
        url: names every host.
        options: see there.

    Attributes:
        hosts: by identity, in the order of the url.
        shards: identity of each shard: what a batch that was not sent yet is cut for.

    Raises:
        ConfigError: the url makes no sense, or its hosts do not divide into shards.
    """

    vouches = True

    def __init__(self, url: str, options: SinkOptions) -> None:
        urls = hosts_of(url)
        if len(urls) % options.replicas:
            raise ConfigError(
                f"store.url names {len(urls)} hosts, which do not divide by store.replicas = {options.replicas}",
                "name all replicas of a shard one after the other",
            )
        sinks = [HostSink(one, options, n // options.replicas) for n, one in enumerate(urls)]
        self.hosts: dict[str, HostSink] = {sink.identity: sink for sink in sinks}
        self.edit: Editor = ClusterEditor(self.hosts.values())
        self.replicated = options.replicas > 1
        scheme, _, place = sinks[0].identity.partition("://")
        self.identity = f"{scheme}://cluster {options.cluster}/{place.partition('/')[2]}"
        self.shards = tuple(f"{self.identity} shard {n + 1}" for n in range(len(urls) // options.replicas))

    def open(self) -> None:
        """See ``base.Sink``: one host that can be opened is enough; the others are opened when they are wanted."""
        errors: list[StoreAway] = []
        for host in self.hosts.values():
            try:
                host.reach(ping=True)
                return
            except StoreAway as error:
                errors.append(error)
        raise StoreAway("; ".join(str(error) for error in errors))

    def insert(self, batch: Batch) -> None:
        """Refused: which host a batch goes to is to be journaled first. See ``hosts``."""
        raise StoreReject("a batch is sent to one host of a cluster", "this is a bug")

    def confirm(self) -> None:
        """See ``base.Sink``."""

    def count(self, batch_id: int, partition: int) -> int:
        """Rows of the batch on all hosts. See ``base.Sink``."""
        return self._any().count_everywhere(batch_id, partition)

    def kill(self, batch: Batch) -> None:
        """See ``base.Sink``."""
        for host in self.hosts.values():
            host.reach(ping=True)
            host.kill(batch)

    def delete(self, batch_id: int, partition: int) -> None:
        """See ``base.Sink``."""
        for host in self.hosts.values():
            host.reach(ping=True)
            host.delete(batch_id, partition)

    def present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """See ``base.Sink``."""
        return self._any().present(ids)

    def table_fault(self) -> str:
        """See ``base.Sink``."""
        return self._any().table_fault()

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None = None) -> bytes:
        """See ``base.Sink``: from the first host that answers, over all shards."""
        host = next((host for host in self.hosts.values() if host.opened and host.answers()), None)
        if host is None:
            raise QueryError("no host of the store answers", "see `trackflow status`")
        return host.query(sql, fmt, limits, params)

    def close(self) -> None:
        """See ``base.Sink``."""
        for host in self.hosts.values():
            host.close()

    def _any(self) -> HostSink:
        for host in self.hosts.values():
            if host.opened and host.answers():
                return host
        raise StoreAway("no host of the store answers")
