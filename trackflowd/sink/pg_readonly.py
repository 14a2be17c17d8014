"""Which SQL an asker may run in PostgreSQL: only what reads, and only from this store. Pure.

The transaction is read-only, which refuses every INSERT, DDL and row lock. It lets through SET, COPY TO and functions
that do more than read: ``pg_terminate_backend``, ``pg_read_file``, ``lo_export``, ``pg_advisory_lock`` (which could
hold up a batch), ``query_to_xml`` (which runs a text). All of those are *volatile* in the server's own catalogue, as
are those of extensions. So the words of a statement are looked at too, and volatile functions refused by name. The two
together are the guard; beyond it stands what the role in ``store.url`` may do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import pairwise

from trackflowd.errors import QueryError
from trackflowd.sink.base import Params
from trackflowd.sink.readonly import Token

#: First words of statements that only read.
READING = frozenset({"select", "with", "values", "table", "show", "explain", "("})

#: Volatile functions that do no more than answer.
HARMLESS = frozenset(
    {"random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv7", "uuidv4"}
    | {"pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size", "pg_database_size"}
)

_TOKEN = re.compile(
    r"""
      (?P<gap>     \s+ | --[^\n]* )
    | (?P<comment> /\* )
    | (?P<string>  [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ )
    | (?P<quoted>  "(?:[^"]|"")*" )
    | (?P<param>   \{\s*(?P<name>\w+)\s*:\s*(?P<type>\w+)\s*\} )
    | (?P<word>    \w[\w$]* )
    | (?P<mark>    . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")

#: Types of parameters (``base.Params``), as this server calls them. Integers hold any of the others' 32 bits.
_TYPES: Mapping[str, str] = {
    "String": "text",
    "Int32": "bigint",
    "Int64": "bigint",
    "UInt32": "bigint",
    "UInt64": "numeric",
    "Float64": "double precision",
}


def tokens(sql: str) -> list[Token]:
    """Tokens of a statement, without comments and the contents of strings; of a parameter, the text is "name:type".

    Raises:
        QueryError: a comment, string or quoted name that does not end.
    """
    found = []
    at = 0
    while match := _TOKEN.match(sql, at):
        kind, text = str(match.lastgroup if match["param"] is None else "param"), match.group()
        at = match.end()
        if match["comment"]:
            at = _end_of_comment(sql, at)
        elif match["param"]:
            found.append(Token("param", f"{match['name']}:{match['type']}", match.start()))
        elif match["string"]:
            found.append(Token("string", "", match.start()))
        elif match["quoted"]:
            found.append(Token("quoted", text[1:-1].replace('""', '"'), match.start()))
        elif not match["gap"]:
            if text in ("'", '"'):
                raise QueryError("a string or a quoted name does not end")
            found.append(Token(kind, text.lower(), match.start()))
    return found


def _end_of_comment(sql: str, at: int) -> int:
    """They nest here."""
    depth = 1
    while depth:
        mark = _COMMENT.search(sql, at)
        if mark is None:
            raise QueryError("a comment does not end")
        depth += 1 if mark.group() == "/*" else -1
        at = mark.end()
    return at


def check(sql: str, volatile: Collection[str], params: Params) -> tuple[str, list[str | int]]:
    """The statement as the server takes it, and the values of its parameters $1, $2, ….

    Args:
        sql: as the asker wrote it; parameters as ``{name:Type}``.
        volatile: names of the server's volatile functions.
        params: values by name.

    Raises:
        QueryError: it does more than read, or more than one statement, or lacks a value.
    """
    words = tokens(sql)
    while words and words[-1].text == ";":
        sql = sql[: words.pop().start]
    if not words:
        raise QueryError("the query is empty")
    if any(word.text == ";" and word.kind == "mark" for word in words):
        raise QueryError("one statement at a time")
    if words[0].text not in READING or words[0].kind == "quoted":
        raise QueryError(f"only reading is allowed, not {words[0].text.upper()}", "begin with SELECT, WITH or SHOW")
    for word, following in pairwise(words):
        if word.text == "u" and word.kind == "word" and following.text == "&":
            raise QueryError('U&"…" is not allowed: it spells names in another way', "write the letters themselves")
        called = following.text == "(" and word.kind in ("word", "quoted")
        if called and word.text in volatile and word.text not in HARMLESS:
            raise QueryError(f"{word.text}() is not allowed: queries read this store and nothing else")
    return _bind(sql, words, params)


def _bind(sql: str, words: list[Token], params: Params) -> tuple[str, list[str | int]]:
    """Parameters in the server's own form."""
    parts, values, at = [], [], 0
    numbers: dict[str, int] = {}
    for word in words:
        if word.kind != "param":
            continue
        name, _, kind = word.text.partition(":")
        if name not in params:
            raise QueryError(f"parameter {name} has no value")
        if kind not in _TYPES:
            raise QueryError(f"parameter {name}: no type {kind}", ", ".join(_TYPES))
        if word.text not in numbers:
            values.append(params[name])
            numbers[word.text] = len(values)
        parts += [sql[at : word.start], f"${numbers[word.text]}::{_TYPES[kind]}"]
        at = sql.index("}", word.start) + 1
    return "".join(parts) + sql[at:], values
