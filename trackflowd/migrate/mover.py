"""The mover's process: one bounded step per call. See the package for what a move is, ``chunks`` for what a step takes.

Calls come over a channel as the flusher's do (``calls``); the supervisor starts it (``task_migrate``), and it dies with
that. It is the only process that may have the files of a chDB target open.
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trackflowd import log as logs
from trackflowd import proc
from trackflowd.calls import Calls
from trackflowd.errors import ControlError, StoreAway, StoreReject, TrackflowError
from trackflowd.migrate import checksums
from trackflowd.migrate.chunks import MAX_BATCHES, Chunk, Landed, chunks, difference
from trackflowd.migrate.plan import plan
from trackflowd.migrate.source import Source
from trackflowd.migrate.target import Target
from trackflowd.sink import native_block
from trackflowd.sink.base import Batch, SinkOptions

log = logging.getLogger(__name__)

#: Behind every id.
_END = 2**128 - 1
#: Rows read and encoded for a guess of the time.
SAMPLE = 20_000
#: Milliseconds before a moment in which batches may have begun to land that are seen after it only.
IN_FLIGHT = 600_000


class Mover:
    """Both stores, and what can be done between them. Its methods are the calls; ids go as hex digits.

    Every method raises StoreAway or StoreDoubt: try again; EngineBroken: try again in another process; StoreReject: not
    as things are.
    """

    def __init__(self) -> None:
        self._source: Source | None = None
        self._target: Target | None = None
        #: Batches that were verified since they landed, with their rows: rounds of ``late`` overlap.
        self._known: dict[int, int] = {}
        self._aside = ThreadPoolExecutor(1, "checksums")

    def open(
        self, source: str, target: str, data_dir: str, timeout: float, memory: int, durable: bool
    ) -> dict[str, Any]:
        """Open both; without a target only the source.

        Returns:
            ``source`` and ``target``, their identities; ``now_ms``, the source's clock; ``there``, rows in the target.
        """
        self.close()
        self._source = Source(source, timeout)
        self._source.open()
        answer = {"source": self._source.identity, "now_ms": self._source.now_ms()}
        if not target:
            return answer
        # Rows that the source keeps longer than store.retention_days are moved too; the flusher sets the bound.
        options = SinkOptions(Path(data_dir), timeout, memory, retention_days=0, durable=durable)
        self._target = Target(target, options, self._source.identity)
        self._target.open()
        self._target.kill()
        there = sum(self._target.months().values())
        return {**answer, "target": self._target.identity, "there": there}

    def plan(self) -> dict[str, Any]:
        """See ``plan.plan``; reads a sample, writes nothing."""
        source = self._source
        if source is None:
            raise StoreAway("the store is not open")
        months = source.months()
        began, sampled = time.monotonic(), 0
        for month in months:
            for chunk in chunks(source.listing(month, 0, MAX_BATCHES), SAMPLE):
                columns = source.read(chunk)
                sampled = len(columns["received"])
                native_block.encode(Batch(chunk.id, 1, month, sampled, columns))
                break
            if sampled:
                break
        return plan(months, source.size(), sampled, time.monotonic() - began)

    def months(self) -> dict[str, Any]:
        """``months``: [month, rows in the source, rows in the target]; and ``bytes`` of both."""
        source, target = self._stores()
        self._confirm()
        there, here = source.months(), target.months()
        months = [[month, there.get(month, 0), here.get(month, 0)] for month in sorted({*there, *here})]
        return {"months": months, "source_bytes": source.size(), "target_bytes": target.size()}

    def step(self, month: int, after: str, verify: bool) -> dict[str, Any]:
        """Have the next chunk of a month in the target.

        Args:
            month: YYYYMM.
            after: id of the last batch of the chunk before.
            verify: compare checksums, and copy anew what differs.

        Returns:
            ``after`` for the next step, ``done``: the month is over, ``rows``, ``copied`` and ``mended`` rows.
        """
        source, target = self._stores()
        low = int(after, 16)
        chunk = next(chunks(source.listing(month, low, MAX_BATCHES)), None)
        last = chunk.last if chunk else _END
        there = target.listing(month, low, last)
        self._drop_surplus(month, difference(chunk.batches if chunk else {}, there).surplus)
        copied = mended = 0
        if chunk:
            copied, mended = self._bring(chunk, there)
            if verify:
                mended += self._verify(chunk)
        rows = chunk.rows if chunk else 0
        return {"after": f"{last:032x}", "done": chunk is None, "rows": rows, "copied": copied, "mended": mended}

    def late(self, since_ms: int, month: int, after: str) -> dict[str, Any]:
        """Copy and verify the next batches that landed in the source since a moment of its clock.

        Args:
            since_ms: ms since 1970 UTC.
            month, after: of the last batch of the step before; 0 and "0" at the begin.

        Returns:
            ``month`` and ``after`` for the next step, ``done``, ``rows``, ``copied`` and ``mended`` rows.
        """
        source, target = self._stores()
        found = source.since(since_ms - IN_FLIGHT, month, int(after, 16), MAX_BATCHES)
        rows = copied = mended = 0
        for each in {one[0]: None for one in found}:
            ids = [batch for at, batch in found if at == each]
            counts = source.counts(each, ids)
            self._drop_surplus(each, difference(counts, target.counts(each, ids)).surplus)
            fresh = [Landed(each, batch, n) for batch, n in sorted(counts.items()) if self._known.get(batch) != n]
            for chunk in chunks(fresh):
                done, again = self._bring(chunk, target.counts(each, list(chunk.batches)))
                mended += again + self._verify(chunk)
                rows, copied = rows + chunk.rows, copied + done
                self._known.update(chunk.batches)
        month, last = found[-1] if found else (month, int(after, 16))
        done_now = len(found) < MAX_BATCHES
        answer = {"month": month, "after": f"{last:032x}", "done": done_now}
        return {**answer, "rows": rows, "copied": copied, "mended": mended}

    def close(self) -> bool:
        """Let go of both."""
        for store in (self._source, self._target):
            if store is not None:
                store.close()
        self._source = self._target = None
        return True

    def _stores(self) -> tuple[Source, Target]:
        if self._source is None or self._target is None:
            raise StoreAway("the stores are not open")
        return self._source, self._target

    def _drop_surplus(self, month: int, batches: Sequence[int]) -> None:
        """Remove batches from the target whose rows are gone from the source.

        Raises:
            StoreReject: some never were in the source; nothing was removed.
        """
        if not batches:
            return
        source, target = self._stores()
        if strange := sorted(set(batches) - source.noted(batches)):
            named = ", ".join(checksums.hexes(strange[:3]))
            raise StoreReject(
                f"{target.identity} holds {len(strange)} batches of {month} that never were in the source: {named}",
                "a move needs a target of its own, or one that an earlier move has begun to fill",
            )
        log.warning("%d batches of %d are gone from the source since they were copied; removed from the target",
                    len(batches), month)  # fmt: skip
        target.remove(month, batches)

    def _bring(self, chunk: Chunk, there: dict[int, int]) -> tuple[int, int]:
        """Have the target hold a chunk's batches with as many rows each; rows copied, rows of them copied anew."""
        source, target = self._stores()
        differs = difference(chunk.batches, there)
        if differs.wrong:
            target.remove(chunk.month, differs.wrong)
        wanted = [*differs.lacking, *differs.wrong]
        if not wanted:
            return 0, 0
        part = chunk.only(wanted)
        columns = source.read(part)
        if len(columns["received"]) != part.rows:
            raise StoreAway(f"rows of {part.month} changed at the source while they were read")
        target.put(part, columns, lambda: None)
        self._confirm()
        again = sum(part.batches[batch] for batch in differs.wrong)
        return part.rows - again, again

    def _confirm(self) -> None:
        """Have what was put proven to be where the next process finds it. Raises EngineBroken: it may not be."""
        _, target = self._stores()
        if not target.vouches:
            target.confirm()

    def _verify(self, chunk: Chunk) -> int:
        """Compare checksums; rows copied anew because theirs differed. Raises StoreReject: they differ still."""
        if not self._differs(chunk):
            return 0
        _, target = self._stores()
        spoiled = self._narrowed(chunk)
        if not spoiled:
            return 0  # it changed between two questions
        part = chunk.only(spoiled)
        log.warning("%d batches of %d differ at the source from what was copied; copied anew", len(spoiled), part.month)
        target.remove(part.month, spoiled)
        self._bring(part, {})
        if names := self._differs(part):
            raise StoreReject(
                f"copied anew, {part.rows} rows of {part.month} still differ in {', '.join(names[:5])}",
                "do they change all the time at the source? if not, this is a bug",
            )
        return part.rows

    def _narrowed(self, chunk: Chunk) -> list[int]:
        """Those of a chunk's batches that differ."""
        if not self._differs(chunk):
            return []
        if len(chunk.batches) == 1:
            return list(chunk.batches)
        return [batch for half in chunk.halves() for batch in self._narrowed(half)]

    def _differs(self, chunk: Chunk) -> list[str]:
        source, target = self._stores()
        there = self._aside.submit(target.checksums, chunk.month, chunk.batches)  # meanwhile the other server computes
        here = source.checksums(chunk.month, chunk.batches)
        return checksums.differing(here, there.result())


def _one_at_a_time(mover: Mover, name: str) -> Any:
    def call(**args: Any) -> Any:
        if not _BUSY.acquire(blocking=False):
            error = ControlError("the mover is still at the step before")
            error.code = "unavailable"
            raise error
        try:
            return getattr(mover, name)(**args)
        finally:
            _BUSY.release()

    return call


_BUSY = threading.Lock()

CALLS = ("open", "plan", "months", "step", "late", "close")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the process; the supervisor starts it."""
    parser = argparse.ArgumentParser(prog="trackflowd.migrate.mover")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", default="text")
    args = parser.parse_args(argv)
    try:
        proc.become("trackflowd: mover", args.channel)
        logs.setup(args.log_level, args.log_format, "mover")
    except TrackflowError as error:
        log.error("%s", error)
        return 1
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: over.set())
    mover = Mover()
    slow = {name: _one_at_a_time(mover, name) for name in CALLS}
    calls = Calls(socket.socket(fileno=args.channel), {}, slow, over.set)
    calls.start()
    over.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
