"""What is seen of the daemon during a run: its figures, and how long it takes to recover from each fault."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.faults.client import Client, TrafficFailed
from bench.faults.daemon import Daemon
from bench.faults.events import Events
from bench.faults.result import TOTALS, Times
from trackflowd.errors import TrackflowError

#: Seconds between two looks at status, and between two looks for a probe.
LOOK_EVERY, PROBE_EVERY = 0.5, 0.05


class Watcher(threading.Thread):
    """Looks at ``status`` again and again.

    A killed supervisor takes its counters along, so sums over lives lack what came after the last look.

    Args:
        daemon: to look at.

    Attributes:
        peak_rss, peak_fds: most resident bytes and descriptors of any one process, by role.
        last: the latest status.
    """

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(name="watcher", daemon=True)
        self._daemon = daemon
        self._ended = threading.Event()
        self._lives: dict[int, dict[str, int]] = {}
        self.peak_rss: Counter[str] = Counter()
        self.peak_fds: Counter[str] = Counter()
        self.last: dict[str, Any] = {}

    def run(self) -> None:
        """Look until ended."""
        while not self._ended.wait(LOOK_EVERY):
            if (status := self._daemon.status()) is not None:
                self.note(status)

    def note(self, status: dict[str, Any]) -> None:
        """Take in one status."""
        self.last = status
        life = {name: int(status["totals"].get(name, 0)) for name in TOTALS}
        life["restarts"] = sum(row["restarts"] for row in status["processes"])
        self._lives[status["pid"]] = life
        for row in status["processes"]:
            self.peak_rss[row["role"]] = max(self.peak_rss[row["role"]], row["rss"] or 0)
            self.peak_fds[row["role"]] = max(self.peak_fds[row["role"]], row["fds"] or 0)

    def total(self, name: str) -> int:
        """Sum of a total over all lives."""
        return sum(life.get(name, 0) for life in self._lives.values())

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        if self.is_alive():
            self.join()


@dataclass
class _Probe:
    kind: str
    ended: float
    answered: float | None = None
    stored: float | None = None
    over: threading.Event = field(default_factory=threading.Event)


class Recovery(threading.Thread):
    """After each fault sends one event and waits until it is answered, then until the store has it.

    A fault that begins first ends the waiting: such a recovery is counted as ``overtaken`` and not timed.

    Args:
        daemon: asked for the event.
        client: sends it.
        events: of this run.
    """

    def __init__(self, daemon: Daemon, client: Client, events: Events) -> None:
        super().__init__(name="recovery", daemon=True)
        self._daemon, self._client, self._events = daemon, client, events
        self._wake = threading.Condition()
        self._probe: _Probe | None = None
        self._ended = False
        self.times: dict[str, Times] = {}
        self.overtaken = 0

    def fault_begins(self) -> None:
        """Give up on the recovery under way, if any."""
        with self._wake:
            if self._probe is not None:
                self.overtaken += 0 if self._probe.over.is_set() else 1
                self._probe = None

    def fault_ends(self, kind: str) -> None:
        """Time a recovery from now."""
        with self._wake:
            self._probe = _Probe(kind, time.monotonic())
            self._wake.notify()

    def await_last(self, within: float) -> float | None:
        """Seconds the recovery under way took until stored; None: not within so many."""
        probe = self._probe
        if probe is None or not probe.over.wait(within):
            return None
        return probe.stored

    def run(self) -> None:
        """Time recoveries until ended."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._ended or (self._probe and not self._probe.over.is_set()))
                probe = self._probe
                if self._ended:
                    return
            if probe is not None:
                try:
                    self._time(probe)
                except TrafficFailed:
                    return  # the runner finds out and says so

    def _time(self, probe: _Probe) -> None:
        number = self._send()
        while self._current(probe):
            if probe.answered is None and number in self._client.probes:
                probe.answered = max(self._client.probes[number] - probe.ended, 0.0)
            if probe.answered is not None and self._stored(number):
                probe.stored = time.monotonic() - probe.ended
                break
            time.sleep(PROBE_EVERY)
        with self._wake:
            if probe.answered is not None:
                self.times.setdefault(probe.kind, Times()).longest(probe.answered, probe.stored)
            if probe.stored is not None:
                probe.over.set()

    def _send(self) -> int:
        """Order a probe; its number. The traffic process numbers it: one counter, no collisions."""
        before = self._client.tally.probe_sent
        self._client.order("probe")
        while self._client.tally.probe_sent == before and not self._ended:
            self._client.check()
            time.sleep(PROBE_EVERY / 5)
        return self._client.tally.probe_sent

    def _current(self, probe: _Probe) -> bool:
        return self._probe is probe and not self._ended

    def _stored(self, number: int) -> bool:
        event_id = self._events.id_of(number)
        try:
            answer = self._daemon.query(f"SELECT count(*) AS n FROM events WHERE event_id = '{event_id}'", 3.0)
        except TrackflowError:
            return False
        return answer.split()[-1] != "0"

    def end(self) -> None:
        """Stop."""
        with self._wake:
            self._ended = True
            self._wake.notify()
        if self.is_alive():
            self.join()
