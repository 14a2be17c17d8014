"""Histograms with fixed bounds: how long something took, kept as counts.

Bounds are Renard's series R10 (ISO 3): ten to a decade, each about a quarter above the one before, all
of them short decimals. A quantile read from them is at most that far off, and 1, 2.5 and 5 of every decade
are among them, which is what is shown to Prometheus (``le``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_R10 = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800)
_SHOWN = (100, 250, 500)


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram.

    Args:
        name: key in the shared page; metrics and docs use it, too.
        meaning: one line for people.
        first: lowest bound, in ns: 10^n.
        decades: how many decades there are bounds for.
    """

    name: str
    meaning: str
    first: int
    decades: int

    @property
    def bounds(self) -> tuple[int, ...]:
        """Upper bounds of its buckets (inclusive), in ns; one bucket more has what is above the last."""
        return (*self._series(_R10), self.first * 10**self.decades)

    @property
    def shown(self) -> tuple[int, ...]:
        """Those of ``bounds`` that Prometheus is shown."""
        return (*self._series(_SHOWN), self.first * 10**self.decades)

    def _series(self, steps: Sequence[int]) -> list[int]:
        return [self.first * 10**decade * step // 100 for decade in range(self.decades) for step in steps]

    @property
    def words(self) -> int:
        """Figures it consists of: a count for each bucket, and the sum in ns."""
        return 10 * self.decades + 3


#: What a hot path counts in: how many took so many grains, of 2^``GRAIN`` ns (4 µs). Adding one costs it 0.1 µs with
#: the clock, finding its bucket would cost 0.1 more; many of a tick share a grain, and its bucket is found once.
Grains = defaultdict[int, int]
GRAIN: Final = 12
#: Grains whose bucket is found beforehand: up to 4 ms, where nearly all requests are.
_NEAR = 1024


class Tally:
    """The figures of a histogram, in the process that measures.

    Args:
        histogram: whose.
        words: figures to go on from, as many as it has.
    """

    def __init__(self, histogram: Histogram, words: Sequence[int] = ()) -> None:
        self._bounds = histogram.bounds
        self._near = [bisect_left(self._bounds, _middle(grain)) for grain in range(_NEAR)]
        self.words = list(words) or [0] * histogram.words

    def note(self, ns: int, number: int = 1) -> None:
        """So many took ns nanoseconds each."""
        self.words[bisect_left(self._bounds, ns)] += number
        self.words[-1] += ns * number

    def take(self, grains: Grains) -> None:
        """Note all that was counted in grains, and empty it."""
        words, near, bounds = self.words, self._near, self._bounds
        whole = halves = 0
        for grain, number in grains.items():
            words[near[grain] if grain < _NEAR else bisect_left(bounds, _middle(grain))] += number
            whole += grain * number
            halves += number
        words[-1] += (whole << GRAIN) + halves * _middle(0)
        grains.clear()


def _middle(grain: int) -> int:
    """What a grain is taken for, in ns."""
    return (grain << GRAIN) + (1 << GRAIN) // 2


def quantile(bounds: Sequence[int], counts: Sequence[int], share: float) -> float | None:
    """The value that a share of all is not above, in ns, taken as evenly spread within its bucket.

    Args:
        bounds: as ``Histogram.bounds``.
        counts: of each bucket, the one above the last bound included (there the last bound is the answer).
        share: 0 to 1.

    Returns:
        None: nothing was counted.
    """
    wanted, below = share * sum(counts), 0
    if not wanted:
        return None
    for number, count in enumerate(counts[: len(bounds)]):
        if count and below + count >= wanted:
            low = bounds[number - 1] if number else 0
            return low + (bounds[number] - low) * (wanted - below) / count
        below += count
    return float(bounds[-1])
