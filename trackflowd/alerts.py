"""What is worth waking somebody for: figures in, alerts out. No I/O and no clock of its own.

Each rule (``alertrules.RULES``) judges the figures of one look, about once a second. What it finds has to hold for
``after`` seconds before its alert begins, and has to be gone for ``LINGER`` before that ends: so what flickers is
one alert.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from trackflowd.ringview import RingFill

Severity = Literal["warning", "critical"]

#: Seconds for which what an alert is about must be gone before it has ended.
LINGER = 5.0
#: Seconds for which what is a moment and no state (a damaged record, lost bytes) is told of.
TOLD_FOR = 3600.0
#: The same of a clock that jumped.
JUMP_TOLD_FOR = 600.0
#: Seconds the wall clock may move beside the other one between two looks. Time daemons step above 0.128 s.
JUMP = 2.0
#: Restarts of one child within so many seconds that are a loop.
LOOP_RESTARTS, LOOP_SECONDS = 3, 300.0


class Child(NamedTuple):
    """A child at one look: "worker 0", "worker" or "flusher", its phase in a word, how often it was replaced."""

    name: str
    role: str
    phase: str
    restarts: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of the daemon at one look.

    Args:
        at_ms: wall clock, ms since 1970 UTC.
        now: monotonic clock, s.
        children: all of them.
        counts: counters by name, workers summed (``counters``).
        rings: as just looked at.
        store: its state, one of ``statusview.SINK_STATES``.
        store_text, store_since_ms: what the flusher says of it; since when, 0: not known.
        spool_used, spool_free: bytes.
        spool_text: why nothing goes there although it should, or "".
        full_in_s: seconds until rings and spool are full if the store takes nothing; None: not in sight.
        disk_free, disk_total: bytes of the data directory's disk; total 0: not looked at yet.
        disk_days: days until the store's disk is full as it grows; None: not in sight.
        quarantine_files, quarantine_rows: what lies there.
        geo_built: when the geo database was made, s since 1970; None: there is none.
        max_age: ``batch.max_age``.
        paused: nothing is sent, on request.
        tls_error: why certificates that have changed are not in use, or "".
        tls_ends: when the first of those in use ends, s since 1970; None: there are none.
    """

    at_ms: int
    now: float
    children: Sequence[Child] = ()
    counts: Mapping[str, int] | None = None
    rings: Sequence[RingFill] = ()
    store: str = "ok"
    store_text: str = ""
    store_since_ms: int = 0
    spool_used: int = 0
    spool_free: int = 0
    spool_text: str = ""
    full_in_s: float | None = None
    disk_free: int = 0
    disk_total: int = 0
    disk_days: float | None = None
    quarantine_files: int = 0
    quarantine_rows: int = 0
    geo_built: int | None = None
    max_age: float = 1.0
    paused: bool = False
    tls_error: str = ""
    tls_ends: int | None = None


