"""What an erasure means for batches: what is sent, and what is counted, is what is *left* of them.

An erasure takes events out of the store (``eraser``) and must keep them out: copies of their rows are still in rings,
spool and quarantine, and a batch's count of rows in the store is the proof that it landed. Both by one rule:

    A tombstone (a selection, and the moment it was asked for) stands before the first row is deleted, and for ever.
    Of every batch, only the rows no tombstone names are sent, and only those are counted.

- *Left* is a function of the batch's rows, which the journal fixed, and of the tombstones: nothing has to be
  remembered about what was erased from where. The journal keeps the batch as it was cut; a rebuild takes exactly those
  rows, by count and checksum, and what is left of them is looked up afterwards.
- **Deleting changes no proof.** A batch of 100 rows of which 3 are named has landed when the store holds 97 of it
  *that no tombstone names*. Before the 3 are deleted, after it, or halfway: the count is 97. So a delete may run at any
  time, beside batches in doubt; none looks torn for it. And a replay counts a settled batch the same way: 97 of 97.
- **Id and token stay.** What is left goes under the batch's own id, attempt and token. A late twin of a sending before
  the tombstone then meets the same deduplication, or the same row in ``batches``, as ever.
- **A batch that was in doubt may have brought named rows,** before or after the delete: when the store is known to
  hold it, those are deleted once more, of this batch alone, before it is settled.
- **A batch with nothing left** is settled without being sent.
- What is received after that moment is a new event: no tombstone names it, and it lands. The clock is the server's,
  which also stamps ``received``.

Where a row has to be looked at, it is: in every sending (``lander``), in a replay, in a retry from quarantine, which
is a sending too. A batch all of whose rows came after the newest tombstone is known by that and not looked at.

The one that cannot be looked at is a batch in doubt whose rows are damaged in ring or spool: nobody can say how many of
it were erased. If the store holds any of it that no tombstone names, it is taken as landed: both stores land a batch
whole, as a part or a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from trackflowd import tombstones
from trackflowd.batch import partition_start
from trackflowd.proto import record
from trackflowd.ring.layout import Record
from trackflowd.selection import Tombstone

_received = itemgetter(4)
_SITE, _NAME, _TIME, _VISITOR, _USER = map(record.EVENT_FIELDS.index, ("site", "name", "time", "visitor", "user_id"))


class Left(NamedTuple):
    """What is left of some rows.

    Args:
        rows: those no tombstone names, in their order.
        without: the tombstones that name the others; empty: all are left.
    """

    rows: Sequence[Record]
    without: tuple[Tombstone, ...]


#: Fields by whose value tombstones are looked up, the most telling first; a few have none of these.
_KEYS = ("event_id", "user_id", "visitor", "site", "name")


class Erasures:
    """The tombstones, as the flusher knows them. In its loop.

    Args:
        data_dir: the daemon's own directory.

    Attributes:
        version: grows with each ``load`` that changed them.

    Raises:
        DataDirError: they cannot be read.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._all: Sequence[Tombstone] = []
        self._by_value: dict[tuple[str, object], list[Tombstone]] = {}
        self._newest = -1
        self.version = 0
        self.load()

    def load(self) -> int:
        """Read them again; how many there are.

        Raises:
            DataDirError: they cannot be read; those known stay.
        """
        found = tombstones.load(self._data_dir)
        if found != self._all:
            self._all = found
            self._newest = max((one.until_ms for one in found), default=-1)
            self._by_value = {}
            for one in found:
                self._by_value.setdefault(_key_of(one), []).append(one)
            self.version += 1
        return len(found)

    def left(self, rows: Sequence[Record]) -> Left:
        """What is left of rows. Free without tombstones, 0.04 µs a row while all are older than the rows.

        Raises:
            RecordError: a row that does not decode.
        """
        newest = self._newest
        if newest < 0 or not rows or min(map(_received, rows)) > newest:
            return Left(rows, ())
        stays, without = [], set[Tombstone]()
        for row in rows:
            named = self._naming(row) if row[4] <= newest else ()
            without.update(named)
            if not named:
                stays.append(row)
        return Left(stays, tuple(sorted(without, key=lambda one: one.number))) if without else Left(rows, ())

    def of_month(self, partition: int) -> tuple[Tombstone, ...]:
        """Those that may name a row received in a month (YYYYMM)."""
        start = partition_start(partition)
        return tuple(one for one in self._all if one.until_ms >= start)

    def _naming(self, row: Record) -> list[Tombstone]:
        fields = fields_of(row)
        keys = [("", None), *((name, fields[name]) for name in _KEYS)]
        return [one for key in keys for one in self._by_value.get(key, ()) if one.names(fields)]


def _key_of(tombstone: Tombstone) -> tuple[str, object]:
    """The value it is looked up by."""
    equal = {one.field: one.value for one in tombstone.conditions() if one.op == "="}
    return next(((name, equal[name]) for name in _KEYS if name in equal), ("", None))


def fields_of(row: Record) -> dict[str, object]:
    """The fields of a row that conditions can have.

    Raises:
        RecordError: it does not decode.
    """
    event = record.decode(row[6])[5]
    return {
        "site": event[_SITE], "name": event[_NAME], "time": event[_TIME], "visitor": event[_VISITOR],
        "user_id": event[_USER], "event_id": row[2], "received": row[4],
    }  # fmt: skip
