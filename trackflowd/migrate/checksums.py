"""Checksums of columns that do not depend on the order of rows, the same in PostgreSQL and ClickHouse. Pure.

Of a column: the sum, over all rows, of the first 60 bits of the MD5 of the value's text. MD5 because both servers have
it; it guards against accidents, not against people. Texts of values, the same on both sides:

======== =====================================================
text     itself
uuid     as people write it
uint     decimal
money    decimal, in 1/10,000 of the unit
time     decimal, ms since 1970
batch    32 hex digits
map      the sum over its pairs: name, U+0001, value
======== =====================================================

A sum per column does not see values that changed rows, so there is one more, called ``ROW``: of some columns of every
part of the event joined by U+0001.

PostgreSQL computes a dimension's columns once per distinct row times the facts that have it, instead of 45 MD5s a row.
It reads the view ``events`` for the others: another way than the mover's, which reads the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trackflowd.event import BY_NAME, FIELDS, Field
from trackflowd.sink.pg_tables import DIMENSIONS, OWN, Dimension

ROW = "(row)"
COUNT = "(rows)"
#: What a checksum speaks of, in order.
NAMES = (COUNT, *(field.name for field in FIELDS), ROW)

#: One column at least of each part of an event and of each table in PostgreSQL.
_JOINED = (
    "event_id",
    "site",
    "name",
    "path",
    "referrer",
    "source",
    "user_id",
    "city",
    "browser",
    "language",
    "dialect",
)


def _pg_hash(text: str) -> str:
    return f"('x' || left(md5({text}), 15))::bit(60)::bigint"


def _pg_value(field: Field) -> str:
    """Expression of what is summed up for a field."""
    name = field.name
    if field.kind == "map":
        pairs = _pg_hash("k || chr(1) || v")
        return f"(SELECT coalesce(sum({pairs}), 0) FROM jsonb_each_text({name}) AS pairs (k, v))"
    return _pg_hash(_pg_text(field))


def _pg_text(field: Field) -> str:
    name = field.name
    return {
        "text": name,
        "uuid": f"{name}::text",
        "uint": f"{name}::text",
        "money": f"({name} * 10000)::bigint::text",
        "time": f"round(extract(epoch FROM {name}) * 1000)::bigint::text",
        "batch": f"replace({name}::text, '-', '')",
    }[field.kind]


def postgres(where: str) -> tuple[tuple[Sequence[str], str], ...]:
    """Statements, each with the names of what it answers, in its one row.

    Args:
        where: condition on ``facts``, whose columns it names without a table.
    """
    joined = " || chr(1) || ".join(_pg_text(BY_NAME[name]) for name in _JOINED)
    own = [COUNT, *(field.name for field in OWN), ROW]
    sums = ["count(*)", *(f"coalesce(sum({_pg_value(field)}), 0)" for field in OWN)]
    sums.append(f"coalesce(sum({_pg_hash(joined)}), 0)")
    facts = f"SELECT {', '.join(sums)} FROM events WHERE {where}"
    return (own, facts), *((each.fields, _of_dimension(each, where)) for each in DIMENSIONS)


def _of_dimension(dimension: Dimension, where: str) -> str:
    sums = ", ".join(f"coalesce(sum(g.n::numeric * {_pg_value(BY_NAME[name])}), 0)" for name in dimension.fields)
    grouped = f"SELECT {dimension.column} AS id, count(*) AS n FROM facts WHERE {where} GROUP BY {dimension.column}"
    return f"SELECT {sums} FROM ({grouped}) g JOIN {dimension.table} d ON d.id = g.id"


def _ch_hash(text: str) -> str:
    return f"bitShiftRight(reinterpretAsUInt64(reverse(substring(MD5({text}), 1, 8))), 4)"


def _ch_value(field: Field) -> str:
    if field.kind == "map":
        pair = _ch_hash("concat(k, '\\x01', v)")
        return f"arraySum((k, v) -> toUInt128({pair}), mapKeys({field.name}), mapValues({field.name}))"
    return f"toUInt128({_ch_hash(_ch_text(field))})"


def _ch_text(field: Field) -> str:
    name = field.name
    return {
        "text": f"toString({name})",
        "uuid": f"toString({name})",
        "uint": f"toString({name})",
        "money": f"toString(toInt128(toDecimal128({name}, 4) * 10000))",
        "time": f"toString(toUnixTimestamp64Milli({name}))",
        "batch": f"leftPad(lower(hex({name})), 32, '0')",
    }[field.kind]


def clickhouse(where: str) -> str:
    """A statement whose one row has all of ``NAMES``, as texts in columns ``c0``, ``c1``, …

    Args:
        where: condition on ``events``.
    """
    joined = ", '\\x01', ".join(_ch_text(BY_NAME[name]) for name in _JOINED)
    sums = [
        "count()",
        *(f"sum({_ch_value(field)})" for field in FIELDS),
        f"sum(toUInt128({_ch_hash(f'concat({joined})')}))",
    ]
    columns = ", ".join(f"toString({each}) AS c{n}" for n, each in enumerate(sums))
    return f"SELECT {columns} FROM events WHERE {where}"


def differing(source: Mapping[str, int], target: Mapping[str, int]) -> list[str]:
    """Names of what is not equal, in order."""
    return [name for name in NAMES if source[name] != target[name]]


def hexes(batches: Iterable[int]) -> list[str]:
    """Batch ids as people see them."""
    return [f"{batch:032x}" for batch in batches]
