"""console.charts: quantities drawn with characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console_values import texts
from trackflowd.console.charts import (
    area,
    ceiling,
    gauge,
    level,
    milliseconds,
    plot,
    ranking,
    short,
    spark,
)
from trackflowd.console.lines import columns_of, text_of


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"), (0, "0"), (0.42, "0.4"), (9.96, "10.0"), (42, "42"), (999, "999"), (999.6, "1.0k"), (1234, "1.2k"),
        (35_000, "35k"), (999_600, "1.0M"), (2_500_000_000, "2.5G"), (1e13, "10T"),
    ],
)  # fmt: skip
def test_figures_are_short(number: float | None, text: str) -> None:
    assert short(number) == text


@given(st.floats(0, 1e14))
def test_no_figure_has_more_than_five_characters(number: float) -> None:
    assert len(short(number)) <= 5


def test_latencies_have_the_digits_that_count() -> None:
    assert [milliseconds(one) for one in (None, 0.424, 3.14, 123.4, 2400.0)] == [
        "-",
        "0.42 ms",
        "3.1 ms",
        "123 ms",
        "2.4 s",
    ]


def test_a_gauge_changes_its_colour_as_it_fills() -> None:
    assert [level(share) for share in (0.0, 0.49, 0.5, 0.89, 0.9, 1.0)] == ["good", "good", "odd", "odd", "bad", "bad"]
    assert [(segment.text, segment.attr) for segment in gauge(0.5, 4)] == [("██", "odd"), ("··", "rule")]


@given(st.floats(-1, 2), st.integers(1, 60))
def test_a_gauge_has_its_width_whatever_the_share(share: float, columns: int) -> None:
    assert columns_of(gauge(share, columns)) == columns


def test_an_area_stands_on_its_ground_and_leaves_the_unknown_empty() -> None:
    assert texts(area([None, 0, 1, 4, 8], 1, 8)) == [" ▁▁▄█"]
    attrs = [(segment.text, segment.attr) for segment in area([0, 0, 8], 1, 8)[0]]
    assert attrs == [("▁▁", "rule"), ("█", "chart")]


def test_an_area_of_several_rows_is_filled_from_below() -> None:
    assert texts(area([4, 12, 16], 2, 16)) == [" ▄█", "▄██"]


def test_what_is_not_nothing_is_seen() -> None:
    assert texts(area([0.001], 2, 1000)) == ["", "▁"]
    assert text_of(spark([0, 1, 1000])) == "▁▁█"


@pytest.mark.parametrize(
    ("most", "scale"), [(0, 1), (0.75, 0.8), (1, 1), (1.2, 1.5), (180, 200), (201, 300), (801, 1000)]
)
def test_a_scale_is_round(most: float, scale: float) -> None:
    assert ceiling([None, 0, most]) == pytest.approx(scale)


def test_a_plot_says_its_name_value_and_scale() -> None:
    drawn = texts(plot("events/s", "1,234", [0, 900, 1800], 24, 4, "peak"))
    assert drawn == ["events/s  1,234     peak", "2.0k ┤  ▆", "     │ ▃█", "   0 ┤▁██"]


def test_a_ranking_has_names_bars_and_figures_in_columns() -> None:
    drawn = texts(ranking([("/pricing", 10.0), ("/", 5.0)], 30))
    assert drawn[0].startswith("/pricing ")
    assert [line.index("█") for line in drawn] == [drawn[0].index("█")] * 2
    assert drawn[0].count("█") == 2 * drawn[1].count("█")
    assert [line.split()[-1] for line in drawn] == ["10", "5"]
    assert ranking([], 30) == []
