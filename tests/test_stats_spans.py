"""stats.spans: which period people mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from trackflowd.errors import QueryError
from trackflowd.stats.spans import Period, period

ZONE = timezone(timedelta(hours=2), "EET")
NOW = datetime(2026, 11, 23, 15, 30, tzinfo=ZONE)


def test_a_period_is_made_of_ms_and_written_as_dates() -> None:
    found = Period.of({"from": 1_793_491_200_000, "to": 1_793_577_600_500}, ZONE)
    assert (found.start_ms, found.end_ms) == (1_793_491_200_000, 1_793_577_600_500)
    assert found.as_dict() == {"from": "2026-11-01T02:00:00+02:00", "to": "2026-11-02T02:00:00.500000+02:00"}
    assert str(Period.of({"from": 0, "to": 60_000}, UTC)) == "1970-01-01 00:00 to 1970-01-01 00:01 UTC"


@pytest.mark.parametrize(
    ("span", "start", "end", "expected"),
    [
        ("24h", None, None, ("2026-11-22T15:30", "2026-11-23T15:30")),
        ("7d", None, None, ("2026-11-16T15:30", "2026-11-23T15:30")),
        ("90m", None, "2026-11-20", ("2026-11-19T22:30", "2026-11-20T00:00")),
        ("today", None, None, ("2026-11-23T00:00", "2026-11-23T15:30")),
        ("yesterday", None, None, ("2026-11-22T00:00", "2026-11-23T00:00")),
        ("week", None, None, ("2026-11-23T00:00", "2026-11-23T15:30")),
        ("month", None, None, ("2026-11-01T00:00", "2026-11-23T15:30")),
        ("last-month", None, None, ("2026-10-01T00:00", "2026-11-01T00:00")),
        ("24h", "2026-11-01", None, ("2026-11-01T00:00", "2026-11-23T15:30")),
        ("24h", "2026-11-01T12:00", "2026-11-02", ("2026-11-01T12:00", "2026-11-02T00:00")),
    ],
)
def test_a_period_is_read(span: str, start: str | None, end: str | None, expected: tuple[str, str]) -> None:
    found = period(span, start, end, NOW)
    assert (found.start, found.end) == tuple(datetime.fromisoformat(text).replace(tzinfo=ZONE) for text in expected)


@pytest.mark.parametrize(
    ("span", "start", "end", "expected"),
    [
        ("7d", None, None, ("2026-11-16T23:59:00.000", "2026-11-23T23:59:00.000")),
        ("24h", None, None, ("2026-11-22T23:59:00.000", "2026-11-23T23:59:00.000")),
        ("today", None, None, ("2026-11-23T00:00:00.000", "2026-11-23T23:59:00.000")),
        ("5m", "2026-11-01", None, ("2026-11-01T00:00:00.000", "2026-11-23T23:59:00.000")),
        ("5m", None, None, ("2026-11-23T23:53:07.123", "2026-11-23T23:58:07.123")),
        ("7d", None, "2026-11-02T00:00:07", ("2026-10-26T00:00:07.000", "2026-11-02T00:00:07.000")),
    ],
)
def test_a_statistics_period_until_now_ends_with_the_minute(
    span: str, start: str | None, end: str | None, expected: tuple[str, str]
) -> None:
    now = datetime(2026, 11, 23, 23, 58, 7, 123_000, tzinfo=ZONE)
    found = period(span, start, end, now, whole=True)
    assert (found.start, found.end) == tuple(datetime.fromisoformat(text).replace(tzinfo=ZONE) for text in expected)


def test_the_last_minute_of_today_is_not_tomorrow() -> None:
    found = period("today", None, None, datetime(2026, 11, 23, 23, 59, 59, tzinfo=ZONE), whole=True)
    assert (found.start, found.end) == (datetime(2026, 11, 23, tzinfo=ZONE), datetime(2026, 11, 24, tzinfo=ZONE))


def test_a_date_with_its_own_zone_keeps_it() -> None:
    assert period("24h", "2026-11-01T00:00Z", None, NOW).start_ms == 1_793_491_200_000


def test_hours_back_are_hours_and_days_back_are_days_across_a_change_of_the_clock() -> None:
    noon = datetime(2026, 3, 29, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert period("24h", None, None, noon).start.isoformat() == "2026-03-28T11:00:00+01:00"
    assert period("1d", None, None, noon).start.isoformat() == "2026-03-28T12:00:00+01:00"


@pytest.mark.parametrize(
    ("span", "start", "end"),
    [("soon", None, None), ("0d", None, None), ("7d", "x", None), ("7d", "2026-12-01", None), ("99999w", None, None)],
)
def test_what_is_no_period_is_refused(span: str, start: str | None, end: str | None) -> None:
    with pytest.raises(QueryError):
        period(span, start, end, NOW)
