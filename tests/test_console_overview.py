"""console.overview: the first tab at every size."""

from __future__ import annotations

import pytest

from tests.console_values import STATUS, known, older, status, texts
from trackflowd.console import overview
from trackflowd.console.knowledge import Knowledge
from trackflowd.console.lines import columns_of

AT = 1_800_000_000.0
SIZES = [(78, 21), (98, 30), (118, 36), (198, 56), (300, 80)]


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_it_fits_its_room(columns: int, rows: int) -> None:
    lines = overview.draw(known(status(), status(), at=AT), columns, rows, AT)
    assert len(lines) <= rows
    assert max(map(columns_of, lines)) <= columns
    shown = "\n".join(texts(lines))
    for text in ("ready", "events/s", "1,234", "requests/s", "0.42 ms", "Alerts", "Refused", "bad_json"):
        assert text in shown, text


@pytest.mark.parametrize(("columns", "rows", "charts"), [(78, 21, 2), (118, 36, 6), (198, 56, 6)])
def test_a_larger_screen_has_more_charts(columns: int, rows: int, charts: int) -> None:
    shown = "\n".join(texts(overview.draw(known(status(), at=AT), columns, rows, AT)))
    assert shown.count("0 ┤") >= charts


def test_refusals_are_ordered_and_what_is_new_is_marked() -> None:
    know = known(status(refusals={"bad_json": 10, "method": 3}), at=AT)
    know.take(status(refusals={"bad_json": 15, "method": 3, "malformed": 0}), AT + 1)
    shown = texts(overview.draw(know, 118, 36, AT + 1))
    rows = [line.split() for line in shown if "bad_json" in line or "method" in line]
    assert rows[0][-2:] == ["15", "+5"]
    assert rows[1][-1] == "3"
    assert "malformed" not in "\n".join(shown)


def test_more_reasons_than_rows_are_counted() -> None:
    many = {f"reason_{n:02}": 100 - n for n in range(30)}
    shown = "\n".join(texts(overview.draw(known(status(refusals=many), at=AT), 78, 21, AT)))
    assert "more reasons" in shown


@pytest.mark.parametrize("key", sorted(STATUS))
def test_an_older_daemon_that_lacks_a_key_is_shown_all_the_same(key: str) -> None:
    assert overview.draw(known(older(key), at=AT), 78, 21, AT)


def test_before_the_first_status_it_says_that_it_waits() -> None:
    assert texts(overview.draw(Knowledge(), 78, 21, AT)) == ["waiting for the first word of the daemon"]
