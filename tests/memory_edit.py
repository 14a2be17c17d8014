"""Edits of a store in memory that keeps event ids by batch (``sink.edit.Editor``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trackflowd.selection import Tombstone
from trackflowd.sink.base import Batch
from trackflowd.sink.edit import Piece

FIELDS = ("site", "name", "time", "visitor", "user_id", "event_id", "received")


class MemoryEditor:
    """See the module's text.

    Args:
        batches: the store's own: event ids by batch; changed in place.
    """

    def __init__(self, batches: dict[int, list[bytes]]) -> None:
        self.batches = batches
        self.fields: dict[bytes, dict[str, Any]] = {}
        self.cleared: list[int] = []

    def note(self, batch: Batch) -> None:
        """Remember what its rows say."""
        for values in zip(*(batch.columns[name] for name in FIELDS), strict=True):
            self.fields[values[FIELDS.index("event_id")]] = dict(zip(FIELDS, values, strict=True))

    def _left(self, batch_id: int, without: Sequence[Tombstone]) -> list[bytes]:
        ids = self.batches.get(batch_id, ())
        return [one for one in ids if not any(each.names(self.fields[one]) for each in without)]

    def count_left(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> int:
        return len(self._left(batch_id, without))

    def clear(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> None:
        self.cleared.append(batch_id)
        if batch_id in self.batches:
            self.batches[batch_id] = self._left(batch_id, without)

    def erase(self, what: Tombstone, month: int, at: int) -> Piece:
        """One batch at a time."""
        numbers = sorted(self.batches)
        if at >= len(numbers):
            return Piece(None)
        before = len(self.batches[numbers[at]])
        self.batches[numbers[at]] = self._left(numbers[at], [what])
        return Piece(at + 1, before - len(self.batches[numbers[at]]))

    def sweep(self) -> int:
        return 0

    def correct(self, site: str, event: bytes, month: int, props: Mapping[str, str]) -> None:
        """Nothing to do: properties are not kept here."""
