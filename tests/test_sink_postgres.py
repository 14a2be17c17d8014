"""sink.postgres: opening, its schema, faults of the connection. (What all stores do: tests/test_sink_contract.py.)"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.batches import PARTITION, batch
from tests.postgres import Cluster
from tests.tcp_proxy import TcpProxy
from trackflowd.errors import StoreAway, StoreDoubt, StoreReject
from trackflowd.sink import migrations
from trackflowd.sink.base import SinkOptions
from trackflowd.sink.postgres import PostgresSink


@pytest.fixture
def sink(postgres: Cluster, tmp_path: Path) -> Iterator[PostgresSink]:
    store = PostgresSink(postgres.database("sink"), SinkOptions(tmp_path, timeout_s=5))
    store.open()
    yield store
    store.close()
    postgres.sql("sink", "DROP SCHEMA trackflow CASCADE")


def test_opening_twice_changes_nothing(sink: PostgresSink, postgres: Cluster) -> None:
    sink.insert(batch(1, range(3)))
    sink.open()
    assert sink.count(1, PARTITION) == 3
    versions = [row[0] for row in postgres.sql("sink", "SELECT version FROM trackflow_schema")]
    assert versions == [each.version for each in migrations.load("postgresql")]


def test_a_schema_of_a_newer_program_is_refused(sink: PostgresSink, postgres: Cluster) -> None:
    postgres.sql("sink", "INSERT INTO trackflow_schema (version, name) VALUES (99, 'later')")
    with pytest.raises(StoreReject, match="schema has version 99"):
        sink.open()


def test_a_schema_change_that_fails_leaves_nothing_of_itself(
    postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = migrations.Migration(1, "broken", ("CREATE TABLE half (a int)", "CREATE TABLE nope (a no_type)"))
    monkeypatch.setattr(migrations, "load", lambda store: (broken,))
    store = PostgresSink(postgres.database("broken"), SinkOptions(tmp_path))
    with pytest.raises(StoreAway, match="no_type"):
        store.open()
    assert postgres.sql("broken", "SELECT to_regnamespace('trackflow') IS NULL") == [(True,)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE facts DROP COLUMN dialect CASCADE", "column facts.dialect is missing"),
        ("DROP TABLE clients CASCADE", "table clients is missing"),
        ("ALTER TABLE batches ALTER COLUMN rows TYPE text", "column batches.rows is text, integer is expected"),
        ("DROP VIEW events", "table events is missing"),
    ],
)
def test_a_table_that_differs_from_the_schema_is_said_in_words(
    sink: PostgresSink, postgres: Cluster, change: str, said: str
) -> None:
    postgres.sql("sink", change)
    assert sink.table_fault() == said


def test_columns_of_somebodys_own_do_no_harm(sink: PostgresSink, postgres: Cluster) -> None:
    postgres.sql("sink", "ALTER TABLE facts ADD COLUMN mine text")
    sink.insert(batch(1, range(3)))
    assert (sink.table_fault(), sink.count(1, PARTITION)) == ("", 3)


def test_a_missing_table_is_a_refusal(sink: PostgresSink, postgres: Cluster) -> None:
    postgres.sql("sink", "DROP TABLE pages CASCADE")
    with pytest.raises(StoreReject, match="pages"):
        sink.insert(batch(1, range(3)))


def test_a_database_that_is_not_there_is_away_with_what_to_do(postgres: Cluster, tmp_path: Path) -> None:
    url = postgres.database("sink").replace("/sink?", "/nowhere?")
    with pytest.raises(StoreAway, match="create the database"):
        PostgresSink(url, SinkOptions(tmp_path)).open()


def test_a_role_that_may_not_make_a_schema_is_away_with_the_servers_words(postgres: Cluster, tmp_path: Path) -> None:
    postgres.sql("postgres", "CREATE ROLE lowly LOGIN")
    url = postgres.database("denied").replace("postgres@", "lowly@")
    with pytest.raises(StoreAway, match="permission denied"):
        PostgresSink(url, SinkOptions(tmp_path)).open()


def test_commits_are_waited_for_where_the_role_says_otherwise(
    sink: PostgresSink, postgres: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.sql("postgres", "ALTER DATABASE sink SET synchronous_commit = off")
    with caplog.at_level(logging.WARNING):
        sink.open()
    assert sink._ask(lambda one: one.fetchval("SHOW synchronous_commit")) == "on"
    assert "fsync is off" in caplog.text  # of the tests' cluster


def test_a_backend_killed_by_the_server_between_two_batches_is_away_once(sink: PostgresSink, postgres: Cluster) -> None:
    sink.insert(batch(1, range(3)))
    (pid,) = postgres.backends("sink", "true")
    postgres.sql("sink", "SELECT pg_terminate_backend($1, 5000)", pid)
    with pytest.raises(StoreAway):
        sink.insert(batch(2, range(3)))
    sink.insert(batch(2, range(3)))
    assert sink.count(2, PARTITION) == 3


@contextmanager
def used(url: str, directory: Path, timeout: float) -> Iterator[PostgresSink]:
    """A sink that has landed a batch: the month is made, so the next transaction is the next batch's."""
    store = PostgresSink(url, SinkOptions(directory, timeout_s=timeout))
    try:
        store.open()
        store.insert(batch(99, range(1)))
        yield store
    finally:
        store.close()


