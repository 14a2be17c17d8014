"""cli_stats: which period is meant, and the answer as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from trackflowd.cli_stats import lines, period, show
from trackflowd.cli_text import Style
from trackflowd.errors import QueryError

ZONE = timezone(timedelta(hours=2), "EET")
NOW = datetime(2026, 11, 23, 15, 30, tzinfo=ZONE)

VALUE: dict[str, Any] = {
    "totals": {"visitors": 1200, "views": 3400, "revenue": 29.5},
    "pages": [{"page": "/", "visitors": 900, "views": 2000}, {"page": "/\x1b[2J", "visitors": 450, "views": 500}],
    "countries": [{"country": "", "visitors": 3, "views": 3}],
    "browsers": [],
}


@pytest.mark.parametrize(
    ("span", "start", "end", "expected"),
    [
        ("24h", None, None, ("2026-11-22T15:30", "2026-11-23T15:30")),
        ("7d", None, None, ("2026-11-16T15:30", "2026-11-23T15:30")),
        ("90m", None, "2026-11-20", ("2026-11-19T22:30", "2026-11-20T00:00")),
        ("today", None, None, ("2026-11-23T00:00", "2026-11-23T15:30")),
        ("yesterday", None, None, ("2026-11-22T00:00", "2026-11-23T00:00")),
        ("24h", "2026-11-01", None, ("2026-11-01T00:00", "2026-11-23T15:30")),
        ("24h", "2026-11-01T12:00", "2026-11-02", ("2026-11-01T12:00", "2026-11-02T00:00")),
    ],
)
def test_a_period_is_read(span: str, start: str | None, end: str | None, expected: tuple[str, str]) -> None:
    found = period(span, start, end, NOW)
    assert (found.start, found.end) == tuple(datetime.fromisoformat(text).replace(tzinfo=ZONE) for text in expected)


def test_a_date_with_its_own_zone_keeps_it() -> None:
    assert period("24h", "2026-11-01T00:00Z", None, NOW).start_ms == 1_793_491_200_000


@pytest.mark.parametrize(
    ("span", "start", "end"), [("soon", None, None), ("0d", None, None), ("7d", "x", None), ("7d", "2026-12-01", None)]
)
def test_what_is_no_period_is_refused(span: str, start: str | None, end: str | None) -> None:
    with pytest.raises(QueryError):
        period(span, start, end, NOW)


def shown(value: dict[str, Any], site: str = "") -> list[str]:
    return lines(value, period("24h", None, None, NOW), site, Style(False))


def test_people_see_totals_and_bars() -> None:
    text = "\n".join(shown(VALUE, "demo"))
    assert text.startswith("demo  2026-11-22 15:30 to 2026-11-23 15:30 EET")
    assert "visitors" in text and "1,200" in text and "29.5" in text
    rows = [line for line in shown(VALUE) if "█" in line]
    assert rows[0].count("█") == 2 * rows[1].count("█") == 16
    assert text.count("(none)") == 2
    assert "\x1b" not in text


def test_columns_stand_under_their_names() -> None:
    section = next(index for index, line in enumerate(shown(VALUE)) if line.startswith("pages"))
    head, first = shown(VALUE)[section : section + 2]
    assert head.index("visitors") + len("visitors") == first.index("900") + len("900")
    assert head.index("views") + len("views") == len(first)


def test_an_empty_period_says_so() -> None:
    assert shown({"totals": {"visitors": 0, "views": 0}})[-1].startswith("no events")


def test_json_holds_the_period_and_everything(capsys: pytest.CaptureFixture[str]) -> None:
    show(VALUE, period("24h", None, None, NOW), "", "json")
    answer = json.loads(capsys.readouterr().out)
    assert answer["period"] == {"from": "2026-11-22T15:30:00+02:00", "to": "2026-11-23T15:30:00+02:00"}
    assert answer["site"] is None
    assert answer["pages"] == VALUE["pages"]


def test_csv_has_a_line_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    show(VALUE, period("24h", None, None, NOW), "", "csv")
    head, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["section", "name", "measure", "value"]
    assert ["totals", "", "visitors", "1200"] in rows
    assert ["pages", "/", "views", "2000"] in rows
    assert len(rows) == 3 + 4 + 2
