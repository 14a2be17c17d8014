"""Where the rows of a journaled batch are: in the rings at first, in a segment of the spool later."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trackflowd.batch import checksum, chosen
from trackflowd.cuts import Cut
from trackflowd.erasure import Erasures
from trackflowd.errors import SegmentDamaged
from trackflowd.feeds import Feeds
from trackflowd.proto import record
from trackflowd.quarantine import Quarantine
from trackflowd.ring.layout import Record
from trackflowd.settle import Identity
from trackflowd.spool import Spool

_SITE = record.EVENT_FIELDS.index("site")

log = logging.getLogger(__name__)


class Sources:
    """Reads rows back.

    Args:
        feeds: the rings.
        spool: the segments.
        quarantine: takes what cannot be read.
        erasures: what must not be sent of what is read.
    """

    def __init__(self, feeds: Feeds, spool: Spool, quarantine: Quarantine, erasures: Erasures) -> None:
        self.feeds = feeds
        self.spool = spool
        self.quarantine = quarantine
        self.erasures = erasures

    def rows(self, cut: Cut) -> Sequence[Record] | None:
        """Exactly the rows of a batch, by count and checksum; None when they are not all there unharmed."""
        if not cut.segment:
            return self.from_rings(cut)
        rows = [row for row in self.salvage(cut) if row is not None]
        if _match(cut, rows):
            return rows
        return self.from_rings(cut) if cut.part is None else None

    def from_rings(self, cut: Cut) -> Sequence[Record] | None:
        """The same from the rings alone: what was spooled may still be there."""
        rows: list[Record] = []
        for span in cut.ranges:
            feed = self.feeds.get(span.ring)
            rows += chosen(span, feed.read_range(span.start, span.end) if feed else ())
        return rows if _match(cut, rows) else None

    def salvage(self, cut: Cut) -> list[Record | None]:
        """Rows of a spooled batch one by one, None for each that is damaged; none of a batch in the rings."""
        if not cut.segment:
            return []
        try:
            return self.spool.rows(cut)
        except SegmentDamaged as error:
            log.error("%s", error)
            return [None] * cut.rows

    def set_aside(self, cut: Cut) -> None:
        """Keep what there is of a damaged batch as quarantine files.

        Raises:
            DataDirError: they cannot be written.
        """
        if not cut.segment:
            self.feeds.set_ranges_aside(cut)
            return
        path = self.spool.path(cut.segment)
        if path.exists():
            self.quarantine.put_raw(f"segment-{cut.batch_id:032x}", path.read_bytes())


def identities(rows: Sequence[Record]) -> list[Identity]:
    """(site, event id) of each row."""
    return [(record.decode(row[6])[5][_SITE], row[2]) for row in rows]


def _match(cut: Cut, rows: Sequence[Record]) -> bool:
    return len(rows) == cut.rows and checksum(rows) == cut.crc
