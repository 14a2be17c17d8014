"""A batch that is not settled, trouble with the store, a last try: what the ``lander`` keeps in mind of batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trackflowd.batch import ColumnMap, Columns
from trackflowd.counters import BATCH, INSERT
from trackflowd.cuts import Cut
from trackflowd.erasure import Erasures
from trackflowd.errors import StoreDoubt, StoreReject
from trackflowd.ring.layout import Record
from trackflowd.settle import Backoff, Case
from trackflowd.shared import Slot
from trackflowd.sink.base import Batch
from trackflowd.sources import identities
from trackflowd.spool import Room


@dataclass(slots=True, eq=False)
class Open:
    """A batch that is not settled.

    Args:
        cut: as the journal has it.
        doubt: it may have been sent before.
        rows, columns: in memory, or None: to be read again.
        family: rows of the batch it was first cut into; 0: not known yet.
        since: how many batches had landed when its family was first refused; None: it was not.

    Attributes:
        due: not to be sent before (monotonic, s).
        words: why it waits, for status; "" when it only waits its turn.
        case: what is known of its way to the store; None before its first turn.
        began: when it was first sent (monotonic, s).
        asking: its rows are not all there, and the store is being asked whether it has them.
        held: the store says that it has them; that is to be confirmed.
    """

    cut: Cut
    doubt: bool
    rows: Sequence[Record] | None = None
    columns: ColumnMap | None = None
    family: int = 0
    since: int | None = None
    due: float = 0.0
    words: str = ""
    case: Case | None = None
    began: float = 0.0
    asking: bool = False
    held: bool = False

    def case_of(self, erasures: Erasures, rows: Sequence[Record], columns: Columns) -> Case:
        """Its case, with everything in memory that a sending of what is left of it takes.

        Args:
            erasures: say what that is.
            rows: all its rows.
            columns: makes columns of them.
        """
        left, without = erasures.left(rows)
        if without:
            made: ColumnMap = columns.build(left, self.cut.batch_id) if left else {}
        else:
            made = self.columns or columns.build(rows, self.cut.batch_id)
        self.columns = None
        batch = Batch(self.cut.batch_id, self.cut.attempt, self.cut.partition, len(left), made)
        ask = identities(left) if self.cut.ask else ()
        if self.case is None:
            self.case = Case(batch, self.doubt)
        self.case.batch, self.case.ask = batch, ask
        self.case.without, self.case.version = without, erasures.version
        return self.case

    @property
    def left(self) -> int:
        """Rows of it that no erasure names, as far as was looked."""
        return self.cut.rows if self.case is None else self.case.batch.rows

    def settle(self, slot: Slot) -> None:
        """Count that the store has it, and how long that took; the insert's time where this process saw it."""
        slot.add("rows_stored", self.left)
        slot.add("rows_erased", self.cut.rows - self.left)
        slot.add("batches_confirmed")
        # By the wall clock, which goes on over a restart; one that was set back in between must not count below 0.
        slot.observe(BATCH, max(time.time_ns() - self.cut.at * 1_000_000, 0))
        if self.case is not None and self.case.insert_ns:
            slot.observe(INSERT, self.case.insert_ns)

    def let_go(self) -> None:
        """Keep its rows on disk only."""
        self.rows = self.columns = None
        if self.case is not None:
            self.case.batch = replace(self.case.batch, columns={})


@dataclass(slots=True)
class Trouble:
    """What is wrong with the store as a whole.

    Attributes:
        state: "away", "doubt" or "rejects"; "" when nothing is.
        text: in words.
        due: no call to the store before (monotonic, s).
    """

    state: str = ""
    text: str = ""
    due: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)

    def note(self, error: Exception) -> None:
        """Another failure: wait longer than after the last."""
        self.state = (
            "doubt" if isinstance(error, StoreDoubt) else "rejects" if isinstance(error, StoreReject) else "away"
        )
        self.text = str(error)
        self.due = time.monotonic() + self.backoff.wait()


class LastTry:
    """Tells a drain when it has no more to wait for: all that is left is refused, and was just asked about again.

    Nothing comes any more that could land and show whose fault it is (``blame``), so only the store could change its
    answer; the oldest refused batch, which speaks for all (``Lander``), asks for it without its wait.

    Args:
        batches: the lander's own, oldest first.
    """

    def __init__(self, batches: Sequence[Open]) -> None:
        self._batches = batches
        self._tried: Open | None = None

    def over(self) -> bool:
        """Whether the store has refused once more; else that try is due now, or a batch may still go on by itself.

        To be asked while some batch is open and the sender is idle.
        """
        if not all(self._waits(one) for one in self._batches):
            return False
        first = next(one for one in self._batches if one.since is not None)
        if first is self._tried:
            return True
        self._tried, first.due = first, 0.0
        return False

    def _waits(self, one: Open) -> bool:
        """Refused and to be tried later, or behind one that is."""
        if one.cut.ask and one is not self._batches[0]:
            return True
        return one.since is not None and not one.held and one.due > time.monotonic()


def gauges(batches: Sequence[Open], room: Room, full: bool) -> dict[str, int]:
    """What status shows of open batches and spool, by counter."""
    return {
        "batches_open": len(batches),
        "rows_open": sum(one.cut.rows for one in batches),
        "open_since_ms": min((one.cut.at for one in batches), default=0),
        "spool_segments": room.segments,
        "spool_bytes": room.used,
        "spool_free": room.free,
        "spool_full": int(full),
    }
