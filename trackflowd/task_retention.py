"""The long job ``retention``: deletes what sites keep no longer, one site after another, as ``task_erase`` does it.

Each site has a tombstone before the job begins (``retention`` sees to that), so that neither a replay nor a batch that
has waited for long brings such events back, and counts of batches stay right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trackflowd.job import Job, Kind
from trackflowd.proto.command_table import Arg
from trackflowd.task_erase import LONG, SOON, Tally, clear

_SUMS = ("events", "waiting", "files", "unread")


async def retain(job: Job) -> Mapping[str, Any]:
    """The body. Its checkpoint: how many sites are done, what came of them, and the tally of the next."""
    await job.ask_flusher("erase_load", SOON)
    sites = sorted(job.args["until"].items())
    done: dict[str, Any] = job.checkpoint or {"sites": 0, **dict.fromkeys(_SUMS, 0), "tally": None}
    for site, until_ms in sites[done["sites"] :]:
        before = None if done["tally"] is None else Tally(**done["tally"])
        kept = dict(done)  # of the sites before

        def save(now: Tally, urgent: bool, kept: dict[str, Any] = kept) -> None:
            job.save({**kept, "tally": asdict(now)}, urgent)

        tally = await clear(job, {"site": site}, int(until_ms), before, save)
        sums = {name: done[name] + getattr(tally, name) for name in _SUMS}
        done = {"sites": done["sites"] + 1, **sums, "tally": None}
        job.note(f"{site}: {tally.events} events")
        job.save(done)
    swept = await job.ask_flusher("erase_sweep", LONG) if done["events"] else 0
    return {"sites": done["sites"], **{name: done[name] for name in _SUMS}, "swept": swept}


RETENTION = Kind(
    "retention",
    "delete events that their sites keep no longer",
    (Arg("until", "map", "by site: received up to then, ms since 1970 UTC"),),
    resumes=True,
    body=retain,
)
