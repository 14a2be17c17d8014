"""stats.periods: buckets of zones, across changes of their clocks, and the period before."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from trackflowd.errors import QueryError
from trackflowd.stats.periods import INTERVALS, MAX_BUCKETS, buckets, choose, previous, zone

HOUR = 3_600_000
DAY = 24 * HOUR


def ms(text: str, where: tzinfo = UTC) -> int:
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=where)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("name", "width", "start", "end", "begins"),
    [
        # The clock leaps from 02:00 to 03:00, and is set back from 03:00 to 02:00.
        ("Europe/Berlin", "hour", "2026-03-29T01:00+01:00", "2026-03-29T04:00+02:00",
         ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"]),
        ("Europe/Berlin", "hour", "2026-10-25T01:30+02:00", "2026-10-25T03:00+01:00",
         ["2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]),
        ("Europe/Berlin", "day", "2026-10-24T12:00+02:00", "2026-10-26T01:00+01:00",
         ["2026-10-24T00:00:00+02:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"]),
        # By half an hour.
        ("Australia/Lord_Howe", "hour", "2026-10-04T01:00+10:30", "2026-10-04T04:00+11:00",
         ["2026-10-04T01:00:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00"]),
        # Midnight is left out; it is struck twice; a whole day is left out.
        ("America/Asuncion", "day", "2023-09-30T12:00-04:00", "2023-10-02T12:00-03:00",
         ["2023-09-30T00:00:00-04:00", "2023-10-01T01:00:00-03:00", "2023-10-02T00:00:00-03:00"]),
        ("America/Havana", "day", "2026-10-31T12:00-04:00", "2026-11-02T12:00-05:00",
         ["2026-10-31T00:00:00-04:00", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"]),
        ("Pacific/Apia", "day", "2011-12-29T12:00-10:00", "2012-01-01T12:00+14:00",
         ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"]),
        ("UTC", "month", "2027-11-30T00:00Z", "2028-03-01T00:00Z",
         ["2027-11-01T00:00:00+00:00", "2027-12-01T00:00:00+00:00", "2028-01-01T00:00:00+00:00",
          "2028-02-01T00:00:00+00:00"]),
        ("UTC", "week", "2026-12-30T00:00Z", "2027-01-05T00:00Z",
         ["2026-12-28T00:00:00+00:00", "2027-01-04T00:00:00+00:00"]),
        ("UTC", "minute", "2026-12-31T23:58:30Z", "2027-01-01T00:00:00.001Z",
         ["2026-12-31T23:58:00+00:00", "2026-12-31T23:59:00+00:00", "2027-01-01T00:00:00+00:00"]),
    ],
)  # fmt: skip
def test_buckets_begin_where_the_zone_has_them(name: str, width: str, start: str, end: str, begins: list[str]) -> None:
    found = buckets(ms(start), ms(end), width, zone(name))
    assert [bucket.begins.isoformat() for bucket in found] == begins
    assert found[0].start_ms == ms(start)
    assert [bucket.start_ms for bucket in found[1:]] == [ms(text) for text in begins[1:]]


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham", "UTC"])
@pytest.mark.parametrize("width", INTERVALS)
def test_buckets_follow_each_other_to_the_end_of_the_period(name: str, width: str) -> None:
    where = zone(name)
    start = ms("2026-03-07T05:17:03.456Z")
    end = start + {"minute": 20 * HOUR, "hour": 60 * DAY}.get(width, 500 * DAY)
    found = buckets(start, end, width, where)
    starts = [bucket.start_ms for bucket in found]
    assert starts == sorted(set(starts)) and starts[0] == start and starts[-1] < end
    for bucket in found:
        at = bucket.begins
        assert (at.second, at.microsecond) == (0, 0)
        assert width == "minute" or at.minute in (0, 30)
        assert width in ("minute", "hour") or at.hour == 0
        assert width != "week" or at.weekday() == 0
        assert width != "month" or at.day == 1


def test_the_width_that_suits_gives_a_handful_of_buckets() -> None:
    for length, width in [(HOUR, "minute"), (DAY, "hour"), (7 * DAY, "day"), (93 * DAY, "day"), (365 * DAY, "week")]:
        assert choose(5, 5 + length) == width
    assert choose(0, 40_000 * DAY) == "month"


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(QueryError, match="fortnight"):
        buckets(0, DAY, "fortnight", UTC)
    with pytest.raises(QueryError, match=str(MAX_BUCKETS)):
        buckets(0, 2 * DAY, "minute", UTC)
    assert len(buckets(0, MAX_BUCKETS * 60_000, "minute", UTC)) == MAX_BUCKETS


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "Europe", "\0", "x" * 5000])
def test_a_zone_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(QueryError, match="no time zone"):
        zone(name)


def test_zones_are_found() -> None:
    assert zone("") is UTC and zone("UTC") is UTC
    assert zone("Europe/Berlin") == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("start", "end", "before"),
    [
        ("2026-11-24T00:00", "2026-11-24T15:30", ("2026-11-23T00:00", "2026-11-23T15:30")),
        ("2026-11-17T15:30", "2026-11-24T15:30", ("2026-11-10T15:30", "2026-11-17T15:30")),
        ("2026-11-24T14:00", "2026-11-24T15:00", ("2026-11-23T14:00", "2026-11-23T15:00")),
        ("2026-11-01T00:00", "2026-12-01T00:00", ("2026-10-01T00:00", "2026-11-01T00:00")),
        ("2026-01-01T00:00", "2026-03-01T00:00", ("2025-11-01T00:00", "2026-01-01T00:00")),
        # The day on which the clock is set back has 25 hours and is one day.
        ("2026-10-25T00:00", "2026-10-26T00:00", ("2026-10-24T00:00", "2026-10-25T00:00")),
        ("2026-03-28T12:00", "2026-03-29T12:00", ("2026-03-27T12:00", "2026-03-28T12:00")),
    ],
)
def test_the_period_before_has_the_same_times_of_the_day(start: str, end: str, before: tuple[str, str]) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    found = previous(ms(start, berlin), ms(end, berlin), berlin)
    assert found == tuple(ms(text, berlin) for text in before)
