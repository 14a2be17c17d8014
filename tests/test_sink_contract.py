"""What every store does alike (``sink.base.Sink``), in SQL that all understand.

Over chDB, the face of a ClickHouse server, and PostgreSQL.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.batches import PARTITION, batch
from tests.rows import NOW, SITE, event_id
from tests.sinks import LIMITS, of_every_kind
from trackflowd.errors import QueryError, StoreAway, StoreReject
from trackflowd.event import FIELDS, Field
from trackflowd.sink.base import Batch, Coded, QueryLimits, Sink, SinkOptions, open_sink

BATCH_IDS = count(2**100 + 2**64)

sink = of_every_kind("contract")


def made(rows: int, first: int = 0, site: str = SITE) -> Batch:
    return batch(next(BATCH_IDS), range(first, first + rows), site=site)


def asked(sink: Sink, sql: str, **params: str | int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.query(sql, "json", LIMITS, params).splitlines()]


def test_the_table_of_events_has_the_fields_in_their_order(sink: Sink) -> None:
    sink.insert(made(1))
    assert list(asked(sink, "SELECT * FROM events LIMIT 1")[0]) == [field.name for field in FIELDS]


def shown(field: Field, value: Any) -> Any:
    """A value as people read it in JSON."""
    if field.kind == "uuid":
        return str(uuid.UUID(bytes=value))
    if field.kind == "time":
        return datetime.fromtimestamp(value / 1000, UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")
    return value / 10_000 if field.kind == "money" else value


def test_every_value_of_a_batch_is_read_as_it_was_sent_and_written_alike_by_every_store(sink: Sink) -> None:
    sent = made(500, site="shown")
    sink.insert(sent)
    fields = [field for field in FIELDS if field.name != "_batch"]
    columns = ", ".join(field.name for field in fields)
    rows = asked(sink, f"SELECT {columns} FROM events WHERE site = {{site:String}} ORDER BY received", site="shown")
    assert len(rows) == 500
    for field in fields:
        assert [row[field.name] for row in rows] == [shown(field, value) for value in sent.columns[field.name]]


def test_a_batch_is_counted_by_its_id_and_partition(sink: Sink) -> None:
    one, two = made(10), made(20)
    sink.insert(one)
    sink.insert(two)
    assert sink.count(one.batch_id, PARTITION) == 10
    assert sink.count(two.batch_id, PARTITION) == 20
    assert sink.count(one.batch_id, PARTITION + 1) == 0
    assert sink.count(2**128 - 1, PARTITION) == 0


def test_a_batch_is_there_when_nothing_of_it_runs_any_more(sink: Sink) -> None:
    sent = made(5)
    sink.kill(sent)
    assert sink.count(sent.batch_id, PARTITION) == 0
    sink.insert(sent)
    sink.kill(sent)
    assert sink.count(sent.batch_id, PARTITION) == 5


def test_deleting_a_batch_takes_its_rows_and_no_others(sink: Sink) -> None:
    stays, goes = made(10), made(10)
    sink.insert(stays)
    sink.insert(goes)
    sink.delete(goes.batch_id, PARTITION)
    assert (sink.count(goes.batch_id, PARTITION), sink.count(stays.batch_id, PARTITION)) == (0, 10)


def test_a_batch_that_was_deleted_lands_again_as_a_fresh_attempt(sink: Sink) -> None:
    first = made(10)
    sink.insert(first)
    sink.delete(first.batch_id, PARTITION)
    sink.insert(Batch(first.batch_id, 2, PARTITION, 10, first.columns))
    assert sink.count(first.batch_id, PARTITION) == 10


def test_present_finds_ids_of_their_own_site_only(sink: Sink) -> None:
    odd = "a'b\\c\tü"
    sink.insert(made(1500, first=10_000, site="one"))
    sink.insert(made(1, first=20_000, site=odd))
    wanted = {("one", event_id(n)) for n in range(10_000, 11_500)} | {(odd, event_id(20_000))}
    others = [("two", event_id(10_000)), (odd, event_id(10_000)), ("one", event_id(99_999))]
    assert sink.present([*others, *wanted]) == wanted
    assert sink.present([]) == set()


def test_columns_that_share_their_codes_are_stored_as_the_values_they_stand_for(sink: Sink) -> None:
    plain = made(300, site="coded")
    codes = bytes(n % 3 for n in range(300))
    paths, titles = ["/a", "/b", "/a"], ["A", "B", "A"]
    shared = {"path": Coded(paths, codes), "title": Coded(titles, codes), "url": Coded(paths, codes)}
    shared |= {"hostname": Coded(["h"] * 3, codes), "query": Coded([""] * 3, codes)}
    sink.insert(Batch(plain.batch_id, 1, PARTITION, 300, {**plain.columns, **shared}))
    sql = "SELECT path, title, count(*) AS n FROM events WHERE site = 'coded' GROUP BY path, title ORDER BY path"
    assert asked(sink, sql) == [{"path": "/a", "title": "A", "n": 200}, {"path": "/b", "title": "B", "n": 100}]


@pytest.mark.parametrize(
    ("column", "values"),
    [("scroll", [1, 999, 1]), ("asn", [-1, 1, 1]), ("path", ["a", None, "b"]), ("event_id", [b"x", b"y", b"z"])],
)
def test_a_batch_with_a_value_no_column_holds_is_refused_and_not_sent(
    sink: Sink, column: str, values: list[Any]
) -> None:
    sent = made(3)
    with pytest.raises(StoreReject, match=column):
        sink.insert(Batch(sent.batch_id, 1, PARTITION, 3, {**sent.columns, column: values}))
    assert sink.count(sent.batch_id, PARTITION) == 0


def test_a_table_as_the_schema_says_has_no_fault(sink: Sink) -> None:
    assert sink.table_fault() == ""


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        ("csv", b'"n","s"\n1,"a"\n'),
        ("json", b'{"n":1,"s":"a"}\n'),
        ("table", "┌─n─┬─s─┐\n│ 1 │ a │\n└───┴───┘\n".encode()),
    ],
)
def test_an_answer_comes_in_the_format_asked_for(sink: Sink, form: Any, answer: bytes) -> None:
    assert sink.query("SELECT 1 AS n, 'a' AS s; -- so", form, LIMITS) == answer


def test_json_has_slashes_as_they_are(sink: Sink) -> None:
    assert sink.query("SELECT '/a/b' AS path", "json", LIMITS) == b'{"path":"/a/b"}\n'


def test_parameters_reach_the_query_and_nothing_else(sink: Sink) -> None:
    text = "' OR 1 -- \\ \t %s {x:String} $1"
    assert asked(sink, "SELECT {t:String} AS t, {n:Int64} AS n", t=text, n=-5) == [{"t": text, "n": -5}]
    assert asked(sink, "SELECT '50%' AS t", unused="x") == [{"t": "50%"}]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO events (site) VALUES ('x')",
        "DROP TABLE events",
        "TRUNCATE TABLE events",
        "SET x = 0",
        "SELECT 1; DROP TABLE events",
        "CREATE TEMPORARY TABLE t (a Int)",
    ],
)
def test_a_query_that_does_more_than_read_the_store_is_refused_with_a_text(sink: Sink, sql: str) -> None:
    with pytest.raises(QueryError, match=r"allowed|one statement"):
        sink.query(sql, "csv", LIMITS)


def test_a_wrong_query_gets_the_stores_words_in_short(sink: Sink) -> None:
    with pytest.raises(QueryError, match="nope") as caught:
        sink.query("SELECT nope FROM events", "csv", LIMITS)
    assert len(caught.value.text) <= 300
    with pytest.raises(QueryError, match="no such format"):
        sink.query("SELECT 1", "xml", LIMITS)  # type: ignore[arg-type]


def test_an_answer_of_too_many_rows_is_an_error_and_the_next_query_is_answered(sink: Sink) -> None:
    sink.insert(made(20))
    with pytest.raises(QueryError, match="more than 10 rows"):
        sink.query("SELECT site FROM events", "csv", QueryLimits(max_rows=10))
    assert sink.query("SELECT 1 AS a", "csv", QueryLimits(max_rows=10)) == b'"a"\n1\n'


@pytest.mark.parametrize(
    "url", ["clickhouse://127.0.0.1:9", "postgresql://127.0.0.1:9", "postgresql://x@/y?host=/nowhere"]
)
def test_a_store_that_is_not_there_is_away(url: str, tmp_path: Path) -> None:
    sink = open_sink(url, SinkOptions(tmp_path))
    with pytest.raises(StoreAway):
        sink.insert(made(1))
    with pytest.raises(StoreAway):
        sink.count(1, PARTITION)
    with pytest.raises(QueryError, match="not open"):
        sink.query("SELECT 1", "csv", LIMITS)
    with pytest.raises(StoreAway):
        sink.open()


def test_what_is_stored_is_there_after_closing_and_opening(sink: Sink) -> None:
    sent = made(10)
    sink.insert(sent)
    sink.close()
    with pytest.raises(QueryError, match="not open"):
        sink.query("SELECT 1", "csv", LIMITS)
    sink.open()
    assert sink.count(sent.batch_id, PARTITION) == 10


def test_a_time_is_kept_to_the_millisecond(sink: Sink) -> None:
    sent = made(2, site="timed")
    sink.insert(Batch(sent.batch_id, 1, PARTITION, 2, {**sent.columns, "time": [NOW - 1, 1]}))
    rows = asked(sink, "SELECT time FROM events WHERE site = 'timed' ORDER BY time")
    assert [row["time"] for row in rows] == ["1970-01-01 00:00:00.001", "2025-11-23 12:13:19.999"]
