"""Which SQL an asker may run: only what reads, and only from this store.

The engine's own ``readonly = 1`` refuses INSERT, DDL, SET, a SETTINGS clause and nearly every table function that
reaches outside (tried against chDB 26.9). It lets through KILL QUERY and USE, the scalar function ``file``, which
reads any file an embedded engine may read, INTO OUTFILE, which an embedded engine writes, and the ``ai…`` functions,
which call other hosts. So the words of a statement are looked at too, before it is sent: the two together are the
guard, neither is alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from trackflowd.errors import QueryError

#: First words of statements that only read.
READING = frozenset({"select", "with", "from", "show", "describe", "desc", "explain", "exists", "("})

#: Table functions that neither leave the store nor read the host's files. Every other one the engine has is refused.
TABLE_FUNCTIONS = frozenset(
    {"generate_series", "generateseries", "null", "numbers", "numbers_mt", "values", "view", "zeros", "zeros_mt"}
)

#: Scalar functions that read files of the host or call other hosts, whatever readonly says.
FUNCTIONS = re.compile(r"file|catboostevaluate|ai[a-z]+")

_TOKEN = re.compile(
    r"""
      (?P<gap>    \s+ | --[^\n]* | \#[!\ ][^\n]* | /\*.*?\*/ )
    | (?P<string> '(?:[^'\\]|\\.|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<quoted> "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*` )
    | (?P<word>   \w+ )
    | (?P<mark>   . )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a quoted name (as it is called), a string (emptied) or a single mark; where it stands.

    Args:
        kind: "word", "quoted", "string" or "mark".
        text: in lower case.
        start: offset in the statement.
    """

    kind: str
    text: str
    start: int


def tokens(sql: str) -> list[Token]:
    """Tokens of a statement, without comments and the contents of strings."""
    found = []
    for match in _TOKEN.finditer(sql):
        kind, text = str(match.lastgroup), match.group()
        if kind == "gap":
            continue
        if kind == "string":
            text = ""
        elif kind == "quoted":
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        found.append(Token(kind, text.lower(), match.start()))
    return found


def check(sql: str, table_functions: Collection[str]) -> str:
    """The statement, fit to have a FORMAT clause appended on a new line.

    Args:
        sql: as the asker wrote it.
        table_functions: names of all the engine has, in lower case.

    Raises:
        QueryError: it does more than read, or more than one statement, or chooses its own format.
    """
    words = tokens(sql)
    while words and words[-1].text == ";":
        sql = sql[: words.pop().start]
    if not words:
        raise QueryError("the query is empty")
    if any(word.text == ";" for word in words):
        raise QueryError("one statement at a time")
    if words[0].text not in READING or words[0].kind == "quoted":
        raise QueryError(f"only reading is allowed, not {words[0].text.upper()}", "begin with SELECT, SHOW or DESCRIBE")
    if len(words) > 1 and words[-2].text == "format" and words[-1].kind == "word":
        raise QueryError("FORMAT is not allowed in the query", "use --format table, json or csv")
    for word, following in pairwise(words):
        if word.text == "into" and following.text == "outfile":
            raise QueryError("INTO OUTFILE is not allowed", "redirect the output of trackflow query")
        if following.text == "(" and word.kind in ("word", "quoted"):
            _called(word.text, table_functions)
    return sql


def _called(name: str, table_functions: Collection[str]) -> None:
    if FUNCTIONS.fullmatch(name) or (name in table_functions and name not in TABLE_FUNCTIONS):
        raise QueryError(f"{name}() is not allowed: queries read this store and nothing else")
