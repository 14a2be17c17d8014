"""One ring as the flusher sees it: where it reads on, and how far the tail may go.

Positions come from the journal (the highest end it knows), never from the tail, which is a hint.
The tail follows: it is moved to the end of what the store is known to hold without a gap, so
that a worker may use the space again.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from trackflowd.cuts import Cut
from trackflowd.errors import RingDamaged
from trackflowd.ring.layout import Record
from trackflowd.ring.reader import Damage, Reader

log = logging.getLogger(__name__)


class Feed:
    """Reads one ring on behalf of the flusher.

    Args:
        path: its file.
        reader: over its mapping.
        mark: highest end of it in the journal; 0 when the journal does not know it.
        salvage: it belongs to another boot: its head is a hint too, records are read past it.
        durable: read no further than the disk is known to have it (durability "disk"): what is behind may
            still be answered 503.

    Attributes:
        lost: bytes below ``synced`` that a ring of another boot does not end with.
        unwritten: nobody writes it and nobody will: there is no more to wait for.

    Raises:
        RingDamaged: its cursors make no sense.
    """

    def __init__(self, path: Path, reader: Reader, mark: int, salvage: bool, durable: bool = False) -> None:
        self.path = path
        self.name = path.name
        self.reader = reader
        self.ring = reader.uuid
        self.salvage = salvage
        self.unwritten = False
        self.lost = 0
        self._durable = durable
        self._synced_unknown = False
        self.position = max(mark, reader.tail)
        self._settled = reader.tail
        self._salvaged = reader.salvage_end(self.position) if salvage else 0
        if salvage:
            self._compare_with_synced()

    def _compare_with_synced(self) -> None:
        """Say so if bytes that were on disk before the machine went down are not there now."""
        self.lost = max(self.synced - max(self._salvaged, self.position), 0)
        if self.lost:
            log.error("ring %s: %d bytes that were synced are not there: lost", self.name, self.lost)

    @property
    def synced(self) -> int:
        """Position up to which the disk had everything; 0 where that is not known (said once)."""
        try:
            return self.reader.synced
        except RingDamaged as error:
            if not self._synced_unknown:
                self._synced_unknown = True
                log.error("ring %s: what is synced is not known: %s", self.name, error)
            return 0

    @property
    def head(self) -> int:
        """End of what may be read."""
        if self.salvage:
            return self._salvaged
        head = self.reader.head
        if not self._durable or self.unwritten or self.reader.failed:
            return head
        return min(head, self.synced)

    @property
    def published(self) -> int:
        """End of what is there; the disk may not be known to have all of it yet."""
        return self._salvaged if self.salvage else self.reader.head

    @property
    def unsynced(self) -> bool:
        """Whether something is published that may not be read yet."""
        return self.head < self.published

    @property
    def waiting(self) -> int:
        """Bytes published and not yet read."""
        return max(self.head - self.position, 0)

    def read(self, rows: int, size: int) -> tuple[Sequence[Record], Damage | None]:
        """Next whole records, and the damage that stopped the reading, if any.

        Args:
            rows, size: at most so many records and, beyond the first, bytes.
        """
        head = self.head
        if head <= self.position:
            return (), None
        records, stopped = self.reader.records(self.position, head, rows, size)
        if not stopped:
            return records, None
        at = records[-1][1] if records else self.position
        return records, self.reader.damage_at(at, head)

    def read_range(self, start: int, end: int) -> Sequence[Record]:
        """The records of a journaled range; fewer than it had when some are damaged."""
        records, _ = self.reader.records(start, end, sys.maxsize, sys.maxsize)
        return records

    def read_end(self, start: int, end: int) -> Sequence[Record]:
        """What is left of a range whose first records may be overwritten: its last ones, up to its end."""
        start = max(start, self.reader.head - self.reader.capacity)
        if start >= end:
            return ()
        damage = self.reader.damage_at(start, end)
        while damage is not None and damage.end < end:
            start = damage.end
            damage = self.reader.damage_at(start, end)
        return () if damage is not None else self.read_range(start, end)

    def settle(self, open_cuts: Iterable[Cut], mark: int) -> None:
        """Move the tail to the end of the contiguous prefix that the store or the spool holds.

        Args:
            open_cuts: batches not yet confirmed.
            mark: highest end of this ring in the journal.
        """
        starts = (span.start for cut in open_cuts if not cut.segment for span in cut.ranges if span.ring == self.ring)
        end = min(min(starts, default=mark), mark)
        if end > self._settled:
            self.reader.store_tail(end)
            self._settled = end

    @property
    def fill(self) -> float:
        """Used part, 0 to 1."""
        return max(self.head - self._settled, 0) / self.reader.capacity

    def oldest_ms(self) -> int:
        """Received time of the first record behind the tail, ms since 1970 UTC; 0 when there is none."""
        head = self.head
        if head <= self._settled:
            return 0
        records, _ = self.reader.records(self._settled, head, 1, 1)
        return records[0][4] if records else 0

    def still_held(self, start: int) -> bool:
        """Whether bytes from start on have not been overwritten."""
        return self.reader.head - start <= self.reader.capacity

    @property
    def drained(self) -> bool:
        """Nothing is left in it that the store does not hold."""
        return self._settled >= self.head

    def close(self) -> None:
        """Unmap it."""
        self.reader.close()
