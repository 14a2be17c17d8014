"""A batch as PostgreSQL takes it: distinct rows of its dimensions, and facts that point to them. Pure.

Columns of one part of the event share their codes (see ``base.Coded``), and a dimension's fields come from one part:
so its distinct rows are found without a look at every row of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from trackflowd.errors import StoreReject
from trackflowd.event import FIELDS, Field
from trackflowd.sink.base import Batch, Coded
from trackflowd.sink.pg_tables import DIMENSIONS, OWN, key_of

#: One row of the staging table: kind, n, key, fields as text.
StagedRow = tuple[int, int, bytes, list[str]]


@dataclass(frozen=True, slots=True)
class Staged:
    """A batch, ready to be sent.

    Args:
        dimensions: distinct rows of all dimensions; ``n`` counts from 0 in each.
        codes: by dimension: ``n`` of each row of the batch.
        own: by own field of ``facts``: what its codec takes, of each row.
    """

    dimensions: list[StagedRow]
    codes: list[Sequence[int]]
    own: list[Sequence[Any]]

    def facts(self, ids: Sequence[Sequence[int]]) -> list[tuple[Any, ...]]:
        """Rows of ``facts``.

        Args:
            ids: by dimension: id of each distinct row, by ``n``.
        """
        pointers = [list(map(each.__getitem__, codes)) for each, codes in zip(ids, self.codes, strict=True)]
        return list(zip(*pointers, *self.own, strict=True))


def stage(batch: Batch) -> Staged:
    """Prepare a batch.

    Raises:
        StoreReject: a value that its column is not meant to hold.
    """
    for field in FIELDS:
        _check(field, batch)
    dimensions: list[StagedRow] = []
    codes: list[Sequence[int]] = []
    for kind, dimension in enumerate(DIMENSIONS):
        distinct, of_rows = _distinct([batch.columns[name] for name in dimension.fields])
        try:
            keys = list(map(key_of, distinct))
        except UnicodeEncodeError as error:
            raise StoreReject(f"table {dimension.table}: a text that is no UTF-8: {error.reason}") from error
        dimensions += [
            (kind, n, key, [value if isinstance(value, str) else str(value) for value in values])
            for n, (key, values) in enumerate(zip(keys, distinct, strict=True))
        ]
        codes.append(of_rows)
    own = [_WRITERS.get(field.name, _OF_KIND[field.kind])(batch.columns[field.name]) for field in OWN]
    return Staged(dimensions, codes, own)


def _distinct(columns: Sequence[Sequence[Any]]) -> tuple[list[tuple[Any, ...]], Sequence[int]]:
    """Distinct rows of some columns, and which of them each row is."""
    first = columns[0]
    index: dict[tuple[Any, ...], int] = {}
    if isinstance(first, Coded) and all(
        isinstance(column, Coded) and column.codes is first.codes for column in columns
    ):
        of_codes = [index.setdefault(values, len(index)) for values in zip(*(c.values for c in columns), strict=True)]  # type: ignore[attr-defined]
        return list(index), list(map(of_codes.__getitem__, first.codes))
    rows = [index.setdefault(values, len(index)) for values in zip(*columns, strict=True)]
    return list(index), rows


_TYPES: dict[str, type] = {
    "text": str,
    "uint": int,
    "money": int,
    "time": int,
    "uuid": bytes,
    "map": dict,
    "batch": int,
}
#: Bounds of numbers that have none in the table: a timestamptz reaches to the year 294276, an id has 128 bits.
_MOST = {"time": 2**53, "batch": 2**128 - 1}


def _check(field: Field, batch: Batch) -> None:
    """What the server would take, though it is no value of the field, or what its driver would stumble over."""
    column = batch.columns[field.name]
    if len(column) != batch.rows:
        raise StoreReject(f"column {field.name}: {len(column)} values, the batch has {batch.rows} rows")
    values = column.values if isinstance(column, Coded) else column
    if not {*map(type, values)} <= {_TYPES[field.kind]}:
        raise StoreReject(f"column {field.name}: a value that is no {field.kind}")
    if field.kind in ("uint", "money", "time", "batch") and values:
        most = _MOST.get(field.kind) or field.bound
        if max(values) > most or min(values) < (-most if field.kind == "money" else 0):
            raise StoreReject(f"column {field.name}: a value out of its range")
    elif field.kind == "uuid" and {*map(len, values)} != {16}:
        raise StoreReject(f"column {field.name}: a value that has not 16 bytes")


def signed(values: Sequence[int]) -> list[int]:
    """Numbers of 64 bits as the bigint of the same bits."""
    return [value - 2**64 if value >= 2**63 else value for value in values]


def _money(values: Sequence[int]) -> list[Decimal]:
    made = {value: Decimal(value).scaleb(-4) for value in set(values)}
    return list(map(made.__getitem__, values))


def _maps(values: Sequence[dict[str, str]]) -> list[str]:
    encode = msgspec.json.encode
    return [encode(value).decode() for value in values]


def _batches(values: Sequence[int]) -> list[bytes]:
    return [values[0].to_bytes(16, "big")] * len(values)  # the same in every row


def _as_is(values: Sequence[Any]) -> Sequence[Any]:
    return values


#: Own fields in what the link's codecs take: times are ms since 1970 there, ids 16 bytes, JSON a text.
_OF_KIND: dict[str, Callable[[Any], Sequence[Any]]] = {
    "text": _as_is,
    "uint": _as_is,
    "money": _money,
    "time": _as_is,
    "uuid": _as_is,
    "map": _maps,
    "batch": _batches,
}
_WRITERS: dict[str, Callable[[Any], Sequence[Any]]] = {"visitor": signed}
