"""stats.summed: answers put together from kept days, over a real engine, are those of reading everything.

Nobody tells the sums of a change: each test changes the table in another way and asks again.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.rows import event_id
from tests.stats_events import BEGIN, DAY, DAYS, HOUR, MINUTE, event_of, land
from tests.stats_table import PERIODS, Table, numbered
from trackflowd import stats
from trackflowd.enrich.visitor import of_day
from trackflowd.errors import QueryError
from trackflowd.event import FIELDS
from trackflowd.sink.base import QueryLimits
from trackflowd.stats import pieces
from trackflowd.stats.compose import Scope, compose

NAMES = ("overview", *sorted(pieces.SUMMED & stats.STATISTICS.keys() - {"overview"}))

Bring = Callable[..., None]


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_of_days_added_up_is_that_of_all_events_and_the_second_asks_for_stamps_only(
    name: str, period: str, table: Table
) -> None:
    for more in ({}, {"limit": 3}, {"limit": 2, "offset": 1}):
        if name != "overview" or "offset" not in more:
            table.both(name, {**PERIODS[period], **more})
            if more:
                # Before the first day there is nothing to keep: the figures of that period are asked for.
                assert len(table.asked) - 2 <= (name == "overview"), "something was read that was known"


def test_a_period_that_moves_reads_its_ends_only(table: Table) -> None:
    args = PERIODS["from and to the middle of an hour"]
    table.both("countries", args)
    table.both("countries", {**args, "from": args["from"] + 1000, "to": args["to"] + 1000})
    assert len([sql for sql in table.asked if "GROUP BY country" in sql]) == 2


def test_an_event_that_comes_in_has_the_end_of_a_period_until_now_read_again_and_nothing_else(
    table: Table, odd: Bring
) -> None:
    for hours in (1, 25, 49, 73):
        odd(hours)
    args = {"site": "odd", "from": BEGIN + HOUR // 2, "to": BEGIN + 73 * HOUR + 10 * MINUTE}
    table.both("countries", args)
    table.both("countries", args)
    assert len(table.asked) == 2, "something was read that was known"
    odd(73 + 1 / 12, country="GB")
    table.both("countries", args)
    assert len([sql for sql in table.asked if "GROUP BY country" in sql]) == 1


def test_a_day_that_had_an_event_just_now_is_not_kept(
    table: Table, odd: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in (1, 25, 49, 73):
        odd(hours)
    monkeypatch.setattr("trackflowd.stats.summed.BUSY_MS", time.time_ns() // 1_000_000 - BEGIN - 3 * DAY)
    args = {"site": "odd", "from": BEGIN, "to": BEGIN + 3 * DAY + 12 * HOUR}
    for _ in range(2):
        table.both("countries", args)
        table.both("countries", args)
        assert len(table.asked) == 3, "stamps, the last day, and no look whether that is still the same"


def test_a_filter_is_not_added_up(table: Table) -> None:
    table.both("countries", {**PERIODS["all"], "where": ["page is /"]})
    assert len(table.asked) == 1


def test_a_late_event_has_its_day_read_again_and_no_other(table: Table) -> None:
    for name in ("overview", "pages"):
        table.both(name, PERIODS["all"])
    more = {"country": "ZZ", "received": BEGIN + 8 * DAY, "event_id": event_id(2**50)}
    land(table.sink, [event_of("one", of_day(7, BEGIN + 3 * DAY), BEGIN + 3 * DAY + 5, "pageview", "/late", **more)])
    table.both("pages", PERIODS["all"])
    assert sum("GROUP BY p.path" in sql for sql in table.asked) == 1
    table.both("overview", PERIODS["all"])


@pytest.mark.parametrize(
    "change",
    [
        "DELETE WHERE country = 'GB'",
        "UPDATE country = 'FR' WHERE country = 'DE' AND toDate(time) = '2026-03-28'",
        "UPDATE engaged_ms = engaged_ms + 1 WHERE name = 'leave' AND path = '/'",
    ],
)
def test_what_anyone_corrects_or_deletes_is_seen(change: str, table: Table) -> None:
    table.both("overview", PERIODS["all"])
    known = len(table.asked)
    table.do(f"ALTER TABLE events {change}")
    table.both("overview", PERIODS["all"])
    assert 2 < len(table.asked) <= known
    assert table.agrees()


def test_a_day_that_changes_while_it_is_added_up_is_not_kept(table: Table) -> None:
    late = event_of("one", of_day(9, BEGIN + DAY), BEGIN + DAY + 5, "pageview", "/meanwhile", country="YY")
    table.before = [lambda: land(table.sink, [{**late, "event_id": event_id(2**51)}])]
    stats.answer(table.run, "countries", PERIODS["all"], sums=table.sums)
    assert not table.before
    table.do("ALTER TABLE events DELETE WHERE country = 'YY'")  # its stamp is the old one again
    table.both("countries", PERIODS["all"])


def test_visitors_that_are_seen_on_two_days_are_counted_once(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an import may bring them; there the period is not cut. A build that cuts it nevertheless is found out."""
    args = {"site": "imported", **PERIODS["all"]}
    events = [event_of("imported", 5, BEGIN + n * 7 * HOUR, "pageview", "/", country="DE") for n in range(12)]
    land(table.sink, [{**event, "event_id": event_id(2**52 + n)} for n, event in enumerate(events)])
    table.both("countries", args)
    assert stats.answer(table.run, "overview", args, sums=table.sums)["totals"]["visitors"] == 1
    land(table.sink, numbered([{**event, "event_id": event_id(2**53 + n)} for n, event in enumerate(events)]))
    table.both("countries", args)
    monkeypatch.setattr(pieces, "_apart", lambda days: True)
    with pytest.raises(AssertionError):
        table.both("countries", args)
    table.do("ALTER TABLE events DELETE WHERE site = 'imported'")


