"""trackflowd.latency: quantiles over the last seconds."""

from __future__ import annotations

from pathlib import Path

from tests.supervised import Running, play
from trackflowd.counters import BATCH, REQUEST
from trackflowd.histogram import Tally
from trackflowd.latency import Latency, summed


def test_only_the_last_seconds_count() -> None:
    latency, tally = Latency(), Tally(REQUEST)
    assert latency.quantiles() == {"p50_ms": None, "p99_ms": None}
    latency.note(0.0, list(tally.words))
    assert latency.quantiles() == {"p50_ms": None, "p99_ms": None}
    tally.note(1_000_000_000, 1000)  # a second long ago
    latency.note(1.0, list(tally.words))
    assert (latency.quantiles()["p99_ms"] or 0) > 790
    for second in range(2, 12):
        tally.note(90_000, 99)
        tally.note(40_000_000)
        latency.note(float(second), list(tally.words))
    took = latency.quantiles()
    assert took["p50_ms"] is not None and 0.08 <= took["p50_ms"] <= 0.1
    assert took["p99_ms"] is not None and took["p99_ms"] <= 0.1
    tally.note(40_000_000, 100)
    latency.note(12.0, list(tally.words))
    assert 31.5 < (latency.quantiles()["p99_ms"] or 0) <= 40
    assert 31.5 < (latency.quantiles(1.0)["p50_ms"] or 0) <= 40
    for second in range(13, 24):
        latency.note(float(second), list(tally.words))
    assert latency.quantiles() == {"p50_ms": None, "p99_ms": None}
    assert len(latency._seen) < 15


def test_histograms_of_workers_are_summed_and_the_flusher_has_its_own(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        crew = running.supervisor.crew
        for index in (0, 1):
            tally = Tally(REQUEST)
            tally.note(100_000, 3 + index)
            crew.page.slot("worker", index).publish_histogram(REQUEST, tally.words)
        crew.page.slot("flusher").observe(BATCH, 7)
        assert (sum(summed(crew, REQUEST)[:-1]), summed(crew, REQUEST)[-1]) == (7, 700_000)
        assert summed(crew, BATCH)[-1] == 7
        await running.until(lambda: "p50_ms" in running.supervisor.vitals.status()["latency"])

    play(tmp_path, story)
