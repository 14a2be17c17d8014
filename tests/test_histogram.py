"""trackflowd.histogram: buckets, and quantiles from them."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.counters import HISTOGRAMS
from trackflowd.histogram import GRAIN, Grains, Histogram, Tally, quantile

H = Histogram("x", "x", 1000, 2)


def test_bounds_are_ten_to_a_decade_and_short_decimals() -> None:
    assert H.bounds[:4] == (1000, 1250, 1600, 2000)
    assert H.bounds[-2:] == (80_000, 100_000)
    assert H.shown == (1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000)


@pytest.mark.parametrize("histogram", [one for table in HISTOGRAMS.values() for one in table])
def test_every_histogram_has_whole_bounds_that_grow_and_shows_some_of_them(histogram: Histogram) -> None:
    assert list(histogram.bounds) == sorted(set(histogram.bounds))
    assert set(histogram.shown) <= set(histogram.bounds)
    assert histogram.words == len(histogram.bounds) + 2
    assert max(b / a for a, b in zip(histogram.bounds, histogram.bounds[1:], strict=False)) < 1.29


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    tally = Tally(H)
    for ns in (0, 1000, 1001, 100_000, 100_001):
        tally.note(ns)
    tally.note(2000, 5)
    assert {n: count for n, count in enumerate(tally.words[:-1]) if count} == {0: 2, 1: 1, 3: 5, 20: 1, 21: 1}
    assert tally.words[-1] == 0 + 1000 + 1001 + 100_000 + 100_001 + 10_000


def test_a_tally_goes_on_from_what_was_counted_before() -> None:
    tally = Tally(H, [1] * H.words)
    tally.note(1)
    assert tally.words == [2, *[1] * (H.words - 2), 2]


def test_grains_are_noted_to_the_middle_and_emptied() -> None:
    grains, tally = Grains(int), Tally(H)
    far = 10_000_000_000
    for ns in (0, 30_000, 30_001, far):
        grains[ns >> GRAIN] += 1
    noted = Tally(H)
    for ns in (2048, 30_720, 30_720, far):  # 7 grains and a half are 30,720 ns
        noted.note(ns)
    tally.take(grains)
    assert grains == {}
    assert tally.words[:-1] == noted.words[:-1]
    assert abs(tally.words[-1] - noted.words[-1]) < 1 << GRAIN


def test_nothing_counted_has_no_quantile_and_what_is_above_all_bounds_is_the_last() -> None:
    assert quantile(H.bounds, [0] * 22, 0.5) is None
    assert quantile(H.bounds, [*[0] * 21, 3], 0.5) == 100_000
    assert quantile(H.bounds, [4, *[0] * 21], 0.5) == 500


@given(st.integers(1, 2000), st.randoms(use_true_random=False), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_the_bucket_of_the_true_one(count: int, chance: random.Random, share: float) -> None:
    values = sorted(round(1001 * 99 ** chance.random()) for _ in range(count))
    tally = Tally(H)
    for value in values:
        tally.note(value)
    true = values[max(math.ceil(share * count), 1) - 1]
    found = quantile(H.bounds, tally.words[:-1], share)
    assert found is not None
    assert true / 1.29 <= found <= true * 1.29
