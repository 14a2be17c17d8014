"""Batches from their cut until they are settled: held by the store, or set apart.

::

    cut ──▶ open ──────────────sender──▶ held ──▶ confirmed ──▶ done
             │  ▲                  │
    ring at  │  │ store is back    ├──▶ refused ──▶ in halves ──▶ one row alone ──▶ quarantined
    its mark ▼  │                  └──▶ some rows known there ──▶ a batch without them
            spooled

Oldest first, one at a time. A batch the store refuses steps aside, so that it keeps no other waiting:
it is copied to the spool (its ring moves on) and tried again after others were. Whose fault a refusal
is, ``blame`` decides. Everything here runs in the flusher's loop; only ``Sender`` jobs do not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from trackflowd import blame
from trackflowd.batch import ColumnMap, Columns, narrowed, new_batch_id
from trackflowd.blame import Blame
from trackflowd.confirm import Confirmer
from trackflowd.cuts import Cut
from trackflowd.errors import DataDirError, SegmentDamaged, SinkError, SpoolFull, StoreDoubt
from trackflowd.journal import Journal
from trackflowd.openbatch import LastTry, Open, Trouble, gauges
from trackflowd.ring.layout import Record
from trackflowd.sender import Sender
from trackflowd.settle import Backoff, Case, Identity, Settler, Verdict
from trackflowd.shared import Slot
from trackflowd.sink.base import Sink
from trackflowd.sources import Sources, identities

log = logging.getLogger(__name__)

#: Seconds between two tries when a batch belongs to another store than the one configured.
OTHER_STORE = 10.0
#: Seconds between two tries to spool when there is no room.
NO_ROOM = 1.0


class Lander:
    """Owns the open batches.

    Args:
        sink: asked through the sender only.
        journal: written to as a batch goes its way.
        sources: rings, spool and quarantine.
        columns: turns rows into columns.
        sender: the thread that speaks to the store.
        slot: counters.
        report: told the store's state: "ok", "away", "doubt" or "rejects", and a text.
        ensure: runs an action until the disk takes it.
    """

    def __init__(
        self,
        sink: Sink,
        journal: Journal,
        sources: Sources,
        columns: Columns,
        sender: Sender,
        slot: Slot,
        report: Callable[[str, str], None],
        ensure: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._sink = sink
        self._journal = journal
        self._sources = sources
        self._feeds = sources.feeds
        self._spool = sources.spool
        self._columns = columns
        self._sender = sender
        self._slot = slot
        self._report = report
        self._ensure = ensure
        self._settler = Settler(sink, sender.breathe)
        self._confirmer = Confirmer(sink, sender, self._settled, self._in_trouble)
        self._open: list[Open] = []
        self.last_try = LastTry(self._open)
        self._sending: Open | None = None
        self._trouble = Trouble()
        self._refusals = Backoff()
        self._spool_due, self.landed, self.opened = 0.0, 0, False
        self.last: dict[str, Any] = {}
        self.spool_text = ""

    # ------------------------------------------------------------ what is open

    def recover(self) -> None:
        """Take up what a process before this one had cut, oldest first, each in doubt."""
        self._spool.sweep(cut.segment for cut in self._journal.state.open.values() if cut.segment)
        for cut in sorted(self._journal.state.open.values(), key=lambda cut: (cut.at, cut.batch_id)):
            log.info("batch %032x of %d rows was open at the restart: asking the store", cut.batch_id, cut.rows)
            self.take_up(cut)

    def add(self, cut: Cut, rows: Sequence[Record], columns: ColumnMap | None = None) -> None:
        """Take a batch that was just journaled."""
        if cut.rows:
            self._open.append(Open(cut, False, rows, columns))
            self.gauge()
        else:
            self._close(cut, self._journal.done)

    def take_up(self, cut: Cut) -> None:
        """Take a batch that was journaled again and may be in the store already."""
        self._open.append(Open(cut, doubt=True))
        self.gauge()

    def drop(self, batch_id: int) -> None:
        """Give a batch up: it is settled, and its rows are gone.

        Raises:
            DataDirError: it is being sent right now.
        """
        one = next((one for one in self._open if one.cut.batch_id == batch_id and not one.held), None)
        if one is None or one is self._sending:
            raise DataDirError(f"batch {batch_id:032x} is being sent right now", "try again")
        self._open.remove(one)
        self._close(one.cut, self._journal.quarantined)

    @property
    def empty(self) -> bool:
        """Everything that was cut is settled."""
        return not self._open

    @property
    def crowded(self) -> bool:
        """A batch waits for its turn: what is to follow can wait in the rings."""
        now = time.monotonic()
        return any(one is not self._sending and self._sendable(one, now) for one in self._open)

    # ------------------------------------------------------------------ sending

    def step(self) -> None:
        """Hand the sender what is next, if it is idle and there is something due."""
        now = time.monotonic()
        if not self._sender.idle or now < self._trouble.due:
            return
        if not self.opened:
            self._sender.submit(self._sink.open, self._was_opened)
            return
        if self._confirmer.step(at_rest=False):
            return
        for one in list(self._open):
            if self._sendable(one, now) and (case := self._prepare(one)):
                self._send(one, case, now)
                return
        self._confirmer.step(at_rest=True)

    def _send(self, one: Open, case: Case, now: float) -> None:
        self._sending = one
        one.began = one.began or now
        self._slot.set("rows_pending", one.cut.rows)
        self._sender.submit(
            lambda: self.settler_of(one.cut).settle(case), lambda *said: self._answered(one, case, *said)
        )

    def ours(self, store: str) -> bool:  # a store's identity; of a cluster (``lander_cluster``) it has several
        return store == self._sink.identity

    def settler_of(self, cut: Cut) -> Settler:
        return self._settler

    def _was_opened(self, _: None, error: Exception | None) -> None:
        self.opened = error is None
        self._in_trouble(error)

    def _sendable(self, one: Open, now: float) -> bool:
        """Whether its turn may be now. One that asks waits until all that was cut before it is settled."""
        return one.due <= now and not one.held and (not one.cut.ask or one is self._open[0])

    def _prepare(self, one: Open) -> Case | None:
        """Have everything in memory that a sending takes; None when it cannot be sent now."""
        if not self.ours(one.cut.store):
            one.due = time.monotonic() + OTHER_STORE
            one.words = f"a batch cut for {one.cut.store} is not settled; set store.url back until it is"
            self._say()
            return None
        if one.case is not None and one.case.batch.columns and one.case.version == self._sources.erasures.version:
            return one.case
        rows = self._rows_of(one)
        return None if rows is None else one.case_of(self._sources.erasures, rows, self._columns)

    def _answered(self, one: Open, case: Case, verdict: Verdict | None, error: Exception | None) -> None:
        self._sending = None
        self._slot.set("rows_pending", 0)
        if error is not None:
            if one.cut.segment:
                one.let_go()
            self._in_trouble(error, one)
            return
        self._trouble = Trouble()
        if verdict is Verdict.HELD:
            self._held(one, case)
        elif verdict is Verdict.FRESH:
            attempt = case.batch.attempt
            self._ensure(lambda: self._journal.attempt(one.cut.batch_id, attempt))
            one.cut = replace(one.cut, attempt=attempt)
        elif verdict is Verdict.KNOWN:
            self._known(one, case.known)
        else:
            self._refused(one, case)
        self._say()

    def _in_trouble(self, error: Exception | None, one: Open | None = None) -> None:
        if error is None:
            self._trouble = Trouble()
        elif isinstance(error, SinkError):
            self._trouble.note(error)
        else:
            raise error
        self._say()

    def _say(self) -> None:
        """Tell how the store is: trouble with it as a whole first, then batches it does not take."""
        if self._trouble.state:
            self._report(self._trouble.state, self._trouble.text)
        elif words := next((one.words for one in self._open if one.words), ""):
            self._report("rejects", words)
        elif self.opened:
            self._report("ok", "")

    def hurry(self) -> None:
        """Try everything at once, whatever was to be waited for."""
        self._trouble.due = self._spool_due = 0.0
        for one in self._open:
            one.due = 0.0

    def _held(self, one: Open, case: Case) -> None:
        self._slot.add("batches_retried", max(case.sendings - 1, 0))
        self._slot.add("batches_doubted", 1 if case.doubts or one.doubt else 0)
        self.last = {"rows": one.cut.rows, "ms": round((time.monotonic() - one.began) * 1000, 1), "at_ms": one.cut.at}
        self.landed += 1
        self._refusals.reset()
        for other in self._open:
            if other.since is not None:
                other.due = 0.0  # the table takes rows: those it refused are worth another try
        self._confirmer.add(one)

    def _settled(self, one: Open) -> None:
        one.settle(self._slot)
        self._open.remove(one)
        self._close(one.cut, self._journal.done)

    def _close(self, cut: Cut, how: Callable[[int], None]) -> None:
        self._ensure(lambda: how(cut.batch_id))
        self._after_closing(cut)

    def _after_closing(self, cut: Cut) -> None:
        if cut.segment and not any(other.segment == cut.segment for other in self._journal.state.open.values()):
            self._spool.remove(cut.segment)
        self._feeds.settle_tails()
        self.gauge()

    # ------------------------------------------------------------ other answers

    def _known(self, one: Open, known: set[Identity]) -> None:
        """Rows marked as sent before that the store holds already are repeats."""
        rows = self._rows_of(one)
        if rows is None:
            return
        keep = [n for n, identity in enumerate(identities(rows)) if identity not in known]
        self._slot.add("duplicates", len(rows) - len(keep))
        self._replace(one, rows, [keep] if keep else [])

    def _refused(self, one: Open, case: Case) -> None:
        one.words = case.words
        rows = self._rows_of(one)
        if rows is None or not self._apart(one, rows):
            return
        if one.since is None:
            one.since = self.landed
        verdict = blame.judge(one.cut.rows, one.family, bool(case.fault), self.landed > one.since)
        if verdict is Blame.HALVES:
            half = one.cut.rows // 2
            self._replace(one, rows, [range(half), range(half, one.cut.rows)])
        elif verdict is Blame.ROW:
            self._quarantine_row(one, rows[0], case.words)
        else:
            self._hold(one, f"the table is not as it should be: {case.fault}" if case.fault else case.words)

    def _hold(self, one: Open, words: str) -> None:
        """Try it again later. While nothing lands, only the oldest refused batch is: it speaks for all."""
        one.words = words
        one.let_go()
        first = next(other for other in self._open if other.since is not None)
        one.due = time.monotonic() + self._refusals.wait() if one is first else float("inf")

    def _apart(self, one: Open, rows: Sequence[Record]) -> bool:
        """Have a refused batch in the spool, whatever the spool's bound."""
        try:
            if not one.cut.segment:
                self._to_spool(one, rows, f"refused: {one.words}", beyond=True)
            one.family = one.family or self._spool.head(one.cut.segment).rows
        except (SpoolFull, SegmentDamaged) as error:
            log.error("%s", error)
            one.due = time.monotonic() + self._refusals.wait()
            return False
        return True

    def _replace(self, one: Open, rows: Sequence[Any], keeps: Sequence[Sequence[int]]) -> None:
        """Put batches of some of its rows in its place (one journal entry), or none."""
        now = time.time_ns() // 1_000_000
        cuts = [narrowed(one.cut, rows, keep, new_batch_id(now)) for keep in keeps]
        self._ensure(lambda: self._journal.cut(*cuts, instead_of=one.cut.batch_id))
        place = self._open.index(one)
        self._open[place : place + 1] = [
            Open(cut, False, [rows[n] for n in keep], family=one.family, since=one.since)
            for cut, keep in zip(cuts, keeps, strict=True)
        ]
        self._after_closing(one.cut)

    def _quarantine_row(self, one: Open, row: Record, words: str) -> None:
        origin, number = one.cut.segment, one.cut.part.first if one.cut.part else 0
        path = self._ensure(lambda: self._sources.quarantine.put_row(one.cut, row, origin, number, words))
        log.error("a row the store refuses is set aside as %s: %s", path, words)
        self._slot.add("records_quarantined", 1)
        self._open.remove(one)
        self._close(one.cut, self._journal.quarantined)

    # ------------------------------------------------------------------- spool

    def relieve(self) -> bool:
        """Move what is open out of the rings into the spool, oldest first; whether nothing open is in the rings now."""
        if time.monotonic() < self._spool_due:
            return False
        for one in [one for one in self._open if not one.cut.segment and not one.held]:
            rows = self._rows_of(one)
            if rows is None:
                return False
            try:
                self._to_spool(one, rows, self._trouble.text or "the store does not keep up")
            except SpoolFull as error:
                if not self.spool_text:
                    log.error("%s; events wait in the rings", error)
                self.spool_text = str(error)
                self._spool_due = time.monotonic() + NO_ROOM
                return False
        self.spool_text = ""
        return True

    def _to_spool(self, one: Open, rows: Sequence[Record], reason: str, beyond: bool = False) -> None:
        self._spool.add(one.cut, rows, reason, beyond)
        self._ensure(lambda: self._journal.spooled(one.cut.batch_id))
        one.cut = replace(one.cut, segment=one.cut.batch_id)
        self._slot.add("batches_spooled", 1)
        if one is not self._sending:
            one.let_go()
        self._feeds.settle_tails()
        self.gauge()

    # ------------------------------------------------------------------- rows

    def _rows_of(self, one: Open) -> Sequence[Record] | None:
        """Rows of a batch; None when they are not all there: then the store is asked whether it has them."""
        if one.rows is None and not one.asking:
            one.rows = self._sources.rows(one.cut)
            if one.rows is None:
                one.asking, one.due = True, float("inf")
                without = self._sources.erasures.of_month(one.cut.partition)
                job = partial(self.settler_of(one.cut).whole_or_none, one.cut, without)
                self._sender.submit(job, lambda *said: self._give_up(one, *said))
        return one.rows

    def _give_up(self, one: Open, held: int | None, error: Exception | None) -> None:
        """A batch that can not be put together: fine when the store has it, an alarm when not."""
        one.asking = False
        if one not in self._open:
            return  # dropped meanwhile
        if error is not None or held is None:
            one.due = 0.0
            self._in_trouble(error or StoreDoubt("no answer"), one)
            return
        if held == one.cut.rows:
            self._confirmer.add(one)
            return
        log.error("batch %032x: the store has %d of its %d rows and the others are not all there unharmed",
                  one.cut.batch_id, held, one.cut.rows)  # fmt: skip
        rows = self._sources.salvage(one.cut)
        keep = [n for n, row in enumerate(rows) if row is not None]
        self._ensure(lambda: self._sources.set_aside(one.cut))
        self._slot.add("records_quarantined", one.cut.rows - held - len(keep))
        if keep:
            self._replace(one, rows, [keep])
        else:
            self._open.remove(one)
            self._close(one.cut, self._journal.quarantined)

    def gauge(self) -> None:
        """Refresh the counters of what is open and of the spool."""
        if all(one.cut.segment for one in self._open):
            self.spool_text = ""  # nothing is left that would want to go there
        self._slot.publish(gauges(self._open, self._spool.room(), bool(self.spool_text)))
