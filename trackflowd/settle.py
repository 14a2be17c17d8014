"""Sending one batch until the store is known to hold it, once.

The rules (figures in docs/architecture.md):

- A clean answer to the first sending of an attempt is taken at its word.
- Anything else leaves a doubt, and in doubt the store is asked, never guessed about: end every
  running attempt, count the batch's rows. All there: done. Some: delete them and send a fresh
  attempt. None: send again under the *same* token, which a late twin of the first sending would
  share, and count again; still none means that the token itself is poisoned (the engine notes a
  token before the part is in place), so a fresh attempt with a fresh token follows.
- A fresh attempt is journaled before it is sent.
- The store away is not a doubt: nothing was sent. A refusal is one: of a table with somebody's own
  view on it, ClickHouse may keep the rows and refuse for the view (seen with chDB 26.9).

``settle`` returns only with the batch confirmed; ``pause`` ends it otherwise, by raising.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from trackflowd.errors import StoreAway, StoreDoubt, StoreReject
from trackflowd.sink.base import Batch, Sink

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

#: Seconds: first wait, and the longest. A store that restarts is found again within the longest.
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 10.0


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


@dataclass(slots=True)
class Outcome:
    """What it took to settle a batch: shown in ``status`` and counted."""

    sendings: int = 0
    doubts: int = 0
    away: int = 0


class Settler:
    """Settles batches against one store, one at a time.

    Args:
        sink: opened.
        journal_attempt: called with (batch id, attempt) before a fresh attempt is sent.
        pause: waits that many seconds, or less when there is reason to try at once; raises to
            give up (the process is told to stop: the batch stays open in the journal). Called with
            0 between two calls to the store, each of which ends within ``store.timeout``: a sign
            of life.
        report: told the store's state: "ok", "away", "doubt" or "rejects", and a text.
    """

    def __init__(
        self,
        sink: Sink,
        journal_attempt: Callable[[int, int], None],
        pause: Callable[[float], None],
        report: Callable[[str, str], None],
    ) -> None:
        self._sink = sink
        self._journal_attempt = journal_attempt
        self._pause = pause
        self._report = report

    def settle(self, batch: Batch, in_doubt: bool) -> Outcome:
        """Return when the store holds the batch once.

        Args:
            batch: at least one row.
            in_doubt: it may have been sent before (a restart).
        """
        outcome = Outcome()
        backoff = Backoff()
        doubt, clean = in_doubt, False
        while True:
            try:
                if doubt:
                    held = self._ask(batch)
                    if held == batch.rows:
                        break
                    if held or clean:
                        batch = self._fresh(batch, held)
                        clean = False
                        self._pause(backoff.wait())
                self._pause(0)
                outcome.sendings += 1
                self._sink.insert(batch)
                if not doubt:
                    break
                clean = True
            except StoreAway as error:
                outcome.away += 1
                self._trouble("away", error, backoff)
            except StoreDoubt as error:
                outcome.doubts += 1
                doubt, clean = True, False
                self._trouble("doubt", error, backoff)
            except StoreReject as error:
                doubt, clean = True, False  # somebody's view may fail after the table took the rows
                self._trouble("rejects", error, backoff)
        self._report("ok", "")
        return outcome

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Put a question to the store until it answers.

        Args:
            question: may raise StoreAway, StoreDoubt or StoreReject; is then asked again.
        """
        backoff = Backoff()
        while True:
            try:
                return question()
            except (StoreAway, StoreDoubt) as error:
                self._trouble("away", error, backoff)
            except StoreReject as error:
                self._trouble("rejects", error, backoff)

    def _ask(self, batch: Batch) -> int:
        self._pause(0)
        self._sink.kill(batch)
        self._pause(0)
        return self._sink.count(batch.batch_id, batch.partition)

    def _fresh(self, batch: Batch, held: int) -> Batch:
        if held:
            log.warning("batch %032x: %d of %d rows are there; they are deleted and all sent again",
                        batch.batch_id, held, batch.rows)  # fmt: skip
            self._sink.delete(batch.batch_id, batch.partition)
            self._pause(0)
        else:
            log.warning("batch %032x: answered well, yet not there; sent again under a fresh token", batch.batch_id)
        self._journal_attempt(batch.batch_id, batch.attempt + 1)
        return dataclasses.replace(batch, attempt=batch.attempt + 1)

    def _trouble(self, state: str, error: Exception, backoff: Backoff) -> None:
        self._report(state, str(error))
        self._pause(backoff.wait())
