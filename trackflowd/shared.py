"""The shared page: counters, heartbeats and who serves what, in memory all processes map.

A memfd made by the supervisor and inherited by its children. Everything in it is a native 8-byte
word written by one process only, through ``memoryview.cast("Q")``: such a store is one machine
instruction, so a reader sees the old value or the new one, never half of each (``struct.pack_into``
zeroes its target first). Nothing in here is needed to keep a promise: the page dies with the
supervisor, the rings do not.

Layout, in words of 8 bytes; a *line* is 16 words (128 bytes: two cache lines, because CPUs fetch
neighbours in pairs), so that no two writers share one::

    line 0      magic | counters.SIGNATURE | workers | listeners                   supervisor
    line 1      generation of the snapshot | 1: nothing is to be sent to the store   supervisor
    line 2-5    owner of listener 0 … 63: worker slot + 1, or 0 for nobody         supervisor
    then        64 worker slots, one flusher slot, each:
      line 0      heartbeat | pid | started | state                                the child
      line 1-…    counters in table order, then (workers) refusals in table order,
                  events of other sites and of each of ``metrics.sites``; histograms  the child
"""

from __future__ import annotations

import enum
import fcntl
import mmap
import os
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from trackflowd.counters import HISTOGRAMS, MAX_SITES, REFUSALS, SIGNATURE, TABLES, Role
from trackflowd.errors import TrackflowError
from trackflowd.histogram import Histogram

#: Most worker slots and most listeners; more cores than this are served by 64 workers.
MAX_WORKERS = 64
MAX_LISTENERS = 64

_LINE = 16  # words
_MAGIC = int.from_bytes(b"TFPAGE01", "little")
_WORKERS, _LISTENERS = 2, 3
_GENERATION, _PAUSED = _LINE, _LINE + 1
_OWNERS = 2 * _LINE
_SLOTS = _OWNERS + MAX_LISTENERS
_HEARTBEAT, _PID, _STARTED, _STATE = range(4)


def _words_of(role: Role) -> int:
    """Words a role's slot needs behind its first line."""
    own = len(REFUSALS) + 1 + MAX_SITES if role == "worker" else 0
    return len(TABLES[role]) + own + sum(histogram.words for histogram in HISTOGRAMS[role])