class Finding(NamedTuple):
    """What a rule has found: how bad, in words, and what to do."""

    severity: Severity
    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that has begun and not ended.

    Args:
        name: of its rule.
        severity: how bad it is now.
        since_ms: when it was first found, ms since 1970 UTC.
        text, hint: what it is now, and what to do.
    """

    name: str
    severity: Severity
    since_ms: int
    text: str
    hint: str

    def as_dict(self) -> dict[str, Any]:
        """For status."""
        return {
            "name": self.name, "severity": self.severity, "since_ms": self.since_ms,
            "text": self.text, "hint": self.hint,
        }  # fmt: skip


class Past:
    """What rules know beside the figures of one look: what has grown, restarted or jumped lately."""

    def __init__(self) -> None:
        self.figures = Figures(0, 0.0)
        self.jump = 0.0
        self._jumped = float("-inf")
        self._offset: float | None = None
        self._grown: dict[str, tuple[float, int]] = {}
        self._last: Mapping[str, int] = {}
        self._restarts: dict[str, tuple[int, deque[float]]] = {}

    def note(self, figures: Figures) -> None:
        """Take in a look."""
        self.figures, now = figures, figures.now
        counts = figures.counts or {}
        for name, count in counts.items():
            if (more := count - self._last.get(name, 0)) > 0:
                at, before = self._grown.get(name, (now, 0))
                self._grown[name] = now, more + (before if now - at < TOLD_FOR else 0)
        self._last = counts
        offset = figures.at_ms / 1000 - now
        if self._offset is not None and abs(offset - self._offset) > JUMP:
            self.jump, self._jumped = offset - self._offset, now
        self._offset = offset
        for child in figures.children:
            before, times = self._restarts.setdefault(child.name, (0, deque()))
            times.extend([now] * (child.restarts - before))
            while times and now - times[0] > LOOP_SECONDS:
                times.popleft()
            self._restarts[child.name] = child.restarts, times

    def grown(self, name: str, within: float = TOLD_FOR) -> int:
        """By how much a counter has grown, if the last time was within so many seconds; else 0."""
        at, more = self._grown.get(name, (0.0, 0))
        return more if self.figures.now - at <= within else 0

    @property
    def jumped(self) -> bool:
        """The wall clock has jumped lately."""
        return self.figures.now - self._jumped <= JUMP_TOLD_FOR

    def loops(self) -> list[tuple[str, int]]:
        """Children that are restarted in a loop, and how often they were."""
        return [(name, len(times)) for name, (_, times) in self._restarts.items() if len(times) >= LOOP_RESTARTS]

    def lasts(self, since_ms: int) -> float:
        """Seconds since then."""
        return max(self.figures.at_ms - since_ms, 0) / 1000


Judge = Callable[[Past], Finding | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Args:
        name: of the alert.
        after: seconds what it finds has to hold before the alert begins.
        judge: looks.
    """

    name: str
    after: float
    judge: Judge


class Change(NamedTuple):
    """What has become of an alert: it began, got worse (a warning is critical now) or ended."""

    what: Literal["begin", "worse", "end"]
    alert: Alert


@dataclass(slots=True)
class _Course:
    """A rule's way: since when it finds something (None: it does not), when it last did (monotonic, s)."""

    since: float | None = None
    since_ms: int = 0
    found: float = 0.0
    alert: Alert | None = None


class Watch:
    """Keeps the alerts from look to look.

    Args:
        rules: by which it is judged.

    Attributes:
        alerts: those that are on, worst first, then oldest first.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.alerts: list[Alert] = []
        self._past = Past()
        self._courses = [(rule, _Course()) for rule in rules]

    def note(self, figures: Figures) -> list[Change]:
        """Judge a look; what changed by it."""
        self._past.note(figures)
        changes: list[Change] = []
        for rule, course in self._courses:
            before = course.alert
            self._follow(rule, course, figures)
            now = course.alert
            if now is None:
                changes += [Change("end", before)] if before else []
            elif before is None:
                changes.append(Change("begin", now))
            elif now.severity == "critical" != before.severity:
                changes.append(Change("worse", now))
        on = [course.alert for _, course in self._courses if course.alert is not None]
        self.alerts = sorted(on, key=lambda alert: (alert.severity != "critical", alert.since_ms))
        return changes

    def _follow(self, rule: Rule, course: _Course, figures: Figures) -> None:
        finding = rule.judge(self._past)
        if finding is None:
            if figures.now - course.found >= LINGER:
                course.since = course.alert = None
            return
        if course.since is None:
            course.since, course.since_ms = figures.now, figures.at_ms
        course.found = figures.now
        if course.alert is not None:
            course.alert = replace(course.alert, severity=finding.severity, text=finding.text, hint=finding.hint)
        elif figures.now - course.since >= rule.after:
            course.alert = Alert(rule.name, finding.severity, course.since_ms, finding.text, finding.hint)
