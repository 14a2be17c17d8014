"""When which fault strikes: a pure function of the seed.

Kinds come in shuffled rounds, so that each has struck about equally often whenever the run ends. A time is the
earliest one: a fault that takes longer than planned (a daemon slow to stop) delays those behind it, and what does
not fit into the run any more is left out and said.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

#: Seconds of traffic before the first fault, and without faults at the end.
WARM_UP, COOL_DOWN = 2.0, 1.0
#: Seconds between the end of a fault and the next: long enough that most recoveries are seen whole.
GAP = (1.5, 3.0)


@dataclass(frozen=True, slots=True)
class Shot:
    """One fault to come.

    Args:
        at: s after the begin of the run.
        kind: name of its kind.
        lasts: s.
        draw: decides everything else about it (which worker, which byte).
    """

    at: float
    kind: str
    lasts: float
    draw: int


def plan(seed: int, seconds: float, kinds: Mapping[str, tuple[float, float]]) -> list[Shot]:
    """The faults of a run, in order.

    Args:
        seed: any integer.
        seconds: length of the run.
        kinds: name → least and most seconds it lasts; their order does not matter.
    """
    draws = random.Random(f"faults {seed}")
    shots: list[Shot] = []
    at = WARM_UP
    while kinds:
        names = sorted(kinds)
        draws.shuffle(names)
        for name in names:
            lasts = round(draws.uniform(*kinds[name]), 2)
            if at + lasts > seconds - COOL_DOWN:
                return shots
            shots.append(Shot(round(at, 2), name, lasts, draws.getrandbits(32)))
            at += lasts + draws.uniform(*GAP)
    return shots
