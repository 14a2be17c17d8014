"""sink.pg_reader: bounded, read-only queries, and how answers are written."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.batches import batch
from tests.postgres import Cluster
from tests.process.harness import until
from trackflowd.errors import AnswerTooLong, QueryError
from trackflowd.sink.base import QueryLimits, SinkOptions
from trackflowd.sink.pg_reader import plain, written
from trackflowd.sink.postgres import PostgresSink

LIMITS = QueryLimits(max_seconds=20)


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[PostgresSink]:
    store = PostgresSink(postgres.database("reader"), SinkOptions(tmp_path_factory.mktemp("data"), timeout_s=20))
    store.open()
    store.insert(batch(1, range(10)))
    yield store
    store.close()


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (INSERT INTO sites (key, site) VALUES (gen_random_uuid(), 'x') RETURNING 1) SELECT * FROM x",
        "WITH x AS (DELETE FROM facts RETURNING 1) SELECT count(*) FROM x",
        "SELECT 1 AS a INTO copied",
        "SELECT * FROM sites FOR UPDATE",
        "EXPLAIN ANALYZE DELETE FROM facts",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_ls_dir('/')",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_advisory_lock(1)",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT query_to_xml('SELECT pg_sleep(1)', true, true, '')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT pg_sleep(1)",
        "SELECT nextval('sites_id_seq')",
        "SELECT pg_reload_conf()",
    ],
)
def test_a_query_that_does_more_than_read_is_refused(sink: PostgresSink, sql: str) -> None:
    with pytest.raises(QueryError, match="allowed"):
        sink.query(sql, "csv", LIMITS)
    assert sink.query("SELECT count(*) AS n FROM facts", "csv", LIMITS) == b'"n"\n10\n'


def test_the_server_refuses_writing_even_if_the_words_did_not(sink: PostgresSink) -> None:
    link = sink._readers._take(LIMITS)
    try:
        with pytest.raises(Exception, match="read-only"):
            link.run(lambda one: one.execute("DELETE FROM facts"))
    finally:
        link.drop()


@pytest.mark.parametrize(
    ("sql", "limits", "said"),
    [
        ("SELECT n FROM generate_series(1, 11) n", QueryLimits(max_rows=10), "more than 10 rows"),
        ("SELECT sum(sqrt(n)) FROM generate_series(1, 10000000000) n", QueryLimits(max_seconds=0.3), "than 0.3 s"),
        ("SELECT repeat('x', 1000) FROM generate_series(1, 5000)", QueryLimits(max_answer=1_000_000), "1000000 bytes"),
        ("SELECT repeat('\"', 600000)", QueryLimits(max_answer=1_000_000), "1000000 bytes"),
    ],
)
def test_a_query_over_a_limit_is_an_error_that_names_it(
    sink: PostgresSink, sql: str, limits: QueryLimits, said: str
) -> None:
    with pytest.raises(QueryError, match=said) as raised:
        sink.query(sql, "json", limits)
    assert isinstance(raised.value, AnswerTooLong) == ("the query answers with" in str(raised.value))
    assert sink.query("SELECT 1 AS a", "csv", limits) == b'"a"\n1\n'


def test_a_batch_lands_while_a_query_runs(sink: PostgresSink, postgres: Cluster) -> None:
    errors: list[QueryError] = []

    def ask() -> None:
        try:
            sink.query("SELECT sum(sqrt(n)) FROM generate_series(1, 10000000000) n", "csv", LIMITS)
        except QueryError as error:
            errors.append(error)

    running = (
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%generate_series(1, 10000000000)%' \
               AND application_name = 'trackflowd query'"
    )
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        until(lambda: postgres.sql("reader", running))
        sink.insert(batch(2, range(100)))
        assert sink.count(2, 202511) == 100
        assert thread.is_alive()
    finally:
        for row in postgres.sql("reader", running):
            postgres.sql("reader", "SELECT pg_terminate_backend($1)", row[0])
        thread.join()
        sink.delete(2, 202511)
    assert errors


def test_values_of_every_kind_are_written_for_machines_and_people(sink: PostgresSink) -> None:
    sql = """
        SELECT 1 AS i, 1.50 AS d, 'NaN'::numeric AS nan, 0.5::float8 AS f, true AS b, NULL AS nothing, 'a"b' AS s,
            '\\x00ff'::bytea AS raw, '{"k": [1]}'::jsonb AS j, ARRAY[1, 2] AS list, date '2026-01-02' AS day,
            timestamp '2026-01-02 03:04:05' AS local, timestamptz '2026-01-02 03:04:05.678+00' AS t,
            'infinity'::timestamptz AS never, ARRAY[timestamptz '2026-01-02 00:00:00+00'] AS times
        """
    assert json.loads(sink.query(sql, "json", LIMITS)) == {
        "i": 1, "d": 1.5, "nan": None, "f": 0.5, "b": True, "nothing": None, "s": 'a"b', "raw": "00ff",
        "j": {"k": [1]}, "list": [1, 2], "day": "2026-01-02", "local": "2026-01-02 03:04:05.000",
        "t": "2026-01-02 03:04:05.678", "never": "infinity", "times": ["2026-01-02 00:00:00.000"],
    }  # fmt: skip
    head, row = sink.query(sql, "csv", LIMITS).decode().splitlines()
    assert head.startswith('"i","d","nan"')
    assert row.startswith('1,1.50,"\\N",0.5,"true","\\N","a""b","00ff","{""k"":[1]}","[1,2]","2026-01-02",')


def test_show_and_explain_are_answered_too(sink: PostgresSink) -> None:
    assert sink.query("SHOW timezone", "csv", LIMITS) == b'"TimeZone"\n"UTC"\n'
    assert b"Aggregate" in sink.query("EXPLAIN SELECT count(*) FROM events", "json", LIMITS)


@pytest.mark.parametrize(
    ("rows", "drawn"),
    [
        ([], "┌─n─┬─text─┐\n└───┴──────┘\n"),
        (
            [[1, "a\nb"], [Decimal("10.5"), None]],
            "┌────n─┬─text─┐\n│    1 │ a b  │\n│ 10.5 │ NULL │\n└──────┴──────┘\n",
        ),
    ],
)
def test_a_table_has_its_numbers_to_the_right(rows: Any, drawn: str) -> None:
    assert written(["n", "text"], rows, "table").decode() == drawn
    assert written([], [], "table") == b""


def test_a_value_nobody_thought_of_is_written_as_text() -> None:
    assert plain(range(2), "x") == "range(0, 2)"


def test_an_idle_connection_the_server_ended_is_replaced_without_a_word(sink: PostgresSink, postgres: Cluster) -> None:
    assert sink.query("SELECT 1 AS a", "csv", LIMITS) == b'"a"\n1\n'
    sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'trackflowd query'"
    assert postgres.sql("reader", sql)
    assert sink.query("SELECT 1 AS a", "csv", LIMITS) == b'"a"\n1\n'
