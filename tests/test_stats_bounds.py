"""stats.summed: how much is added up and kept, and what is done with more than that.

Answers are those of reading everything here too: ``Table.both`` compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.stats_events import DAYS
from tests.stats_table import PERIODS, Table
from trackflowd import stats
from trackflowd.errors import AnswerTooLong, QueryError
from trackflowd.stats import pieces


def test_a_list_too_long_to_keep_is_read_whole(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.stats.summed.LONGEST", 3)
    table.both("pages", PERIODS["all"])
    table.both("pages", PERIODS["all"])
    assert len(table.asked) == 3, "that it is too long is known the second time"
    table.both("browsers", PERIODS["all"])


def test_behind_a_day_too_long_nothing_is_added_up(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.stats.summed.LONGEST", 3)
    args = PERIODS["from and to the middle of an hour"]
    for later, most in ((0, 6), (1000, 3), (2000, 3)):
        table.both("pages", {**args, "from": args["from"] + later, "to": args["to"] + later})
        assert len(table.asked) <= most


def test_a_question_that_failed_once_is_asked_again(table: Table) -> None:
    failing = [True]

    def run(sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        if "GROUP BY browser" in sql and failing and failing.pop():
            raise QueryError("the query took longer than 30 s", "")
        return table.run(sql, params)

    stats.answer(run, "browsers", PERIODS["all"], sums=table.sums)
    table.both("browsers", PERIODS["all"])
    table.both("browsers", PERIODS["all"])
    assert len(table.asked) == 2, "days were taken for too long because a question about one failed"


def test_an_answer_of_a_day_with_more_bytes_than_it_may_have_is_not_asked_for_again(table: Table) -> None:
    def run(sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        asked.append(sql)
        if params.get("limit") == pieces.LONGEST + 1:
            raise AnswerTooLong("the query answers with more than 4194304 bytes", "ask for less, or LIMIT")
        return table.run(sql, params)

    asked: list[str] = []
    plain = stats.answer(table.run, "pages", PERIODS["all"])
    for questions in (6, 3):  # parts, stamps, a day, all, and at the end parts and stamps; then parts, stamps, all
        asked.clear()
        assert stats.answer(run, "pages", PERIODS["all"], sums=table.sums) == plain
        assert len(asked) == questions


def test_what_has_no_room_in_memory_is_read_whole(table: Table) -> None:
    table.sums = stats.Sums(most=15_000)
    table.both("pages", PERIODS["all"])
    table.both("pages", PERIODS["all"])
    assert len(table.asked) <= 3, "days are added up over and over that are not kept"
    table.both("devices", PERIODS["all"])


def test_several_days_are_added_up_by_one_question_as_far_as_an_answer_and_a_query_reach(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def questions() -> int:
        table.sums.clear()
        table.both("overview", PERIODS["all"])
        return len([sql for sql in table.asked if "v.begun" in sql]) - 1  # the period before has no day

    assert questions() == 2, "one day to see how long it is, and all the others"
    monkeypatch.setattr("trackflowd.stats.summed.LONGEST", 4)
    assert questions() == 3
    monkeypatch.setattr("trackflowd.stats.summed.AT_ONCE", 1)
    assert questions() == DAYS


def test_who_has_no_time_to_add_up_gets_an_answer_and_the_next_goes_on_from_there(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackflowd.stats.summed.PATIENCE", -1.0)
    monkeypatch.setattr("trackflowd.stats.summed.AT_ONCE", 1)
    asked = []
    for _ in range(DAYS + 1):
        table.both("os", PERIODS["all"])
        asked.append(len(table.asked))
    # Stamps before and after, a day, and everything; at the last day nothing else is left, and then nothing at all.
    assert asked == [6] * (DAYS - 1) + [5, 2]
