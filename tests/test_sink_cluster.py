"""sink.cluster: statements the engine parses, hosts of a url, one host through the HTTP front."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import chdb
import pytest

from tests.batches import PARTITION, batch
from tests.front_process import FrontProcess
from tests.rows import SITE, event_id
from trackflowd.errors import ConfigError, StoreAway, StoreReject
from trackflowd.sink import clickhouse, migrations
from trackflowd.sink.base import Clustered, SinkOptions, open_sink
from trackflowd.sink.cluster import ClusterSink, HostSink, clustered, distributed, hosts_of

BATCH_IDS = count(2**100)

#: Everything that is ever ordered ON CLUSTER.
STATEMENTS = [
    clickhouse._SCHEMA_TABLE,
    "CREATE DATABASE IF NOT EXISTS `a``b`",
    *(statement for one in migrations.load("clickhouse") for statement in one.statements),
    "ALTER TABLE events MODIFY TTL toDateTime(received) + toIntervalDay(30)",
    "ALTER TABLE events REMOVE TTL",
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FrontProcess, HostSink]]:
    path = tmp_path_factory.mktemp("host")
    with FrontProcess(path / "front") as front:
        sink = HostSink(front.url, SinkOptions(path, timeout_s=20, cluster="c", replicas=2), 0)
        sink.reach(ping=True)
        yield front, sink
        sink.close()


@pytest.mark.parametrize(
    "statement",
    [*(clustered(one, "it's") for one in STATEMENTS), distributed("it's", True), distributed("it's", False)],
)
def test_the_engine_parses_every_statement_of_the_cluster_form(statement: str) -> None:
    quoted = statement.replace("\\", "\\\\").replace("'", "\\'")
    parsed = str(chdb.query(f"SELECT formatQuery('{quoted}')", "TabSeparatedRaw"))  # type: ignore[no-untyped-call]
    assert "ON CLUSTER" in parsed or "CREATE OR REPLACE TABLE events" in parsed
    assert not re.search(r"ENGINE = MergeTree\b", parsed)
    assert "non_replicated" not in parsed


def test_tables_are_replicated_under_a_path_of_their_shard_and_the_schemas_version_under_one_for_all() -> None:
    events = clustered(migrations.load("clickhouse")[0].statements[0], "c")
    assert "EXISTS events_local ON CLUSTER `c`" in events
    assert "ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')" in events
    assert "'{shard}.{replica}'" in clustered(clickhouse._SCHEMA_TABLE, "c")


def test_a_statement_without_a_cluster_form_is_refused() -> None:
    with pytest.raises(StoreReject, match="no cluster form"):
        clustered("DROP TABLE something", "c")


def test_a_url_names_hosts_with_commas_between() -> None:
    assert hosts_of("clickhouse://u:p,w@a:1,b,[::1]:2/d") == [
        "clickhouse://u:p,w@a:1/d",
        "clickhouse://u:p,w@b/d",
        "clickhouse://u:p,w@[::1]:2/d",
    ]


@pytest.mark.parametrize(
    ("url", "replicas"),
    [
        ("clickhouse://a,,b/d", 1),
        ("clickhouse://a,a/d", 1),
        ("clickhouse://a,b,c/d", 2),
    ],
)
def test_a_url_that_is_no_clusters_is_refused(url: str, replicas: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_sink(url, SinkOptions(tmp_path, cluster="c", replicas=replicas))


def test_only_servers_form_a_cluster() -> None:
    with pytest.raises(ConfigError, match="clickhouse://"):
        hosts_of("chdb:")


def test_hosts_that_follow_each_other_are_the_replicas_of_a_shard(tmp_path: Path) -> None:
    sink = open_sink("clickhouse://a,b,c,d/x", SinkOptions(tmp_path, cluster="c", replicas=2))
    assert isinstance(sink, ClusterSink)
    assert isinstance(sink, Clustered)
    assert [host.shard for host in sink.hosts.values()] == [0, 0, 1, 1]
    assert sink.shards == ("clickhouse://cluster c/x shard 1", "clickhouse://cluster c/x shard 2")


def test_a_host_keeps_batches_in_its_local_table_with_a_quorum(host: tuple[FrontProcess, HostSink]) -> None:
    front, sink = host
    sent = batch(next(BATCH_IDS), range(50))
    sink.insert(sent)
    settings = front.log()[-1]["settings"]
    assert "INTO events_local" in front.log()[-1]["query"]
    assert (settings["insert_quorum"], settings["insert_quorum_parallel"]) == ("auto", "0")
    assert sink.count(sent.batch_id, PARTITION) == sink.count_everywhere(sent.batch_id, PARTITION) == 50
    assert sink.present([(SITE, event_id(3)), (SITE, event_id(999))]) == {(SITE, event_id(3))}
    sink.delete(sent.batch_id, PARTITION)
    assert sink.count(sent.batch_id, PARTITION) == 0


@pytest.mark.parametrize("first", ["SYSTEM SYNC REPLICA", "SELECT toUInt8(is_readonly)"])
def test_a_count_waits_for_what_keeper_knows(host: tuple[FrontProcess, HostSink], first: str) -> None:
    front, sink = host
    front.fault("status", match=first, code=159)
    with pytest.raises(StoreAway):
        sink.count(1, PARTITION)
    assert sink.count(1, PARTITION) == 0


def test_a_host_that_is_gone_is_away_at_once(tmp_path: Path) -> None:
    sink = HostSink("clickhouse://127.0.0.1:9/d", SinkOptions(tmp_path, cluster="c"), 0)
    with pytest.raises(StoreAway, match="does not answer"):
        sink.reach(ping=True)