def test_a_commit_whose_answer_is_lost_is_in_doubt_and_found_when_asked(postgres: Cluster, tmp_path: Path) -> None:
    sent = batch(1, range(10))
    with TcpProxy(postgres.port) as proxy, used(postgres.database("lost", proxy.port), tmp_path, 5) as store:
        proxy.order("lost", match=b"COMMIT;")
        with pytest.raises(StoreDoubt):
            store.insert(sent)
        assert proxy.struck == 1
        store.kill(sent)
        assert store.count(1, PARTITION) == 10


def test_a_commit_that_never_arrives_is_in_doubt_and_ended_before_the_count_is_believed(
    postgres: Cluster, tmp_path: Path
) -> None:
    sent = batch(1, range(10))
    with TcpProxy(postgres.port) as proxy, used(postgres.database("hung", proxy.port), tmp_path, 1) as store:
        proxy.order("hang", match=b"COMMIT;")
        with pytest.raises(StoreDoubt, match="no answer in time"):
            store.insert(sent)
        store.kill(sent)
        assert not postgres.backends("hung", "state = 'idle in transaction'")
        assert store.count(1, PARTITION) == 0
        store.insert(sent)
        assert store.count(1, PARTITION) == 10


def test_a_backend_that_stands_still_is_away_and_the_batch_lands_when_it_goes_on(
    postgres: Cluster, tmp_path: Path
) -> None:
    sent = batch(1, range(10))
    with used(postgres.database("stopped"), tmp_path, 1) as store:
        (pid,) = postgres.backends("stopped", "true")
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreAway, match="no answer in time"):
                store.insert(sent)
        finally:
            os.kill(pid, signal.SIGCONT)
        store.insert(sent)
        assert store.count(1, PARTITION) == 10


def test_what_the_server_makes_of_a_batch_it_was_stopped_in_is_ended_by_the_kill(
    postgres: Cluster, tmp_path: Path
) -> None:
    """The backend is held in the middle, and its client gone: the lock says who it is."""
    sent = batch(1, range(10))
    with used(postgres.database("held"), tmp_path, 1) as store:
        with postgres.holding("held", "LOCK TABLE facts IN EXCLUSIVE MODE"):
            with pytest.raises(StoreAway):
                store.insert(sent)
            store.kill(sent)
            assert not postgres.backends("held", "wait_event_type = 'Lock'")
        assert store.count(1, PARTITION) == 0
