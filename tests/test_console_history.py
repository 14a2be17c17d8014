"""console.history: values second by second, from the daemon and from what is seen."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.console_values import status
from trackflowd.console.history import KEPT, History, step_for

AT = 1_800_000_000


def test_rates_are_the_growth_between_two_statuses() -> None:
    history = History()
    for second, total in enumerate((100, 150, 350)):
        history.take(status(totals={"events_accepted": total}), AT + second)
    assert list(history.columns("events_s", 300))[-3:] == [None, 50.0, 200.0]
    assert history.last("events_s") == 200.0


def test_a_daemon_that_counts_from_the_start_again_leaves_a_gap() -> None:
    history = History()
    for second, total in enumerate((100, 150, 10, 30)):
        history.take(status(totals={"events_accepted": total}), AT + second)
    assert list(history.columns("events_s", 300))[-4:] == [None, 50.0, None, 20.0]


def test_a_connection_that_was_away_is_no_rate() -> None:
    history = History()
    history.take(status(totals={"events_accepted": 100}), AT)
    history.break_off()
    history.take(status(totals={"events_accepted": 900}), AT + 60)
    assert history.last("events_s") is None


def test_what_the_daemon_remembers_comes_before_what_is_seen() -> None:
    history = History()
    history.take(status(latency={"p99_ms": 3.0}), AT)
    told = {"at_ms": [(AT - 2) * 1000, (AT - 1) * 1000, AT * 1000], "series": {"p99_ms": [1.0, None, 9.0]}}
    history.recall(told)
    assert list(history.columns("p99_ms", 300))[-3:] == [1.0, None, 3.0]


def test_a_column_is_the_average_of_its_seconds_and_of_latencies_the_worst() -> None:
    history = History()
    seconds = range(AT, AT + 10)  # a whole multiple of 5 begins a column
    history.recall({"at_ms": [second * 1000 for second in seconds],
                    "series": {"events_s": list(range(10)), "p99_ms": list(range(10))}})  # fmt: skip
    assert step_for(60) == 5
    assert list(history.columns("events_s", 60))[-2:] == [2.0, 7.0]
    assert list(history.columns("p99_ms", 60))[-2:] == [4.0, 9.0]
    assert history.most("events_s", 5) == 9.0


def test_columns_do_not_change_while_they_move_left() -> None:
    history = History()
    seen = []
    for second in range(40):
        history.recall({"at_ms": [(AT + second) * 1000], "series": {"events_s": [float(second % 7)]}})
        seen.append([value for value in history.columns("events_s", 60) if value is not None])
    assert all(late[: len(early) - 1] == early[:-1] for early, late in pairwise(seen))


@pytest.mark.parametrize(("columns", "step"), [(20, 30), (66, 5), (186, 2), (300, 1)])
def test_a_chart_shows_five_minutes_or_more(columns: int, step: int) -> None:
    assert step_for(columns) == step


def test_only_so_much_is_kept() -> None:
    history = History()
    for second in range(KEPT * 2):
        history.recall({"at_ms": [(AT + second) * 1000], "series": {"events_s": [1.0]}})
    assert len(history._values) == KEPT


def test_the_fullest_ring_is_kept_in_percent() -> None:
    history = History()
    history.take(status(), AT)
    assert history.last("buffer") == 62.5
