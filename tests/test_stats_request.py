"""stats.request: what makes no sense is refused before a store is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from trackflowd import stats
from trackflowd.errors import QueryError
from trackflowd.stats.filters import Filter
from trackflowd.stats.request import DEFAULT_LIMIT, DEFAULT_STEPS, MAX_STEPS, read

PERIOD = {"from": 1, "to": 2}


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("nope", PERIOD, "no statistic is called 'nope'"),
        ("refused", PERIOD, "no statistic is called 'refused'"),
        ("overview", {"from": "x", "to": 2}, "from: 'x' is no number"),
        ("overview", {"from": 1, "to": float("inf")}, "no number"),
        ("overview", {"from": 2, "to": 2}, "ends before it begins"),
        ("overview", {"from": -1, "to": 2}, "between 1970 and 2200"),
        ("overview", {"from": 1, "to": 10**15}, "between 1970 and 2200"),
        ("overview", {**PERIOD, "limit": 1001}, "limit: 1001"),
        ("overview", {**PERIOD, "limit": -1}, "limit: -1"),
        ("pages", {**PERIOD, "offset": -1}, "offset: -1"),
        ("pages", {**PERIOD, "offset": 1_000_001}, "offset: 1000001"),
        ("overview", {**PERIOD, "offset": 1}, "overview has no pages"),
        ("timeseries", {**PERIOD, "offset": 1}, "timeseries has no pages"),
        ("overview", {**PERIOD, "zone": "Mars"}, "no time zone"),
        ("overview", {**PERIOD, "site": "a\0"}, "NUL"),
        ("overview", {**PERIOD, "where": "page is /"}, "not a list"),
        ("overview", {**PERIOD, "where": [1]}, "not a list"),
        ("overview", {**PERIOD, "where": ["page is /"] * 21}, "21 are more than 20"),
        ("overview", {**PERIOD, "where": ["colour is red"]}, "'colour'"),
        ("timeseries", {**PERIOD, "interval": "fortnight"}, "fortnight"),
        ("timeseries", {"from": 1, "to": 10**12, "interval": "minute"}, "2000 buckets"),
        ("retention", {"from": 1, "to": 61 * 86_400_000, "interval": "day"}, "61 cohorts"),
        ("funnels", {**PERIOD, "steps": ["page is /"] * (MAX_STEPS + 1)}, "9 are more than 8"),
        ("funnels", {**PERIOD, "steps": ["source is Google"]}, "a step is an event"),
        ("funnels", {**PERIOD, "window": -5}, "no span of time"),
        ("funnels", {**PERIOD, "window": 1e30}, "no span of time"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_store_is_asked(
    name: str, args: Mapping[str, Any], said: str
) -> None:
    def never(sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        raise AssertionError

    with pytest.raises(QueryError, match=said):
        stats.answer(never, name, args)


def test_what_is_left_out_has_a_value_that_makes_sense() -> None:
    for name in stats.STATISTICS.keys() - {"refused"}:
        found = read(name, {})
        assert found.scope.start_ms < found.scope.end_ms
        assert (found.limit, found.window_ms, found.scope.site) == (DEFAULT_LIMIT, 86_400_000, "")
        assert [text for text, _ in found.steps] == list(DEFAULT_STEPS)
    assert read("pages", {"to": 8 * 86_400_000}).scope.start_ms == 86_400_000
    assert read("pages", {"to": 5}).scope.start_ms == 0


def test_a_period_until_now_ends_with_the_minute_and_what_is_live_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = 1_793_491_200_000 + 59_999
    monkeypatch.setattr("trackflowd.stats.request.time.time_ns", lambda: now_ms * 1_000_000)
    found = {name: read(name, {}).scope for name in ("overview", "live")}
    assert found["overview"].end_ms == 1_793_491_260_000
    assert found["overview"].start_ms == 1_793_491_260_000 - 7 * 86_400_000
    assert found["live"].end_ms == now_ms


def test_everything_that_is_said_is_heard() -> None:
    found = read(
        "funnels",
        {
            "from": 5.0, "to": 9.9, "site": "one", "where": ["page=/"], "bots": True, "limit": 3.0, "interval": "day",
            "property": "plan", "steps": ("event is a",), "window": 60, "zone": "Europe/Berlin",
        },
    )  # fmt: skip
    assert (found.scope.start_ms, found.scope.end_ms, found.scope.site, found.scope.bots) == (5, 9, "one", True)
    assert list(found.scope.filters) == [Filter("path", "is", "/")]
    assert (found.limit, found.interval, found.property, found.window_ms) == (3, "day", "plan", 60_000)
    assert found.steps == (("event is a", Filter("name", "is", "a")),)
    assert str(found.zone) == "Europe/Berlin"
