"""bench/traffic's progress line, table and document."""

from __future__ import annotations

import io
import itertools

import pytest

from bench.traffic.loop import Loop, Tally
from bench.traffic.report import Outcome, Progress, document, holds, lines, span
from tests.test_bench_traffic_loop import World
from trackflowd.cli_text import Style

PARAMETERS = {"shape": "single", "rate": 0.0, "connections": 4, "seed": 1, "target": "a test"}


class Terminal(io.StringIO):
    """A stream somebody looks at."""

    def isatty(self) -> bool:
        return True


def outcome(stored: int | None = 990, interrupted: bool = False) -> Outcome:
    """What a run of 1000 requests came to."""
    return Outcome(events=990, refused=10, cpu_s=0.01, stored=stored, interrupted=interrupted)


def tally(unanswered_events: int = 0) -> Tally:
    """990 of 1000 accepted, in 2 s, each after 1 ms."""
    found = Tally(units=1000, accepted=990, took_s=2.0, unanswered=unanswered_events)
    found.unanswered_events = unanswered_events
    found.statuses.update({200: 990, 400: 9, 404: 1})
    found.latency.record(1_000_000, 1000)
    return found


def test_on_a_terminal_a_bar_is_redrawn_with_rate_and_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    world = World()
    loop = Loop(world, itertools.repeat(b"x"), world.clock, 4)
    progress = Progress(loop, 1.0, 0, out)
    loop.run(1.0, progress.tick)
    progress.end()
    drawn = out.getvalue().split("\r\x1b[K")
    assert drawn[0] == drawn[-1] == ""
    assert len(drawn) > 4 and "\n" not in out.getvalue()
    assert "█" in drawn[3] and "40,000/s" in drawn[3] and "p50 100 µs" in drawn[3]


def test_elsewhere_a_line_is_kept_now_and_then() -> None:
    out = io.StringIO()
    world = World(service=5_000_000)
    loop = Loop(world, itertools.repeat(b"x"), world.clock, 1)
    loop.run(12.0, Progress(loop, 24.0, 0, out).tick)
    said = out.getvalue().splitlines()
    assert [line.split()[0] for line in said] == ["21%", "42%"]
    assert "200/s" in said[1] and "p50 5.00 ms" in said[1]


def test_the_document_has_rates_latencies_and_whether_acked_is_stored() -> None:
    said = document(PARAMETERS, tally(), outcome())
    assert said["requests_s"] == 500 and said["events_s"] == 495 and said["holds"] is True
    assert said["answers"] == {"2xx": 990, "3xx": 0, "4xx": 10, "5xx": 0, "by_status": {"200": 990, "400": 9, "404": 1}}
    assert said["latency_ms"] == {"p50": 1.0, "p90": 1.0, "p99": 1.0, "p99.9": 1.0, "max": 1.0}
    assert said["generator"] == {"cpu_us_per_request": 10.0, "core_share": 0.005}


def test_stored_may_be_more_than_acked_by_what_got_no_answer_and_by_no_more() -> None:
    assert holds(tally(5), outcome(995)) is True
    assert holds(tally(5), outcome(996)) is False
    assert holds(tally(5), outcome(989)) is False
    assert holds(tally(), outcome(None)) is None


@pytest.mark.parametrize(
    ("stored", "words"), [(990, "acked = stored"), (989, "acked and stored DIFFER"), (None, "990  promised by a 2xx")]
)
def test_the_table_says_it_to_people(stored: int | None, words: str) -> None:
    text = "\n".join(lines(document(PARAMETERS, tally(), outcome(stored, interrupted=True)), Style()))
    assert words in text and "10 4xx (10 were meant)" in text and "1.00 ms" in text and "interrupted" in text


def test_spans_have_three_figures() -> None:
    assert [span(ns) for ns in (0, 84_000, 1_250_000, 45_300_000, 2_100_000_000)] == [
        "0 µs", "84 µs", "1.25 ms", "45 ms", "2.10 s",
    ]  # fmt: skip
