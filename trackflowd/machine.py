"""The machine and the processes on it, by psutil: load, memory, and how much CPU is used since it was last asked.

Shares are made from figures that only grow, between two looks at least ``LEAST`` apart: whoever asks more often gets
the last answer again, so that one console does not take the measure from under another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

#: Seconds between two looks that make a share: a tick of the kernel's accounting (10 ms) is then 2 % of it.
LEAST = 0.5


class Machine:
    """Figures of ``status``: the block ``machine``."""

    def __init__(self) -> None:
        self._at = 0.0
        self._times: tuple[float, float] | None = None
        self._share: float | None = None

    def look(self, now: float) -> dict[str, Any]:
        """The machine now.

        Args:
            now: monotonic clock, s.

        Returns:
            ``load`` (averages over 1, 5 and 15 minutes), ``cpus`` (that these processes may use), ``cpu_share`` (of
            all CPUs of the machine, 0 to 1; null at first), ``memory`` (bytes: ``total``, ``available``),
            ``swap_used`` (bytes).
        """
        if now - self._at >= LEAST:
            self._at = now
            busy, total = _cpu_times()
            if self._times is not None and total > self._times[1]:
                share = (busy - self._times[0]) / (total - self._times[1])
                self._share = round(min(max(share, 0.0), 1.0), 3)
            self._times = (busy, total)
        memory = psutil.virtual_memory()
        return {
            "load": [round(load, 2) for load in os.getloadavg()],
            "cpus": len(os.sched_getaffinity(0)),
            "cpu_share": self._share,
            "memory": {"total": memory.total, "available": memory.available},
            "swap_used": psutil.swap_memory().used,
        }


def _cpu_times() -> tuple[float, float]:
    """Seconds all CPUs together were busy, and that have passed for them."""
    times = psutil.cpu_times()
    # guest is in user already (proc_stat(5)); steal is time that others had.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


class Shares:
    """How much of one core each process used since it was last looked at."""

    def __init__(self) -> None:
        self._at = 0.0
        self._seen: dict[int, float] = {}
        self._shares: dict[int, float] = {}

    def add(self, rows: Iterable[dict[str, Any]], now: float | None = None) -> None:
        """Give each process a ``cpu_share``; null where it is not known yet.

        Args:
            rows: as ``statusview.processes`` has them, with ``pid`` and ``cpu_s``.
            now: monotonic clock, s; default the clock's.
        """
        rows = list(rows)
        moment = time.monotonic() if now is None else now
        seen = {row["pid"]: row["cpu_s"] for row in rows if row["pid"] and row["cpu_s"] is not None}
        took = moment - self._at
        if took >= LEAST:
            self._shares = _shares(self._seen, seen, took)
            self._seen, self._at = seen, moment
        for row in rows:
            row["cpu_share"] = self._shares.get(row["pid"])


def _shares(before: Mapping[int, float], seen: Mapping[int, float], took: float) -> dict[int, float]:
    return {pid: round(max(cpu - before[pid], 0.0) / took, 3) for pid, cpu in seen.items() if pid in before}
