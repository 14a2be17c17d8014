"""The table of statistics: what each answers, with which columns, and how it is drawn. docs/statistics.md says more.

Columns are worked out here from whole numbers that a store counted, so that a rate is the same from every store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "count", "rate", "seconds", "average", "money"]
Chart = Literal["bars", "line", "steps", "matrix"]

#: Digits a column of each kind is rounded to.
_DIGITS: Mapping[Kind, int] = {"rate": 4, "seconds": 1, "average": 1, "money": 4}

#: What one unit of a column is, in what the store counts: seconds come as ms, money as 1/10,000.
_UNITS: Mapping[Kind, int] = {"seconds": 1000, "money": 10_000}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an answer.

    Args:
        name: key in JSON, head in tables and CSV.
        kind: text; count: a whole number; rate: 0 to 1; seconds; average; money.
        counted: the number (or text) of the store's row it comes from; "" if that has its name.
        per: the number it is divided by; "" for none.
    """

    name: str
    kind: Kind = "count"
    counted: str = ""
    per: str = ""

    def of(self, row: Mapping[str, Any]) -> Any:
        """The value, of a store's row; None if it would be divided by nothing."""
        value = row[self.counted or self.name]
        if self.kind == "text":
            return str(value)
        if self.kind == "count":
            return int(value)
        times = int(row[self.per]) if self.per else 1
        return round(int(value) / (times * _UNITS.get(self.kind, 1)), _DIGITS[self.kind]) if times else None


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic.

    Args:
        about: one line.
        columns: of its rows, labels first.
        chart: how it is drawn.
        period: what it is of, unless asked otherwise, in the words of ``--period``; "" for now.
        takes: arguments it has beside site, period, filters and bots.
        sample: arguments of an example.
    """

    about: str
    columns: tuple[Column, ...]
    chart: Chart = "bars"
    period: str = "7d"
    takes: tuple[str, ...] = ("limit",)
    sample: str = ""


def _text(name: str) -> Column:
    return Column(name, "text")


VISITORS, VISITS, VIEWS, EVENTS = Column("visitors"), Column("visits"), Column("views"), Column("events")
BOUNCE_RATE = Column("bounce_rate", "rate", "bounces", "visits")
VISIT_SECONDS = Column("visit_seconds", "seconds", "visit_ms", "visits")

#: Numbers of the overview, in the order they are shown.
TOTALS = (
    *(VISITORS, VISITS, VIEWS, EVENTS, BOUNCE_RATE, VISIT_SECONDS),
    Column("engaged_seconds", "seconds", "engaged_ms", "visits"),
)

#: Numbers of "live".
LIVE = (VISITORS, VIEWS, EVENTS)

#: Lists of the overview, in the order they are shown: the statistic, the file, and its columns here.
OVERVIEW: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    ("pages", "overview_pages", (_text("page"), VISITORS, VIEWS)),
    ("sources", "sources", (_text("source"), VISITORS, VISITS)),
    ("countries", "countries", (_text("country"), VISITORS, VIEWS)),
    ("browsers", "browsers", (_text("browser"), VISITORS, VIEWS)),
)


def _of_visits(label: str, about: str, sample: str = "") -> Statistic:
    return Statistic(
        about, (_text(label), VISITS, VISITORS, VIEWS, BOUNCE_RATE, VISIT_SECONDS), sample=sample or "--period 24h"
    )


def _of_events(about: str, *labels: str, sample: str = "") -> Statistic:
    return Statistic(
        about, (*(_text(label) for label in labels), VISITORS, VIEWS, EVENTS), sample=sample or "--period 24h"
    )


STATISTICS: Mapping[str, Statistic] = {
    "overview": Statistic(
        "visitors, visits, views against the period before; top pages, sources, countries, browsers",
        TOTALS,
        sample="--site example.com --period today",
    ),
    "timeseries": Statistic(
        "visitors, visits, views and events by minute, hour, day, week or month",
        (_text("time"), VISITORS, VISITS, VIEWS, EVENTS),
        chart="line",
        takes=("interval",),
        sample="--period 30d --by day --zone Europe/Berlin",
    ),
    "pages": Statistic(
        "pages, how long they were looked at and how far read",
        (
            *(_text("page"), VISITORS, VIEWS),
            Column("engaged_seconds", "seconds", "engaged_ms", "views"),
            Column("scroll", "average", "scroll_sum", "scroll_n"),
        ),
        sample='--where "page contains /docs/"',
    ),
    "entries": _of_visits("page", "pages on which visits began", '--where "source is Google"'),
    "exits": _of_visits("page", "pages on which visits ended"),
    "sources": _of_visits("source", "where visits came from", '--where "event is signup"'),
    "mediums": _of_visits("medium", "how visits came: organic, social, email, …"),
    "campaigns": _of_visits("campaign", "campaigns visits came by", '--where "medium is cpc"'),
    "referrers": _of_visits("referrer", "hosts of the pages visits came from"),
    "countries": _of_events("countries by visitors", "country"),
    "regions": _of_events("regions by visitors", "country", "region", sample='--where "country is DE"'),
    "cities": _of_events("cities by visitors", "country", "region", "city", sample='--where "country is not US"'),
    "browsers": _of_events("browsers by visitors", "browser"),
    "os": _of_events("operating systems by visitors", "os"),
    "devices": _of_events("kinds of device by visitors", "device"),
    "events": Statistic(
        "events by name, without page views",
        (_text("event"), EVENTS, VISITORS),
        sample='--where "page is /pricing"',
    ),
    "properties": Statistic(
        "properties of events, or with --property the values of one",
        (_text("property"), EVENTS, VISITORS, Column("values", counted="different")),
        takes=("limit", "property"),
        sample='--property plan --where "event is signup"',
    ),
    "revenue": Statistic(
        "revenue by currency",
        (
            *(_text("currency"), Column("orders"), Column("buyers")),
            Column("revenue", "money", "amount"),
            Column("average", "money", "amount", "orders"),
        ),
        sample='--period month --where "source is Google"',
    ),
    "live": Statistic(
        "who is there now: the last five minutes, and views by the minute",
        LIVE,
        period="",
        sample="--site example.com",
    ),
    "funnels": Statistic(
        "how many visitors take steps in order, within a window",
        (_text("step"), VISITORS, Column("of_first", "rate"), Column("of_previous", "rate")),
        chart="steps",
        takes=("steps", "window"),
        sample='--step "page is /pricing" --step "event is signup" --window 2h',
    ),
    "retention": Statistic(
        "people (user ids) who come again, by when they were first seen",
        (_text("cohort"), Column("people"), Column("after"), Column("seen"), Column("rate", "rate", "seen", "people")),
        chart="matrix",
        period="8w",
        takes=("interval",),
        sample="--period 30d --by day",
    ),
    "refused": Statistic(
        "events and requests that were refused or not counted, by reason and site",
        (_text("reason"), _text("site"), Column("count"), _text("meaning"), _text("remedy")),
        takes=(),
        sample="--site example.com --period 24h",
    ),
}

#: Statistics whose answer has several lists.
OF_PARTS = ("overview", "live")


def paged(name: str) -> bool:
    """Whether a statistic is one list that may go on behind its last row."""
    return "limit" in STATISTICS[name].takes and name not in OF_PARTS


#: Columns of "properties" for the values of one.
VALUES = (_text("value"), EVENTS, VISITORS)
