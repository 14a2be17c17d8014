from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.supervised import Running, play
from trackflowd import statusview
from trackflowd.ringview import RingFill
from trackflowd.statusview import SPAN, Health, Rates, Told, health


def full(fill: float) -> RingFill:
    return RingFill("0-x.ring", 0, "", 1000, int(1000 * fill), 0)


def test_a_rate_is_the_growth_over_the_last_seconds() -> None:
    rates = Rates()
    assert rates.per_second("requests") == 0.0
    for second in range(30):
        rates.note(float(second), {"requests": 100 * second})
    assert rates.per_second("requests") == 100.0
    for second in range(30, 30 + int(SPAN) + 1):
        rates.note(float(second), {"requests": 2900})
    assert rates.per_second("requests") == 0.0
    assert len(rates._seen) <= SPAN + 2


def test_a_rate_is_never_negative() -> None:
    rates = Rates()
    rates.note(0.0, {"requests": 10})
    rates.note(1.0, {"requests": 0})
    assert rates.per_second("requests") == 0.0


@pytest.mark.parametrize(
    ("number", "reason"), [(2, "store away: refused"), (3, "store: whether"), (4, "store: refuses")]
)
def test_a_store_that_is_not_well_is_the_reason(tmp_path: Path, number: int, reason: str) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        crew = running.supervisor.crew
        await running.order(f"store {number}")
        judged = health(crew, [], False, Told("refused"))
        assert not judged.ready
        assert judged.reason.startswith(reason)

    play(tmp_path, story)


def test_what_stands_in_the_way_is_said(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        crew = running.supervisor.crew
        assert health(crew, [], False).reason == "no worker is ready"
        await running.ready()
        assert health(crew, [], False) == Health(True, "")
        assert health(crew, [full(0.89)], False).ready
        assert health(crew, [full(0.9)], False).reason == "ring 0-x.ring is 90% full"
        failed = RingFill("1-x.ring", 1, "", 1000, 0, 0, failed=True)
        assert health(crew, [full(0.1), failed], False).reason.startswith("worker 1 has no ring")
        assert health(crew, [failed, RingFill("1-y.ring", 1, "", 1000, 0, 0)], False).ready
        assert health(crew, [], True).reason == "stopping"

    play(tmp_path, story)


def test_the_reason_says_for_how_long_and_what_is_to_come(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        crew = running.supervisor.crew
        told = Told("connection refused", time.time_ns() // 1_000_000 - 40_000, "no room in the spool")
        await running.order("store 2")
        reason = health(crew, [], False, told, 722.0).reason
        assert re.fullmatch("store away for 4[0-9] s: connection refused; rings and spool full in 12 min", reason), (
            reason
        )
        await running.order("store 4")
        assert re.match(r"store: refuses what it is sent, for 4. s: conn", health(crew, [], False, told).reason)
        await running.order("store 1")
        crew.page.slot("flusher").set("spool_full", 1)
        assert health(crew, [], False, told, 90.0).reason == (
            "the store does not keep up and the spool is full: no room in the spool; rings and spool full in 90 s"
        )
        assert health(crew, [full(0.9)], False, told, 0.0).reason.endswith("90% full; rings and spool full in 0 s")
        crew.page.slot("flusher").set("spool_full", 0)
        assert health(crew, [], False, told, 90.0) == Health(True, "")

    play(tmp_path, story)


def test_readiness_turns_with_the_spool_and_back_without_a_restart(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        supervisor = running.supervisor
        supervisor.crew.page.slot("flusher").set("spool_full", 1)
        await running.until(lambda: "no room, as told" in supervisor.health.reason)
        supervisor.crew.page.slot("flusher").set("spool_full", 0)
        await running.until(lambda: supervisor.health.ready)

    play(tmp_path, story)


def test_workers_are_summed_and_the_oldest_event_has_an_age(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        crew = running.supervisor.crew
        for index in (0, 1):
            crew.page.slot("worker", index).add("events_refused", 3)
            crew.page.slot("worker", index).refuse("bad_json", 1 + index)
        crew.page.slot("worker", 0).refuse("not_found", 9)
        crew.page.slot("flusher").set("oldest_pending_ms", int((time.time() - 60) * 1000))
        status = await running.commands.status()
        assert status["totals"]["events_refused"] == 6
        assert list(status["refusals"].items()) == [("not_found", 9), ("bad_json", 3)]
        assert 60 <= status["oldest_pending_s"] < 120
        crew.page.slot("flusher").set("oldest_pending_ms", 0)
        assert (await running.commands.status())["oldest_pending_s"] is None

    play(tmp_path, story)


def test_every_process_is_listed_with_its_figures(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        rows = statusview.processes(running.supervisor.crew, running.supervisor.started)
        assert [(row["role"], row["slot"]) for row in rows] == [
            ("supervisor", 0), ("flusher", 0), ("worker", 0), ("worker", 1),
        ]  # fmt: skip
        for row in rows:
            assert row["pid"] and row["rss"] > 0 and row["fds"] > 0 and row["cpu_s"] >= 0
            assert row["state"] == "ready"
            assert row.keys() - {"snapshot"} == rows[0].keys()
            assert ("snapshot" in row) == (row["role"] == "worker")

    play(tmp_path, story)