def test_who_was_there_before_the_period_is_no_new_visit_under_any_number(table: Table) -> None:
    """A number of the next day, a minute before midnight: the visit that goes on after it did not begin there."""
    visitor = of_day(77, BEGIN + 3 * DAY)
    times = [BEGIN + 3 * DAY - MINUTE, BEGIN + 3 * DAY + MINUTE]
    events = [event_of("early", visitor, at, "pageview", "/", country="DE") for at in times]
    land(table.sink, [{**event, "event_id": event_id(2**54 + n)} for n, event in enumerate(events)])
    args = {"site": "early", "from": BEGIN + 3 * DAY, "to": BEGIN + 4 * DAY}
    table.both("overview", args)
    land(
        table.sink,
        numbered([event_of("early", 78, BEGIN + 3 * DAY - HOUR // 4, "pageview", "/", event_id=event_id(2**55))]),
    )
    table.both("overview", args)
    assert stats.answer(table.run, "overview", args, sums=table.sums)["totals"]["visits"] == 0
    table.do("ALTER TABLE events DELETE WHERE site = 'early'")


@pytest.fixture
def odd(table: Table) -> Iterator[Bring]:
    """Brings a page view of the site "odd": so many hours after the begin, by a number of its day."""
    numbers = iter(range(2**55 + 2**54, 2**56))

    def bring(hours: float, number: int = 7, **more: Any) -> None:
        at = BEGIN + round(hours * HOUR)
        event = event_of("odd", of_day(number << 10, at), at, "pageview", "/", country="DE")
        land(table.sink, [{**event, "event_id": event_id(next(numbers)), **more}])

    yield bring
    table.do("ALTER TABLE events DELETE WHERE site = 'odd'")


#: To the middle of the fourth day, which is no whole one if it has events after that.
TO_NOON: dict[str, Any] = {"site": "odd", "from": BEGIN, "to": BEGIN + 3 * DAY + 12 * HOUR + 1}


def test_what_was_received_too_early_counts_behind_whole_days(table: Table, odd: Bring) -> None:
    for hours in (1, 25, 49, 84):
        odd(hours)
    odd(73, country="GB", received=BEGIN + 47 * HOUR)
    table.both("countries", TO_NOON)


def test_a_part_of_a_day_whose_number_follows_that_of_the_last_whole_one_is_added_up_alone(
    table: Table, odd: Bring
) -> None:
    """As after 1,023 days, or of imported visitors: a question for both would have an end before its begin."""
    for hours, number in ((13, 8), (14, 8), (25, 6), (26, 6), (49, 7), (50, 7)):
        odd(hours, visitor=(round(hours) << 10) + number)
    table.both("countries", {"site": "odd", "from": BEGIN + 13 * HOUR + 10 * MINUTE, "to": BEGIN + 3 * DAY})


def test_days_of_bots_only_have_an_overview_of_zeros(table: Table, odd: Bring) -> None:
    for hours in (1, 25, 49, 73):
        odd(hours, bot="rule" if hours in (25, 49) else "")
    table.both("overview", {"site": "odd", "from": BEGIN, "to": BEGIN + 4 * DAY})
    table.both("overview", {"site": "odd", "from": BEGIN + DAY, "to": BEGIN + 3 * DAY})


def test_a_text_that_is_no_unicode_spoils_no_list_that_does_not_show_it(table: Table, odd: Bring) -> None:
    for number, path in enumerate(("/", "/", "/", "/a", "/a", "/no")):
        odd(1, number, path=path)
    table.do("ALTER TABLE events UPDATE path = unhex('2FC8') WHERE path = '/no'")
    table.both("pages", {"site": "odd", "from": BEGIN, "to": BEGIN + DAY, "limit": 1})


def test_what_is_received_at_another_time_has_another_stamp(table: Table, odd: Bring) -> None:
    for hours in (1, 25, 49, 73, 84):
        odd(hours)
    odd(74, 8, country="GB", received=BEGIN + 12 * DAY)
    table.both("countries", TO_NOON)
    table.do("ALTER TABLE events DELETE WHERE site = 'odd' AND country = 'GB'")
    odd(74, 8, country="GB")
    table.both("countries", TO_NOON)


def test_where_the_store_does_not_show_its_parts_everything_is_read(table: Table) -> None:
    def run(sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        if "system.parts" in sql:
            raise QueryError("not enough privileges", "")
        return table.run(sql, params)

    plain = stats.answer(table.run, "pages", PERIODS["all"])
    assert stats.answer(run, "pages", PERIODS["all"], sums=table.sums) == plain


def test_while_parts_have_no_stamps_everything_is_read(table: Table) -> None:
    table.do("ALTER TABLE events CLEAR PROJECTION stamps")
    table.both("countries", PERIODS["all"])
    assert len(table.asked) == 2 and table.sums.unstamped > 0, "asked for what no part has"
    table.do("ALTER TABLE events MATERIALIZE PROJECTION stamps")
    assert table.agrees()
    table.both("countries", PERIODS["all"])
    assert len(table.asked) > 2 and table.sums.unstamped == 0


def test_the_projection_says_what_the_rows_say_after_merges_deletions_and_the_end_of_retention(table: Table) -> None:
    assert table.agrees()
    table.sink._clients()[0].command("OPTIMIZE TABLE events FINAL")
    assert table.agrees()
    table.do("ALTER TABLE events DELETE WHERE path = '/pricing'")
    assert table.agrees()
    before = table.sink.query("SELECT count() AS n FROM events", "json", QueryLimits())
    table.do("ALTER TABLE events MODIFY TTL toDateTime(received) + toIntervalSecond(now() - 1774800000)")
    table.sink._clients()[0].command("OPTIMIZE TABLE events FINAL")
    assert table.sink.query("SELECT count() AS n FROM events", "json", QueryLimits()) != before
    assert table.agrees()


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_changed_and_asked_in_whatever_order_the_answers_are_those_of_all_events(
    seed: int, table: Table
) -> None:
    """One memory of sums over all of it: late events, imported visitors, corrections, erasures, repeats of periods."""
    chosen = random.Random(seed)
    periods: list[dict[str, Any]] = [dict(PERIODS["all"])]
    numbers = iter(range(2**60 + seed * 2**20, 2**61))

    def bring(visitor_of: Callable[[int], int], count: int) -> None:
        at = BEGIN + chosen.randrange(DAYS * DAY)
        events = [
            event_of(
                *(chosen.choice(("one", "new")), visitor_of(time), time, "pageview", f"/{n}"),
                event_id=event_id(next(numbers)),
                country=chosen.choice(("DE", "GB")),
            )
            for n, time in enumerate(range(at, at + count * HOUR // 3, HOUR // 3))
        ]
        land(table.sink, events)

    def ask() -> None:
        if chosen.random() < 0.5:
            start = BEGIN + chosen.randrange(DAYS * DAY)
            start -= chosen.choice((0, start % DAY, start % (HOUR // 2)))
            end = min(start + chosen.randrange(HOUR, 5 * DAY), BEGIN + (DAYS + 1) * DAY)
            end += chosen.choice((0, -(end % DAY), 1)) if end - end % DAY > start else 0
            more = {"site": "one"} if chosen.random() < 0.3 else {}
            periods.append({"from": start, "to": end, "bots": chosen.random() < 0.2, **more})
        table.both(chosen.choice(NAMES), chosen.choice(periods))

    known = chosen.getrandbits(64)
    steps: list[Callable[[], None]] = [
        lambda: bring(lambda at: of_day(chosen.getrandbits(64), at), 5),
        lambda: bring(lambda at: of_day(known, at), 40),
        lambda: bring(lambda at: known, 3),
        lambda: table.do(f"ALTER TABLE events DELETE WHERE visitor = {known}"),
        lambda: table.do(f"ALTER TABLE events DELETE WHERE path = '/{chosen.randrange(40)}'"),
        lambda: table.do("ALTER TABLE events UPDATE country = 'GB' WHERE site = 'new' AND path = '/1'"),
    ]
    for _ in range(30):
        if chosen.random() < 0.3:
            chosen.choice(steps)()
        ask()
    table.do("ALTER TABLE events DELETE WHERE site = 'new'")


def test_stamps_hash_every_column_that_added_up_statistics_read() -> None:
    """A column that is read and not hashed could change unseen."""
    here = Path(stats.__file__).parent
    schema = next((here.parent / "sink/schema/clickhouse").glob("*_stamps.sql")).read_text()
    hashed = set(re.findall(r"\w+", schema.partition("cityHash64(")[2].partition(")")[0]))
    columns = {field.name for field in FIELDS}
    read = set()
    for file in pieces.SUMMED:
        sql, _ = compose("clickhouse", file, Scope(0, DAY, "one"))
        read |= columns.intersection(re.findall(r"\w+", sql))
    # What the projection groups by, and a label that is called as a column is.
    assert read - hashed == {"site", "referrer"}
    assert hashed <= columns
