"""sink.clickhouse, over chDB in this process and over HTTP through the front: the same answers from both."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.batches import PARTITION, batch, repeated
from tests.front_process import FrontProcess
from tests.rows import SITE
from trackflowd.errors import AnswerTooLong, QueryError, StoreAway, StoreReject
from trackflowd.event import FIELDS, Field
from trackflowd.sink import outcome
from trackflowd.sink.base import Batch, QueryLimits, SinkOptions
from trackflowd.sink.clickhouse import ClickHouseSink

BATCH_IDS = count(2**100)
LIMITS = QueryLimits(max_seconds=20)


@pytest.fixture(scope="module", params=["chdb", "server"])
def sink(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseSink]:
    data = tmp_path_factory.mktemp("data")
    options = SinkOptions(data, timeout_s=20, memory=2**30)
    if request.param == "chdb":
        store = ClickHouseSink("chdb:", options)
        store.open()
        yield store
        store.close()
        return
    with FrontProcess(data / "front") as front:
        store = ClickHouseSink(front.url, options)
        store.open()
        yield store
        store.close()


def made(rows: int, first: int = 0, site: str = SITE) -> Batch:
    return batch(next(BATCH_IDS), range(first, first + rows), site=site)


def asked(sink: ClickHouseSink, sql: str, limits: QueryLimits = LIMITS, **params: str | int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.query(sql, "json", limits, params).splitlines()]


def as_json(field: Field, value: Any) -> Any:
    if field.kind == "uuid":
        return str(uuid.UUID(bytes=value))
    if field.kind == "time":
        return value
    return value / 10_000 if field.kind == "money" else value


def test_every_value_of_a_batch_can_be_asked_for_as_it_was_sent(sink: ClickHouseSink) -> None:
    sent = made(500)
    sink.insert(sent)
    columns = ", ".join(
        f"toUnixTimestamp64Milli({field.name}) AS {field.name}" if field.kind == "time" else field.name
        for field in FIELDS
    )
    rows = asked(
        sink,
        f"SELECT {columns} FROM events WHERE _batch = toUInt128({{b:String}}) ORDER BY received",
        b=str(sent.batch_id),
    )
    assert len(rows) == 500
    for field in FIELDS:
        assert [row[field.name] for row in rows] == [as_json(field, value) for value in sent.columns[field.name]]


def test_a_batch_is_one_part(sink: ClickHouseSink) -> None:
    sent = repeated(made(700), 100)
    sink.insert(sent)
    sql = "SELECT uniqExact(_part) AS parts, count() AS rows FROM events WHERE _batch = toUInt128({b:String})"
    assert asked(sink, sql, b=str(sent.batch_id)) == [{"parts": 1, "rows": 70_000}]
    sink.delete(sent.batch_id, PARTITION)


def test_parameters_reach_the_query_and_nothing_else(sink: ClickHouseSink) -> None:
    text = "' OR 1 -- \\ \t %s {x:String}"
    assert asked(sink, "SELECT {t:String} AS t, {n:Int64} AS n", t=text, n=-5) == [{"t": text, "n": -5}]
    assert asked(sink, "SELECT '50%' AS t", unused="x") == [{"t": "50%"}]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO events (site) VALUES ('x')",
        "DROP TABLE events",
        "ALTER TABLE events DELETE WHERE 1",
        "TRUNCATE TABLE events",
        "SET readonly = 0",
        "SET max_execution_time = 0",
        "KILL QUERY WHERE 1",
        "USE system",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM filesystem('/etc')",
        "SELECT * FROM url('http://127.0.0.1:9/', 'CSV', 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:9/b/a', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', 'system.one')",
        "SELECT * FROM executable('x', 'CSV', 'a String')",
        "SELECT * FROM sqlite('/tmp/x', 'y')",
        "SELECT * FROM Python(x)",
        "SELECT 1 WHERE 1 IN (SELECT 1 FROM url('http://127.0.0.1:9/', 'CSV', 'a UInt8'))",
        "WITH x AS (SELECT 1) INSERT INTO events (site) SELECT 'x'",
        "EXPLAIN SELECT * FROM url('http://127.0.0.1:9/', 'CSV', 'a String')",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "SELECT 1; DROP TABLE events",
        "SELECT * FROM format('CSV', '1')",
        "SELECT aiGenerate('a', 'b')",
    ],
)
def test_a_query_that_does_more_than_read_the_store_is_refused_with_a_text(sink: ClickHouseSink, sql: str) -> None:
    with pytest.raises(QueryError, match=r"allowed|one statement"):
        sink.query(sql, "csv", LIMITS)


def test_nothing_is_written_by_a_query_with_outfile(sink: ClickHouseSink, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="OUTFILE"):
        sink.query(f"SELECT 1 INTO OUTFILE '{tmp_path}/out'", "csv", LIMITS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sql", ["INSERT INTO events (site) VALUES ('x')", "DROP TABLE events", "SET readonly = 0"])
def test_the_engine_refuses_writing_even_if_the_words_did_not(sink: ClickHouseSink, sql: str) -> None:
    with pytest.raises(Exception, match="readonly"):
        sink._readers._take(LIMITS).command(sql)


@pytest.mark.parametrize(
    ("sql", "limits", "said"),
    [
        ("SELECT number FROM numbers(11)", QueryLimits(max_rows=10), "more than 10 rows"),
        (
            "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)",
            QueryLimits(max_seconds=0.5),
            "longer than 0.5 s",
        ),
        ("SELECT sleepEachRow(1) FROM numbers(3)", QueryLimits(max_seconds=0.5), "longer than 0.5 s"),
        ("SELECT uniqExact(number) FROM numbers(100000000)", QueryLimits(max_memory=50_000_000), "bytes of memory"),
        ("SELECT repeat('x', 1000) FROM numbers(5000)", QueryLimits(max_answer=1_000_000), "more than 1000000 bytes"),
        ("SELECT repeat('x', 1000) FROM numbers(20000)", QueryLimits(max_answer=1_000_000), "1000000 bytes"),
    ],
)
def test_a_query_over_a_limit_is_an_error_that_names_it(
    sink: ClickHouseSink, sql: str, limits: QueryLimits, said: str
) -> None:
    with pytest.raises(QueryError, match=said) as raised:
        sink.query(sql, "csv", limits)
    assert isinstance(raised.value, AnswerTooLong) == ("the query answers with" in str(raised.value))
    assert sink.query("SELECT 1 AS a", "csv", limits) == b'"a"\n1\n'  # the connection is still good


def test_a_question_that_failed_leaves_nothing_in_the_answer_of_the_next(sink: ClickHouseSink) -> None:
    sent = made(10)
    sink.insert(sent)
    for broken in (
        "SELECT throwIf(number = 3) FROM numbers(9) SETTINGS max_block_size = 1",
        "SELECT sleepEachRow(2), nope",
    ):
        with pytest.raises(StoreAway), sink._asking() as asker:
            asker.raw_query(broken, fmt="CSVWithNames")
        assert sink.count(sent.batch_id, PARTITION) == 10


def test_a_wrong_query_gets_the_engines_words_in_short(sink: ClickHouseSink) -> None:
    with pytest.raises(QueryError, match="nope") as caught:
        sink.query("SELECT nope FROM events", "csv", LIMITS)
    assert len(caught.value.text) <= 300
    with pytest.raises(QueryError, match="no such format"):
        sink.query("SELECT 1", "xml", LIMITS)  # type: ignore[arg-type]


def test_an_insert_lands_while_a_query_runs(sink: ClickHouseSink) -> None:
    heavy = "SELECT sum(cityHash64(number)) AS a_slow_one FROM numbers(10000000000000)"
    errors: list[QueryError] = []

    def ask() -> None:
        try:
            sink.query(heavy, "csv", LIMITS)
        except QueryError as error:
            errors.append(error)

    running = (
        "SELECT count() AS n FROM system.processes WHERE query LIKE '%a_slow_one%' AND query NOT LIKE '%system.pr%'"
    )
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        until = time.monotonic() + 10
        while asked(sink, running) != [{"n": 1}]:
            assert time.monotonic() < until, "the query did not start"
        sent = made(1000)
        sink.insert(sent)
        assert sink.count(sent.batch_id, PARTITION) == 1000
        assert asked(sink, running) == [{"n": 1}]
        assert thread.is_alive()
    finally:
        end_query(sink, "a_slow_one")
        thread.join()
    assert errors


def end_query(sink: ClickHouseSink, mark: str) -> None:
    found = asked(sink, f"SELECT query, query_id FROM system.processes WHERE query LIKE '%{mark}%'")
    assert sink._asker is not None
    for query in found:
        name = query["query"].split()[1] if query["query"].startswith("/*") else query["query_id"]  # the front's name
        where = f"startsWith(query_id, '{name}')"
        if "system.processes" not in query["query"]:
            sink._asker.command(f"KILL QUERY WHERE {where} SYNC")


def test_a_batch_the_encoder_rejects_is_not_sent(sink: ClickHouseSink) -> None:
    sent = made(3)
    broken = Batch(sent.batch_id, 1, PARTITION, 3, {**sent.columns, "scroll": [1, 999, 1]})
    with pytest.raises(StoreReject, match="scroll"):
        sink.insert(broken)
    assert sink.count(sent.batch_id, PARTITION) == 0


def test_a_sink_that_is_not_open_is_away(tmp_path: Path) -> None:
    sink = ClickHouseSink("clickhouse://127.0.0.1:9", SinkOptions(tmp_path))
    with pytest.raises(StoreAway):
        sink.insert(made(1))
    with pytest.raises(StoreAway):
        sink.count(1, PARTITION)
    with pytest.raises(QueryError, match="not open"):
        sink.query("SELECT 1", "csv", LIMITS)
    with pytest.raises(StoreAway):
        sink.open()


def test_the_codes_that_say_what_became_of_an_insert_are_the_engines_own(sink: ClickHouseSink) -> None:
    named = re.findall(r"^ +(\d+),  # ([A-Z0-9_]+)", Path(outcome.__file__).read_text(), re.MULTILINE)
    assert {int(code) for code, _ in named} == outcome.REJECT | outcome.AWAY
    codes = ", ".join(code for code, _ in named)
    rows = asked(sink, f"SELECT arrayJoin([{codes}]) AS code, errorCodeToName(code) AS name")
    assert [(str(row["code"]), row["name"]) for row in rows] == named
