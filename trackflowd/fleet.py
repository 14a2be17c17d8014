"""The restart policy: what is to happen to each child, decided from what is seen of it. No I/O.

A *seat* is a place for a child: one for each worker slot, one for the flusher. It is in one phase,
and ``NEXT`` is every move there is::

              spawned            ready              silent
    WAITING ──────────▶ STARTING ──────▶ READY ◀───────────▶ SILENT
       ▲                   │  │            │       heard      │  │
       │      exited       │  │ stalled    │                  │  │ stalled
       ├───────────────────┘  ▼            │                  │  ▼
       ├──────────────────  KILLED ◀───────┼──────────────────┼──┘
       ├───────────────────────────────────┘──────────────────┘
       └──▶ ENDED   (retired: not to be replaced)

A child that was sent SIGKILL is KILLED until it was reaped, and only a WAITING seat may be filled:
so a ring or the store never has two owners. Listeners belong to workers that are READY; those of
the others are dealt to them (``deal``).
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trackflowd.counters import Role

#: Time (s) without a heartbeat after which a child counts as silent. A worker beats ten times a
#: second and loses its listeners then: a client waits no longer than this for another to take its
#: place. A flusher may be inside one insert for a while.
QUIET: Mapping[Role, float] = {"worker": 2.0, "flusher": 5.0}
#: Time (s) a child may take to start without a heartbeat. A worker allocates its ring (256 MiB on a
#: slow disk); a flusher opens the embedded engine and migrates its tables.
START_PATIENCE: Mapping[Role, float] = {"worker": 60.0, "flusher": 300.0}
#: Waits (s) before a replacement: none the first time, then from the first doubling up to the most.
BACKOFF_FIRST = 0.1
BACKOFF_MOST = 10.0
#: A child that ran so long (s) starts its backoff anew when it ends.
STABLE = 30.0
#: Time (s) after which what is to happen to a seat should have: a look at it, a start that is due, the end of a
#: process that was sent SIGKILL (one that writes to a slow disk ends when that has answered).
STUCK = 30.0


class Phase(enum.Enum):
    """Where a seat stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    KILLED = "killed"
    ENDED = "ended"


class Event(enum.Enum):
    """What moves it."""

    SPAWNED = "spawned"
    READY = "ready"
    SILENT = "silent"
    HEARD = "heard"
    STALLED = "stalled"
    EXITED = "exited"
    RETIRED = "retired"


NEXT: Mapping[tuple[Phase, Event], Phase] = {
    (Phase.WAITING, Event.SPAWNED): Phase.STARTING,
    (Phase.WAITING, Event.RETIRED): Phase.ENDED,
    (Phase.STARTING, Event.READY): Phase.READY,
    (Phase.STARTING, Event.STALLED): Phase.KILLED,
    (Phase.STARTING, Event.EXITED): Phase.WAITING,
    (Phase.READY, Event.SILENT): Phase.SILENT,
    (Phase.READY, Event.EXITED): Phase.WAITING,
    (Phase.SILENT, Event.HEARD): Phase.READY,
    (Phase.SILENT, Event.STALLED): Phase.KILLED,
    (Phase.SILENT, Event.EXITED): Phase.WAITING,
    (Phase.KILLED, Event.EXITED): Phase.WAITING,
}

#: Phases in which the seat has a process.
FILLED = frozenset({Phase.STARTING, Phase.READY, Phase.SILENT, Phase.KILLED})


