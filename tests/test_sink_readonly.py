"""sink.readonly: what is refused by its words (tests/test_sink_clickhouse.py asks the engine as well)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.errors import QueryError
from trackflowd.sink.readonly import READING, check, tokens

TABLE_FUNCTIONS = frozenset({"url", "s3", "python", "numbers", "values", "filesystem", "remote"})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select count() from events -- how many; really",
        "WITH 1 AS x SELECT x /* ; INTO OUTFILE */",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "FROM events SELECT count()",
        "SHOW TABLES",
        "DESCRIBE TABLE events",
        "EXPLAIN SELECT 1",
        "SELECT 'DROP; url(1) INTO OUTFILE'",
        "SELECT $q$ ; url(1) $q$",
        "SELECT url, file FROM events WHERE url = 'a'",
        "SELECT * FROM numbers(3)",
        "SELECT format('{}', name) FROM events",
        "SELECT format FROM events",
        "SELECT * FROM events WHERE path = '\\'; DROP TABLE events'",
    ],
)
def test_what_reads_is_let_through_unchanged(sql: str) -> None:
    assert check(sql, TABLE_FUNCTIONS) == sql


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", "empty"),
        (" ; ", "empty"),
        ("-- nothing", "empty"),
        ("INSERT INTO events VALUES (1)", "not INSERT"),
        ("drop table events", "not DROP"),
        ("ALTER TABLE events DELETE WHERE 1", "not ALTER"),
        ("SET readonly = 0", "not SET"),
        ("KILL QUERY WHERE 1", "not KILL"),
        ("USE system", "not USE"),
        ("/* SELECT */ TRUNCATE events", "not TRUNCATE"),
        ("file('/etc/passwd')", "not FILE"),
        ("`select` 1", "not SELECT"),
        ("SELECT 1; DROP TABLE events", "one statement"),
        ("SELECT 1;; SELECT 2", "one statement"),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", "INTO OUTFILE"),
        ("SELECT 1 into/**/outfile '/tmp/x'", "INTO OUTFILE"),
        ("SELECT 1 FORMAT CSV", "--format"),
        ("SELECT * FROM url('http://x')", r"url\(\)"),
        ("SELECT * FROM URL ('http://x')", r"url\(\)"),
        ("SELECT * FROM \"url\"('http://x')", r"url\(\)"),
        ("SELECT * FROM `u\\rl`('http://x')", r"url\(\)"),
        ("SELECT * FROM s3/* */('http://x')", r"s3\(\)"),
        ("SELECT * FROM Python(x)", r"python\(\)"),
        ("SELECT * FROM filesystem('/etc')", r"filesystem\(\)"),
        ("SELECT file('/etc/passwd')", r"file\(\)"),
        ("SELECT aiGenerate('x', 'y')", r"aigenerate\(\)"),
        ("SELECT 'a' AS b, file -- (\n ('/etc/passwd')", r"file\(\)"),
    ],
)
def test_what_does_more_is_refused_and_said(sql: str, said: str) -> None:
    if sql.startswith("SELECT * FROM `u"):
        sql = sql.replace("\\r", "\\r")
        assert tokens(sql)[3].text == "url"
    with pytest.raises(QueryError, match=said):
        check(sql, TABLE_FUNCTIONS)


@pytest.mark.parametrize(
    ("sql", "left"),
    [("SELECT 1;", "SELECT 1"), ("SELECT 1 ; ; -- a;b", "SELECT 1 "), ("SELECT ';' ;", "SELECT ';' ")],
)
def test_a_final_semicolon_is_taken_off(sql: str, left: str) -> None:
    assert check(sql, TABLE_FUNCTIONS) == left


@given(st.text(alphabet="a;'\"`\\$/*-# \n()", max_size=40))
def test_any_text_is_either_refused_or_begins_as_reading_does(sql: str) -> None:
    try:
        kept = check(sql, TABLE_FUNCTIONS)
    except QueryError:
        return
    assert tokens(kept)[0].text in READING
    assert ";" not in [token.text for token in tokens(kept)]
