"""What a store does to events that it holds already: erase, correct, and count a batch without what was erased.

``erasure`` says what these are for and why a delete spoils no proof. ``Sink.edit`` is the door; each store has its own
behind it. Like the sink's, all methods belong to the sender's thread, but for ``sweep``, which any other may call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from trackflowd.selection import Tombstone


class Piece(NamedTuple):
    """What one call of ``erase`` came to.

    Args:
        next: where the next piece begins; None: the month is done.
        rows: deleted by this one, where the store says so; 0 otherwise.
        busy: what the store is doing, in words, where there is nothing to do but to ask again later; else "".
    """

    next: int | None
    rows: int = 0
    busy: str = ""


class Editor(Protocol):
    """One store's edits."""

    def count_left(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> int:
        """Rows of a batch that are there and that none of the tombstones names.

        Raises:
            StoreAway: cannot be asked now.
        """

    def clear(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> None:
        """Delete the rows of a batch that one of the tombstones names; returns when they are gone.

        Raises:
            StoreAway: cannot be asked now, or did not finish in time.
        """

    def erase(self, what: Tombstone, month: int, at: int) -> Piece:
        """Delete a bounded piece of what a tombstone names, so that batches can land in between.

        Args:
            what: names the rows.
            month: YYYYMM (UTC) of received.
            at: 0, then ``Piece.next`` of the call before.

        Raises:
            StoreAway: cannot be asked now. Doing a piece again does no harm.
        """

    def sweep(self) -> int:
        """Delete what a store keeps apart from its events and no event uses any more; how many rows.

        Raises:
            StoreAway: cannot be asked now.
        """

    def correct(self, site: str, event: bytes, month: int, props: Mapping[str, str]) -> None:
        """Have an event's properties replaced. May return before they are: ask for the event.

        Args:
            site, event: whose (16 bytes).
            month: YYYYMM (UTC) in which it was received.
            props: all of them.

        Raises:
            StoreAway: cannot be asked now.
        """


class NoEvents:
    """Edits of a store that keeps no events."""

    def count_left(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> int:
        return 0

    def clear(self, batch_id: int, partition: int, without: Sequence[Tombstone]) -> None:
        pass

    def erase(self, what: Tombstone, month: int, at: int) -> Piece:
        return Piece(None)

    def sweep(self) -> int:
        return 0

    def correct(self, site: str, event: bytes, month: int, props: Mapping[str, str]) -> None:
        pass
