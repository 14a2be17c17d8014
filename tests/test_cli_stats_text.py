"""cli_stats_text: what people see of a statistic."""

from __future__ import annotations

from typing import Any

import pytest

from trackflowd.cli_stats_text import figure, lines, section
from trackflowd.cli_text import Style

PLAIN = Style(False)
OVERVIEW: dict[str, Any] = {
    "period": {"from": 1, "to": 2},
    "totals": {"visitors": 1200, "views": 3400, "bounce_rate": 0.5, "visit_seconds": 90.0, "engaged_seconds": None},
    "previous": {"visitors": 1000, "views": 3400, "bounce_rate": 0.25, "visit_seconds": 0.0, "engaged_seconds": 2.0},
    "previous_period": {"from": 0, "to": 1},
    "pages": [{"page": "/", "visitors": 900, "views": 2000}, {"page": "/\x1b[2J", "visitors": 450, "views": 500}],
    "countries": [{"country": "", "visitors": 3, "views": 3}],
    "browsers": [],
}


def test_people_see_totals_and_bars() -> None:
    drawn = lines("overview", OVERVIEW, PLAIN)
    text = "\n".join(drawn)
    assert "visitors" in drawn[0] and "1,200" in drawn[1] and "50%" in drawn[1] and "1 m 30 s" in drawn[1]
    rows = [line for line in drawn if "█" in line]
    assert rows[0].count("█") == 2 * rows[1].count("█") == 16
    assert text.count("(none)") == 2
    assert "\x1b" not in text


def test_people_see_what_changed_and_whether_that_is_good() -> None:
    changes = lines("overview", OVERVIEW, PLAIN)[2].split()
    assert changes == ["+20%", "±0%", "+100%", "new", "-", "against", "the", "period", "before"]
    assert len(lines("overview", {**OVERVIEW, "previous": {"visitors": 0}}, PLAIN)[2]) == 0
    coloured = lines("overview", OVERVIEW, Style(True))[2]
    assert "\x1b[32m+20%" in coloured and "\x1b[31m+100%" in coloured  # more bounces are no good news


def test_columns_stand_under_their_names() -> None:
    head, first, *_ = section("pages", OVERVIEW["pages"], PLAIN)
    assert head.index("visitors") + len("visitors") == first.index("900") + len("900")
    assert head.index("views") + len("views") == len(first)


def test_several_labels_have_a_column_each() -> None:
    rows = [{"country": "DE", "region": "Bayern", "city": "", "visitors": 4, "views": 2, "events": 0}]
    head, first = section("cities", rows, PLAIN)
    assert head.split() == ["cities", "region", "city", "visitors", "views", "events"]
    assert first.split()[:4] == ["DE", "Bayern", "(none)", "4"]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("overview", {"totals": {"visitors": 0, "views": 0}, "pages": []}, "bots are left out"),
        ("live", {"totals": {"visitors": 0}, "minutes": []}, "nobody"),
        ("timeseries", {"timeseries": [{"time": "2026-11-01T00:00:00+00:00", "visitors": 0}]}, "bots are left out"),
        ("retention", {"retention": []}, "user id"),
        ("countries", {"countries": []}, "(none)"),
        ("refused", {"totals": {"refused": 0, "left_out": 0}, "refused": []}, "0 refused"),
    ],
)
def test_nothing_is_said_in_words(name: str, value: dict[str, Any], text: str) -> None:
    assert text in "\n".join(lines(name, value, PLAIN))


def test_a_timeseries_is_a_line_and_a_table() -> None:
    rows = [{"time": f"2026-11-0{n}T00:00:00+01:00", "visitors": n, "views": 2 * n} for n in range(1, 9)]
    drawn = lines("timeseries", {"timeseries": rows}, PLAIN, 60)
    assert (drawn[0], drawn[1][:4]) == ("visitors", "8 ┤⠀")
    assert drawn[9].split() == ["2026-11-01", "2026-11-08"]
    assert drawn[-1].split()[:2] == ["2026-11-08", "8"]
    assert len(drawn[9]) == 60


def test_a_long_timeseries_is_only_a_line() -> None:
    rows = [{"time": f"2026-11-01T{n // 60:02}:{n % 60:02}:00+01:00", "visitors": 1} for n in range(200)]
    drawn = lines("timeseries", {"timeseries": rows}, PLAIN)
    assert len(drawn) == 12 and "200 rows" in drawn[-1] and "2026-11-01 03:19" in drawn[9]


def test_cohorts_are_a_triangle() -> None:
    rows = [
        {"cohort": f"2026-11-0{n}T00:00:00+00:00", "people": 4, "after": after, "seen": seen, "rate": seen / 4}
        for n, after, seen in [(1, 0, 4), (1, 1, 1), (1, 2, 0), (3, 0, 4)]
    ]
    assert [line.split() for line in lines("retention", {"retention": rows}, PLAIN)] == [
        ["first", "seen", "people", "same", "+1", "+2"],
        ["2026-11-01", "4", "100%", "25%", "·"],
        ["2026-11-03", "4", "100%"],
    ]


def test_live_shows_the_last_half_hour() -> None:
    value = {
        "totals": {"visitors": 2, "views": 3},
        "minutes": [{"time": "", "visitors": 1, "views": n} for n in (0, 8)],
    }
    assert lines("live", value, PLAIN)[-1] == "  ▁█  8 in half an hour"


def test_refusals_are_told_by_reason_and_site_with_what_they_mean() -> None:
    rows = [
        {"reason": "bad_json", "site": "(none)", "count": 3000, "meaning": "not JSON", "remedy": "mend the client"},
        {"reason": "bot", "site": "a\x1b.example", "count": 2, "meaning": "not counted", "remedy": "nothing"},
    ]
    drawn = lines("refused", {"totals": {"refused": 3000, "left_out": 2}, "refused": rows}, PLAIN)
    assert "3,000 refused; 2 more answered 200 and not counted" in drawn[0]
    assert drawn[3].split() == ["bad_json", "(none)", "3,000", "not", "JSON"]
    assert "\x1b" not in "".join(drawn)


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("visitors", 12345, "12,345"),
        ("bounce_rate", 0.456, "46%"),
        ("visit_seconds", 192.0, "3 m 12 s"),
        ("revenue", 12345.5, "12,345.50"),
        ("scroll", 55.5, "55.5"),
        ("bounce_rate", None, "-"),
        ("unheard_of", "\x1b", "�"),
    ],
)
def test_figures_are_written_for_people(name: str, number: object, text: str) -> None:
    assert figure(name, number) == text
