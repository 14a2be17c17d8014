"""console.audience: who is there, and the lists of a period; asked for only while they are shown."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.console_values import Answers, desk, screen
from trackflowd.console.audience import EVERY, LISTS, Audience
from trackflowd.console.desk import Console

LIVE = {
    "totals": {"visitors": 12, "views": 40, "events": 3},
    "minutes": [{"views": n, "visitors": 1} for n in range(30)],
}


def statistic(name: str, **_: Any) -> dict[str, Any]:
    if name == "live":
        return LIVE
    label = next(label for one, label, _ in LISTS if one == name)
    rows = [{label: f"{label} {n}", "visitors": 100 - n, "visits": 90 - n, "events": 80 - n} for n in range(20)]
    return {"period": {}, name: [*rows[:3], {**rows[3], label: ""}, *rows[4:]]}


def audience(answers: Answers, **options: Any) -> tuple[Console, Audience]:
    console = desk(answers, tab="audience", **options)
    tab = console.tab
    assert isinstance(tab, Audience)
    return console, tab


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (100, 30), (120, 40), (200, 60)])
def test_every_list_is_there_at_every_size(columns: int, rows: int) -> None:
    answers = Answers(stats=statistic)
    console, tab = audience(answers)
    assert tab.waits
    console.tick(time.monotonic())
    answers.settle()
    assert not tab.waits
    shown = screen(console, columns, rows)
    assert max(map(len, shown)) <= columns and len(shown) == rows
    for text in ("12 visitors", "Pages", "Sources", "Countries", "Devices", "Campaigns", "Events", "page 0", "event 0"):
        assert text in "\n".join(shown), text
    assert "(none)" in "\n".join(shown) or rows == 24


def test_it_asks_one_thing_after_another_and_then_pauses() -> None:
    answers = Answers(stats=statistic)
    console, _ = audience(answers, site="example.com")
    now = time.monotonic()
    console.tick(now)
    assert [args["name"] for _, args in answers.asked] == ["live"]
    answers.settle()
    assert [args["name"] for _, args in answers.asked] == ["live", *(name for name, _, _ in LISTS)]
    assert {args["site"] for _, args in answers.asked} == {"example.com"}
    console.tick(now + 1)
    assert len(answers.asked) == 7
    console.tick(now + EVERY + 1)
    assert len(answers.asked) == 8


def test_nothing_is_asked_while_another_tab_is_shown() -> None:
    answers = Answers(stats=statistic)
    console, tab = audience(answers)
    console.tick(time.monotonic())
    console.press("1")
    answers.settle()
    assert len(answers.asked) == 1
    console.press("3")
    console.tick(time.monotonic())
    answers.settle()
    assert len(answers.asked) == 8 and not tab.waits


def test_another_period_is_asked_for_at_once() -> None:
    answers = Answers(stats=statistic)
    console, tab = audience(answers)
    console.tick(time.monotonic())
    answers.settle()
    console.press("]")
    assert tab.waits
    console.tick(time.monotonic())
    answers.settle()
    day, week = (args["from"] for _, args in answers.asked if args["name"] == "pages")
    assert (day % 60_000, week % 60_000) == (0, 0), "another period at each round"
    assert day - week in (6 * 86_400_000, 6 * 86_400_000 - 60_000)
    assert not tab.waits


def test_an_answer_for_the_period_before_is_thrown_away() -> None:
    answers = Answers(stats=statistic)
    console, tab = audience(answers)
    console.tick(time.monotonic())
    console.press("[")
    answers.settle()
    assert len(answers.asked) == 1 and tab.waits


def test_a_site_is_chosen() -> None:
    answers = Answers(stats=statistic, query=b'{"site":"a.example","n":9}\n{"site":"b.example","n":1}\n')
    console, tab = audience(answers)
    console.press("s")
    answers.settle()
    assert "b.example" in "\n".join(screen(console))
    for key in ("up", "enter"):  # the last of them
        console.press(key)
    assert tab.site == "b.example"
    console.tick(time.monotonic())
    assert answers.asked[-1][1]["site"] == "b.example"


def test_an_error_is_shown_and_asked_about_again() -> None:
    answers = Answers(stats=("unavailable", "the store is away", "see trackflow status"))
    console, tab = audience(answers)
    now = time.monotonic()
    console.tick(now)
    answers.settle()
    shown = "\n".join(screen(console))
    assert "the store is away" in shown and "see trackflow status" in shown and not tab.waits
    answers.values["stats"] = statistic
    console.tick(now + EVERY + 1)
    answers.settle()
    assert "page 0" in "\n".join(screen(console))


def test_a_period_without_events_says_so() -> None:
    answers = Answers(stats=lambda name, **_: {name: [], "totals": {"visitors": 0}})
    console, _ = audience(answers)
    console.tick(time.monotonic())
    answers.settle()
    shown = "\n".join(screen(console))
    assert shown.count("nothing in this period") == 6 and "0 visitors" in shown
