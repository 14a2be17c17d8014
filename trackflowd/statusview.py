"""What is said of the daemon: whether it can deliver, how fast it goes, the value of ``status``.

"Alive" and "can deliver" are different answers. Alive is the supervisor answering at all. Ready is
that an event taken now can reach the store; where not, ``Health.reason`` says why in words.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trackflowd import __version__
from trackflowd import config as configuration
from trackflowd.budget import FULL, full_in, room_in, span
from trackflowd.children import figures
from trackflowd.counters import TABLES
from trackflowd.crew import Crew
from trackflowd.fleet import Phase, Seat
from trackflowd.ringview import RingFill
from trackflowd.sink.base import masked
from trackflowd.spool import Room

#: Seconds a rate is averaged over: shorter jumps about, longer hides what just happened.
SPAN = 10.0
#: ``sink_state`` of the flusher's counters, in words.
SINK_STATES = ("starting", "ok", "away", "in doubt", "refusing")
_SINK_TEXT = {
    "away": "store away",
    "in doubt": "store: whether it has the last batch is being asked,",
    "refusing": "store: refuses what it is sent,",
}
_FLUSHER_TEXT = {
    Phase.WAITING: "flusher: waits to be started again",
    Phase.STARTING: "flusher: starting",
    Phase.SILENT: "flusher: shows no sign of life",
    Phase.KILLED: "flusher: being replaced",
    Phase.ENDED: "flusher: ended",
}


@dataclass(frozen=True, slots=True)
class Health:
    """Whether events can be delivered.

    Args:
        ready: they can.
        reason: why not; "" when ready.
        cause: the same without figures that change all the time: what makes one judgement another.
    """

    ready: bool
    reason: str = field(compare=False)
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the flusher last said, where something is not well.

    Args:
        text: of the store; "" when it has not said.
        since_ms: since when the store is as it is, ms since 1970 UTC; 0: not said.
        spool: why nothing goes to the spool; "" when it does or was not asked to.
    """

    text: str = ""
    since_ms: int = 0
    spool: str = ""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Told:
        """From its status."""
        sink, kept = said.get("sink") or {}, said.get("spool") or {}
        return cls(str(sink.get("text") or ""), int(sink.get("since_ms") or 0), str(kept.get("text") or ""))


def health(
    crew: Crew, rings: Sequence[RingFill], stopping: bool, told: Told = Told(), full_in_s: float | None = None
) -> Health:
    """Judge the daemon; the first thing that stands in the way is the reason.

    Args:
        crew: the children.
        rings: as just looked at.
        stopping: a drain has begun.
        told: why the store and the spool are not well.
        full_in_s: seconds until rings and spool are full, if the store takes nothing; None: not in sight.
    """
    if stopping:
        return _not("stopping")
    if not any(seat.phase is Phase.READY for seat in crew.workers):
        return _not("no worker is ready")
    forecast = "" if full_in_s is None else f"; rings and spool full in {span(full_in_s)}"
    if crew.page.paused:
        return _not(f"paused: nothing is sent to the store until `trackflow resume`{forecast}", "paused")
    state = sink_state(crew)
    if state in _SINK_TEXT:  # before the flusher's own state: one that finds the store away stays in its start
        lasts = f" for {span(max(time.time() - told.since_ms / 1000, 0.0))}" if told.since_ms else ""
        words = (_SINK_TEXT[state] + lasts).rstrip(",")
        return _not(words + (f": {told.text}" if told.text else "") + forecast, f"{state}: {told.text}")
    if crew.flusher.phase is not Phase.READY:
        return _not(_FLUSHER_TEXT[crew.flusher.phase])
    if state != "ok":
        return _not("store: not opened yet")
    served = {ring.slot for ring in rings if not ring.failed}
    if bare := [ring for ring in rings if ring.failed and ring.slot not in served]:
        return _not(f"worker {bare[0].slot} has no ring: the disk refused the last one, no fresh one yet")
    if full := [ring for ring in rings if ring.fill >= FULL]:
        return _not(f"ring {full[0].file} is {full[0].fill:.0%} full{forecast}", "ring")
    if crew.slot(crew.flusher).get("spool_full"):
        why = f": {told.spool}" if told.spool else ""
        return _not(f"the store does not keep up and the spool is full{why}{forecast}", "spool")
    return Health(True, "")


def _not(reason: str, cause: str = "") -> Health:
    return Health(False, reason, cause or reason)


def spool_gauges(crew: Crew) -> Mapping[str, int] | None:
    """The flusher's counters where they can be relied on: it has started and shows signs of life."""
    return crew.slot(crew.flusher).values() if crew.flusher.phase is Phase.READY else None


def sink_state(crew: Crew) -> str:
    """State of the store, as the flusher's counters have it; "starting" while there is no flusher."""
    number = crew.slot(crew.flusher).get("sink_state")
    return SINK_STATES[number] if number < len(SINK_STATES) else "starting"


def well(crew: Crew) -> bool:
    """Whether neither store nor spool has to be asked what is the matter."""
    return sink_state(crew) in ("ok", "starting") and not crew.slot(crew.flusher).get("spool_full")