_SLOT_WORDS = _LINE + -(-max(map(_words_of, TABLES)) // _LINE) * _LINE
_SIZE = 8 * (_SLOTS + (MAX_WORKERS + 1) * _SLOT_WORDS)


class State(enum.IntEnum):
    """What a child is doing."""

    EMPTY = 0
    STARTING = 1
    READY = 2
    DRAINING = 3
    DRAINED = 4


class Slot:
    """One process's part of the page. Its process writes, everybody reads.

    Values are unsigned 64-bit; anything else raises ValueError.
    """

    def __init__(self, words: memoryview[int], first: int, role: Role) -> None:
        self._words = words
        self._first = first
        table = TABLES[role]
        base = first + _LINE
        self._place = {counter.name: base + i for i, counter in enumerate(table)}
        self._gauges = [self._place[c.name] for c in table if c.kind == "gauge"]
        codes = REFUSALS if role == "worker" else ()
        self._refusal = {code: base + len(table) + i for i, code in enumerate(codes)}
        self._sites = base + len(table) + len(codes)
        place = self._sites + (1 + MAX_SITES if role == "worker" else 0)
        self._histograms: dict[str, int] = {}
        for histogram in HISTOGRAMS[role]:
            self._histograms[histogram.name] = place
            place += histogram.words

    def begin(self) -> None:
        """Take the slot for this process: pid, start time, STARTING, gauges to 0, first heartbeat.

        Counts go on from where the process before left them, so totals never fall at a restart.
        """
        self.beat()
        for place in self._gauges:
            self._words[place] = 0
        self._words[self._first + _STARTED] = time.monotonic_ns()
        self._words[self._first + _STATE] = State.STARTING
        self._words[self._first + _PID] = os.getpid()

    def clear(self) -> None:
        """Mark the slot as nobody's (supervisor, after the process was reaped). Counts stay."""
        self._words[self._first + _PID] = 0
        self._words[self._first + _STATE] = State.EMPTY
        self._words[self._first + _HEARTBEAT] = 0
        for place in self._gauges:
            self._words[place] = 0

    def beat(self) -> None:
        """Say "still going": now into the heartbeat."""
        self._words[self._first + _HEARTBEAT] = time.monotonic_ns()

    @property
    def heartbeat(self) -> int:
        """Last ``beat()``, in ns of time.monotonic_ns (one clock for all processes); 0: never."""
        return self._words[self._first + _HEARTBEAT]

    @property
    def pid(self) -> int:
        """Process id of the owner; 0: nobody."""
        return self._words[self._first + _PID]

    @property
    def started(self) -> int:
        """When the owner began, in ns of time.monotonic_ns."""
        return self._words[self._first + _STARTED]

    @property
    def state(self) -> State:
        """What the owner is doing."""
        return State(self._words[self._first + _STATE])

    @state.setter
    def state(self, state: State) -> None:
        self._words[self._first + _STATE] = state

    def add(self, name: str, n: int = 1) -> None:
        """Counter name plus n."""
        self._words[self._place[name]] += n

    def set(self, name: str, value: int) -> None:
        """Counter name to value."""
        self._words[self._place[name]] = value

    def get(self, name: str) -> int:
        """Value of counter name."""
        return self._words[self._place[name]]

    def publish(self, values: Mapping[str, int]) -> None:
        """Set several counters: what a hot path that counts in its own ints does once a tick.

        Take the first values from ``values()`` after ``begin()``, so that totals go on.
        """
        words, place = self._words, self._place
        for name, value in values.items():
            words[place[name]] = value

    def values(self) -> dict[str, int]:
        """All counters by name."""
        return {name: self._words[place] for name, place in self._place.items()}

    def refuse(self, code: str, n: int = 1) -> None:
        """Count n refusals with this code (one of ``counters.REFUSALS``; else KeyError)."""
        self._words[self._refusal[code]] += n

    def refusals(self) -> dict[str, int]:
        """Refusals by code, those that happened."""
        counted = {code: self._words[place] for code, place in self._refusal.items()}
        return {code: n for code, n in counted.items() if n}

    def publish_sites(self, counts: Sequence[int]) -> None:
        """Set how many events there were of other sites and, after that, of each of ``metrics.sites``."""
        for place, count in enumerate(counts, self._sites):
            self._words[place] = count

    def sites(self, count: int) -> list[int]:
        """What ``publish_sites`` has set, of count sites and the others."""
        return list(self._words[self._sites : self._sites + 1 + count])

    def histogram(self, histogram: Histogram) -> list[int]:
        """Figures of a histogram (see ``Tally.words``); of another role's it is a KeyError."""
        place = self._histograms[histogram.name]
        return list(self._words[place : place + histogram.words])

    def publish_histogram(self, histogram: Histogram, words: Sequence[int]) -> None:
        """Set them all: for a hot path that counts in its own ints."""
        for place, word in enumerate(words, self._histograms[histogram.name]):
            self._words[place] = word

    def observe(self, histogram: Histogram, ns: int) -> None:
        """Count one that took ns nanoseconds: for what happens a few times a second."""
        place = self._histograms[histogram.name]
        self._words[place + bisect_left(histogram.bounds, ns)] += 1
        self._words[place + histogram.words - 1] += ns


class Owners:
    """Which worker slot serves each listener. Written by the supervisor only."""

    def __init__(self, words: memoryview[int], count: int) -> None:
        self._words = words
        self._count = count

    def __len__(self) -> int:
        return self._count

    def _at(self, listener: int) -> int:
        if not 0 <= listener < self._count:
            raise IndexError(listener)
        return _OWNERS + listener

    def __getitem__(self, listener: int) -> int | None:
        """Slot that serves listener; None: nobody."""
        word = self._words[self._at(listener)]
        return word - 1 if word else None

    def __setitem__(self, listener: int, slot: int | None) -> None:
        self._words[self._at(listener)] = 0 if slot is None else slot + 1

    def served_by(self, slot: int) -> list[int]:
        """Listeners that slot is to serve, in order."""
        return [i for i in range(self._count) if self._words[_OWNERS + i] == slot + 1]


class Page:
    """The mapped page. Make one with ``create`` (supervisor) or ``attach`` (child)."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _SIZE)
        self._words = memoryview(self._map).cast("Q")
        self._slots: dict[tuple[Role, int], Slot] = {}

    @classmethod
    def create(cls, workers: int, listeners: int) -> tuple[Page, int]:
        """A new page, all zero, and the fd to hand to children (close-on-exec until passed on).

        Args:
            workers: configured number of workers, 1-64.
            listeners: number of listening sockets, 1-64.

        Raises:
            ValueError: out of those bounds.
        """
        if not 1 <= workers <= MAX_WORKERS or not 1 <= listeners <= MAX_LISTENERS:
            raise ValueError(f"{workers} workers, {listeners} listeners: 1 to {MAX_WORKERS} of each")
        fd = os.memfd_create("trackflowd-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _SIZE)
        # Sealed: a child gone wrong cannot shrink it, which would kill the others with SIGBUS.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        page = cls(fd)
        page._words[1] = SIGNATURE
        page._words[_WORKERS] = workers
        page._words[_LISTENERS] = listeners
        page._words[0] = _MAGIC
        return page, fd

    @classmethod
    def attach(cls, fd: int) -> Page:
        """The page behind an inherited fd; the fd may be closed afterwards.

        Raises:
            TrackflowError: not a page, or one of another version of this program.
        """
        try:
            fits = os.fstat(fd).st_size == _SIZE
        except OSError as error:
            raise TrackflowError(f"shared page: fd {fd} cannot be used: {error.strerror}") from error
        page = cls(fd) if fits else None
        if page is None or page._words[0] != _MAGIC or page._words[1] != SIGNATURE:
            raise TrackflowError(
                f"fd {fd} is not the shared page of this version of trackflowd",
                "restart the daemon as a whole after an upgrade",
            )
        return page

    @property
    def workers(self) -> int:
        """Configured number of workers (slots 0 … workers-1 are meant to be filled)."""
        return self._words[_WORKERS]

    @workers.setter
    def workers(self, count: int) -> None:
        if not 1 <= count <= MAX_WORKERS:
            raise ValueError(f"{count} workers: 1 to {MAX_WORKERS}")
        self._words[_WORKERS] = count

    @property
    def generation(self) -> int:
        """Number of the snapshot to read; a change means: read it again."""
        return self._words[_GENERATION]

    @generation.setter
    def generation(self, generation: int) -> None:
        self._words[_GENERATION] = generation

    @property
    def paused(self) -> bool:
        """Whether the flusher is to send nothing to the store. Here, so that it holds for the next flusher too."""
        return bool(self._words[_PAUSED])

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._words[_PAUSED] = paused

    @property
    def owners(self) -> Owners:
        """Who serves which listener."""
        return Owners(self._words, self._words[_LISTENERS])

    def slot(self, role: Role, index: int = 0) -> Slot:
        """Slot of a process; the same object each time.

        Raises:
            IndexError: no such slot.
        """
        if not 0 <= index < (MAX_WORKERS if role == "worker" else 1):
            raise IndexError(f"{role} {index}")
        key = (role, index)
        if key not in self._slots:
            number = index if role == "worker" else MAX_WORKERS
            self._slots[key] = Slot(self._words, _SLOTS + number * _SLOT_WORDS, role)
        return self._slots[key]

    def close(self) -> None:
        """Unmap. Slots of this page must not be used afterwards."""
        self._slots.clear()
        self._words.release()
        self._map.close()
