"""stats.document: an answer as JSON and CSV; tests/test_cli_stats.py has what the tool prints of them."""

from __future__ import annotations

import csv
import io
from datetime import UTC
from typing import Any

from trackflowd.stats.document import as_csv, document
from trackflowd.stats.spans import Period

SPAN = Period.of({"from": 1_793_491_200_000, "to": 1_793_577_600_000}, UTC)
DAY_BEFORE = {"from": 1_793_404_800_000, "to": 1_793_491_200_000}


def test_a_document_says_what_it_is_of() -> None:
    value: dict[str, Any] = {"period": {"from": 1, "to": 2}, "pages": [{"page": "/"}], "next": 10}
    asked = {"site": "", "zone": "UTC", "where": ["page is /"]}
    assert document(value, SPAN, asked) == {
        "site": None, "zone": "UTC", "where": ["page is /"], "pages": [{"page": "/"}], "next": 10,
        "period": {"from": "2026-11-01T00:00:00+00:00", "to": "2026-11-02T00:00:00+00:00"},
    }  # fmt: skip
    before = document({"previous_period": DAY_BEFORE}, SPAN, {"site": "a"})
    assert before["previous_period"] == {"from": "2026-10-31T00:00:00+00:00", "to": "2026-11-01T00:00:00+00:00"}
    assert document({"refused": []}, None, {}) == {"refused": []}


def test_csv_keeps_commas_quotes_and_line_breaks_apart() -> None:
    rows = [{"source": 'a,"b"\nc', "visits": 1, "visitors": 2, "views": 3, "bounce_rate": None, "visit_seconds": 0.5}]
    head, row = csv.reader(io.StringIO(as_csv("sources", {"sources": rows}, {})))
    assert head[0] == "source"
    assert row == ['a,"b"\nc', "1", "2", "3", "", "0.5"]
