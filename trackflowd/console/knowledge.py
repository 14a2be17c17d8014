"""What the console knows of the daemon: its last status, what came before, and whether it is there at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackflowd.console.history import History
from trackflowd.errors import TrackflowError

Status = Mapping[str, Any]

#: Seconds without a status after which the daemon counts as silent, at least, and in statuses that did not come: a
#: busy machine may miss two.
SILENT, MISSED = 3.5, 2.5
#: Seconds over which refusals are said to be recent.
RECENT = 60.0
#: Batches whose sizes are remembered.
BATCHES = 400


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was stored."""

    at_ms: int
    rows: int
    ms: float


def dig(value: Any, *keys: str) -> Any:
    """What is found in maps in maps; None where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


class Knowledge:
    """See above; for one thread.

    Args:
        every: seconds between two statuses.

    Attributes:
        status: the last one; empty before the first.
        history: of rates and latencies.
        batches: the last ones that were seen, newest last.
        version: of the daemon.
        told: why it is away, as the connection said; None while it is there.
        away_since: wall clock, s; 0: it is there.
    """

    def __init__(self, every: float = 1.0) -> None:
        self.every = every
        self.status: Status = {}
        self.history = History()
        self.batches: deque[Batch] = deque(maxlen=BATCHES)
        self.version = ""
        self.told: TrackflowError | None = None
        self.away_since = 0.0
        self._came = 0.0
        self._refusals: deque[tuple[float, Mapping[str, int]]] = deque()
        self._cpu: dict[int, tuple[float, float]] = {}
        self._shares: dict[int, float] = {}

    def take(self, status: Status, now: float) -> None:
        """A status has come.

        Args:
            now: wall clock, s.
        """
        if self.status and status.get("pid") != self.status.get("pid"):
            self._refusals.clear()
        self.status = status
        self._came = now
        self.told, self.away_since = None, 0.0
        self.history.take(status, now)
        self._note_refusals(now)
        self._note_batch()
        self._note_cpu(now)

    def lose(self, error: TrackflowError, now: float) -> None:
        """The connection is gone, or could not be made."""
        self.told = error
        self.away_since = self.away_since or now
        self.history.break_off()

    def silent_for(self, now: float) -> float:
        """Seconds since the last status where that is worth a word, else 0."""
        age = now - self._came
        return age if self.status and age > max(SILENT, self.every * MISSED) else 0.0

    # ---------------------------------------------------------------- derived

    def recent_refusals(self) -> dict[str, int]:
        """Refusals by code of the last minute."""
        if not self._refusals:
            return {}
        before, last = self._refusals[0][1], self._refusals[-1][1]
        return {code: grown for code, number in last.items() if (grown := number - before.get(code, 0)) > 0}

    def cpu_share(self, process: Mapping[str, Any]) -> float | None:
        """Of one core; as the daemon says, or else as seen between the last two statuses; None: not known."""
        told = process.get("cpu_share")
        if told is not None:
            return float(told)
        return self._shares.get(process.get("pid") or 0)

    def paused(self) -> bool:
        """Whether an operator holds back delivery to the store."""
        return bool(dig(self.status, "sink", "paused"))

    def alerts(self) -> Sequence[Mapping[str, Any]] | None:
        """The daemon's alerts, worst first; None: it does not list them."""
        told = self.status.get("alerts")
        return told if isinstance(told, list) else None

    def _note_refusals(self, now: float) -> None:
        self._refusals.append((now, dict(self.status.get("refusals") or {})))
        while now - self._refusals[0][0] > RECENT:
            self._refusals.popleft()

    def _note_batch(self) -> None:
        last = dig(self.status, "batches", "last")
        if not last or not last.get("at_ms"):
            return
        if not self.batches or self.batches[-1].at_ms != last["at_ms"]:
            self.batches.append(Batch(int(last["at_ms"]), int(last.get("rows") or 0), float(last.get("ms") or 0)))

    def _note_cpu(self, now: float) -> None:
        seen: dict[int, tuple[float, float]] = {}
        for process in self.status.get("processes") or ():
            pid, used = process.get("pid"), process.get("cpu_s")
            if not pid or used is None:
                continue
            seen[pid] = (now, float(used))
            if (before := self._cpu.get(pid)) and now > before[0]:
                self._shares[pid] = max(float(used) - before[1], 0.0) / (now - before[0])
        self._cpu = seen
        self._shares = {pid: share for pid, share in self._shares.items() if pid in seen}
