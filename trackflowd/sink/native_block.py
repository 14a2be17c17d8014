"""A batch as one block in ClickHouse's Native format.

The block is the whole batch: one block makes one part. Its layout (written as the server's
``NativeWriter`` does for clients that name no protocol revision; all numbers little-endian)::

    columns varint | rows varint | per column: name string | type string | data

A string is its length in bytes as a varint (LEB128), then its UTF-8. Data by type:

- ``String``: the strings one after another.
- numbers: fixed width. ``DateTime64(3)`` is an Int64 of ms, ``Decimal(18, 4)`` an Int64 of 1/10,000.
- ``UUID``: two UInt64, the high half first, each little-endian: 16 bytes with each half turned round.
- ``LowCardinality(String)``: UInt64 1 (version), then UInt64 of flags (0x600: the dictionary follows and is new;
  low byte: log2 of the index width in bytes), UInt64 size of the dictionary, its strings, UInt64 rows, the indexes.
- ``Map(LowCardinality(String), String)``: the versions of what is inside first, then UInt64 end offset per row,
  then all keys and all values as columns; an empty LowCardinality column has no bytes after its version.

Own code instead of the driver's ``NativeTransform`` because the block is on the way of every event: 20,000 rows of
46 columns with gc off cost 2.3 µs of CPU a row here, 1.2 with ``Coded`` columns, and 4.8 there (Python 3.11, values
ready in the form each wants). What pays: a string is encoded once per distinct value, ``bytes(map(…))`` and
``struct.pack`` take half the time of an array, and the codes of a part are translated for all its columns.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate, chain
from typing import Any

from trackflowd.errors import StoreReject
from trackflowd.event import FIELDS
from trackflowd.sink.base import Batch, Coded, shorten

_LC_VERSION = (1).to_bytes(8, "little")
_LC_FLAGS = 0x600  # HasAdditionalKeys | NeedUpdateDictionary, as the server sends them
#: ``struct`` code of each fixed-width type in the table.
_NUMBERS = {
    "UInt8": "B",
    "UInt32": "I",
    "UInt64": "Q",
    "DateTime64(3, 'UTC')": "q",
    "Decimal(18, 4)": "q",
}


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


#: Length prefixes of short strings, which nearly all are.
_PREFIXES = tuple(_varint(n) for n in range(4096))


def _string(text: str) -> bytes:
    raw = text.encode()
    size = len(raw)
    return (_PREFIXES[size] if size < 4096 else _varint(size)) + raw


def _u64(n: int) -> bytes:
    return n.to_bytes(8, "little")


def _strings(values: Sequence[str]) -> bytes:
    if isinstance(values, Coded):
        encoded = list(map(_string, values.values))
        return b"".join(map(encoded.__getitem__, values.codes))
    encoded_as = {text: _string(text) for text in set(values)}
    return b"".join(map(encoded_as.__getitem__, values))


def _dictionary(values: Sequence[str]) -> bytes:
    """A LowCardinality column without its version."""
    rows = len(values)
    if not rows:
        return b""
    coded = values if isinstance(values, Coded) else None
    distinct = set(coded.values if coded else values)
    size = len(distinct)
    index = dict(zip(distinct, range(size), strict=True))
    log2 = 0 if size <= 2**8 else 1 if size <= 2**16 else 2
    if coded is None:
        codes = _indexes(map(index.__getitem__, values), log2)
    elif isinstance(coded.codes, bytes):
        table = bytes(map(index.__getitem__, coded.values))
        codes = coded.codes.translate(table + bytes(256 - len(table)))
    else:
        wide_table = list(map(index.__getitem__, coded.values))
        codes = _indexes(map(wide_table.__getitem__, coded.codes), log2)
    keys = b"".join(map(_string, index))
    return b"".join((_u64(_LC_FLAGS | log2), _u64(size), keys, _u64(rows), codes))


def _indexes(indexes: Iterable[int], log2: int) -> bytes:
    return bytes(indexes) if log2 == 0 else _packed("HI"[log2 - 1], list(indexes))


def _low_cardinality(values: Sequence[str]) -> bytes:
    return _LC_VERSION + _dictionary(values)


def _packed(code: str, values: Sequence[int]) -> bytes:
    """Numbers side by side; ``pack`` takes half the time of an array made of a sequence."""
    return struct.pack(f"<{len(values)}{code}", *values)


def _uuids(values: Sequence[bytes]) -> bytes:
    halves = array("Q", b"".join(values))
    halves.byteswap()  # from big-endian halves to little-endian ones, whatever this machine is
    return halves.tobytes()


def _wide(values: Sequence[int]) -> bytes:
    """UInt128; the only one is ``_batch``, the same in every row, but for rows that were moved from another store."""
    if isinstance(values, Coded):
        encoded = [value.to_bytes(16, "little") for value in values.values]
        return b"".join(map(encoded.__getitem__, values.codes))
    first = values[0]
    return first.to_bytes(16, "little") * len(values)


def _maps(values: Sequence[dict[str, str]]) -> bytes:
    ends = _packed("Q", list(accumulate(map(len, values))))
    keys = list(chain.from_iterable(values))
    held = list(chain.from_iterable(map(dict.values, values)))
    return b"".join((_LC_VERSION, ends, _dictionary(keys), _strings(held)))


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "String": _strings,
    "LowCardinality(String)": _low_cardinality,
    "UUID": _uuids,
    "UInt128": _wide,
    "Map(LowCardinality(String), String)": _maps,
    **{kind: partial(_packed, code) for kind, code in _NUMBERS.items()},
}

#: Per column: its name, its type, its head (both as they stand in the block) and what writes its values.
_COLUMNS = tuple(
    (field.name, field.clickhouse, _string(field.name) + _string(field.clickhouse), _WRITERS[field.clickhouse])
    for field in FIELDS
)


def encode(batch: Batch) -> bytes:
    """The block of a batch.

    Raises:
        StoreReject: a value that its column cannot hold.
    """
    parts = [_varint(len(_COLUMNS)) + _varint(batch.rows)]
    columns = batch.columns
    for name, kind, head, write in _COLUMNS:
        values = columns[name]
        if len(values) != batch.rows:
            raise StoreReject(f"column {name}: {len(values)} values, the batch has {batch.rows} rows")
        parts.append(head)
        try:
            parts.append(write(values))
        except (ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
            raise StoreReject(f"column {name}: a value that is no {kind}: {shorten(str(error))}") from error
    return b"".join(parts)
