"""Replay: batches the store is known to have held, held against what it holds now.

The rings keep what was stored until it is overwritten, and the journal keeps what was in which batch. So
what a store lost (a restored backup, a dropped part, a disk) can be sent again: a batch that is whole in
its rings under its own id, after the store was asked for it; one that is overwritten in part, or was
landed in pieces, by the event ids of the rows that are left: those the store lacks become a new batch.
Nothing is doubled: whatever is sent, the store was asked for first. And nothing erased comes back: only what is left
of a batch is counted and sent (``erasure``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from trackflowd.batch import Columns, checksum, new_batch_id
from trackflowd.cuts import DONE, Cut, Ended
from trackflowd.errors import ControlError, SpoolFull, StoreAway, StoreDoubt, StoreReject
from trackflowd.journal import Journal
from trackflowd.lander import Lander
from trackflowd.ring.layout import Record
from trackflowd.selection import Tombstone
from trackflowd.sender import Sender
from trackflowd.settle import Case, Verdict
from trackflowd.shared import Slot
from trackflowd.sink.base import Batch, Sink
from trackflowd.sources import Sources, identities

#: Called once with the answer, or with what went wrong.
Reply = Callable[[Any, Exception | None], None]


class Replayer:
    """Plans a replay and does it, batch by batch. In the flusher's loop but for the jobs of the sender.

    Args:
        journal: what was cut and settled.
        sources: rings, spool, quarantine.
        lander: takes the new batches; knows what speaks to the store of each, through the sender only.
        sender: speaks to the store.
        slot: counters.
    """

    def __init__(self, journal: Journal, sources: Sources, lander: Lander, sender: Sender, slot: Slot) -> None:
        self._journal = journal
        self._sources = sources
        self._lander = lander
        self._sender = sender
        self._slot = slot
        self._columns = Columns()

    def plan(self, since_ms: int) -> dict[str, Any]:
        """What there is to replay.

        Args:
            since_ms: batches cut from then on, ms since 1970 UTC.

        Returns:
            ``batches`` (hex ids, oldest first), ``rows``, ``reach_ms`` (when the oldest batch was cut that is whole
            in its rings; 0: none is).
        """
        settled = [one.cut for one in self._journal.settled() if one.cut.rows and one.cut.ranges]
        due = sorted((cut for cut in settled if cut.at >= since_ms), key=lambda cut: (cut.at, cut.batch_id))
        whole = [cut.at for cut in settled if self._held(cut)]
        return {
            "batches": [f"{cut.batch_id:032x}" for cut in due],
            "rows": sum(cut.rows for cut in due),
            "reach_ms": min(whole, default=0),
        }

    def batch(self, batch: str, dry_run: bool, reply: Reply) -> None:
        """Look after one batch.

        Args:
            batch: its hex id, from ``plan``.
            dry_run: only say what would be done.
            reply: gets ``batch``, ``rows``, ``outcome`` ("held", "restored", "partly", "gone", "other_store"),
                ``restored`` and ``lost`` (rows) and ``text``; or an error of code "unavailable": try again.
        """
        found = next((one for one in self._journal.settled() if f"{one.cut.batch_id:032x}" == batch), None)
        if found is None:
            reply(_answer(batch, 0, "gone", text="the journal does not know it any more"), None)
        elif not self._lander.ours(found.cut.store):
            reply(_answer(batch, found.cut.rows, "other_store", text=f"it was cut for {found.cut.store}"), None)
        elif found.how == DONE and (rows := self._sources.from_rings(found.cut)) is not None:
            self._whole(found.cut, rows, dry_run, reply)
        else:
            self._by_id(found, dry_run, reply)

    def _held(self, cut: Cut) -> bool:
        feeds = (self._sources.feeds.get(span.ring) for span in cut.ranges)
        return all(feed and feed.still_held(span.start) for feed, span in zip(feeds, cut.ranges, strict=True))

    def _whole(self, cut: Cut, rows: Sequence[Record], dry_run: bool, reply: Reply) -> None:
        left, without = self._sources.erasures.left(rows)
        columns = self._columns.build(left, cut.batch_id) if left else {}
        batch = Batch(cut.batch_id, cut.attempt + 1, cut.partition, len(left), columns)

        settler = self._lander.settler_of(cut)

        def job() -> tuple[int, str]:
            before = _count(settler.ready(), cut, without)
            if before == len(left) or dry_run:
                return before, ""
            case = Case(batch, doubt=True, without=without)
            while (verdict := settler.settle(case)) is Verdict.FRESH:
                pass  # under its own id and asked for first: nothing that a journal would have to remember
            return before, case.words if verdict is Verdict.REFUSED else ""

        def done(answer: tuple[int, str], error: Exception | None) -> None:
            if error is not None:
                reply(None, _later(error))
                return
            before, words = answer
            missing = len(left) - before
            outcome = "held" if not missing else "gone" if words else "restored"
            restored = missing if outcome == "restored" else 0
            if not dry_run:
                self._slot.add("rows_restored", restored)
            reply(_answer(f"{cut.batch_id:032x}", cut.rows, outcome, restored, missing - restored, words), None)

        self._sender.submit(job, done)

    def _by_id(self, found: Ended, dry_run: bool, reply: Reply) -> None:
        cut = found.cut
        there = self._left(cut)
        whole = [row for row in there if row is not None]
        overwritten = len(there) - len(whole)
        rows = self._sources.erasures.left(whole).rows
        expected = cut.rows - (len(whole) - len(rows))
        without = self._sources.erasures.of_month(cut.partition)

        settler = self._lander.settler_of(cut)

        def job() -> tuple[int, set[tuple[str, bytes]]]:
            sink = settler.ready()
            held = _count(sink, cut, without) if found.how == DONE else 0
            return held, sink.present(identities(rows)) if rows and held != expected else set()

        def done(answer: tuple[int, set[tuple[str, bytes]]], error: Exception | None) -> None:
            if error is not None:
                reply(None, _later(error))
                return
            held, known = answer
            if held == expected:
                reply(_answer(f"{cut.batch_id:032x}", cut.rows, "held"), None)
                return
            missing = [row for row, identity in zip(rows, identities(rows), strict=True) if identity not in known]
            try:
                self._finish(cut, rows, missing, held, overwritten, dry_run, reply)
            except SpoolFull as problem:
                reply(None, problem)

        self._sender.submit(job, done)

    def _finish(
        self,
        cut: Cut,
        rows: Sequence[Record],
        missing: Sequence[Record],
        held: int,
        overwritten: int,
        dry_run: bool,
        reply: Reply,
    ) -> None:
        """Send the missing rows as a new batch, and say what became of the old one."""
        lost = max(overwritten - max(held - (len(rows) - len(missing)), 0), 0)
        if missing and not dry_run:
            self._send_anew(cut, missing)
            self._slot.add("rows_restored", len(missing))
        if not lost:
            outcome = "restored" if missing else "held"
        else:
            outcome = "partly" if rows else "gone"
        text = f"{overwritten} of its rows are overwritten in the rings" if overwritten else ""
        if lost and self._sources.erasures.of_month(cut.partition):
            text += ", and how many of those were erased on request is not known"
        reply(_answer(f"{cut.batch_id:032x}", cut.rows, outcome, len(missing), lost, text), None)

    def _send_anew(self, cut: Cut, rows: Sequence[Record]) -> None:
        now = time.time_ns() // 1_000_000
        batch_id = new_batch_id(now)
        fresh = replace(
            cut, batch_id=batch_id, at=now, attempt=1, rows=len(rows), crc=checksum(rows), ranges=(),
            window=self._journal.state.window, segment=batch_id, part=None, ask=False,
        )  # fmt: skip
        self._sources.spool.add(fresh, rows, "replay: the store had lost it", beyond=True)
        self._journal.cut(fresh)
        self._lander.add(fresh, rows)

    def _left(self, cut: Cut) -> list[Record | None]:
        """Rows of a batch that are still in the rings, but for those in quarantine."""
        aside = self._sources.quarantine.rows_of(cut.batch_id)
        rows: list[Record | None] = []
        for span in cut.ranges:
            feed = self._sources.feeds.get(span.ring)
            records = feed.read_end(span.start, span.end) if feed else ()
            overwritten = span.records - len(records)
            for n in range(span.records):
                if not span.left_out >> n & 1:
                    rows.append(records[n - overwritten] if n >= overwritten else None)
        return [row for n, row in enumerate(rows) if n not in aside]


def _count(sink: Sink, cut: Cut, without: Sequence[Tombstone]) -> int:
    if without:
        return sink.edit.count_left(cut.batch_id, cut.partition, without)
    return sink.count(cut.batch_id, cut.partition)


def _answer(batch: str, rows: int, outcome: str, restored: int = 0, lost: int = 0, text: str = "") -> dict[str, Any]:
    if outcome == "gone" and not lost:
        lost = rows
    return {"batch": batch, "rows": rows, "outcome": outcome, "restored": restored, "lost": lost, "text": text}


def _later(error: Exception) -> Exception:
    """What to answer when the store could not: whoever asks is to ask again."""
    if not isinstance(error, StoreAway | StoreDoubt | StoreReject):
        return error
    found = ControlError(f"the store cannot be asked now: {error}", "it is tried again")
    found.code = "unavailable"
    return found
