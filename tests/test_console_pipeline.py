"""console.pipeline: the way of an event, drawn."""

from __future__ import annotations

import pytest

from tests.console_values import STATUS, attr_of, known, older, status, texts
from trackflowd.console import pipeline
from trackflowd.console.knowledge import Knowledge
from trackflowd.console.lines import columns_of

SIZES = [(78, 21), (98, 30), (118, 36), (198, 56), (300, 80)]


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_it_fits_its_room(columns: int, rows: int) -> None:
    lines = pipeline.draw(known(status(), status()), columns, rows)
    assert len(lines) <= rows
    assert max(map(columns_of, lines)) <= columns
    shown = "\n".join(texts(lines))
    for text in ("workers", "rings", "flusher", "store", "spool", "2/2 ready", "db.example", "worker 1", "62.5%"):
        assert text in shown, text


def test_the_boxes_stand_in_one_row_with_the_rates_between_them() -> None:
    shown = texts(pipeline.draw(known(status(), status()), 78, 21))
    assert shown[0].count("┌─") == 4
    assert "1.2k/s" in shown[2]
    assert shown[3].count("▶") == 3
    assert [line.index("spool") for line in shown if "┌─ spool" in line] == [shown[0].index("flusher")]


def test_a_store_that_is_away_stops_the_last_arrow() -> None:
    told = status(sink={"state": "away", "text": "connection refused"}, rates={"stored_s": 0.0})
    lines = pipeline.draw(known(told, told), 118, 36)
    shown = texts(lines)
    assert "away" in shown[2] and "✖" in shown[3]
    assert "store    connection refused" in "\n".join(shown)
    assert attr_of(lines, "✖") == "bad"


def test_a_pause_is_seen_on_the_way() -> None:
    shown = texts(pipeline.draw(known(status(sink={"paused": True})), 78, 21))
    assert "paused" in shown[2]


def test_batches_in_the_spool_are_said_with_their_age() -> None:
    told = status(spool={"segments": 12, "bytes": 2**29, "oldest_s": 75.0})
    shown = "\n".join(texts(pipeline.draw(known(told), 78, 21)))
    assert "12 batches" in shown and "oldest 1 m 15 s" in shown and "▼" in shown


def test_damage_and_quarantine_are_said() -> None:
    ring = {**STATUS["rings"][0], "slot": -1, "damage": "header: wrong crc"}
    told = status(rings=[ring], quarantine={"files": 2, "rows": 17})
    shown = "\n".join(texts(pipeline.draw(known(told), 118, 36)))
    assert "header: wrong crc" in shown and "quarantine: 17 rows" in shown


def test_of_many_rings_the_fullest_are_shown() -> None:
    rings = [{**STATUS["rings"][0], "slot": n, "fill": n / 100} for n in range(64)]
    shown = texts(pipeline.draw(known(status(rings=rings)), 78, 21))
    assert next(line.split()[1] for line in shown if line.startswith("worker")) == "63"
    assert any(line.startswith("and ") and line.endswith(" more") for line in shown)


@pytest.mark.parametrize("key", sorted(STATUS))
def test_an_older_daemon_that_lacks_a_key_is_shown_all_the_same(key: str) -> None:
    assert pipeline.draw(known(older(key)), 78, 21)


def test_before_the_first_status_it_says_that_it_waits() -> None:
    assert texts(pipeline.draw(Knowledge(), 78, 21)) == ["waiting for the first word of the daemon"]
