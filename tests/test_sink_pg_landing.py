"""sink.pg_landing: one transaction a batch, and what a second sending of it meets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from tests.batches import PARTITION, batch, repeated
from tests.postgres import Cluster
from tests.process.harness import until
from trackflowd.errors import SinkError, StoreAway, StoreDoubt, StoreReject
from trackflowd.sink.base import Batch, SinkOptions
from trackflowd.sink.pg_landing import CHUNK, lock_of
from trackflowd.sink.postgres import PostgresSink

BATCH_IDS = count(3 << 100 | 5)
DATABASE = "landing"


@pytest.fixture(scope="module")
def sinks(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[tuple[PostgresSink, PostgresSink]]:
    """Two daemons' sinks on one database."""
    made = []
    for _ in range(2):
        sink = PostgresSink(postgres.database(DATABASE), SinkOptions(tmp_path_factory.mktemp("data"), timeout_s=20))
        sink.open()
        made.append(sink)
    yield made[0], made[1]
    for sink in made:
        sink.close()


@pytest.fixture
def sink(sinks: tuple[PostgresSink, PostgresSink]) -> PostgresSink:
    return sinks[0]


def made(rows: int = 10) -> Batch:
    return batch(next(BATCH_IDS), range(rows))


def in_thread(sink: PostgresSink, sent: Batch) -> tuple[threading.Thread, list[SinkError | None]]:
    outcome: list[SinkError | None] = []

    def insert() -> None:
        try:
            sink.insert(sent)
            outcome.append(None)
        except SinkError as error:
            outcome.append(error)

    thread = threading.Thread(target=insert)
    thread.start()
    return thread, outcome


def waiting(postgres: Cluster) -> list[int]:
    return postgres.backends(DATABASE, "wait_event_type = 'Lock'")


def test_a_batch_sent_again_under_its_id_is_stored_once(sink: PostgresSink) -> None:
    sent = made()
    for attempt in (1, 1, 2):
        sink.insert(replace(sent, attempt=attempt))
    assert sink.count(sent.batch_id, PARTITION) == 10


def test_facts_somebody_deleted_are_there_again_after_the_batch_was_sent_again(
    sink: PostgresSink, postgres: Cluster
) -> None:
    sent = made()
    sink.insert(sent)
    key = sent.batch_id.to_bytes(16, "big").hex()
    postgres.sql(DATABASE, f"DELETE FROM facts WHERE _batch = '{key}' AND scroll < 4")
    assert sink.count(sent.batch_id, PARTITION) == 6
    sink.insert(replace(sent, attempt=2))
    assert sink.count(sent.batch_id, PARTITION) == 10
    assert postgres.sql(DATABASE, f"SELECT attempt, rows FROM batches WHERE id = '{key}'") == [(2, 10)]


def test_a_batch_of_several_chunks_lands_whole_and_breathes_between_them(
    sink: PostgresSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaths: list[int] = []
    monkeypatch.setattr(sink, "_breathe", lambda: breaths.append(1))
    sent = repeated(made(100), 2 * CHUNK // 100 + 1)
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == sent.rows
    assert len(breaths) > 3 + sent.rows // CHUNK


def test_while_a_sending_runs_a_second_one_is_in_doubt_and_after_a_kill_lands_alone(
    sinks: tuple[PostgresSink, PostgresSink], postgres: Cluster
) -> None:
    first, second = sinks
    sent = made()
    with postgres.holding(DATABASE, "LOCK TABLE facts IN EXCLUSIVE MODE"):
        thread, outcome = in_thread(first, sent)
        until(lambda: waiting(postgres))
        with pytest.raises(StoreDoubt, match="still runs"):
            second.insert(sent)
        second.kill(sent)
        thread.join()
        assert isinstance(outcome[0], StoreAway)
        assert second.count(sent.batch_id, PARTITION) == 0
    second.insert(sent)
    assert second.count(sent.batch_id, PARTITION) == 10


def test_two_daemons_that_add_the_same_pages_at_once_store_each_once(
    sinks: tuple[PostgresSink, PostgresSink], postgres: Cluster
) -> None:
    batches = [batch(next(BATCH_IDS), range(5000, 6000), site="both") for _ in range(2)]
    batches = [
        Batch(one.batch_id, 1, PARTITION, one.rows, {**one.columns, "path": [f"/{n}" for n in range(one.rows)]})
        for one in batches
    ]
    with postgres.holding(DATABASE, "LOCK TABLE pages IN EXCLUSIVE MODE"):
        threads = [in_thread(sink, one) for sink, one in zip(sinks, batches, strict=True)]
        until(lambda: len(waiting(postgres)) == 2)
    for thread, outcome in threads:
        thread.join()
        assert outcome == [None]
    pages = postgres.sql(DATABASE, "SELECT count(*) AS n, count(DISTINCT path) AS d FROM pages WHERE path LIKE '/%'")
    assert pages == [(1000, 1000)]
    rows = postgres.sql(DATABASE, "SELECT path, count(*) AS n FROM events WHERE site = 'both' GROUP BY path")
    assert {row["n"] for row in rows} == {2}


def test_ids_are_not_used_up_by_rows_that_are_there(sink: PostgresSink, postgres: Cluster) -> None:
    asked = "SELECT last_value FROM sites_id_seq"
    sink.insert(made())
    before = postgres.sql(DATABASE, asked)[0][0]
    for _ in range(3):
        sink.insert(made())
    assert postgres.sql(DATABASE, asked)[0][0] == before


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("title", "a\0b", "0x00"),
        ("props", {"a": "b\0"}, "Unicode escape"),
        ("title", "\ud800", "surrogate"),
        ("user_id", "\ud800", "surrogate"),
    ],
)
def test_a_row_the_server_does_not_take_is_a_refusal_that_leaves_nothing_and_the_connection_good(
    sink: PostgresSink, postgres: Cluster, column: str, value: Any, said: str
) -> None:
    sent = made(3)
    bad = Batch(sent.batch_id, 1, PARTITION, 3, {**sent.columns, column: [*sent.columns[column][:2], value]})
    with pytest.raises(StoreReject, match=said):
        sink.insert(bad)
    assert sink.count(sent.batch_id, PARTITION) == 0
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == 3


def test_somebodys_check_on_the_table_is_a_refusal_too(sink: PostgresSink, postgres: Cluster) -> None:
    postgres.sql(DATABASE, "ALTER TABLE facts ADD CONSTRAINT mine CHECK (name <> 'bad')")
    sent = made(3)
    try:
        with pytest.raises(StoreReject, match="mine"):
            sink.insert(Batch(sent.batch_id, 1, PARTITION, 3, {**sent.columns, "name": ["good", "bad", "good"]}))
    finally:
        postgres.sql(DATABASE, "ALTER TABLE facts DROP CONSTRAINT mine")
    assert sink.count(sent.batch_id, PARTITION) == 0


def test_the_lock_is_of_the_random_half_of_the_id() -> None:
    assert lock_of(1 << 64 | 7) == lock_of(2 << 64 | 7) == 7
    assert lock_of(2**64 - 1) == -1
