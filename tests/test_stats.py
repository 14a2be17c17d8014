"""stats: the overview against the same figures worked out in Python, over chDB and PostgreSQL."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.batches import PARTITION, columns
from tests.postgres import Cluster
from tests.rows import NOW
from trackflowd import stats
from trackflowd.errors import QueryError
from trackflowd.sink.base import Batch, QueryLimits, SinkOptions, open_sink

HOUR = 3_600_000
ROWS = 3000
Event = dict[str, Any]


def made_events() -> list[Event]:
    """Events of two sites over two days, some by bots."""
    chosen = random.Random(7)
    made = columns(range(ROWS), 1)
    for n in range(ROWS):
        age = chosen.randrange(0, 48 * HOUR)
        made["site"][n] = chosen.choice(["one", "one", "two"])
        made["received"][n] = NOW
        made["time"][n] = NOW - age
        made["visitor"][n] = chosen.randrange(200)
        made["name"][n] = chosen.choice(["pageview", "pageview", "signup"])
        made["path"][n] = f"/{chosen.randrange(30)}"
        made["source"][n] = chosen.choice(["", "Google", "Bing"])
        made["country"][n] = chosen.choice(["DE", "GB", ""])
        made["browser"][n] = chosen.choice(["Firefox", "Chrome"])
        made["bot"][n] = chosen.choice(["", "", "", "rule"])
    return [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]


EVENTS = made_events()


@pytest.fixture(scope="module", params=stats.STORES)
def store(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def run(store: str, tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[stats.Run]:
    url = "chdb:" if store == "clickhouse" else postgres.database("stats")
    sink = open_sink(url, SinkOptions(tmp_path_factory.mktemp("data"), memory=2**30))
    sink.open()
    sink.insert(Batch(1, 1, PARTITION, ROWS, {name: [event[name] for event in EVENTS] for name in EVENTS[0]}))
    yield lambda sql, params: stats.rows(sink.query(sql, "json", QueryLimits(), params))
    sink.close()


def figures(events: Sequence[Event], label: str) -> list[dict[str, Any]]:
    grouped: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        grouped[event[label]].append(event)
    rows = [
        {
            "name": name,
            "visitors": len({(event["site"], event["visitor"]) for event in group}),
            "views": sum(event["name"] == "pageview" for event in group),
        }
        for name, group in grouped.items()
    ]
    return sorted(rows, key=lambda row: (-row["visitors"], -row["views"], row["name"]))


def expected(site: str, start: int, end: int, limit: int) -> dict[str, Any]:
    events = [
        event for event in EVENTS
        if event["site"] in (site or event["site"],) and start <= event["time"] < end and not event["bot"]
    ]  # fmt: skip
    visitors: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event["time"]):
        visitors[event["site"], event["visitor"]].append(event)
    visits = sum(1 + sum(b["time"] - a["time"] >= HOUR // 2 for a, b in pairwise(group)) for group in visitors.values())
    views = [event for event in events if event["name"] == "pageview"]
    first = {id(event): group[0]["source"] for group in visitors.values() for event in group}
    sourced = [{**event, "source": first[id(event)]} for event in events]
    totals = {"visitors": len(visitors), "visits": visits, "views": len(views), "events": len(events) - len(views)}
    return {
        "totals": totals,
        "pages": figures(views, "path")[:limit],
        "sources": figures(sourced, "source")[:limit],
        "countries": figures(events, "country")[:limit],
        "browsers": figures(events, "browser")[:limit],
    }


@pytest.mark.parametrize(
    ("site", "start", "end", "limit"),
    [
        ("one", NOW - 24 * HOUR, NOW, 10),
        ("", NOW - 48 * HOUR, NOW + 1, 1000),
        ("two", NOW - 30 * HOUR, NOW - 7 * HOUR, 3),
        ("none", NOW - 48 * HOUR, NOW, 10),
    ],
)
def test_the_overview_has_the_figures_of_the_events(
    run: stats.Run, store: str, site: str, start: int, end: int, limit: int
) -> None:
    found = stats.overview(run, site, start, end, limit, store)
    assert found == expected(site, start, end, limit)
    assert list(found) == ["totals", *stats.LISTS]


def test_a_statistic_is_answered_by_name(run: stats.Run, store: str) -> None:
    args = {"site": "one", "from": NOW - 24 * HOUR, "to": NOW}
    assert stats.answer(run, "overview", args, store) == expected("one", NOW - 24 * HOUR, NOW, 10)
    assert stats.answer(run, "overview", {**args, "site": None, "limit": 1}, store)["pages"][1:] == []


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("nope", {"from": 1, "to": 2}),
        ("overview", {"to": 2}),
        ("overview", {"from": "x", "to": 2}),
        ("overview", {"from": 2, "to": 2}),
        ("overview", {"from": -1, "to": 2}),
        ("overview", {"from": 1, "to": 2, "limit": 1001}),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_store_is_asked(name: str, args: Mapping[str, Any]) -> None:
    def never(sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        raise AssertionError

    with pytest.raises(QueryError):
        stats.answer(never, name, args)


@pytest.mark.parametrize("kind", stats.STORES)
def test_every_part_has_its_sql_and_nothing_else_is_read(kind: str) -> None:
    there = {path.stem for path in (Path(stats.__file__).parent / kind).glob("*.sql")}
    assert there == {"overview_totals", *(f"overview_{part}" for part in stats.LISTS)}
    for name in there:
        assert "bot = ''" in stats.load(kind, name)
    for name in ("overview_nope", "../clickhouse/overview_pages"):
        with pytest.raises(QueryError, match="no statistic"):
            stats.load(kind, name)
