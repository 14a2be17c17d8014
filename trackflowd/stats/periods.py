"""Periods and their buckets: where days, weeks and months of a zone begin, across changes of its clock.

One place knows zones, and both stores are handed the instants: they cannot disagree about a zone's rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from trackflowd.errors import QueryError

#: Widths of a bucket, the narrowest first.
INTERVALS = ("minute", "hour", "day", "week", "month")

#: Most buckets of one answer: 33 hours by the minute, 11 weeks by the hour, five years by the day.
MAX_BUCKETS = 2000

#: A width whose buckets number at most so many is chosen by itself, and the lengths (ms) the widths have at least.
_ENOUGH = 93
_LENGTHS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 7 * 86_400_000, "month": 28 * 86_400_000}

#: A day on which the clock is set back is so much longer (ms), and still one day.
_SUMMER = 3_600_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """A span of a period.

    Args:
        start_ms: first instant of it in the period, ms since 1970 UTC.
        begins: begin of the whole minute, hour, day, week or month, in the zone; may lie before the period.
    """

    start_ms: int
    begins: datetime


def zone(name: str) -> tzinfo:
    """The zone called so (IANA); "UTC" needs no database.

    Raises:
        QueryError: there is none.
    """
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # KeyError: not found; ValueError: no name; OSError: a directory
        raise QueryError(f"no time zone is called {name!r}", "as in Europe/Berlin or UTC") from error


def choose(start_ms: int, end_ms: int) -> str:
    """The narrowest width that gives a handful of buckets."""
    length = end_ms - start_ms
    return next((width for width in INTERVALS if length <= _ENOUGH * _LENGTHS[width]), INTERVALS[-1])


def buckets(start_ms: int, end_ms: int, width: str, where: tzinfo) -> list[Bucket]:
    """Buckets of a period, in order, without a gap; the first begins with the period, the last ends with it.

    Raises:
        QueryError: no such width, or too many.
    """
    if width not in INTERVALS:
        raise QueryError(f"no interval is called {width!r}", ", ".join(INTERVALS))
    if (end_ms - start_ms) / _LENGTHS[width] > MAX_BUCKETS:
        raise QueryError(f"more than {MAX_BUCKETS} buckets: too long a period for one of a {width}", "take wider ones")
    begin, following = _by_clock(width, where) if width in ("minute", "hour") else _by_calendar(width, where)
    at = begin(_instant(start_ms, where))
    found = [Bucket(start_ms, at)]
    while (at := following(at)).timestamp() * 1000 < end_ms:
        found.append(Bucket(_ms(at), at))
    return found


def _by_clock(width: str, where: tzinfo) -> tuple[Callable[[datetime], datetime], Callable[[datetime], datetime]]:
    """Minutes and hours begin where the clock shows them to, and last so long, whatever the clock does meanwhile.

    (A change of half an hour makes one hour end early and the next begin at half past: then the clock is met again.)
    """
    length = _LENGTHS[width] // 1000

    def past(at: datetime) -> int:
        return (at.minute * 60 + at.second) % length

    def begin(at: datetime) -> datetime:
        return datetime.fromtimestamp(int(at.timestamp()) - past(at), where)

    def following(at: datetime) -> datetime:
        return datetime.fromtimestamp(int(at.timestamp()) - past(at) + length, where)

    return begin, following


def _by_calendar(width: str, where: tzinfo) -> tuple[Callable[[datetime], datetime], Callable[[datetime], datetime]]:
    """Days, weeks (from Monday) and months begin at the zone's midnight, however long they last."""

    def first(day: date) -> date:
        if width == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if width == "month" else day

    def after(day: date) -> date:
        if width == "month":
            return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        return day + timedelta(days=7 if width == "week" else 1)

    def begin(at: datetime) -> datetime:
        return _midnight(first(at.date()), where)

    def following(at: datetime) -> datetime:
        day = after(first(at.date()))
        while (found := _midnight(day, where)).timestamp() <= at.timestamp():
            day = after(day)  # a day the zone left out (Samoa, 30 December 2011) begins where the next one does
        return found

    return begin, following


def _midnight(day: date, where: tzinfo) -> datetime:
    """Begin of a day; where the clock leaves midnight out, the instant it leaps."""
    naive = datetime.combine(day, time(), where)
    return datetime.fromtimestamp(naive.timestamp(), where)


def _instant(ms: int, where: tzinfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, where)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def minute_end(ms: int) -> int:
    """End of the minute an instant is in (both ms since 1970 UTC), where a period until now ends.

    Who asks again within the minute asks of the same period, and only what has changed is read again (``pieces``).
    """
    return (ms // _LENGTHS["minute"] + 1) * _LENGTHS["minute"]


def previous(start_ms: int, end_ms: int, where: tzinfo) -> tuple[int, int]:
    """The period to compare with.

    Whole calendar months of the zone: as many months before them. All else: the same times of the day, as many days
    before as the period has begun, so that today until now is compared with yesterday until this hour.

    Returns:
        Its begin and end, ms since 1970 UTC.
    """
    start, end = _instant(start_ms, where), _instant(end_ms, where)
    if _is_month(start) and _is_month(end):
        months = (end.year - start.year) * 12 + end.month - start.month
        index = start.year * 12 + start.month - 1 - months
        return _ms(_midnight(date(index // 12, index % 12 + 1, 1), where)), start_ms
    day = _LENGTHS["day"]
    days = max(-(-(end_ms - start_ms - _SUMMER) // day), 1)
    return _ms(_days_before(start, days)), _ms(_days_before(end, days))


def _is_month(at: datetime) -> bool:
    return (at.day, at.hour, at.minute, at.second, at.microsecond) == (1, 0, 0, 0, 0)


def _days_before(at: datetime, days: int) -> datetime:
    """The same time of the day in the zone."""
    return datetime.combine(at.date() - timedelta(days=days), at.time(), at.tzinfo)
