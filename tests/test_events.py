"""Events page by page and counted by month, alike over chDB and PostgreSQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import pytest

from tests.batches import PARTITION, batch
from tests.rows import NOW, event_id
from tests.stores import Stores
from trackflowd import events
from trackflowd.errors import QueryError
from trackflowd.selection import Selection
from trackflowd.sink.base import Batch, QueryLimits, Sink, SinkOptions, open_sink, sql_of

BATCH_IDS = count(7 << 100)


class Store:
    """A store and what asks it."""

    def __init__(self, url: str, sink: Sink) -> None:
        self.kind = sql_of(url)
        self.sink = sink

    def run(self, sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        answer = self.sink.query(sql, "json", QueryLimits(), dict(params))
        return [json.loads(line) for line in answer.splitlines()]

    def put(self, site: str, rows: int, **columns: Any) -> None:
        plain = batch(next(BATCH_IDS), range(rows), site=site)
        self.sink.insert(Batch(plain.batch_id, 1, PARTITION, rows, {**plain.columns, **columns}))

    def pages(self, what: Selection, limit: int, newest: bool = True) -> list[list[dict[str, Any]]]:
        found, after = [], ""
        while True:
            page = events.page(self.run, self.kind, what, limit, after, newest)
            found.append(page.rows)
            after = page.next
            if not after:
                return found


@pytest.fixture(scope="module", params=["clickhouse", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, stores: Stores) -> Iterator[Store]:
    url = stores.url(request.param, "paged", embedded="chdb:")
    sink = open_sink(url, SinkOptions(tmp_path_factory.mktemp("data"), timeout_s=20, memory=2**30))
    sink.open()
    yield Store(url, sink)
    sink.close()


def name_of(n: int) -> str:
    return str(uuid.UUID(bytes=event_id(n)))


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("limit", [1, 7, 24, 25, 1000])
def test_pages_hold_every_event_once_in_order_of_time(store: Store, limit: int, newest: bool) -> None:
    site = f"paged-{limit}-{newest}"
    store.put(site, 25)
    pages = store.pages(Selection(site=site), limit, newest)
    assert all(len(page) == limit for page in pages[:-1])
    found = [event["event_id"] for page in pages for event in page]
    assert found == [name_of(n) for n in (range(24, -1, -1) if newest else range(25))]


def test_events_of_the_same_moment_are_on_one_page_each(store: Store) -> None:
    store.put("moment", 20, time=[NOW] * 20)
    store.put("moment2", 20, time=[NOW] * 20)  # the same ids on another site
    for what in (Selection(site="moment"), Selection(from_ms=NOW, to_ms=NOW + 1)):
        found = [(event["site"], event["event_id"]) for page in store.pages(what, 3) for event in page]
        assert len(set(found)) == len(found) >= 20


def test_the_newest_are_looked_for_in_a_day_before_all_time_is(store: Store) -> None:
    site, day = "windows", 86_400_000
    store.put(site, 30, time=[NOW - day * (n - 19 if n > 19 else 0) - n for n in range(30)])
    asked: list[Mapping[str, str | int]] = []

    def run(sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        asked.append(params)
        return store.run(sql, params)

    what, after, calls, found = Selection(site=site, to_ms=NOW + 1), "", [], []
    for _ in range(3):
        page = events.page(run, store.kind, what, 12, after)
        after = page.next
        found += [event["event_id"] for event in page.rows]
        calls.append(len(asked))
    assert found == [name_of(n) for n in range(30)]
    assert calls == [1, 3, 6], "twenty of one day, then one of each day, then fewer than a page"
    assert NOW + 1 - day in asked[0].values()


def test_an_event_is_shown_with_all_its_fields_and_its_visitor_in_hex(store: Store) -> None:
    store.put("shown", 3)
    (event,) = events.page(store.run, store.kind, Selection(site="shown", event=event_id(2)), 10).rows
    assert tuple(event) == events.SHOWN
    assert (event["visitor"], event["user_id"], event["props"]) == (
        "fffffffffffffffd",
        "user_id-2",
        {"n": "2", "ä": "ö"},
    )
    assert events.milliseconds(event["time"]) == NOW + 2
    assert events.month_of(event["received"]) == PARTITION
    again = Selection.read({"visitor": event["visitor"], "user": event["user_id"], "site": "shown"})
    assert events.page(store.run, store.kind, again, 10).rows == [event]


def test_events_are_counted_by_the_month_they_were_received_in(store: Store) -> None:
    store.put("months", 10)
    december = 1_764_600_000_000
    plain = batch(next(BATCH_IDS), range(4), site="months")
    columns = {**plain.columns, "received": [december + n for n in range(4)]}
    store.sink.insert(Batch(plain.batch_id, 1, 202512, 4, columns))
    assert events.months(store.run, store.kind, Selection(site="months").conditions()) == {202511: 10, 202512: 4}
    assert events.months(store.run, store.kind, Selection(site="nobody's").conditions()) == {}


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_of_no_events_or_too_many_is_refused(limit: int) -> None:
    with pytest.raises(QueryError, match="not between 1 and 1000"):
        events.page(lambda sql, params: [], "clickhouse", Selection(), limit)


@pytest.mark.parametrize("after", ["x", "[1]", '[1, "x", "s"]', f'["x", "{name_of(1)}", "s"]', '[1, 5, "s"]', "5"])
def test_a_place_that_no_page_gave_is_refused(after: Any) -> None:
    with pytest.raises(QueryError, match="a page begins behind"):
        events.page(lambda sql, params: [], "clickhouse", Selection(), 5, after)


def test_the_oldest_event_of_each_site_is_found_up_to_a_time(store: Store) -> None:
    for site, received in (("old-a", NOW - 5), ("old-b", NOW - 9), ("old-c", NOW - 1)):
        store.put(site, 3, received=[received + n for n in range(3)])
    mine = {"old-a", "old-b", "old-c"}

    def oldest(until: int, sites: set[str] | None, most: int = 100) -> list[tuple[str, int]]:
        found = events.oldest(store.run, store.kind, until, sites, most)
        return [(site, at) for site, at in found.items() if site in mine]

    assert oldest(NOW - 5, mine) == [("old-b", NOW - 9), ("old-a", NOW - 5)]
    assert oldest(NOW, {"old-a", "nobody"}) == [("old-a", NOW - 5)]
    assert oldest(NOW, None) == [("old-b", NOW - 9), ("old-a", NOW - 5), ("old-c", NOW - 1)]
    assert oldest(NOW, mine, 1) == [("old-b", NOW - 9)]
    assert oldest(NOW - 10, None) == oldest(NOW, set("x")) == []
