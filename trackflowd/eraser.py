"""What the flusher does about events that were taken long ago: shows them, corrects them, erases them.

::

    erase_load     read the tombstones again: from now on nothing they name is sent
    erase_plan     what an erasure would meet: events in the store by month, batches that wait, files in quarantine
    erase_batch    how many rows of a batch that waits it names (they are left out when it is sent)
    erase_files    delete the files in quarantine whose row it names
    erase_piece    delete a piece of a month in the store, in the sender's thread: batches land in between
    erase_sweep    delete what only erased events had used
    erase_due      which sites have events in the store that they keep no longer

The long job ``erase`` (``task_erase``) walks through them; each may be done twice. Reading runs on the store's
connections for queries and keeps no batch waiting. ``erasure`` says why batches stay exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from trackflowd import events, segment, stats
from trackflowd.calls import reply_to
from trackflowd.erasure import fields_of
from trackflowd.errors import ControlError, DataDirError, QueryError, RecordError, SegmentDamaged
from trackflowd.event import MAX_PROP_NAME, MAX_PROPS, bound
from trackflowd.journal import Journal
from trackflowd.ring.layout import Record
from trackflowd.selection import Selection, Tombstone, event_of
from trackflowd.sender import Sender
from trackflowd.sink.base import QueryLimits, Sink, sql_of
from trackflowd.sources import Sources

Answer = TypeVar("Answer")

#: Seconds between two looks whether a correction is there, and how long to look before saying that it will be.
LOOK, PATIENCE = 0.05, 20.0

#: Seconds a count over the whole store may take.
COUNTING = 3000.0

#: Sites with old events that are looked at, those with the oldest first: more than can be registered.
DUE = 10_000

#: A month that has no events: asking for a batch of it costs the store nothing.
NO_MONTH = 197001

#: Has something done in the flusher's loop; returns its answer.
InLoop = Callable[[Callable[[Future[Any]], object]], Any]


class Eraser:
    """Serves the calls. They come in threads of their own.

    Args:
        sink: edited through the sender only.
        url: of the store in effect.
        limits: of a query, but for counts over the whole store, which take as long as they take.
        journal: what is open.
        sources: rings, spool, quarantine, tombstones.
        sender: speaks to the store.
        in_loop: see ``InLoop``.
        forget: lets go of what statistics keep in memory; called once events are gone from the store.
    """

    def __init__(
        self,
        sink: Sink,
        url: str,
        limits: QueryLimits,
        journal: Journal,
        sources: Sources,
        sender: Sender,
        in_loop: InLoop,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self._sink = sink
        self._store = sql_of(url)
        self.limits = limits
        self._run: events.Run = lambda sql, params: stats.rows(sink.query(sql, "json", self.limits, params))
        self._count: events.Run = lambda sql, params: stats.rows(sink.query(sql, "json", _patient(self.limits), params))
        self._journal = journal
        self._sources = sources
        self._sender = sender
        self._in_loop = in_loop
        self._forget = forget

    def calls(self) -> dict[str, Callable[..., Any]]:
        """The handlers, by the name of their call."""
        return {
            "events": self.events,
            "event_correct": self.correct,
            "erase_load": self.load,
            "erase_plan": self.plan,
            "erase_batch": self.batch,
            "erase_files": self.files,
            "erase_piece": self.piece,
            "erase_sweep": self.sweep,
            "erase_due": self.due,
        }

    # ---------------------------------------------------------------- reading

    def events(self, what: Mapping[str, Any], limit: int, after: str, newest: bool) -> dict[str, Any]:
        """A page of events (``events.Page``)."""
        meant = Selection.read(what)
        while True:
            try:
                return events.page(self._run, self._store, meant, limit, after, newest)._asdict()
            except QueryError as error:
                if "bytes" not in error.text or limit <= 1:
                    raise
                limit //= 2  # large events: a shorter page

    def plan(self, what: Mapping[str, Any], until_ms: int) -> dict[str, Any]:
        """What an erasure would meet.

        Returns:
            ``months`` (events in the store by YYYYMM, as text), ``batches`` (ids in hex of those not settled),
            ``files`` (names in quarantine of those that hold a row), ``unread`` (others there: not to be searched).
        """
        meant = Tombstone(Selection.read(what), until_ms)
        months = self._months(meant)
        quarantine = self._sources.quarantine
        files = [path.name for path in quarantine.retryable()]
        unread = sum(path.suffix != ".tmp" for path in quarantine.directory.glob("*")) - len(files)
        batches = self._looped(lambda: [f"{number:032x}" for number in self._journal.state.open])
        return {
            "months": {str(month): rows for month, rows in months.items()}, "batches": batches, "files": files,
            "unread": unread,
        }  # fmt: skip

    def _months(self, meant: Tombstone) -> dict[int, int]:
        """Events in the store by month. A store that is away is a StoreAway here, which passes, and no QueryError."""

        def asked() -> int:
            return self._by_sender(lambda: self._sink.count(0, NO_MONTH))

        asked()
        try:
            return events.months(self._count, self._store, meant.conditions())
        except QueryError:
            asked()
            raise

    def batch(self, what: Mapping[str, Any], until_ms: int, batch: str) -> int:
        """How many rows of an open batch are named; 0 where it is settled by now or cannot be read."""
        meant = Tombstone(Selection.read(what), until_ms)

        def count() -> int:
            cut = self._journal.state.open.get(int(batch, 16))
            rows = self._sources.rows(cut) if cut else None
            return sum(named(meant, row) for row in rows or ())

        return self._looped(count)

    # ---------------------------------------------------------------- erasing

    def load(self) -> int:
        """Read the tombstones again; how many there are."""
        return self._looped(self._sources.erasures.load)

    def files(self, what: Mapping[str, Any], until_ms: int, names: Sequence[str], delete: bool) -> int:
        """Delete those of the files in quarantine whose row is named, or only count them; how many."""
        meant = Tombstone(Selection.read(what), until_ms)

        def look() -> int:
            found = 0
            for path in (self._sources.quarantine.directory / name for name in names):
                try:
                    _, rows = segment.read(path)
                except (OSError, SegmentDamaged):
                    continue  # retried meanwhile, or nothing that could be sent again
                if rows and all(row is not None and named(meant, row) for row in rows):
                    found += 1
                    if delete:
                        _unlink(path)
            return found

        return self._looped(look)

    def piece(self, what: Mapping[str, Any], until_ms: int, month: int, at: int) -> dict[str, Any]:
        """Delete a piece of a month; ``next`` (None: the month is done) and ``rows``.

        Raises:
            ControlError: ``unavailable``: the store is still busy with it.
        """
        meant = Tombstone(Selection.read(what), until_ms)
        done = self._by_sender(lambda: self._sink.edit.erase(meant, month, at))
        if done.busy:
            error = ControlError(done.busy, "it is asked again")
            error.code = "unavailable"
            raise error
        self._forget()
        return {"next": done.next, "rows": done.rows}

    def sweep(self) -> int:
        """Delete what no event uses any more; how many rows. On a connection of its own."""
        return self._sink.edit.sweep()

    def due(self, until: Mapping[str, int | None], others: int | None, most: int) -> dict[str, int]:
        """Sites with events received up to a time, and that time (ms since 1970 UTC).

        Args:
            until: by site; None: it keeps them for ever.
            others: of sites that are not named.
            most: sites in the answer.
        """
        limits = {site: limit for site, limit in until.items() if limit is not None}
        latest = max([*limits.values(), *([] if others is None else [others])], default=None)
        if latest is None:
            return {}
        oldest = events.oldest(self._count, self._store, latest, limits if others is None else None, DUE)
        limited = ((site, at, until.get(site, others)) for site, at in oldest.items())
        found = [(site, limit) for site, at, limit in limited if limit is not None and at <= limit]
        return dict(found[:most])

    # ------------------------------------------------------------- correcting

    def correct(self, id: str, site: str, put: Mapping[str, str], drop: Sequence[str]) -> dict[str, Any]:
        """Change properties of one event.

        Args:
            id: its id, as its sender gave it.
            site: whose; "": the only one that has it.
            put, drop: properties to be set, and those to be taken away.

        Returns:
            ``event`` as it will be, ``stored`` (False: the store is still at it).

        Raises:
            QueryError: no such event, several, or properties that no event may have.
        """
        row = self._only(Selection(site=site, event=event_of(id)))
        props = {name: value for name, value in row["props"].items() if name not in drop} | dict(put)
        check_props(props)
        event = event_of(row["event_id"])
        month = events.month_of(row["received"])
        if props != row["props"]:
            self._by_sender(lambda: self._sink.edit.correct(row["site"], event, month, props))
        until = time.monotonic() + PATIENCE
        this = Selection(site=row["site"], event=event)
        while not (stored := self._only(this)["props"] == props) and time.monotonic() < until:
            time.sleep(LOOK)
        return {"event": {**row, "props": props}, "stored": stored}

    def _only(self, what: Selection) -> dict[str, Any]:
        found = events.page(self._run, self._store, what, 2).rows
        if not found:
            raise QueryError(f"the store has no event {what}", "`trackflow flush` stores what is on its way")
        if len(found) > 1:
            raise QueryError(f"several sites have an event {what}", "name the site")
        return found[0]

    # ---------------------------------------------------------------- threads

    def _looped(self, work: Callable[[], Answer]) -> Answer:
        answer: Answer = self._in_loop(lambda waiting: waiting.set_result(work()))
        return answer

    def _by_sender(self, job: Callable[[], Answer]) -> Answer:
        answer: Answer = self._in_loop(lambda waiting: self._sender.submit(job, reply_to(waiting)))
        return answer


def named(tombstone: Tombstone, row: Record) -> bool:
    """Whether it names a row; no row that does not decode."""
    try:
        return row[4] <= tombstone.until_ms and tombstone.names(fields_of(row))
    except RecordError:
        return False


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataDirError(f"{path} cannot be deleted: {error.strerror}") from error


def check_props(props: Mapping[str, Any]) -> None:
    """Properties as an event may have them. QueryError: they are not."""
    most = bound("props")
    if len(props) > MAX_PROPS:
        raise QueryError(f"{len(props)} properties; an event has at most {MAX_PROPS}", "unset some")
    for name, value in props.items():
        if not isinstance(value, str) or "\0" in name + value:
            raise QueryError(f"property {name!r}: a text without NUL was expected")
        if not 0 < len(name.encode()) <= MAX_PROP_NAME or len(value.encode()) > most:
            raise QueryError(f"property {name!r}: a name of 1 to {MAX_PROP_NAME} bytes, a value of at most {most}")


def _patient(limits: QueryLimits) -> QueryLimits:
    return replace(limits, max_seconds=max(limits.max_seconds, COUNTING))
