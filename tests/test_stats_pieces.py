"""stats.pieces: where a period is cut into days, what is kept of them, and rows put together again."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from trackflowd.stats import pieces
from trackflowd.stats.compose import LATE_MS, LOOK_BACK_MS, Scope
from trackflowd.stats.pieces import Piece, Sum, Sums, cut, order_of, top

DAY = 86_400_000
HALF = DAY // 48
WEEK = Scope(3 * DAY + 7, 10 * DAY + 7, "one")


def day(number: int, start: int = 0, end: int = DAY, **more: Any) -> dict[str, Any]:
    """A row of stamps.sql: a day, seen from start to end (ms of it)."""
    start_ms, end_ms = number * DAY + start, number * DAY + end
    of_day = {"day": number % 1024, "last_day": number % 1024, "events": pieces.WORTH, "stamp": 2**64 - 1 - number}
    return {**of_day, "start_ms": start_ms, "end_ms": end_ms, "first_ms": start_ms, "last_ms": end_ms + 5, **more}


DAYS = [day(number) for number in range(3, 11)]


def test_whole_days_are_pieces_and_so_are_the_parts_before_and_behind_them() -> None:
    [*whole, head, tail] = cut(DAYS, WEEK)
    assert [(piece.scope.start_ms, piece.scope.end_ms, piece.day) for piece in whole] == [
        (number * DAY, (number + 1) * DAY, number) for number in range(4, 10)
    ]
    assert [piece.stamp for piece in whole] == [row["stamp"] for row in DAYS[1:-1]]
    assert {(piece.whole, piece.events, piece.scope.back_ms) for piece in whole} == {(True, pieces.WORTH, 0)}
    week = replace(WEEK, until_ms=WEEK.end_ms + LATE_MS)
    before, behind = replace(week, end_ms=4 * DAY), replace(week, start_ms=10 * DAY, back_ms=0)
    assert before.back_ms == LOOK_BACK_MS
    assert [head, tail] == [
        Piece(scope, row["stamp"], row["day"], row["events"], row["last_ms"], whole=False)
        for scope, row in ((before, DAYS[0]), (behind, DAYS[-1]))
    ]


def test_a_period_that_begins_or_ends_with_a_day_has_nothing_before_or_behind_it() -> None:
    week = cut(DAYS, WEEK)
    [*_, tail] = cut(DAYS, replace(WEEK, start_ms=3 * DAY))
    assert tail == week[-1]
    [*_, head] = cut(DAYS, replace(WEEK, end_ms=11 * DAY))
    assert head == replace(week[-2], scope=replace(week[-2].scope, until_ms=11 * DAY + LATE_MS))
    assert all(piece.whole for piece in cut(DAYS, Scope(3 * DAY, 11 * DAY)))


def test_a_period_may_be_a_part_of_one_day_or_of_two() -> None:
    noon = replace(WEEK, start_ms=3 * DAY, end_ms=3 * DAY + DAY // 2, until_ms=11 * DAY)
    assert [piece.scope for piece in cut([day(2), day(3)], noon)] == [noon]
    night = replace(noon, start_ms=3 * DAY + DAY // 2, end_ms=4 * DAY + DAY // 2)
    assert [piece.scope for piece in cut(DAYS, night)] == [
        replace(night, end_ms=4 * DAY),
        replace(night, start_ms=4 * DAY, back_ms=0),
    ]
    assert cut([DAYS[0], day(4, first_ms=4 * DAY - 1)], night) == []


def test_a_day_is_asked_for_in_the_same_words_whatever_period_it_is_of() -> None:
    week = cut(DAYS, WEEK)
    later = cut(DAYS, replace(WEEK, start_ms=5 * DAY + 1, end_ms=WEEK.end_ms + 60_000))
    assert week[2:-2] == later[:-2]


@pytest.mark.parametrize(
    ("why", "days"),
    [
        ("nothing happened in the period", [day(2), day(11)]),
        ("too little happened in the only day", [day(3, events=pieces.WORTH - 1)]),
        ("adding up costs more than reading", [*DAYS[:4], *(day(n, events=pieces.WORTH - 1) for n in range(7, 11))]),
        ("a visitor of another day, in one half hour", [*DAYS[:4], day(7, last_day=8), *DAYS[5:]]),
        ("a day reaches into the next one", [*DAYS[:4], day(7, end=DAY + HALF), *DAYS[5:]]),
        ("one that is only partly in the period does", [day(3, end=DAY + HALF), *DAYS[1:]]),
        ("one that was read to see who was under way does", [day(2, HALF, DAY, last_day=3), *DAYS[1:]]),
        ("received before it happened", [*DAYS[:4], day(7, first_ms=7 * DAY - 1), *DAYS[5:]]),
        ("of the rest behind, too", [*DAYS[:-1], day(10, first_ms=10 * DAY - 1)]),
        ("received later than this period looks", [*DAYS[:4], day(7, last_ms=WEEK.end_ms + LATE_MS), *DAYS[5:]]),
    ],
)
def test_a_period_is_not_cut_where(why: str, days: list[dict[str, Any]]) -> None:
    assert cut(days, WEEK) == [], why


def test_a_visitors_day_may_begin_at_any_half_hour_and_days_may_lack() -> None:
    days = [day(n, 22 * DAY // 24, DAY + 22 * DAY // 24 - HALF) for n in (3, 5, 8)]
    found = cut([*days, day(20, last_day=21)], Scope(3 * DAY, 11 * DAY))
    assert [(piece.scope.start_ms, piece.day) for piece in found] == [(row["start_ms"], row["day"]) for row in days]


def test_the_order_of_every_statistic_that_adds_up_is_known() -> None:
    assert order_of("overview") == ((), ())
    assert order_of("cities") == (("visitors", "views", "events"), ("country", "region", "city"))
    for file in pieces.SUMMED - {"overview"}:
        numbers, texts = order_of(file)
        assert numbers and texts, file


def test_rows_of_all_pieces_together_are_ordered_as_a_store_orders_them() -> None:
    chosen = random.Random(7)
    rows: list[list[dict[str, Any]]] = [
        [{"event": name, "events": chosen.randrange(4), "visitors": chosen.randrange(3)} for name in "abcüxyz"]
        for _ in range(4)
    ]
    added = {
        name: [
            sum(row[figure] for part in rows for row in part if row["event"] == name)
            for figure in ("events", "visitors")
        ]
        for name in "abcüxyz"
    }
    ordered = sorted(added.items(), key=lambda item: (-item[1][0], -item[1][1], item[0].encode()))
    expected = [{"event": name, "events": events, "visitors": visitors} for name, (events, visitors) in ordered]
    sums = [Sum.of(part, ["event"]) for part in [*rows, []]]
    assert top("events", sums, 10, 0) == expected
    assert top("events", sums, 2, 3) == expected[3:5]
    assert top("events", [Sum.of([], ["event"])], 10, 0) == []


def _piece(number: int, stamp: int = 1) -> Piece:
    return Piece(Scope(number * DAY, (number + 1) * DAY), stamp, number, 0, 0)


def test_a_sum_is_known_until_its_day_changes_and_then_takes_the_place_of_the_old_one() -> None:
    sums, made = Sums(), Sum([("a",)], {"visitors": [1]})
    assert sums.get("pages", _piece(1)) is None
    sums.put("pages", _piece(1), made)
    assert sums.get("pages", _piece(1)) == (made,)
    assert sums.get("entries", _piece(1)) is None
    assert sums.get("pages", _piece(1, stamp=2)) is None
    sums.put("pages", _piece(1, stamp=2), None)
    assert (sums.get("pages", _piece(1, stamp=2)), sums.get("pages", _piece(1)), len(sums)) == ((None,), None, 1)


def test_long_texts_take_more_of_the_room() -> None:
    sums = Sums(most=100_000)
    for number in range(100):
        sums.put("pages", _piece(number), Sum([("x" * 2000,)], {"visitors": [1]}))
    assert 30 <= len(sums) <= 100_000 // 2000


def test_parts_of_days_push_no_day_out() -> None:
    made = Sum([("a",)], {"visitors": [1]})
    sums = Sums(most=made.size, most_ends=2 * made.size)
    sums.put("pages", _piece(1), made)
    ends = [replace(_piece(number), whole=False) for number in range(2, 5)]
    for piece in ends:
        sums.put("pages", piece, made)
    assert [sums.get("pages", piece) for piece in (_piece(1), *ends)] == [(made,), None, (made,), (made,)]


def test_what_was_not_asked_for_longest_goes_first_and_an_erasure_takes_all() -> None:
    made = Sum([(str(n),) for n in range(9)], {"visitors": list(range(9))})
    sums = Sums(most=3 * made.size)
    for number in (1, 2, 3):
        sums.put("pages", _piece(number), made)
    assert sums.get("pages", _piece(1)) == (made,)
    sums.put("pages", _piece(4), made)
    assert [number for number in (1, 2, 3, 4) if sums.get("pages", _piece(number))] == [1, 3, 4]
    sums.clear()
    assert len(sums) == 0
    sums.put("pages", _piece(1), made)
    assert len(sums) == 0, "it may be of before the erasure"
    for number in (1, 2, 3):
        sums.put("pages", _piece(number), made, sums.cleared)
    assert len(sums) == 3, "the room that was taken is free again"
