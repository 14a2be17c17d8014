"""sink.pg_readonly: what is refused by its words (tests/test_sink_pg_reader.py asks the server as well)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.errors import QueryError
from trackflowd.sink.pg_readonly import HARMLESS, READING, check, tokens

VOLATILE = frozenset({"pg_read_file", "pg_terminate_backend", "set_config", "nextval", "query_to_xml", *HARMLESS})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "select count(*) from events -- how many; really pg_read_file('x')",
        "WITH x AS (SELECT 1) SELECT * FROM x /* ; /* nested */ pg_read_file(1) */",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "TABLE events",
        "VALUES (1)",
        "SHOW timezone",
        "EXPLAIN SELECT 1",
        "SELECT '; pg_read_file(1)', E'\\'; nextval(1)', $q$ ; nextval(1) $q$",
        "SELECT nextval FROM events",
        'SELECT "nextval" FROM events',
        "SELECT count(*) FROM events WHERE name IN ('a', 'b')",
        "SELECT random(), clock_timestamp(), pg_total_relation_size('facts')",
        "SELECT '{x:String}'",
        "SELECT props->>'a', '{\"a\": 1}'::jsonb FROM events",
    ],
)
def test_what_reads_is_let_through_unchanged(sql: str) -> None:
    assert check(sql, VOLATILE, {}) == (sql, [])


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", "empty"),
        (" ; ", "empty"),
        ("-- nothing", "empty"),
        ("INSERT INTO sites VALUES (1)", "not INSERT"),
        ("SET search_path = public", "not SET"),
        ("COPY facts TO PROGRAM 'x'", "not COPY"),
        ("DO $$ BEGIN END $$", "not DO"),
        ("CALL x()", "not CALL"),
        ("LOCK TABLE facts", "not LOCK"),
        ("/* SELECT */ TRUNCATE facts", "not TRUNCATE"),
        ('"select" 1', "not SELECT"),
        ("SELECT 1; DROP TABLE facts", "one statement"),
        ("SELECT pg_read_file('/etc/passwd')", r"pg_read_file\(\)"),
        ("SELECT PG_READ_FILE ('/etc/passwd')", r"pg_read_file\(\)"),
        ("SELECT pg_catalog.pg_read_file/* */('/etc/passwd')", r"pg_read_file\(\)"),
        ("SELECT \"pg_read_file\"('/etc/passwd')", r"pg_read_file\(\)"),
        ("SELECT * FROM pg_terminate_backend(1)", r"pg_terminate_backend\(\)"),
        ("SELECT '\\', pg_read_file('/etc/passwd'), '", "does not end"),
        ("SELECT '\\' || pg_read_file('x') || ''", r"pg_read_file\(\)"),
        ("SELECT E'\\\\' || pg_read_file('x')", r"pg_read_file\(\)"),
        ("SELECT $a$ $b$ $a$ || pg_read_file('x')", r"pg_read_file\(\)"),
        ("SELECT /* /* */ ' */ 1 /* ' */ || pg_read_file('x')", r"pg_read_file\(\)"),
        ("SELECT U&\"\\0070g_read_file\"('x')", "another way"),
        ("SELECT u&'x'", "another way"),
        ("SELECT 1 /* open", "comment does not end"),
        ("SELECT 'open", "does not end"),
        ("SELECT {x:String}", "parameter x has no value"),
        ("SELECT {a:Map}", "no type Map"),
    ],
)
def test_what_does_more_is_refused_by_its_words(sql: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        check(sql, VOLATILE, {"a": 1})


def test_parameters_become_numbers_with_a_type() -> None:
    sql = "SELECT {a:String}, { b : UInt32 }, {a:String}, '{b:UInt32}' -- {c:String}\n;"
    assert check(sql, VOLATILE, {"a": "x", "b": 2}) == (
        "SELECT $1::text, $2::bigint, $1::text, '{b:UInt32}' -- {c:String}\n",
        ["x", 2],
    )


@given(st.text(alphabet="aseE'\"$/*-; \\{}:(u&\n", max_size=40))
def test_any_text_is_let_through_or_refused(text: str) -> None:
    try:
        statement, _ = check("SELECT " + text, VOLATILE, {})
    except QueryError:
        return
    assert tokens(statement)[0].text in READING
