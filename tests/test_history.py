from __future__ import annotations

from typing import Any

from trackflowd.history import KEPT, History


def totals(events: int) -> dict[str, int]:
    return {"events_accepted": events, "requests": events // 2, "rows_stored": 0, "events_refused": 1}


def noted(*looks: tuple[float, int]) -> dict[str, Any]:
    """A history of looks at (seconds, events)."""
    history = History()
    for now, events in looks:
        history.note(now, int(now * 1000), totals(events), {"p50_ms": now})
    return history.last(KEPT)


def test_nothing_is_known_of_the_time_before_the_first_look() -> None:
    assert noted((100.0, 1000)) == {
        "at_ms": [],
        "series": {"events_s": [], "requests_s": [], "stored_s": [], "refused_s": [], "p50_ms": [], "p99_ms": []},
    }


def test_each_second_has_its_growth_and_its_values() -> None:
    found = noted((100.0, 0), (101.0, 10), (102.0, 40))
    assert found["at_ms"] == [100_000, 101_000]
    assert found["series"]["events_s"] == [10.0, 30.0]
    assert found["series"]["requests_s"] == [5.0, 15.0]
    assert found["series"]["refused_s"] == [0.0, 0.0]
    assert found["series"]["p50_ms"] == [101.0, 102.0]
    assert found["series"]["p99_ms"] == [None, None]


def test_seconds_without_a_look_are_null_and_the_next_value_is_their_average() -> None:
    found = noted((100.0, 0), (101.0, 10), (105.0, 50))
    assert found["at_ms"] == [100_000, 101_000, 102_000, 103_000, 104_000]
    assert found["series"]["events_s"] == [10.0, None, None, None, 10.0]


def test_totals_that_fall_and_a_clock_that_stands_give_no_nonsense() -> None:
    assert noted((100.0, 50), (101.0, 10))["series"]["events_s"] == [0.0]
    assert noted((100.0, 0), (100.0, 10))["at_ms"] == []


def test_it_is_bounded() -> None:
    history = History()
    for now in range(KEPT + 100):
        history.note(float(now), now * 1000, totals(now), {})
    assert len(history.last(KEPT)["at_ms"]) == KEPT
    assert history.last(3)["at_ms"] == [1000 * (KEPT + n) for n in (96, 97, 98)]
    history.note(1e9, 10**12, totals(0), {})
    assert len(history.last(KEPT)["at_ms"]) == KEPT
