"""Long job ``migrate``: events go from PostgreSQL to ClickHouse or chDB. ``migrate`` has the order of steps and why.

Here is who is told what: the mover, a process that is started, asked for one step after another, and started again when
it dies; the flusher, for the cutover. The checkpoint holds the phase and the place in it::

    copy ──▶ verify ──▶ cutover ──▶ over
    (month, last batch id)          or over at once, without --cutover

Each step may be done twice: what a store holds is asked for, never remembered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trackflowd.errors import ControlError, TrackflowError
from trackflowd.job import Job, Kind
from trackflowd.migration import Helper, identity_of, urls
from trackflowd.proto.command_table import Arg
from trackflowd.sink.base import masked

#: Seconds the flusher holds batches back; renewed with each step.
HOLD = 30.0
#: Seconds batches that are open may take to be settled while others are held back.
SETTLE = 30.0
#: A round of catching up is short: milliseconds, and how many rounds it may take until one is.
SHORT, ROUNDS = 1500.0, 30
#: Holds that may be lost (rings at their mark, a process killed) before the cutover is given up for now.
HOLDS = 5
#: Seconds a call to the flusher may take.
ANSWER = 30.0
#: Seconds until a flusher with the new store is to answer: after a switch, and after one whose answer was an error.
WELL, AFTER_DOUBT = 60.0, 2.0
#: Seconds between two looks.
LOOK = 0.05


@dataclass(slots=True)
class Place:
    """How far it is: the checkpoint.

    Args:
        phase: "copy", "verify", "cutover" or "over".
        month, after: of the last batch that was done in the phase; 0 and "0": none.
        passed, total: rows of the phase that were walked over, and that there are.
        since_ms: the source's clock when the verify began.
        copied, mended: rows sent; of them, those that were sent again because they differed.
        verified: rows whose checksums were found equal.
        movers: processes started.
        began_ms: ms since 1970 UTC.
        held_ms: how long batches were held back in the end.
        switched_ms: ms since 1970 UTC of the switch; 0: there was none.
        months: [month, rows in the source, rows in the target], counted at the end.
        source_bytes, target_bytes: on the disks, then.
    """

    phase: str = "copy"
    month: int = 0
    after: str = "0"
    passed: int = 0
    total: int = 0
    since_ms: int = 0
    copied: int = 0
    mended: int = 0
    verified: int = 0
    movers: int = 0
    began_ms: int = 0
    held_ms: int = 0
    switched_ms: int = 0
    months: list[list[int]] = field(default_factory=list)
    source_bytes: int = 0
    target_bytes: int = 0

    def result(self, target: str) -> dict[str, Any]:
        """What came of it."""
        rows = sum(month[1] for month in self.months)
        seconds = max(time.time() - self.began_ms / 1000, 0.001)
        kept = ("copied", "mended", "verified", "movers", "held_ms", "switched_ms", "source_bytes", "target_bytes")
        return {
            "rows": rows,
            "equal": all(there == here for _, there, here in self.months if there),
            "seconds": round(seconds, 1),
            "target": masked(target),
            "months": [dict(zip(("month", "source", "target"), month, strict=True)) for month in self.months],
            **{name: getattr(self, name) for name in kept},
        }


class Lost(Exception):
    """Batches are not held any more: to be tried again."""


class Migration:
    """One run of the job.

    Args:
        job: see there.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.source, self.target = urls(job.args, job.cfg)
        self.place = Place(**job.checkpoint) if job.checkpoint else Place(began_ms=time.time_ns() // 1_000_000)
        self.helper = Helper(job, self.source, "" if job.args["plan"] else self.target)
        self._movers = self.place.movers

    async def run(self) -> Mapping[str, Any]:
        """Everything that is left to do."""
        try:
            if self.job.args["plan"]:
                return {"plan": await self.helper.ask("plan")}
            if not await self._over():
                await self._move()
            return self.place.result(self.target)
        finally:
            await self.helper.kill()

    async def _over(self) -> bool:
        """Whether the daemon writes to the target already. Raises TrackflowError: it cannot be moved there."""
        at = await self._store()
        if at == identity_of(self.target):
            if self.place.phase not in ("cutover", "over"):
                raise TrackflowError(f"the daemon stores events in {at} already", "nothing is left to move")
            self._switched()
            return True
        if self.job.args["cutover"] and at != identity_of(self.source):
            raise TrackflowError(
                f"the daemon stores events in {at}, not in {identity_of(self.source)}: there is nothing to cut over",
                "leave --from away, or move without --cutover",
            )
        return False

    async def _move(self) -> None:
        place = self.place
        for phase, following in (("copy", "verify"), ("verify", "cutover")):
            if place.phase == phase:
                await self._walk(phase == "verify")
                self._turn(following)
        if self.job.args["cutover"]:
            await self._cut_over()
        else:
            await self._rounds()
            await self._count()
        self._turn("over")

    def _turn(self, phase: str) -> None:
        place = self.place
        place.phase, place.month, place.after, place.passed, place.total = phase, 0, "0", 0, 0
        self.job.note(f"begins to {phase}" if phase in ("copy", "verify") else phase)
        self.job.save(asdict(place))

    # ------------------------------------------------------------------- walk

    async def _walk(self, verify: bool) -> None:
        """Bring the target what it lacks, chunk by chunk."""
        place = self.place
        if verify and not place.since_ms:
            place.since_ms = (await self.helper.up())["now_ms"]
        months = (await self.helper.ask("months"))["months"]
        place.total = sum(there for _, there, _ in months)
        pace = Pace()
        for month, there, _ in months:
            if month < place.month or not there:
                continue
            if month > place.month:
                place.month, place.after = month, "0"
            while True:
                step = await self.helper.ask("step", month=month, after=place.after, verify=verify)
                self._take(step, verify)
                if step["done"]:
                    break
                place.after = step["after"]
                place.passed += step["rows"]
                place.total = max(place.total, place.passed)
                name = f"{month // 100}-{month % 100:02d}"
                text = f"{'verify' if verify else 'copy'} {name} · {pace.of(step['rows']):,.0f} rows/s"
                self.job.progress(place.passed, place.total, "rows", text)
                self.job.save(asdict(place), urgent=False)

    def _take(self, step: Mapping[str, Any], verified: bool) -> None:
        self.place.movers = self._movers + self.helper.started
        self.place.copied += step["copied"] + step["mended"]
        self.place.mended += step["mended"]
        self.place.verified += step["rows"] if verified else 0

    # --------------------------------------------------------------- catch up

    async def _round(self) -> float:
        """Bring the target what has landed since the verify began; milliseconds that took."""
        began, month, after = time.monotonic(), 0, "0"
        while True:
            step = await self.helper.ask("late", since_ms=self.place.since_ms, month=month, after=after)
            self._take(step, True)
            if step["done"]:
                return (time.monotonic() - began) * 1000
            month, after = step["month"], step["after"]

    async def _rounds(self) -> None:
        """Catch up until a round is short."""
        for n in range(1, ROUNDS + 1):
            self.job.progress(self.place.passed, self.place.total, "rows", f"catches up, round {n}")
            took = await self._round()
            self.job.save(asdict(self.place))
            if took <= SHORT:
                return
        raise TrackflowError(
            f"more events come in than are moved: after {ROUNDS} rounds the last took {took / 1000:.1f} s",
            f"try when less comes in: trackflow tasks resume {self.job.number}",
        )

    async def _count(self) -> None:
        found = await self.helper.ask("months")
        place = self.place
        place.months, place.source_bytes, place.target_bytes = (
            found["months"], found["source_bytes"], found["target_bytes"],
        )  # fmt: skip

    # ---------------------------------------------------------------- cutover

    async def _cut_over(self) -> None:
        for _ in range(HOLDS):
            await self._rounds()
            try:
                await self._switch()
                return
            except Lost as reason:
                self.job.note(f"once more: {reason}")
        raise TrackflowError(
            f"batches could not be held back long enough in {HOLDS} tries; nothing was switched",
            f"try when less comes in: trackflow tasks resume {self.job.number}",
        )

    async def _switch(self) -> None:
        """From the hold to the switch. Raises Lost: the hold was; nothing was switched."""
        began, movers = time.monotonic(), self.helper.started
        self.job.progress(self.place.passed, self.place.total, "rows", "cuts over")
        await self._ask("store_hold", seconds=HOLD, renew=False)
        switched = False
        try:
            await self._settled(began)
            await self._while_held(self._round())
            await self._while_held(self._count())
            self._equal()
            self.job.save(asdict(self.place))
            if self.helper.started != movers:
                raise Lost("the mover was started again meanwhile")
            await self.helper.stop()  # from here on the target is nobody's
            await self._renew()
            await self._told_to_switch()
            switched = True
        finally:
            if not switched:
                await self._ask("store_hold", seconds=0, renew=False)
        self.place.held_ms = round((time.monotonic() - began) * 1000)
        self._switched()

    async def _while_held(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something, and hold batches back as long as it takes. Raises Lost."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=HOLD / 3))[0]:
                await self._renew()
            task.result()
        finally:
            task.cancel()

    async def _settled(self, began: float) -> None:
        """Return once nothing that was cut is open: nothing can land in the source any more."""
        while left := await self._renew():
            if time.monotonic() - began > SETTLE:
                raise TrackflowError(
                    f"{left} batches are not settled with the old store after {SETTLE:g} s; nothing was switched",
                    "see `trackflow status` and `trackflow spool list`, land or drop them, then: "
                    f"trackflow tasks resume {self.job.number}",
                )
            await self.job.pause(LOOK)
            self.job.check()

    async def _renew(self) -> int:
        """Hold on; batches that are open. Raises Lost."""
        said = await self._ask("store_hold", seconds=HOLD, renew=True)
        if not said["held"]:
            raise Lost("batches were cut again: the flusher was replaced, or the rings fill up")
        left: int = said["open"]
        return left

    def _equal(self) -> None:
        differ = [month for month in self.place.months if month[1] and month[1] != month[2]]
        if differ:
            month, there, here = differ[0]
            self.place.since_ms = 0
            self._turn("verify")  # what that is, only all of it can show
            raise TrackflowError(
                f"the stores hold {there} and {here} rows of {month}; nothing was switched",
                f"were rows erased meanwhile? to verify again and go on: trackflow tasks resume {self.job.number}",
            )

    async def _told_to_switch(self) -> None:
        """Have the flusher switch. Its answer may be lost with it, so where it stores afterwards decides."""
        failure = None
        try:
            await self._ask("store_switch", url=self.target)
        except ControlError as error:
            failure = error
        if await self._arrived(WELL if failure is None else AFTER_DOUBT):
            return
        if failure is None:
            self.job.note("the flusher has not opened the new store yet: trackflow status")
        elif failure.code == "not_held":
            raise Lost(failure.text)
        else:
            raise failure

    async def _arrived(self, seconds: float) -> bool:
        """Whether the flusher, or the one that follows it, has the new store; it may take so many seconds."""
        until = time.monotonic() + seconds
        while await self._store() != identity_of(self.target):
            if time.monotonic() >= until:
                return False
            await self.job.pause(LOOK)
        return True

    def _switched(self) -> None:
        self.place.switched_ms = self.place.switched_ms or time.time_ns() // 1_000_000
        self.job.note(f"switched: events go to {masked(self.target)}; set store.url to it")
        self.job.save(asdict(self.place))

    async def _store(self) -> str:
        """Identity of the store the flusher writes to."""
        said = await self._ask("status")
        at: str = said["sink"]["identity"]
        return at

    async def _ask(self, name: str, **args: Any) -> Any:
        return await self.job.ask_flusher(name, ANSWER, **args)


class Pace:
    """Rows a second, over what this run has done."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._rows = 0

    def of(self, rows: int) -> float:
        """With so many more."""
        self._rows += rows
        return self._rows / max(time.monotonic() - self._began, 1e-3)


async def migrate(job: Job) -> Mapping[str, Any]:
    """The body."""
    return await Migration(job).run()


MIGRATE = Kind(
    "migrate",
    "move all events from PostgreSQL to ClickHouse or chDB while others come in",
    (
        Arg("source", "text", "url of the store to move from; empty: store.url", ""),
        Arg("target", "text", "url of the store to move to", ""),
        Arg("cutover", "flag", "switch the daemon to the target in the end", False),
        Arg("plan", "flag", "only say what it would take", False),
    ),
    resumes=True,
    body=migrate,
    secret=frozenset({"source", "target"}),
)
