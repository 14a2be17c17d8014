"""The long job ``restore``: events of a backup that the store has not got, bucket by bucket.

Sites, keys and tombstones are taken over before it begins (``commands_backup``). Then::

    flusher.erase_load()                     the flusher knows the tombstones
    flusher.restore_clear()                  nothing of an earlier restore is left; noted, so that it is done once
    flusher.restore_stage(name, rows)        → into how many buckets
    flusher.restore_piece(bucket, of)        → restored, held, erased
    …                                        what the tombstones taken over name goes from the store
    flusher.restore_end(name)                → files of quarantine

After a kill it goes on with the bucket that was struck: what of it is there already is counted as held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trackflowd.job import Job, Kind
from trackflowd.proto.command_table import Arg
from trackflowd.task_erase import LONG, SOON, clear

#: Seconds for one bucket: a second or two where the store is quick.
PIECE = 900.0


@dataclass(slots=True)
class Tally:
    """How far it is: the checkpoint, and the first three the result.

    Args:
        restored: events taken over.
        held: events that were there.
        erased: events a tombstone names.
        done, of: buckets; of is 0 until the events are staged.
        tombstones: of those taken over, how many are carried out.
    """

    restored: int = 0
    held: int = 0
    erased: int = 0
    done: int = 0
    of: int = 0
    tombstones: int = 0


async def restore(job: Job) -> Mapping[str, Any]:
    """The body."""
    args = job.args
    await job.ask_flusher("erase_load", SOON)
    tally = Tally(**(job.checkpoint or {}))
    if args["events"]:
        await _events(job, tally)
    for number in sorted(args["tombstones"])[tally.tombstones :]:
        tombstone = args["tombstones"][number]
        job.progress(tally.tombstones, len(args["tombstones"]), "erasures")
        await clear(job, tombstone["what"], int(tombstone["until_ms"]), None, lambda now, urgent: None)
        tally.tombstones += 1
        job.save(asdict(tally))
    files = await job.ask_flusher("restore_end", LONG, name=args["name"])
    took = {name: getattr(tally, name) for name in ("restored", "held", "erased")}
    return {"events": args["events"], **took, "quarantine": files, "sites": args["sites"], "keys": args["keys"],
            "erasures": len(args["tombstones"])}  # fmt: skip


async def _events(job: Job, tally: Tally) -> None:
    name, rows = job.args["name"], int(job.args["events"])
    if job.checkpoint is None:
        await job.ask_flusher("restore_clear", LONG)
        job.save(asdict(tally))
    if not tally.of:
        job.progress(0, rows, "events", "reads the backup")
        tally.of = await job.ask_flusher("restore_stage", LONG, name=name, rows=rows)
        job.save(asdict(tally))
    for bucket in range(tally.done, tally.of):
        job.progress(rows * bucket // tally.of, rows, "events")
        merged = await job.ask_flusher("restore_piece", PIECE, bucket=bucket, of=tally.of)
        tally.restored += merged["restored"]
        tally.held += merged["held"]
        tally.erased += merged["erased"]
        tally.done = bucket + 1
        job.save(asdict(tally))
    job.progress(rows, rows, "events")


RESTORE = Kind(
    "restore",
    "bring back events of a backup that the store has not got",
    (
        Arg("name", "text", "of the backup, and of its directory in restore/"),
        Arg("events", "number", "in it; 0: they are not to be restored"),
        Arg("tombstones", "map", "taken over from it: what and until_ms, by number"),
        Arg("sites", "number", "taken over"),
        Arg("keys", "number", "taken over"),
    ),
    resumes=True,
    body=restore,
)
