"""admin_dates: dates and periods in query parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from trackflowd.admin_dates import read_instant, read_period
from trackflowd.admin_words import Parameters
from trackflowd.errors import QueryError
from trackflowd.proto import target
from trackflowd.proto.control import BadRequest

BERLIN = ZoneInfo("Europe/Berlin")


def given(query: str) -> Parameters:
    return Parameters(target.read(b"/x?" + query.encode()), ("period", "from", "to"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1793491200123", "2026-11-01T01:00:00.123000+01:00"),
        ("0", "1970-01-01T01:00:00+01:00"),
        ("2026-11-01", "2026-11-01T00:00:00+01:00"),
        ("2026-07-01T12:00", "2026-07-01T12:00:00+02:00"),
        ("2026-11-01T12:00Z", "2026-11-01T12:00:00+00:00"),
        ("2026-11-01T12:00+05:30", "2026-11-01T12:00:00+05:30"),
    ],
)
def test_an_instant_is_ms_or_a_date(text: str, expected: str) -> None:
    assert read_instant("from", text, BERLIN).isoformat() == expected


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "9" * 30, "-5", "1e3", "2026-11-01T12:00 05:30", "٣"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match=r"from: .* is no date") as caught:
        read_instant("from", text, UTC)
    assert ("%2B" in caught.value.hint) == (" " in text)


def test_a_period_has_a_begin_and_an_end_or_a_name() -> None:
    found = read_period(given("from=2026-11-01&to=1793577600000"), "7d", "UTC")
    assert (found.start_ms, found.end_ms) == (1_793_491_200_000, 1_793_577_600_000)
    found = read_period(given("period=2d&from="), "7d", "UTC")
    assert found.end_ms - found.start_ms == 2 * 86_400_000
    found = read_period(given(""), "today", "Europe/Berlin")
    assert (found.start.hour, found.start.tzinfo) == (0, BERLIN)
    assert abs(found.end_ms - datetime.now(UTC).timestamp() * 1000) < 60_000
    assert read_period(given("period=2d"), "7d", "UTC", whole=True).end_ms % 60_000 == 0


def test_a_begin_is_said_once() -> None:
    with pytest.raises(BadRequest, match="period and from"):
        read_period(given("period=2d&from=2026-11-01"), "7d", "UTC")


@pytest.mark.parametrize(
    ("query", "zone"), [("from=2&to=1", "UTC"), ("period=soon", "UTC"), ("", "Mars/Base"), ("to=x", "UTC")]
)
def test_what_is_no_period_is_refused(query: str, zone: str) -> None:
    with pytest.raises(QueryError):
        read_period(given(query), "7d", zone)