class Rates:
    """Averages of growing totals over the last ``SPAN`` seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Mapping[str, int]]] = deque()

    def note(self, now: float, totals: Mapping[str, int]) -> None:
        """Take in the totals as they are now (monotonic clock, s)."""
        self._seen.append((now, totals))
        while len(self._seen) > 2 and now - self._seen[1][0] >= SPAN:
            self._seen.popleft()

    def per_second(self, name: str) -> float:
        """Average growth of one total per second; 0 before there are two looks."""
        if len(self._seen) < 2:
            return 0.0
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return round(max(after.get(name, 0) - before.get(name, 0), 0) / (last - first), 2) if last > first else 0.0


def totals(crew: Crew) -> dict[str, int]:
    """Every counter by name, workers summed."""
    summed = {counter.name: 0 for table in TABLES.values() for counter in table}
    for slot in crew.slots():
        for name, value in slot.values().items():
            summed[name] += value
    del summed["snapshot"]  # numbers that mean nothing added up; ``processes`` has each
    return summed


def refusals(crew: Crew) -> dict[str, int]:
    """Refusals by code, workers summed, most first."""
    summed: dict[str, int] = {}
    for slot in crew.slots():
        for code, number in slot.refusals().items():
            summed[code] = summed.get(code, 0) + number
    return dict(sorted(summed.items(), key=lambda item: -item[1]))


def processes(crew: Crew, started: float) -> list[dict[str, Any]]:
    """The supervisor and every seat.

    Args:
        started: monotonic time the supervisor started, s.
    """
    now = time.monotonic()
    own = {"role": "supervisor", "slot": 0, "pid": os.getpid(), "state": "ready", "uptime_s": round(now - started, 1)}
    rows: list[dict[str, Any]] = [{**own, "restarts": 0, "heartbeat_age_s": 0.0, **figures(os.getpid())}]
    return rows + [_process(crew, seat, now) for seat in crew.seats]


def _process(crew: Crew, seat: Seat, now: float) -> dict[str, Any]:
    child = crew.child(seat)
    state = seat.phase.value
    if child is not None and seat.retired and seat.phase is Phase.READY:
        state = "draining"
    row = {"role": seat.role, "slot": seat.index, "state": state, "restarts": seat.restarts}
    if child is None:
        nobody = {"pid": None, "uptime_s": None, "cpu_s": None, "rss": None, "fds": None, "heartbeat_age_s": None}
        return {**row, **nobody}
    age = round(seat.silence, 1)
    return {
        **row,
        "pid": child.pid,
        "uptime_s": round(now - child.started, 1),
        "heartbeat_age_s": age,
        **({"snapshot": crew.slot(seat).get("snapshot")} if seat.role == "worker" else {}),
        **figures(child.pid),
    }


def status(
    crew: Crew,
    cfg: configuration.Config,
    rings: Sequence[RingFill],
    judged: Health,
    rates: Rates,
    started: float,
    said: Mapping[str, Any],
    room: Room,
) -> dict[str, Any]:
    """The value of ``status`` (docs/control.md lists it), but for what is looked up elsewhere.

    Args:
        started: monotonic time the supervisor started, s.
        said: the flusher's own status, or an empty map when it did not answer.
        room: of the spool.
    """
    everything = totals(crew)
    sink = said.get("sink") or {}
    return {
        "version": __version__,
        "pid": os.getpid(),
        "uptime_s": round(time.monotonic() - started, 1),
        "health": {"alive": True, "ready": judged.ready, "reason": judged.reason},
        "processes": processes(crew, started),
        "rates": {
            "requests_s": rates.per_second("requests"),
            "events_s": rates.per_second("events_accepted"),
            "stored_s": rates.per_second("rows_stored"),
        },
        "totals": everything,
        "rings": [ring.as_dict() for ring in rings],
        "sink": {
            "url": sink.get("url") or masked(cfg.store.url),
            "warning": sink.get("warning", ""),
            "state": sink_state(crew),
            "text": sink.get("text", ""),
            "last_error": sink.get("last_error", ""),
            "since_ms": sink.get("since_ms"),
            "paused": crew.page.paused,
            "hosts": said.get("hosts") or [],
        },
        "oldest_pending_s": _age(everything["oldest_pending_ms"]),
        "refusals": refusals(crew),
        "batches": {
            "confirmed": everything["batches_confirmed"],
            "retried": everything["batches_retried"],
            "doubted": everything["batches_doubted"],
            "open": (said.get("journal") or {}).get("open"),
            "last": said.get("last_batch") or None,
        },
        "window": {
            "ids": everything["window_ids"],
            "span_s": round(everything["window_span_ms"] / 1000, 1),
            "duplicates": everything["duplicates"],
        },
        **_buffers(cfg, rings, rates, said, room, everything["open_since_ms"]),
        "data_dir": cfg.daemon.data_dir,
    }


def _buffers(
    cfg: configuration.Config,
    rings: Sequence[RingFill],
    rates: Rates,
    said: Mapping[str, Any],
    room: Room,
    open_since_ms: int,
) -> dict[str, Any]:
    """The blocks ``spool`` and ``buffer``."""
    bytes_s = rates.per_second("ring_bytes")
    return {
        "spool": {
            "segments": room.segments,
            "bytes": room.used,
            "limit": cfg.spool.max_bytes,
            "free": room.free,
            "oldest_s": _age(open_since_ms) if room.segments else None,
            "text": (said.get("spool") or {}).get("text", ""),
        },
        "buffer": {
            "room": room_in(rings, room.free),
            "bytes_s": bytes_s,
            "full_in_s": full_in(rings, room, bytes_s),
        },
    }


def _age(since_ms: int) -> float | None:
    """Seconds since then; None for 0, which is never."""
    return round(max(time.time() - since_ms / 1000, 0.0), 1) if since_ms else None
