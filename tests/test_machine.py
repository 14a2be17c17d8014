from __future__ import annotations

from typing import Any

import pytest

from trackflowd import machine
from trackflowd.machine import Machine, Shares


def test_the_machine_is_told_and_its_share_is_known_from_the_second_look_on(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(10.0, 100.0), (15.0, 110.0), (99.0, 999.0)])
    monkeypatch.setattr(machine, "_cpu_times", lambda: next(times))
    one = Machine()
    first = one.look(100.0)
    assert first["cpu_share"] is None
    assert len(first["load"]) == 3
    assert first["cpus"] >= 1
    assert 0 < first["memory"]["available"] <= first["memory"]["total"]
    assert first["swap_used"] >= 0
    assert one.look(101.0)["cpu_share"] == 0.5
    assert one.look(101.1)["cpu_share"] == 0.5  # too soon for another


def test_cpu_times_only_grow() -> None:
    (busy, total), later = machine._cpu_times(), machine._cpu_times()
    # A difference of sums of ticks, as floats; and a kernel may take a tick of idle time back (proc_stat(5)).
    assert busy <= later[0] + 0.05 and total <= later[1] + 0.05 and busy <= total


def rows(*processes: tuple[int | None, float | None]) -> list[dict[str, Any]]:
    return [{"pid": pid, "cpu_s": cpu} for pid, cpu in processes]


def shares(one: Shares, now: float, *processes: tuple[int | None, float | None]) -> list[float | None]:
    found = rows(*processes)
    one.add(found, now)
    return [row["cpu_share"] for row in found]


def test_a_share_is_of_one_core_since_the_last_look() -> None:
    one = Shares()
    assert shares(one, 100.0, (1, 5.0), (2, 7.0)) == [None, None]
    assert shares(one, 102.0, (1, 6.0), (2, 7.0), (None, None)) == [0.5, 0.0, None]
    assert shares(one, 102.1, (1, 6.1), (2, 7.0)) == [0.5, 0.0]  # too soon for another
    assert shares(one, 104.0, (1, 6.5), (3, 1.0), (2, None)) == [0.25, None, None]
