"""What an operator may do with batches that wait or were set apart: try quarantined rows again, or drop them.

Runs in the flusher's loop, since it is the flusher's journal that decides. A retry is a batch like any
other, under the id it had: the store is asked for it first, so trying twice stores once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from trackflowd import quarantine, segment
from trackflowd.batch import checksum
from trackflowd.cuts import Cut
from trackflowd.errors import DataDirError, SegmentDamaged
from trackflowd.journal import Journal
from trackflowd.lander import Lander
from trackflowd.lander_cluster import release
from trackflowd.ring.layout import Record
from trackflowd.segment import SUFFIX, Head
from trackflowd.shared import Slot
from trackflowd.sources import Sources

log = logging.getLogger(__name__)


class Shelf:
    """Acts on spool and quarantine.

    Args:
        journal: decides what is open.
        sources: spool and quarantine.
        lander: takes retried batches.
        slot: counters.
    """

    def __init__(self, journal: Journal, sources: Sources, lander: Lander, slot: Slot) -> None:
        self._journal = journal
        self._spool = sources.spool
        self._quarantine = sources.quarantine
        self._lander = lander
        self._slot = slot

    def retry(self, names: Sequence[str]) -> dict[str, Any]:
        """Send rows from quarantine again.

        Args:
            names: files, or none for all that can be.

        Returns:
            ``retried`` (files), ``rows``, ``skipped`` (a list of ``name`` and ``reason``).

        Raises:
            DataDirError: no such file.
            SpoolFull: no room to do it.
        """
        paths = [self._quarantine.find(name) for name in names] or self._quarantine.retryable()
        retried = rows = 0
        skipped = []
        for path in paths:
            reason = self._retry(path)
            if reason:
                skipped.append({"name": path.name, "reason": reason})
            else:
                retried += 1
                rows += 1
        return {"retried": retried, "rows": rows, "skipped": skipped}

    def _retry(self, path: Path) -> str:
        """Make a batch of a file's rows and remove the file; why not, or ""."""
        if path not in self._quarantine.retryable():
            return "only rows that the store refused can be sent again"
        try:
            head, found = segment.read(path)
        except SegmentDamaged as error:
            return error.text
        rows = [row for row in found if row is not None]
        if len(rows) < len(found):
            return "damaged"
        cut = self._cut_of(head, rows)
        if cut.batch_id not in self._journal.state.open:
            # In this order: killed after the first, the segment is swept; after the second, the batch is
            # open, and the file is removed with the next retry, which finds its rows in the store.
            self._spool.put(head, rows)
            self._journal.cut(cut)
            self._lander.take_up(cut)
        path.unlink()
        return ""

    def _cut_of(self, head: Head, rows: Sequence[Record]) -> Cut:
        batch_id = int(head.batch, 16)
        return Cut(
            batch_id, head.at, head.attempt, head.store, head.partition, len(rows), checksum(rows), head.schema,
            self._journal.state.window, (), segment=batch_id,
        )  # fmt: skip

    def drop(self, names: Sequence[str]) -> dict[str, Any]:
        """Delete quarantine files for good; ``dropped`` (files) and ``rows`` (0 for bytes that are none).

        Raises:
            DataDirError: no such file; nothing is deleted then.
        """
        rows = 0
        paths = {self._quarantine.find(name) for name in names}
        for path in paths:
            rows += quarantine.describe(path)["rows"]
            path.unlink()
            log.warning("%s was dropped from quarantine on request", path.name)
        return {"dropped": len(paths), "rows": rows}

    def drop_spooled(self, names: Sequence[str]) -> dict[str, Any]:
        """Give up batches that wait in the spool: their rows are lost, and counted.

        Returns:
            ``dropped`` (segments; of each what was not settled yet), ``rows``.

        Raises:
            DataDirError: no such segment, or the batch is being sent right now.
        """
        segments = set(names)
        cuts = [cut for name in segments for cut in self._named(name)]
        for cut in cuts:
            self._lander.drop(cut.batch_id)
            self._slot.add("rows_dropped", cut.rows)
            log.warning("batch %032x of %d rows was dropped from the spool on request", cut.batch_id, cut.rows)
        return {"dropped": len(segments), "rows": sum(cut.rows for cut in cuts)}

    def calls(self, in_loop: Callable[[Callable[[Future[Any]], object]], Any]) -> dict[str, Callable[..., Any]]:
        """Handlers by the name of their call, for threads other than the loop's."""
        return {"spool_release": lambda names: in_loop(lambda answer: answer.set_result(self.release(names)))}

    def release(self, names: Sequence[str]) -> dict[str, Any]:
        """Free batches in doubt from their host: see ``ClusterLander.release`` for what that risks.

        Returns:
            ``released`` (batches), ``rows``.

        Raises:
            DataDirError: no such segment, its batch is bound to no host, or is being sent right now.
        """
        cuts = [cut for name in set(names) for cut in self._named(name)]
        for cut in cuts:
            release(self._lander, cut.batch_id)
            self._slot.add("rows_released", cut.rows)
        return {"released": len(cuts), "rows": sum(cut.rows for cut in cuts)}

    def _named(self, name: str) -> list[Cut]:
        """Open batches whose rows are in that segment."""
        stem = name.removesuffix(SUFFIX)
        cuts = [cut for cut in self._journal.state.open.values() if cut.segment and f"{cut.segment:032x}" == stem]
        if not cuts:
            raise DataDirError(f"no batch {name!r} in the spool", "see `trackflow spool list`")
        return cuts
