"""The long job ``replay``: batch by batch, what the store has lost is sent again.

The flusher does a batch (it alone knows journal, rings and store): it asks the store whether it
holds the batch, and sends, under the batch's own id, only what is missing. So doing one twice
changes nothing, and this side only walks the list and counts::

    flusher.replay_plan(since_ms)            → batches, rows, reach_ms
    flusher.replay_batch(batch, dry_run)     → batch, rows, outcome, restored, lost, text

A batch's id is a UUIDv7 in hex: ids sort by the time of their cut. The list is fixed by its last
id when the task begins; batches cut later (by the replay itself, say) are not part of it. After a
kill the list is asked for again and walked from behind the last id that was done. What was on the
first list and is on no later one was forgotten by the journal meanwhile, and is counted so.

The counts are in the checkpoint, which is written at once after a batch of which anything was
restored, so a resumed task counts no batch twice. Only a kill between the flusher's answer and
that write makes a restored batch count as one already there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trackflowd.errors import ControlError
from trackflowd.job import Job, Kind
from trackflowd.proto.command_table import Arg

#: Seconds to list the journal's entries; they are in the flusher's memory.
PLAN_SECONDS = 60.0
#: Seconds for one batch on top of ``query.max_seconds``: a count, perhaps a delete, and an insert.
BATCH_SECONDS = 300.0
#: Batches out of reach that are named with the flusher's words; the others are only counted.
MAX_NAMED = 20

OUTCOMES = ("held", "restored", "partly", "gone", "other_store")


@dataclass(slots=True)
class Tally:
    """How far it is and what it found: the checkpoint, and without the first two the result.

    Args:
        last: id of the last batch that was done; "": none yet.
        end: id of the last batch on the list.
        batches: on the list.
        held: already there.
        restored: sent, whole or the rows of it that lacked.
        partly: some rows sent, others out of reach.
        gone: lacking, and no more in the rings.
        other_store: bound to another store than the present one.
        forgotten: left the journal before they were looked at.
        rows: in the batches looked at.
        rows_restored, rows_lost: sent again (in a dry run: to be sent); lacking and out of reach.
        reach_ms: ms since 1970 UTC of the oldest batch still whole in the rings; 0: none is.
        named: batches out of reach, the first ``MAX_NAMED``.
    """

    last: str = ""
    end: str = ""
    batches: int = 0
    held: int = 0
    restored: int = 0
    partly: int = 0
    gone: int = 0
    other_store: int = 0
    forgotten: int = 0
    rows: int = 0
    rows_restored: int = 0
    rows_lost: int = 0
    reach_ms: int = 0
    named: list[dict[str, Any]] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        """Batches that were done."""
        return sum(getattr(self, outcome) for outcome in OUTCOMES)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count one batch.

        Raises:
            ControlError: an outcome nobody knows.
        """
        outcome = answer["outcome"]
        if outcome not in OUTCOMES:
            raise ControlError(f"the flusher says {outcome!r} of a batch", "this is a bug")
        setattr(self, outcome, getattr(self, outcome) + 1)
        self.last = answer["batch"]
        self.rows += answer["rows"]
        self.rows_restored += answer["restored"]
        self.rows_lost += answer["lost"]
        if outcome not in ("held", "restored") and len(self.named) < MAX_NAMED:
            self.named.append({key: answer[key] for key in ("batch", "outcome", "lost", "text")})

    def result(self) -> dict[str, Any]:
        """What came of it."""
        out_of_reach = self.partly + self.gone + self.other_store + self.forgotten
        value = {"looked_at": self.looked_at, "out_of_reach": out_of_reach, **asdict(self)}
        del value["last"], value["end"]
        return value


async def replay(job: Job) -> Mapping[str, Any]:
    """The body."""
    plan = await job.ask_flusher("replay_plan", PLAN_SECONDS, since_ms=job.args["since_ms"])
    found = sorted(plan["batches"])
    if job.checkpoint is None:
        tally = Tally(end=found[-1] if found else "", batches=len(found), reach_ms=plan["reach_ms"])
    else:
        tally = Tally(**job.checkpoint)
    left = [batch for batch in found if tally.last < batch <= tally.end]
    tally.forgotten = max(tally.batches - tally.looked_at - len(left), 0)
    _tell(job, tally)
    job.save(asdict(tally))
    timeout = job.cfg.query.max_seconds + BATCH_SECONDS
    for batch in left:
        answer = await job.ask_flusher("replay_batch", timeout, batch=batch, dry_run=job.args["dry_run"])
        tally.add(answer)
        _tell(job, tally)
        job.save(asdict(tally), urgent=answer["restored"] > 0 and not job.args["dry_run"])
    return tally.result()


def _tell(job: Job, tally: Tally) -> None:
    job.progress(tally.looked_at + tally.forgotten, tally.batches, "batches")


REPLAY = Kind(
    "replay",
    "send again what the store has lost, as far back as the rings reach",
    (
        Arg("since_ms", "number", "batches cut since then, ms since 1970 UTC"),
        Arg("dry_run", "flag", "only look, change nothing", False),
    ),
    resumes=True,
    body=replay,
)
