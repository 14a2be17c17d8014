"""How long requests take: quantiles over the last seconds, from the histograms the workers keep."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from trackflowd.counters import REQUEST
from trackflowd.crew import Crew
from trackflowd.histogram import Histogram, quantile
from trackflowd.statusview import SPAN

_BOUNDS = REQUEST.bounds


def summed(crew: Crew, histogram: Histogram) -> list[int]:
    """Figures of a histogram (see ``Tally.words``), of every child that keeps it together."""
    flusher, *workers = crew.slots()
    total = [0] * histogram.words
    for slot in workers if histogram is REQUEST else [flusher]:
        total = [one + other for one, other in zip(total, slot.histogram(histogram), strict=True)]
    return total


class Latency:
    """Requests of the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Sequence[int]]] = deque()

    def note(self, now: float, figures: Sequence[int]) -> None:
        """Take in the histogram ``REQUEST`` as it is now (monotonic clock, s)."""
        self._seen.append((now, figures))
        while len(self._seen) > 2 and now - self._seen[1][0] >= SPAN:
            self._seen.popleft()

    def quantiles(self, seconds: float = SPAN) -> dict[str, float | None]:
        """The block ``latency`` of status.

        Args:
            seconds: over which; the last ``SPAN`` are known.

        Returns:
            ``p50_ms`` and ``p99_ms``; None each: nothing was answered in that time.
        """
        if len(self._seen) < 2:
            return {"p50_ms": None, "p99_ms": None}
        last, after = self._seen[-1]
        before = next(figures for at, figures in reversed(self._seen) if last - at >= seconds or at == self._seen[0][0])
        counts = [max(new - old, 0) for new, old in zip(after[:-1], before[:-1], strict=True)]
        return {"p50_ms": _ms(quantile(_BOUNDS, counts, 0.5)), "p99_ms": _ms(quantile(_BOUNDS, counts, 0.99))}


def _ms(ns: float | None) -> float | None:
    return None if ns is None else round(ns / 1e6, 3)
