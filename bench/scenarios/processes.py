"""CPU time and memory of processes from outside, and which core they run on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil

#: Cores this process may use, as it was started.
CORES = tuple(sorted(os.sched_getaffinity(0)))
#: Where servers run and where the generator does: the same where there is one core only.
SERVER_CORE, GENERATOR_CORE = CORES[0], CORES[-1]

#: Process ids by role.
Pids = Mapping[str, Sequence[int]]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, to the ns; threads that have ended are in it.

    The clock of the process, as clock_getcpuclockid(3) of glibc names it: /proc counts in ticks of 10 ms.

    Raises:
        OSError: there is no such process.
    """
    return time.clock_gettime(~pid << 3 | 2)


def cpu_by_role(pids: Pids) -> dict[str, float]:
    """CPU seconds by role, summed. Raises OSError: a process is gone."""
    return {role: sum(map(cpu_s, several)) for role, several in pids.items()}


def rss_mb(pids: Pids) -> dict[str, float]:
    """Resident MB (10⁶ bytes) by role, of the largest process of each. Raises psutil.Error: one is gone."""
    return {role: max(psutil.Process(pid).memory_info().rss for pid in several) / 1e6 for role, several in pids.items()}


@contextmanager
def on(*cores: int) -> Iterator[None]:
    """This thread, and what is started meanwhile, runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
