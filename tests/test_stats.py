"""stats: every statistic over chDB and PostgreSQL against the same worked out by plain loops in Python."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from tests.stats_events import BEGIN, DAY, DAYS, HOUR, MINUTE, event_of, land, made_events
from tests.stats_reference import Event, Question, Reference, Row, entry, exit_, first_of
from tests.stores import Stores, sql
from trackflowd import stats
from trackflowd.errors import QueryError
from trackflowd.sink.base import QueryLimits, SinkOptions, open_sink

#: Events of the comparison; the slow form has 100,000 (TRACKFLOW_STATS_EVENTS=100000).
EVENTS = made_events(int(os.environ.get("TRACKFLOW_STATS_EVENTS", "20000")))

#: All of it; a day in Berlin on which the clock leaps; the end of a month, from the middle of an hour.
ALL = (BEGIN, BEGIN + DAYS * DAY)
LEAP = (BEGIN + 3 * DAY - HOUR, BEGIN + 4 * DAY - 2 * HOUR)
TURN = (BEGIN + 5 * DAY + 12 * HOUR + 1234, BEGIN + 6 * DAY + 7 * HOUR + 1)


def of(field: str, *values: str) -> Callable[[Event], bool]:
    return lambda event: event[field] in values


def _of_all(*tests: Callable[[Event], bool]) -> Callable[[Event], bool]:
    return lambda event: all(test(event) for test in tests)


#: What is asked, as arguments and as the reference has it.
ASKED: dict[str, tuple[dict[str, Any], Question]] = {
    "everything": ({}, Question(*ALL)),
    "a site on the day the clock leaps": ({"site": "one"}, Question(*LEAP, "one")),
    "the end of a month": ({}, Question(*TURN)),
    "bots too": ({"bots": True}, Question(*TURN, bots=True)),
    "pages and countries": (
        {"where": ["page contains /docs/", "country is not DE"]},
        Question(*ALL, passes=lambda e: "/docs/" in e["path"] and e["country"] != "DE"),
    ),
    "a source": ({"where": ["source is Google"]}, Question(*TURN, begins=of("source", "Google"))),
    "a source, and what is done": (
        {"site": "two", "where": ["campaign is not spring", "medium contains o", "event is signup", "device=desktop"]},
        Question(
            *ALL, "two", _of_all(of("name", "signup"), of("device", "desktop")),
            lambda e: e["utm_campaign"] != "spring" and "o" in e["medium"],
        ),
    ),
    "texts that are no plain words": (
        {"where": ["page is /it's \\ a\ttab", "city is not München"]},
        Question(*ALL, passes=_of_all(of("path", "/it's \\ a\ttab"), lambda e: e["city"] != "München")),
    ),
    "a property": (
        {"where": ["property plan is it's", "property:ä != 1"]},
        Question(*ALL, passes=lambda e: e["props"].get("plan", "") == "it's" and e["props"].get("ä", "") != "1"),
    ),
    "a property that most have not": (
        {"where": ["property plan is not pro", "browser !~ fox"]},
        Question(*LEAP, passes=lambda e: e["props"].get("plan", "") != "pro" and "fox" not in e["browser"]),
    ),
    "a period without events": ({}, Question(BEGIN - 90 * DAY, BEGIN - 60 * DAY)),
}  # fmt: skip

Ask = Callable[..., dict[str, Any]]

#: What each store answered while it was empty, of all sites and of one (an embedded engine has one store a process).
EMPTY: dict[str, dict[str, tuple[dict[str, Any], QueryError]]] = {store: {} for store in stats.STORES}


@pytest.fixture(scope="module", params=stats.STORES)
def store(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def run(store: str, tmp_path_factory: pytest.TempPathFactory, stores: Stores) -> Iterator[stats.Run]:
    url = stores.url(store, "stats", embedded="chdb:")
    sink = open_sink(url, SinkOptions(tmp_path_factory.mktemp("data"), memory=2**30))
    sink.open()

    def run(sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        return stats.rows(sink.query(sql, "json", QueryLimits(), params))

    for name in stats.STATISTICS.keys() - {"refused"}:
        with pytest.raises(QueryError) as caught:
            stats.answer(run, name, {"site": "one"}, store)
        EMPTY[store][name] = (stats.answer(run, name, {}, store), caught.value)
    land(sink, EVENTS + ACROSS)
    if store == "postgresql":
        sql(url, "ANALYZE")
    yield run
    sink.close()


@pytest.fixture(scope="module")
def ask(run: stats.Run, store: str) -> Ask:
    def ask(name: str, period: Question | tuple[int, int], **args: Any) -> dict[str, Any]:
        start, end = (period.start, period.end) if isinstance(period, Question) else period
        return stats.answer(run, name, {"from": start, "to": end, "limit": 1000, **args}, store)

    return ask


@pytest.fixture(params=ASKED)
def asked(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Question, Reference]:
    args, question = ASKED[request.param]
    return args, question, _reference(request.param)


_KNOWN: dict[str, Reference] = {}


def _reference(name: str) -> Reference:
    if name not in _KNOWN:
        _KNOWN[name] = Reference(EVENTS, ASKED[name][1])
    return _KNOWN[name]


#: Every statistic that is one list, and how the reference makes it.
LISTS: dict[str, Callable[[Reference], list[Row]]] = {
    "pages": Reference.pages,
    "entries": lambda made: made.of_visits("page", entry),
    "exits": lambda made: made.of_visits("page", exit_),
    "sources": lambda made: made.of_visits("source", first_of("source")),
    "mediums": lambda made: made.of_visits("medium", first_of("medium")),
    "campaigns": lambda made: made.of_visits("campaign", first_of("utm_campaign")),
    "referrers": lambda made: made.of_visits("referrer", first_of("referrer_host")),
    "countries": lambda made: made.of_events("country"),
    "regions": lambda made: made.of_events("country", "region"),
    "cities": lambda made: made.of_events("country", "region", "city"),
    "browsers": lambda made: made.of_events("browser"),
    "os": lambda made: made.of_events("os"),
    "devices": lambda made: made.of_events("device"),
    "events": Reference.events,
    "properties": Reference.properties,
    "revenue": Reference.revenue,
}

Asked = tuple[dict[str, Any], Question, Reference]


#: Those whose SQL no other one shares: asked in every way. The others differ in a column: two ways, one by each path.
OF_THEIR_OWN = ("pages", "entries", "exits", "sources", "cities", "events", "properties", "revenue")
TWO_WAYS = ("everything", "a source, and what is done")


@pytest.mark.parametrize("name", [name for name in LISTS if name not in OF_THEIR_OWN])
@pytest.mark.parametrize("way", TWO_WAYS)
def test_a_list_has_the_rows_of_its_column(name: str, way: str, ask: Ask) -> None:
    args, question = ASKED[way]
    assert ask(name, question, **args)[name] == LISTS[name](_reference(way))


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_a_list_has_the_rows_of_the_events_in_the_same_order(name: str, ask: Ask, asked: Asked) -> None:
    args, question, reference = asked
    value = ask(name, question, **args)
    assert value[name] == LISTS[name](reference)
    assert [list(row) for row in value[name][:1]] in ([], [[c.name for c in stats.STATISTICS[name].columns]])


@pytest.mark.parametrize(("name", "args"), [(name, {}) for name in LISTS] + [("properties", {"property": "plan"})])
def test_the_pages_of_a_list_are_the_list(name: str, args: dict[str, Any], ask: Ask) -> None:
    whole = ask(name, ALL, **args)
    assert "next" not in whole
    size = max(len(whole[name]) // 2, 1)
    found, at = [], 0
    while True:
        page = ask(name, ALL, limit=size, offset=at, **args)
        found += page[name]
        if "next" not in page:
            break
        assert (len(page[name]), page["next"]) == (size, at + size)
        at = page["next"]
    assert found == whole[name]
    assert ask(name, ALL, limit=size, offset=len(found), **args)[name] == []


def test_the_values_of_a_property_are_counted(ask: Ask, asked: Asked) -> None:
    args, question, reference = asked
    assert ask("properties", question, property="plan", **args)["properties"] == reference.values("plan")
    assert ask("properties", question, property="no such", **args)["properties"] == []


def test_the_overview_has_the_figures_of_the_events(ask: Ask, asked: Asked) -> None:
    args, question, reference = asked
    value = ask("overview", question, **args)
    assert value["totals"] == reference.totals()
    shown = {"pages": "views", "sources": "visits", "countries": "views", "browsers": "views"}
    for part, figure in shown.items():
        label = stats.STATISTICS[part].columns[0].name
        rows = [{name: row[name] for name in (label, "visitors", figure)} for row in LISTS[part](reference)]
        assert value[part] == rows
    assert list(value) == ["period", "totals", "previous", "previous_period", *shown]


@pytest.mark.parametrize(
    ("period", "zone", "before"),
    [
        # Today in Berlin until 14:00, after the leap, against yesterday until 14:00: an hour more.
        ((BEGIN + 3 * DAY - HOUR, BEGIN + 3 * DAY + 12 * HOUR), "Europe/Berlin",
         (BEGIN + 2 * DAY - HOUR, BEGIN + 2 * DAY + 13 * HOUR)),
        ((BEGIN + 6 * DAY, BEGIN + 6 * DAY + HOUR), "UTC", (BEGIN + 5 * DAY, BEGIN + 5 * DAY + HOUR)),
        ((BEGIN + 5 * DAY, BEGIN + 7 * DAY), "UTC", (BEGIN + 3 * DAY, BEGIN + 5 * DAY)),
        ((BEGIN + 6 * DAY, BEGIN + 36 * DAY), "UTC", (BEGIN - 25 * DAY, BEGIN + 6 * DAY)),  # April against March
    ],
)  # fmt: skip
def test_the_overview_compares_with_the_period_before(
    ask: Ask, period: tuple[int, int], zone: str, before: tuple[int, int]
) -> None:
    value = ask("overview", period, zone=zone)
    assert value["previous_period"] == dict(zip(("from", "to"), before, strict=True))
    assert value["previous"] == Reference(EVENTS, Question(*before)).totals()
    assert value["previous"]["events"] > 0


@pytest.mark.parametrize(
    ("width", "zone", "period", "first", "number"),
    [
        ("minute", "UTC", (TURN[0], TURN[0] + HOUR), "2026-03-31T12:00:00+00:00", 61),
        ("hour", "Europe/Berlin", LEAP, "2026-03-29T00:00:00+01:00", 23),
        ("hour", "Asia/Kathmandu", LEAP, "2026-03-29T04:00:00+05:45", 24),
        ("day", "America/New_York", ALL, "2026-03-25T00:00:00-04:00", 10),
        ("week", "Europe/Berlin", ALL, "2026-03-23T00:00:00+01:00", 2),
        ("month", "Pacific/Auckland", ALL, "2026-03-01T00:00:00+13:00", 2),
        ("", "UTC", ALL, "2026-03-26T00:00:00+00:00", 9),
    ],
)
def test_a_timeseries_has_every_bucket_of_the_zone(
    ask: Ask, width: str, zone: str, period: tuple[int, int], first: str, number: int
) -> None:

    for args, question in (
        ({}, Question(*period)),
        ({"where": ["source is Google"]}, Question(*period, begins=of("source", "Google"))),
    ):
        rows = ask("timeseries", period, interval=width, zone=zone, **args)["timeseries"]
        assert (rows[0]["time"], len(rows)) == (first, number)
        starts = [round(datetime.fromisoformat(row.pop("time")).timestamp() * 1000) for row in rows]
        assert rows == Reference(EVENTS, question).series([period[0], *starts[1:]])


STEPS = [
    (["event is pageview", "event is signup"], [of("name", "pageview"), of("name", "signup")]),
    (["page is /", "page contains docs", "event is order", "page is /"],
     [of("path", "/"), lambda e: "docs" in e["path"], of("name", "order"), of("path", "/")]),
    ([], [of("name", "pageview"), of("name", "pageview"), lambda e: e["name"] != "pageview"]),
    (["property plan is pro"], [lambda e: e["props"].get("plan") == "pro"]),
]  # fmt: skip


@pytest.mark.parametrize("window", [900, 24 * 3600])
@pytest.mark.parametrize("way", [*TWO_WAYS, "a site on the day the clock leaps"])
@pytest.mark.parametrize(("steps", "tests"), STEPS)
def test_a_funnel_counts_who_came_how_far(
    ask: Ask, way: str, steps: list[str], tests: Sequence[Callable[[Event], bool]], window: int
) -> None:
    (args, question), reference = ASKED[way], _reference(way)
    rows = ask("funnels", question, steps=steps, window=window, **args)["funnels"]
    found = [row["visitors"] for row in rows]
    assert found == reference.funnel(tests, window * 1000)
    assert [row["of_first"] for row in rows] == [round(n / found[0], 4) if found[0] else None for n in found]
    assert [row["step"] for row in rows][: len(steps)] == steps


@pytest.mark.parametrize("width", ["day", "week"])
def test_retention_follows_people_with_a_user_id(ask: Ask, asked: Asked, width: str) -> None:
    args, question, reference = asked
    period = (question.start, question.end)
    rows = ask("retention", period, interval=width, zone="Europe/Berlin", **args)["retention"]
    days = [BEGIN - HOUR + n * DAY - (HOUR if n > 3 else 0) for n in range(-90, DAYS + 1)]  # midnights in Berlin
    wide = days if width == "day" else days[4::7]  # 90 days before a Thursday is a Friday; four later a Tuesday
    if width == "week":
        wide = [day for day in days if (day + 2 * HOUR - BEGIN) // DAY % 7 == 4]
    starts = [period[0], *(start for start in wide if period[0] < start < period[1])]
    assert [{name: row[name] for name in row if name != "cohort"} for row in rows] == reference.retention(starts)


def test_live_is_the_last_minutes(ask: Ask) -> None:
    by_span: dict[int, int] = defaultdict(int)
    for event in EVENTS:
        by_span[event["time"] // 300_000] += 1
    end = (max(by_span, key=lambda span: by_span[span]) + 1) * 300_000 - 1  # within the busiest five minutes
    value = ask("live", (0, end))
    there = Reference(EVENTS, Question(end - 300_000, end))
    assert value["period"] == {"from": end - 300_000, "to": end}
    assert value["totals"] == {name: there.totals()[name] for name in ("visitors", "views", "events")}
    assert value["totals"]["visitors"] > 0
    assert [row["country"] for row in value["countries"]] == [row["country"] for row in there.of_events("country")]
    views = Reference(EVENTS, Question(end - 30 * 60_000, end)).totals()["views"]
    assert (sum(row["views"] for row in value["minutes"]), len(value["minutes"])) == (views, 31)


BEFORE, WITHIN = BEGIN + 100 * DAY, BEGIN + 101 * DAY

#: A visit of three pages across a period's begin, and one of two pages after it; of a site of its own, by hand.
ACROSS = [
    event_of("hand", 1, BEFORE - 20 * MINUTE, "pageview", "/a", source="Bing"),
    event_of("hand", 1, BEFORE + 9 * MINUTE, "pageview", "/b"),
    event_of("hand", 1, BEFORE + 20 * MINUTE, "leave", "/b", engaged_ms=5000, scroll=40),
    event_of("hand", 1, BEFORE + 50 * MINUTE, "pageview", "/c", source="Google"),  # 30 minutes: another visit
    event_of("hand", 1, BEFORE + 80 * MINUTE - 1, "pageview", "/d"),  # a millisecond less: the same
    event_of("hand", 2, WITHIN - MINUTE, "signup", "/b"),  # goes on after the period
    event_of("hand", 2, WITHIN, "pageview", "/a"),
]


def test_a_visit_is_of_the_period_in_which_it_began(ask: Ask) -> None:
    asked = {"site": "hand"}
    assert ask("overview", (BEFORE, WITHIN), **asked)["totals"] == {
        "visitors": 2, "visits": 2, "views": 3, "events": 1,
        "bounce_rate": 0.0, "visit_seconds": 900.0, "engaged_seconds": 2.5,
    }  # fmt: skip
    sources = ask("sources", (BEFORE, WITHIN), **asked)["sources"]
    assert [(row["source"], row["visits"], row["views"]) for row in sources] == [("Google", 1, 2), ("", 1, 0)]
    assert [row["page"] for row in ask("entries", (BEFORE, WITHIN), **asked)["entries"]] == ["/c"]
    assert [row["page"] for row in ask("exits", (BEFORE, WITHIN), **asked)["exits"]] == ["/d"]
    # What came from Bing began before, and is of this period all the same where events are counted.
    bing = ask("overview", (BEFORE, WITHIN), where=["source is Bing"], **asked)["totals"]
    assert (bing["visitors"], bing["visits"], bing["views"], bing["engaged_seconds"]) == (1, 0, 1, None)
    [page] = ask("pages", (BEFORE, WITHIN), where=["source is Bing"], **asked)["pages"]
    assert page == {"page": "/b", "visitors": 1, "views": 1, "engaged_seconds": 5.0, "scroll": 40.0}
    before = ask("overview", (BEFORE - HOUR, BEFORE), **asked)["totals"]
    assert (before["visits"], before["bounce_rate"]) == (1, 1.0)


def test_a_list_is_cut_at_its_limit(ask: Ask) -> None:
    assert ask("cities", ALL, limit=2)["cities"] == ask("cities", ALL)["cities"][:2]
    assert ask("overview", ALL, limit=1)["pages"] == ask("overview", ALL)["pages"][:1]


def test_a_site_nobody_knows_is_told_from_one_without_events_in_the_period(ask: Ask) -> None:
    assert ask("countries", (1, 2), site="one")["countries"] == []
    for name in stats.STATISTICS.keys() - {"refused"}:
        with pytest.raises(QueryError, match="no event of a site 'tow' is stored") as caught:
            ask(name, ALL, site="tow")
        assert "hand, one, two" in caught.value.hint


def test_the_beginning_of_time_has_no_period_before_it(ask: Ask) -> None:
    value = ask("overview", (1, DAY))
    assert "previous" not in value and value["totals"]["visitors"] == 0


def test_values_reach_the_store_as_values(ask: Ask) -> None:
    for text in ("' OR 1 = 1 --", "\\", "{start_ms:Int64}", "{{kept}}", "%s", "\n\t", "ä\u2028🎈"):
        assert ask("countries", ALL, where=[f"event is {text}"])["countries"] == []
        assert ask("events", ALL, where=[f"property x{text}x contains {text} x"])["events"] == []


def test_an_empty_store_answers_every_statistic(store: str, run: stats.Run) -> None:
    for name, (value, error) in EMPTY[store].items():
        rows = [row for part in value.values() if isinstance(part, list) for row in part]
        numbers = [n for row in [*rows, value.get("totals", {})] for n in row.values() if not isinstance(n, str)]
        assert not any(numbers), name
        assert ("'one'" in error.text, error.hint) == (True, "no event is stored")