class Action(enum.Enum):
    """What the caller is to do: start a child in the seat (then call ``spawned``), or SIGKILL it."""

    START = "start"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of a seat's process at one look.

    Args:
        beat: when it last gave a heartbeat, in seconds of the caller's monotonic clock; 0: never.
        up: it says of itself that it has started (ready, or already draining).
        exit: its exit code (negative: signal) once it ended and was reaped; None while it lives.
    """

    beat: float
    up: bool
    exit: int | None = None


class Seat:
    """One child's place and the story of who sat there.

    Args:
        role, index: whose.
        patience: seconds without a heartbeat after which it is killed (``daemon.stall_after``).

    Attributes:
        restarts: how often a child was or is to be replaced.
        failed_starts: how often one ended by itself before any was ready.
    """

    def __init__(self, role: Role, index: int, patience: float) -> None:
        self.role = role
        self.index = index
        self.phase = Phase.WAITING
        self.restarts = 0
        self.failed_starts = 0
        self.due = 0.0
        self.retired = False
        self.was_ready = False
        self.silence = 0.0
        self._patience = patience
        self._failures = 0
        self._began = 0.0
        self._heard = 0.0  # silence is counted from here on at the earliest
        self._looked = 0.0
        self._killed = 0.0

    @property
    def name(self) -> str:
        """As people read it: "worker 0", "flusher"."""
        return f"worker {self.index}" if self.role == "worker" else self.role

    def spawned(self, now: float) -> None:
        """A child was started in this seat."""
        self._move(Event.SPAWNED)
        self._began = self._heard = self._looked = now

    def retire(self) -> None:
        """Do not replace this child any more.

        A worker's seat ends with its process. The flusher's ends with exit code 0 only (it has
        stored everything): until then it is replaced, because the rings may hold events.
        """
        self.retired = True
        if self.phase is Phase.WAITING and self.role == "worker":
            self._move(Event.RETIRED)

    def take_back(self) -> None:
        """Undo ``retire`` of a worker whose process has not ended: it is to be replaced again once it has."""
        self.retired = False

    def look(self, now: float, sight: Sight | None) -> Action | None:
        """Take in what is seen now and say what is to be done.

        Args:
            now: the caller's monotonic clock, s.
            sight: of its process; None where there is none (the seat is WAITING or ENDED).
        """
        if sight is None:
            return Action.START if self.phase is Phase.WAITING and now >= self.due else None
        if sight.exit is not None:
            self._exited(now, sight.exit)
            return None
        if now - self._looked > QUIET[self.role]:
            # We ourselves did not run (stopped, frozen, starved): so silence may be ours. Start over.
            self._heard = now
        self._looked = now
        self.silence = now - max(sight.beat, self._heard)
        return self._listen(sight.up)

    def _listen(self, up: bool) -> Action | None:
        if self.phase is Phase.STARTING and up:
            self._move(Event.READY)
        silent = self.silence > QUIET[self.role]
        if self.phase is Phase.READY and silent:
            self._move(Event.SILENT)
        elif self.phase is Phase.SILENT and not silent:
            self._move(Event.HEARD)
        patience = self._patience
        if self.phase is Phase.STARTING:
            patience = max(patience, START_PATIENCE[self.role])
        if self.phase in (Phase.STARTING, Phase.SILENT) and self.silence > patience:
            self._killed = self._looked
            self._move(Event.STALLED)
            return Action.KILL
        return None

    def stuck(self, now: float) -> bool:
        """Whether neither the child's work nor its replacement goes on: the policy is not followed, or of no help."""
        if self.phase is Phase.WAITING:
            return now - self.due > STUCK
        if self.phase is Phase.KILLED:
            return now - self._killed > STUCK
        return self.phase in FILLED and now - self._looked > STUCK

    def _exited(self, now: float, code: int) -> None:
        if now - self._began >= STABLE:
            self._failures = 0
        self._move(Event.EXITED)
        self.silence = 0.0
        self.due = now + backoff(self._failures)
        self._failures += 1
        if code != -signal.SIGKILL and not self.was_ready:
            self.failed_starts += 1  # SIGKILL is somebody else's will and says nothing of the start
        if self.retired and (self.role == "worker" or code == 0):
            self._move(Event.RETIRED)
        else:
            self.restarts += 1

    def _move(self, event: Event) -> None:
        self.phase = NEXT[self.phase, event]
        self.was_ready = self.was_ready or self.phase is Phase.READY


def backoff(failures: int) -> float:
    """Seconds to wait before a replacement, after so many failures before this one in a row."""
    return 0.0 if failures == 0 else min(BACKOFF_FIRST * 2.0 ** min(failures - 1, 30), BACKOFF_MOST)


def deal(current: Sequence[int | None], workers: int, serving: Sequence[int]) -> list[int | None]:
    """Who serves each listener.

    Listener i is at home with worker ``i % workers``. One whose home does not serve stays where it
    is if that worker serves, else goes to the worker with the fewest; home takes it back when it
    serves again. Nothing else moves: a listener that changes hands costs its clients a tick.

    Args:
        current: worker that has each listener now, or None.
        workers: number of worker slots.
        serving: slots that are ready, without repeats.

    Returns:
        One entry per listener; all None when nobody serves.
    """
    if not serving:
        return [None] * len(current)
    dealt = [i % workers if i % workers in serving else None for i in range(len(current))]
    load = {slot: dealt.count(slot) for slot in serving}
    for i, holder in enumerate(current):
        if dealt[i] is None and holder in load:
            dealt[i] = holder
            load[holder] += 1
    for i, holder in enumerate(dealt):
        if holder is None:
            slot = min(load, key=lambda each: (load[each], each))
            dealt[i] = slot
            load[slot] += 1
    return dealt
