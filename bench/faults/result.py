"""What a run found, and whether the promise was kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.faults.oracle import Findings
from bench.faults.traffic import Tally

#: Seconds after the last fault within which a fresh event must be stored (I5).
FRESH_WITHIN = 10.0

#: Totals that are added up over the daemon's lives; restarts are those of its children.
TOTALS = (
    "batches_confirmed", "batches_retried", "batches_doubted", "duplicates", "records_quarantined", "ring_full",
    "restarts",
)  # fmt: skip


@dataclass
class Times:
    """Seconds from the end of a fault, the longest of a kind; None: not seen yet."""

    answered: float | None = None
    stored: float | None = None

    def longest(self, answered: float | None, stored: float | None) -> None:
        """Take in one recovery."""
        self.answered = max(self.answered or 0.0, answered) if answered is not None else self.answered
        self.stored = max(self.stored or 0.0, stored) if stored is not None else self.stored


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Args:
        store: url.
        store_command: starts it; "": it runs already, or is embedded.
        disk: bytes of the disk that is filled; 0: none.
        kinds: names of the faults that may strike.
        work: directory of this run, there and empty.
        keep: its data is wanted whatever comes out.
    """

    seconds: float
    seed: int
    store: str
    store_command: str
    daemon_command: str
    connections: int
    rate: float
    workers: int
    sets: Mapping[str, str]
    disk: int
    kinds: Sequence[str]
    work: Path
    keep: bool = False


@dataclass
class Account:
    """The counters of a life without faults, from the daemon and, answered, from outside."""

    answered: int = 0
    received: int = 0
    stored: int = 0
    duplicates: int = 0
    pending: int = 0
    spooled: int = 0
    quarantined: int = 0

    @property
    def holds(self) -> bool:
        """answered = received = stored + duplicates + pending + spooled + quarantined."""
        there = self.stored + self.duplicates + self.pending + self.spooled + self.quarantined
        return self.answered == self.received == there


@dataclass
class Result:
    """What a run found.

    Attributes:
        planned, injected: how many of each kind.
        missed: kinds whose injection raised, with the text.
        skipped: kinds that do not apply, with why.
        fresh_s: from the end of the last fault until an event sent after it was stored; None: not within
            ``FRESH_PATIENCE``.
        settled: everything sent again was answered within ``SETTLE_WITHIN``.
        flushed: what was answered was stored within ``FLUSH_WITHIN``, as the daemon says.
        unexpected: ends of the daemon that nobody made.
    """

    options: Options
    run: str
    took_s: float = 0.0
    planned: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    spoilt: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    recovery: dict[str, Times] = field(default_factory=dict)
    overtaken: int = 0
    fresh_s: float | None = None
    settled: bool = False
    flushed: bool = False
    lives: int = 0
    unexpected: list[str] = field(default_factory=list)
    account: Account = field(default_factory=Account)
    tally: Tally = field(default_factory=Tally)
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOTALS, 0))
    peak_rss: dict[str, int] = field(default_factory=dict)
    peak_fds: dict[str, int] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)


def broken(result: Result) -> list[str]:
    """What of the promise was broken, a line each; none: it was kept."""
    found = result.findings
    wrong = [
        (found.lost, f"I1: {found.lost} events answered 2xx are not in the store"),
        (found.doubled, f"I2: {found.doubled} events are in the store more than once"),
        (found.altered, f"I3: {found.altered} rows differ from what was sent"),
        (found.unknown, f"I4: {found.unknown} rows that nobody sent"),
        (
            result.fresh_s is None or result.fresh_s > FRESH_WITHIN,
            f"I5: an event sent after the last fault was stored after {seconds(result.fresh_s)},"
            f" not within {FRESH_WITHIN:g} s",
        ),
        (bool(result.tally.other), f"I6: answers that are neither 2xx nor 503: {pairs(result.tally.other)}"),
        (not result.settled, "I6: requests sent again and again were not answered after the faults"),
        (not result.flushed, "I5: the rings were not empty after the faults"),
        (not result.account.holds, f"I8: counters do not add up: {pairs(asdict(result.account))}"),
    ]
    return [text for is_so, text in wrong if is_so] + [
        f"the daemon {text}" + (f" ({times} times)" if times > 1 else "")
        for text, times in Counter(result.unexpected).items()
    ]


def seconds(value: float | None, never: str = "never") -> str:
    """A time for people."""
    return never if value is None else f"{value:.1f} s"


def pairs(values: Mapping[str, object]) -> str:
    """Names and values for people."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
