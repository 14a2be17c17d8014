"""Periods in people's words: "7d", "today", a begin and an end. For the command line and the admin listener."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from trackflowd.errors import QueryError
from trackflowd.stats.periods import minute_end

_SPAN = re.compile(r"(\d{1,5})(m|h|d|w)\Z")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_WORDS = "try today, yesterday, week, month, last-month, 24h, 7d or 4w"


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time.

    Args:
        start, end: the end is not included; both know their zone.
    """

    start: datetime
    end: datetime

    @classmethod
    def of(cls, bounds: Mapping[str, int], where: tzinfo) -> Period:
        """From ``from`` and ``to``, ms since 1970 UTC."""
        return cls(*(datetime.fromtimestamp(bounds[name] / 1000, where) for name in ("from", "to")))

    def as_dict(self) -> dict[str, str]:
        """``from`` and ``to``, as ISO 8601 has dates, with their offset."""
        return {"from": self.start.isoformat(), "to": self.end.isoformat()}

    @property
    def start_ms(self) -> int:
        """ms since 1970 UTC."""
        return round(self.start.timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        """ms since 1970 UTC."""
        return round(self.end.timestamp() * 1000)

    def __str__(self) -> str:
        form = "%Y-%m-%d %H:%M"
        return f"{self.start.strftime(form)} to {self.end.strftime(form)} {self.end.strftime('%Z')}".rstrip()


def period(span: str, start: str | None, end: str | None, now: datetime, whole: bool = False) -> Period:
    """The period the flags mean; days begin at midnight of now's zone.

    Args:
        span: today, yesterday, week (from Monday), month, last-month, or as many m, h, d, w back from the end; not
            used if start is given.
        start, end: dates as ISO 8601 has them, or None.
        now: with its zone.
        whole: of statistics: what lasts until now ends with this minute (see ``periods.minute_end``), unless its length
            is given in minutes.

    Raises:
        QueryError: not a period, or it ends before it begins.
    """
    whole = whole and bool(start or not span.endswith("m"))
    last = _date(end, now) if end else _minute_end(now) if whole else now
    first = _date(start, now) if start else None
    if first is None:
        first, last = _span(span, last, now)
    if first.timestamp() >= last.timestamp():
        raise QueryError(f"the period ends ({last:%Y-%m-%d %H:%M}) before it begins ({first:%Y-%m-%d %H:%M})")
    if first.timestamp() < 0:
        raise QueryError(f"the period begins in {first.year}, before 1970", _WORDS)
    return Period(first, last)


def _span(span: str, last: datetime, now: datetime) -> tuple[datetime, datetime]:
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    if match := _SPAN.match(span):
        back = int(match[1]) * _UNITS[match[2]]
        try:
            if match[2] in "mh":  # so long ago; days back mean the same time of the day
                return (last.astimezone(UTC) - back).astimezone(last.tzinfo), last
            return last - back, last
        except OverflowError as error:
            raise QueryError(f"{span} is longer than there are dates", _WORDS) from error
    if span == "today":
        return midnight, last
    if span == "yesterday":
        return midnight - timedelta(days=1), midnight
    if span == "week":
        return midnight - timedelta(days=midnight.weekday()), last
    first = midnight.replace(day=1)
    if span == "month":
        return first, last
    if span == "last-month":
        return (first - timedelta(days=1)).replace(day=1), first
    raise QueryError(f"no period is called {span!r}", _WORDS)


def _minute_end(now: datetime) -> datetime:
    return datetime.fromtimestamp(minute_end(int(now.timestamp() * 1000)) / 1000, now.tzinfo)


def _date(text: str, now: datetime) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise QueryError(f"{text!r} is no date", "write 2026-11-01 or 2026-11-01T12:00") from error
    return date if date.tzinfo else date.replace(tzinfo=now.tzinfo)
