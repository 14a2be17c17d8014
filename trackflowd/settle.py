"""Sending one batch until the store is known to hold it, once.

The rules (figures in docs/architecture.md):

- A clean answer to the first sending of an attempt is taken at its word.
- Anything else leaves a doubt, and in doubt the store is asked, never guessed about: end every
  running attempt, count the batch's rows. All there: held. Some: delete them and send a fresh
  attempt. None: send again under the *same* token, which a late twin of the first sending would
  share, and count again; still none means that the token itself is poisoned (the engine notes a
  token before the part is in place), so a fresh attempt with a fresh token follows.
- A fresh attempt is journaled before it is sent: the caller does that.
- The store away is not a doubt: nothing was sent. A refusal is one: of a table with somebody's own
  view on it, ClickHouse may keep the rows and refuse for the view (seen with chDB 26.9). So refused
  means: refused, and counted absent.
- An error of the store's own that nobody knows passes, mostly; one that it gives ``STUBBORN`` times on end to
  the same batch counts as a refusal, or an error that the rows cause would keep their batch for ever. (What is
  to blame, rows or table, is for others to find out: ``blame``.)
- A batch whose rows may have been sent before it looks them up before it sends them, and after the
  count: a row of its own last sending is no repeat.
- Of a batch that erasures name rows of, only what is left is sent and counted, and what of the others a sending in
  doubt may have brought is deleted before the batch counts as held: ``erasure`` says why that is enough.

``settle`` is one try. It waits for nothing but the store's answers, each bounded by ``store.timeout``;
whoever calls it decides when to try again.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trackflowd.cuts import Cut
from trackflowd.errors import StoreDoubt, StoreFailed, StoreReject
from trackflowd.selection import Tombstone
from trackflowd.sink.base import Batch, Sink

log = logging.getLogger(__name__)

#: Seconds: first wait, and the longest. A store that restarts is found again within the longest.
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 10.0
#: Sendings answered with an unknown error: with the waits between them about 20 s.
STUBBORN = 8

#: (site, event id of 16 bytes).
Identity = tuple[str, bytes]


class Backoff:
    """Capped exponential waits with full jitter above the half (no two daemons in step)."""

    def __init__(self, first: float = BACKOFF_FIRST, most: float = BACKOFF_MOST) -> None:
        self._first = first
        self._most = most
        self._next = first

    def wait(self) -> float:
        """Seconds to wait now; the next time longer."""
        span, self._next = self._next, min(self._next * 2, self._most)
        return span * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """The last try went well."""
        self._next = self._first


class Verdict(enum.Enum):
    """What one try came to.

    HELD: the store holds the batch. FRESH: it does not, and the next sending needs the attempt that
    ``Case.batch`` has now, journaled first. KNOWN: some of the rows in ``Case.ask`` are there already
    (``Case.known``). REFUSED: the store does not take it and has none of it (``Case.words``).
    """

    HELD = "held"
    FRESH = "fresh"
    KNOWN = "known"
    REFUSED = "refused"


@dataclass(slots=True)
class Case:
    """A batch on its way to the store, and what is known of it.

    Args:
        batch: what is sent.
        doubt: it may have been sent before.
        ask: identities of its rows, to be looked up before they are sent; empty: no need.
        without: tombstones that name rows of it, which are not in ``batch``.
        version: of the erasures it was made by.

    Attributes:
        clean: it was sent, in doubt, and answered well: only the count is to come.
        known: of ``ask``, those the store holds.
        words: of the store, when it refused.
        fault: how the store's table differs from the schema, when it refused; "" when it does not.
        failures: sendings on end that the store answered with an unknown error.
        sendings, doubts: shown in ``status`` and counted.
        insert_ns: how long the last insert that was answered well took; 0: there was none.
    """

    batch: Batch
    doubt: bool
    ask: Sequence[Identity] = ()
    without: tuple[Tombstone, ...] = ()
    version: int = 0
    clean: bool = False
    known: set[Identity] = field(default_factory=set)
    words: str = ""
    fault: str = ""
    failures: int = 0
    sendings: int = 0
    doubts: int = 0
    insert_ns: int = 0


class Settler:
    """Settles batches against one store, one try at a time.

    Args:
        sink: opened.
        breathe: called between two calls to the store: a sign of life.
    """

    def __init__(self, sink: Sink, breathe: Callable[[], None] = lambda: None) -> None:
        self._sink = sink
        self._breathe = breathe

    def ready(self) -> Sink:
        """The store, fit to be asked. Raises what ``open`` of a host of a cluster raises."""
        return self._sink

    def settle(self, case: Case) -> Verdict:
        """Try once.

        Raises:
            StoreAway: nothing has changed.
            StoreDoubt: it may be there now; ``case`` remembers.
        """
        while True:
            if case.doubt:
                held = self._count(case)
                if held == case.batch.rows:
                    return self._all_there(case)
                if held or case.clean:
                    return self._fresh(case, held)
            if not case.batch.rows:
                return Verdict.HELD  # erased before it was ever sent
            if case.ask:
                self._breathe()
                case.known = self._sink.present(case.ask)
                if case.known:
                    return Verdict.KNOWN
            refusal = self._insert(case)
            if refusal is not None:
                return self._refused(case, refusal)
            if not case.doubt:
                return Verdict.HELD
            case.clean = True

    def whole_or_none(self, cut: Cut, without: Sequence[Tombstone] = ()) -> int:
        """Rows of a batch in the store. Of a spooled one that is there in part, none are left when this returns.

        Args:
            cut: a batch whose rows cannot be read.
            without: tombstones that may name some; then any row that is left speaks for all.

        Raises:
            StoreAway: cannot be asked now.
        """
        if without:
            return cut.rows if self._sink.edit.count_left(cut.batch_id, cut.partition, without) else 0
        held = self._sink.count(cut.batch_id, cut.partition)
        if 0 < held < cut.rows and cut.segment:
            self._sink.delete(cut.batch_id, cut.partition)
            return 0
        return held

    def _insert(self, case: Case) -> StoreReject | None:
        case.sendings += 1
        self._breathe()
        begun = time.monotonic_ns()
        try:
            self._sink.insert(case.batch)
        except StoreDoubt as error:
            case.doubts += 1
            case.doubt, case.clean = True, False
            case.failures = case.failures + 1 if isinstance(error, StoreFailed) else 0
            if case.failures < STUBBORN:
                raise
            return StoreReject(str(error))
        except StoreReject as error:
            case.doubt, case.clean = True, False  # somebody's view may fail after the table took the rows
            return error
        case.insert_ns = time.monotonic_ns() - begun
        return None

    def _refused(self, case: Case, refusal: StoreReject) -> Verdict:
        held = self._count(case)
        if held == case.batch.rows:
            return self._all_there(case)
        if held:
            self._sink.delete(case.batch.batch_id, case.batch.partition)
        self._breathe()
        case.words, case.fault = str(refusal), self._sink.table_fault()
        return Verdict.REFUSED

    def _count(self, case: Case) -> int:
        batch = case.batch
        self._breathe()
        self._sink.kill(batch)
        self._breathe()
        if case.without:
            return self._sink.edit.count_left(batch.batch_id, batch.partition, case.without)
        return self._sink.count(batch.batch_id, batch.partition)

    def _all_there(self, case: Case) -> Verdict:
        if case.without:
            self._breathe()
            self._sink.edit.clear(case.batch.batch_id, case.batch.partition, case.without)
        return Verdict.HELD

    def _fresh(self, case: Case, held: int) -> Verdict:
        batch = case.batch
        if held:
            log.warning("batch %032x: %d of %d rows are there; they are deleted and all sent again",
                        batch.batch_id, held, batch.rows)  # fmt: skip
            self._sink.delete(batch.batch_id, batch.partition)
            self._breathe()
        else:
            log.warning("batch %032x: answered well, yet not there; sent again under a fresh token", batch.batch_id)
        case.batch = dataclasses.replace(batch, attempt=batch.attempt + 1)
        case.clean = False
        return Verdict.FRESH
