"""Weighted draws that give the same on every Python: made of ``Random.random`` alone, whose sequence is guaranteed."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Shares(Generic[T]):
    """A draw of one of several things, each by its share.

    Args:
        pairs: thing and weight, above 0; weights need not add up to 1.
    """

    def __init__(self, pairs: Iterable[tuple[T, float]]) -> None:
        things, weights = zip(*pairs, strict=True)
        self.things: Sequence[T] = things
        self._sums = list(accumulate(weights))

    def draw(self, rng: Random) -> T:
        """One of them."""
        return self.things[min(bisect(self._sums, rng.random() * self._sums[-1]), len(self.things) - 1)]


class Zipf:
    """Ranks 0 to count - 1, rank k with a probability in proportion to 1 / (k + 1)^exponent."""

    def __init__(self, count: int, exponent: float) -> None:
        self._ranks = Shares((rank, (rank + 1) ** -exponent) for rank in range(count))

    def draw(self, rng: Random) -> int:
        """A rank."""
        return self._ranks.draw(rng)


def below(rng: Random, count: int) -> int:
    """An integer from 0 to count - 1, each as likely."""
    return int(rng.random() * count)


def pick(rng: Random, things: Sequence[T]) -> T:
    """One of the things, each as likely."""
    return things[below(rng, len(things))]


def seconds(rng: Random, median: float, sigma: float, most: float) -> float:
    """A log-normal span: people's times on a page are close to one (its tail is cut at most)."""
    normal = math.sqrt(-2 * math.log(1 - rng.random())) * math.cos(2 * math.pi * rng.random())
    return min(median * math.exp(sigma * normal), most)


def wait(rng: Random, rate: float) -> float:
    """Seconds to the next of events that come independently, rate a second (exponential)."""
    return -math.log(1 - rng.random()) / rate
