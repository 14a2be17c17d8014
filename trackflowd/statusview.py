"""What is said of the daemon: whether it can deliver, how fast it goes, the value of ``status``.

"Alive" and "can deliver" are different answers. Alive is the supervisor answering at all. Ready is
that an event taken now can reach the store; where not, ``Health.reason`` says why in words.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackflowd import __version__
from trackflowd import config as configuration
from trackflowd.children import figures
from trackflowd.counters import TABLES
from trackflowd.crew import Crew
from trackflowd.fleet import Phase, Seat
from trackflowd.ringview import RingFill
from trackflowd.sink.base import masked

#: Part of a ring that may be used before it counts as full: what is left takes a burst of seconds.
FULL = 0.9
#: Seconds a rate is averaged over: shorter jumps about, longer hides what just happened.
SPAN = 10.0
#: ``sink_state`` of the flusher's counters, in words.
SINK_STATES = ("starting", "ok", "away", "in doubt", "refusing")
_SINK_TEXT = {
    "away": "store away",
    "in doubt": "store: whether it has the last batch is being asked",
    "refusing": "store: refuses what it is sent",
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
    """

    ready: bool
    reason: str


def health(crew: Crew, rings: Sequence[RingFill], stopping: bool, sink_text: str) -> Health:
    """Judge the daemon; the first thing that stands in the way is the reason.

    Args:
        crew: the children.
        rings: as just looked at.
        stopping: a drain has begun.
        sink_text: what the flusher last said about the store, or "".
    """
    if stopping:
        return Health(False, "stopping")
    if not any(seat.phase is Phase.READY for seat in crew.workers):
        return Health(False, "no worker is ready")
    state = sink_state(crew)
    if state in _SINK_TEXT:  # before the flusher's own state: one that finds the store away stays in its start
        return Health(False, _SINK_TEXT[state] + (f": {sink_text}" if sink_text else ""))
    if crew.flusher.phase is not Phase.READY:
        return Health(False, _FLUSHER_TEXT[crew.flusher.phase])
    if state != "ok":
        return Health(False, "store: not opened yet")
    served = {ring.slot for ring in rings if not ring.failed}
    if bare := [ring for ring in rings if ring.failed and ring.slot not in served]:
        return Health(False, f"worker {bare[0].slot} has no ring: the disk refused the last one, no fresh one yet")
    if full := [ring for ring in rings if ring.fill >= FULL]:
        return Health(False, f"ring {full[0].file} is {full[0].fill:.0%} full")
    return Health(True, "")


def sink_state(crew: Crew) -> str:
    """State of the store, as the flusher's counters have it; "starting" while there is no flusher."""
    number = crew.slot(crew.flusher).get("sink_state")
    return SINK_STATES[number] if number < len(SINK_STATES) else "starting"


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
    for seat in crew.seats:
        for name, value in crew.slot(seat).values().items():
            summed[name] += value
    return summed


def refusals(crew: Crew) -> dict[str, int]:
    """Refusals by code, workers summed, most first."""
    summed: dict[str, int] = {}
    for seat in crew.workers:
        for code, number in crew.slot(seat).refusals().items():
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
) -> dict[str, Any]:
    """The value of ``status`` (docs/control.md lists it), but for ``listen`` and ``geo``.

    Args:
        started: monotonic time the supervisor started, s.
        said: the flusher's own status, or an empty map when it did not answer.
    """
    everything = totals(crew)
    oldest = everything["oldest_pending_ms"]
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
            "url": masked(cfg.store.url),
            "state": sink_state(crew),
            "text": sink.get("text", ""),
            "last_error": sink.get("last_error", ""),
        },
        "oldest_pending_s": round(max(time.time() - oldest / 1000, 0.0), 1) if oldest else None,
        "refusals": refusals(crew),
        "batches": {
            "confirmed": everything["batches_confirmed"],
            "retried": everything["batches_retried"],
            "doubted": everything["batches_doubted"],
            "open": (said.get("journal") or {}).get("open"),
            "last": said.get("last_batch") or None,
        },
        "window": {"ids": everything["window_ids"], "span_s": round(everything["window_span_ms"] / 1000, 1)},
        "data_dir": cfg.daemon.data_dir,
    }
