"""The long job ``erase``: deletes in the store what a tombstone names, piece by piece.

The tombstone stands before the job begins (``commands_events`` sees to that); from then on nothing it names lands
(``erasure``). What is left to do is in the store, and in quarantine, and any of it may be done twice::

    flusher.erase_load()                               the flusher knows the tombstone
    flusher.erase_plan(what, until_ms)                 → months, batches, files, unread
    flusher.erase_batch(what, until_ms, batch)         → rows that wait and will be left out; counted, no more
    flusher.erase_files(what, until_ms, names, True)   → files deleted
    flusher.erase_piece(what, until_ms, month, at)     → next, rows; "unavailable" while the store is busy
    flusher.erase_sweep()                              → rows of dimensions deleted

When all months are done it plans again, and is done when the store has nothing left: a row that a correction moved out
of a piece's way is met then. The counts are those of the first plan, which is in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trackflowd.errors import ControlError
from trackflowd.job import Ask, Job, Kind
from trackflowd.proto.command_table import Arg

#: Seconds to read the tombstones, or look through one batch or some files.
SOON = 60.0
#: Seconds to count in the store, and to sweep it: both read all of it, beside everything else.
LONG = 3600.0
#: Seconds for one piece on top of ``store.timeout``.
PIECE = 60.0
#: Files of quarantine in one call, so that batches are cut in between.
FILES = 100
#: Walks through the store before the job gives up: the second finds nothing, but for a correction in between.
WALKS = 5


@dataclass(slots=True)
class Tally:
    """How far it is and what it met: the checkpoint, and without the last three the result.

    Args:
        events: in the store, when it began.
        waiting: rows of batches not settled then, which are left out when they are.
        files: deleted in quarantine.
        unread: files in quarantine that cannot be searched.
        swept: rows of dimensions that nothing used any more.
        months: still to be done, with their events.
        at: where the first of them is gone on with.
        walks: begun; 0: nothing is counted yet.
    """

    events: int = 0
    waiting: int = 0
    files: int = 0
    unread: int = 0
    swept: int = 0
    months: dict[str, int] = field(default_factory=dict)
    at: int = 0
    walks: int = 0

    def result(self) -> dict[str, Any]:
        """What came of it."""
        return {name: getattr(self, name) for name in ("events", "waiting", "files", "unread", "swept")}


async def survey(ask: Ask, what: Mapping[str, Any], until_ms: int, delete: bool) -> Tally:
    """Count what an erasure meets, and delete what of it is in quarantine.

    Args:
        ask: calls the flusher.
        delete: also do that; else only count.
    """
    about = {"what": what, "until_ms": until_ms}
    plan = await ask("erase_plan", LONG, **about)
    tally = Tally(events=sum(plan["months"].values()), months=plan["months"], unread=plan["unread"])
    for batch in plan["batches"]:
        tally.waiting += await ask("erase_batch", SOON, **about, batch=batch)
    names: Sequence[str] = plan["files"]
    for start in range(0, len(names), FILES):
        part = list(names[start : start + FILES])
        tally.files += await ask("erase_files", SOON, **about, names=part, delete=delete)
    return tally


async def clear(
    job: Job, what: Mapping[str, Any], until_ms: int, tally: Tally | None, save: Callable[[Tally, bool], None]
) -> Tally:
    """Have nothing of a selection be left in the store, the flusher knowing its tombstone.

    Args:
        tally: how far it was; None: it begins.
        save: keeps a checkpoint; whether that is urgent.

    Raises:
        ControlError: something is left after ``WALKS`` walks.
    """
    if tally is None:
        tally = await survey(job.ask_flusher, what, until_ms, delete=True)
        tally.walks = 1
        save(tally, True)
    while True:
        await _walk(job, what, until_ms, tally, save)
        plan = await job.ask_flusher("erase_plan", LONG, what=what, until_ms=until_ms)
        tally.months, tally.at = plan["months"], 0
        if not tally.months:
            return tally
        if tally.walks >= WALKS:
            left = sum(tally.months.values())
            raise ControlError(f"{left} events are still in the store after {WALKS} walks through it")
        tally.walks += 1
        save(tally, True)


async def _walk(
    job: Job, what: Mapping[str, Any], until_ms: int, tally: Tally, save: Callable[[Tally, bool], None]
) -> None:
    """Go through the months that are left."""
    total = sum(tally.months.values())
    while tally.months:
        month = min(tally.months)
        job.progress(total - sum(tally.months.values()), total, "events")
        timeout = job.cfg.store.timeout + PIECE
        about = {"what": what, "until_ms": until_ms, "month": int(month), "at": tally.at}
        done = await job.ask_flusher("erase_piece", timeout, **about)
        if done["next"] is None:
            del tally.months[month]
            tally.at = 0
        else:
            tally.at = done["next"]
        save(tally, done["next"] is None)
    job.progress(total, total, "events")


async def erase(job: Job) -> Mapping[str, Any]:
    """The body."""
    await job.ask_flusher("erase_load", SOON)
    before = None if job.checkpoint is None else Tally(**job.checkpoint)
    tally = await clear(
        job, job.args["what"], int(job.args["until_ms"]), before, lambda now, urgent: job.save(asdict(now), urgent)
    )
    tally.swept += await job.ask_flusher("erase_sweep", LONG)
    return tally.result()


ERASE = Kind(
    "erase",
    "delete events in the store, and keep every copy of them from coming back",
    (
        Arg("what", "map", "which events: site, name, user, visitor, id, from, to"),
        Arg("until_ms", "number", "received up to then, ms since 1970 UTC"),
        Arg("tombstone", "number", "number of the tombstone that keeps them out"),
    ),
    resumes=True,
    body=erase,
)
