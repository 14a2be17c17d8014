"""All rings of a data directory: found, read in turn, and removed when they are done with."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from trackflowd.cuts import Cut
from trackflowd.errors import RingError
from trackflowd.feed import Feed
from trackflowd.journal import Journal
from trackflowd.quarantine import Quarantine
from trackflowd.ring import file as ring_file
from trackflowd.ring.reader import Damage
from trackflowd.shared import Page, Slot

log = logging.getLogger(__name__)

#: Seconds between two looks for ring files: a new worker's ring waits so long at most.
SCAN = 0.5


class Feeds:
    """The rings the flusher reads.

    Args:
        rings: directory of the ring files.
        quarantine: where damaged bytes go.
        journal: knows how far each ring was cut.
        slot: counters.
        page: says how many worker slots are meant to be filled.
        durable: durability is "disk" (see ``Feed``).
    """

    def __init__(
        self, rings: Path, quarantine: Quarantine, journal: Journal, slot: Slot, page: Page, durable: bool = False
    ) -> None:
        self._rings = rings
        self._quarantine = quarantine
        self._journal = journal
        self._slot = slot
        self._page = page
        self._durable = durable
        self._feeds: dict[bytes, Feed] = {}
        self._refused: dict[Path, str] = {}
        self._looked = 0.0
        self._turn = 0

    def __iter__(self) -> Iterator[Feed]:
        """Every ring once, each time beginning with the next, so that none starves."""
        feeds = list(self._feeds.values())
        if not feeds:
            return iter(())
        self._turn = (self._turn + 1) % len(feeds)
        return iter(feeds[self._turn :] + feeds[: self._turn])

    def get(self, ring: bytes) -> Feed | None:
        """The ring with that uuid."""
        return self._feeds.get(ring)

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be read in any ring."""
        return not any(feed.waiting for feed in self._feeds.values())

    def ends(self) -> dict[bytes, int]:
        """How far each ring goes, by uuid."""
        return {ring: feed.published for ring, feed in self._feeds.items()}

    def ahead(self, ends: Mapping[bytes, int]) -> dict[bytes, int]:
        """Those of such ends that are not read yet. A ring that has failed since may end before its own."""
        feeds = self._feeds
        return {
            ring: end for ring, end in ends.items()
            if ring in feeds and min(end, feeds[ring].published) > feeds[ring].position
        }  # fmt: skip

    def look_when_due(self) -> None:
        """``look`` every ``SCAN`` seconds."""
        if time.monotonic() - self._looked >= SCAN:
            self.look()

    def look(self) -> None:
        """Look for new files, and remove drained ones.

        Without a descriptor to look with, what is read already is read on, and the next look is another try.
        """
        self._looked = time.monotonic()
        try:
            self.scan()
            self.remove_drained()
        except OSError as error:
            self._cannot_reach(self._rings, str(error))

    def scan(self) -> None:
        """Take up every ring file that is not read yet."""
        for info in ring_file.scan(self._rings):
            if info.unreachable:
                self._cannot_reach(info.path, info.error)
            elif info.header is None or info.error:
                self._refuse(info.path, info.error)
            elif info.header.uuid not in self._feeds:
                self._take_up(info.path, self._journal.state.marks.get(info.header.uuid, 0), not info.of_this_boot)
        self._free_unwritten()

    def _take_up(self, path: Path, mark: int, salvage: bool) -> None:
        try:
            reader = ring_file.open_for_reader(path)
        except RingError as error:
            self._refuse(path, str(error))
            return
        except OSError as error:
            self._cannot_reach(path, str(error))
            return
        try:
            feed = Feed(path, reader, mark, salvage, self._durable)
        except RingError as error:
            reader.close()
            self._refuse(path, str(error))
            return
        self._feeds[feed.ring] = feed
        self._slot.add("bytes_lost", feed.lost)
        self._refused.pop(path, None)
        self._settle(feed)

    def _refuse(self, path: Path, text: str) -> None:
        if self._refused.get(path) != text:
            self._refused[path] = text
            self._slot.add("records_damaged")
            log.error("ring %s cannot be read: %s", path.name, text)

    def _cannot_reach(self, path: Path, text: str) -> None:
        """Say it once; it is no damage."""
        if self._refused.get(path) != text:
            self._refused[path] = text
            log.error("ring %s cannot be looked at, it is tried again: %s", path.name, text)

    def pass_damage(self, feed: Feed, damage: Damage) -> None:
        """Set damaged bytes aside and read on behind them; twice (a kill in between) is once."""
        raw = feed.reader.raw(damage.start, damage.end)
        path = self._quarantine.put_raw(f"damaged-{feed.ring.hex()}-{damage.start}-{damage.end}", raw)
        self._slot.add("records_damaged")
        self._slot.add("bytes_damaged", len(raw))
        lost = max(min(damage.end, feed.synced) - damage.start, 0) if feed.salvage else 0
        self._slot.add("bytes_lost", lost)
        torn = feed.salvage and damage.start >= feed.synced > 0  # at the power cut; more was not promised
        log.log(logging.WARNING if torn else logging.ERROR, "ring %s: %d %s bytes at %d are set aside as %s%s",
                feed.name, len(raw), "torn" if torn else "damaged", damage.start, path,
                f"; {lost} of them were synced: lost" if lost else "")  # fmt: skip
        self._journal.gap(feed.ring, damage.start, damage.end)
        feed.position = damage.end
        self._settle(feed)

    def set_ranges_aside(self, cut: Cut) -> None:
        """Keep the raw bytes of a batch's ranges, one file for each ring that is there."""
        for span in cut.ranges:
            if feed := self._feeds.get(span.ring):
                name = f"batch-{cut.batch_id:032x}-{span.ring.hex()}-{span.start}-{span.end}"
                self._quarantine.put_raw(name, feed.reader.raw(span.start, span.end))

    @property
    def fill(self) -> float:
        """Part of the fullest ring that the store and the spool do not hold, 0 to 1."""
        return max((feed.fill for feed in self._feeds.values()), default=0.0)

    def settle_tails(self) -> None:
        """Move every tail to where the store holds all before it."""
        for feed in self._feeds.values():
            self._settle(feed)

    def _free_unwritten(self) -> None:
        """Let rings without a writer be read to their heads: nobody is left to sync them, or to refuse what is there.

        What a killed worker left unsynced was not answered, or was answered under durability "process". A ring
        that its slot's next worker takes over is not meant: that one syncs it.
        """
        for feed in self._feeds.values():
            if feed.unwritten or feed.unsynced:
                feed.unwritten = self._orphaned(feed) and not ring_file.has_writer(feed.path)

    def remove_drained(self) -> None:
        """Remove rings that nobody will write to again, once the store holds all of them."""
        for feed in list(self._feeds.values()):
            done = feed.drained and not feed.waiting and self._orphaned(feed)
            if done and ring_file.remove_if_orphan(feed.path):
                del self._feeds[feed.ring]
                feed.close()
                self._journal.gone(feed.ring)
                log.info("ring %s is drained and removed", feed.name)

    def gauges(self) -> None:
        """Refresh the counters that say how far behind the store is."""
        oldest = [ms for feed in self._feeds.values() if (ms := feed.oldest_ms())]
        self._slot.set("oldest_pending_ms", min(oldest, default=0))
        self._slot.set("rings", len(self._feeds))

    def close(self) -> None:
        """Unmap all."""
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()

    def _settle(self, feed: Feed) -> None:
        state = self._journal.state
        feed.settle(state.open.values(), state.marks.get(feed.ring, 0))

    def _orphaned(self, feed: Feed) -> bool:
        header = feed.reader.header
        twins = [other for other in self._feeds.values() if other.reader.header.slot == header.slot]
        return feed.salvage or header.slot >= self._page.workers or len(twins) > 1
