"""trackflowd.alertrules: what is an alert, how bad, in which words; and what the documents say of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.alertrules import RULES
from trackflowd.alerts import Child, Figures, Watch
from trackflowd.counters import TABLES
from trackflowd.ringview import RingFill
from trackflowd.statusview import SINK_STATES

NOW_MS = 1_795_000_000_000
GIB = 2**30
COUNTS = {counter.name: 0 for table in TABLES.values() for counter in table}
WELL: dict[str, Any] = {
    "children": [Child("worker 0", "worker", "ready", 0), Child("flusher", "flusher", "ready", 0)],
    "disk_free": 50 * GIB,
    "disk_total": 100 * GIB,
    "geo_built": NOW_MS // 1000 - 86_400,
    "spool_free": 4 * GIB,
}


def ring(fill: float, **changes: Any) -> RingFill:
    return RingFill("0-x.ring", 0, "", 1000, int(1000 * fill), 0, **changes)


def found(seconds: float = 0.0, **changes: Any) -> list[tuple[str, str, str]]:
    """Name, severity and text of what is on when figures have been so for some seconds."""
    changes["counts"] = COUNTS | changes.get("counts", {})
    watch = Watch(RULES)
    for second in range(int(seconds) + 1):
        watch.note(Figures(NOW_MS, float(second), **{**WELL, **changes}))
    return [(alert.name, alert.severity, alert.text) for alert in watch.alerts]


def test_nothing_is_on_when_all_is_well_nor_before_anything_is_known() -> None:
    assert found(100) == []
    watch = Watch(RULES)
    watch.note(Figures(NOW_MS, 0.0))
    assert watch.alerts == []


STARTING = [Child("worker 0", "worker", "starting", 0), Child("flusher", "flusher", "starting", 0)]


@pytest.mark.parametrize(
    ("seconds", "changes", "name", "severity", "text"),
    [
        (5, {"store": "away", "store_text": "refused", "store_since_ms": NOW_MS - 40_000},
         "store_away", "warning", "the store is away for 40 s: refused"),
        (5, {"store": "away", "store_since_ms": NOW_MS - 301_000},
         "store_away", "critical", "the store is away for 5 min"),
        (5, {"store": "in doubt", "store_text": "reset", "full_in_s": 720.0},
         "store_away", "critical", "the store is in doubt: reset; rings and spool full in 12 min"),
        (5, {"store": "refusing", "store_text": "no column"},
         "store_refuses", "critical", "the store refuses what it is sent: no column"),
        (0, {"paused": True}, "paused", "warning", "nothing is sent to the store: paused on request"),
        (0, {"paused": True, "full_in_s": 60.0},
         "paused", "critical", "nothing is sent to the store: paused on request; rings and spool full in 60 s"),
        (0, {"counts": {"ring_full": 7}},
         "turned_away", "critical", "7 requests were answered 503: their ring was full"),
        (0, {"rings": [ring(0.2), ring(0.7)]}, "ring_filling", "warning", "the ring of worker 0 is 70% full"),
        (0, {"rings": [ring(0.9)]}, "ring_filling", "critical", "the ring of worker 0 is 90% full"),
        (0, {"spool_used": 3 * GIB, "spool_free": 3 * GIB}, "spool_filling", "warning", "the spool is 50% full"),
        (0, {"spool_used": 9 * GIB, "spool_free": GIB}, "spool_filling", "critical", "the spool is 90% full"),
        (0, {"spool_text": "no room"}, "spool_filling", "critical", "the spool takes nothing: no room"),
        (0, {"disk_free": 9 * GIB}, "disk_low", "warning", "9.0 GiB (9%) of the disk are free"),
        (0, {"disk_free": GIB}, "disk_low", "critical", "1.0 GiB (1%) of the disk are free"),
        (0, {"disk_days": 6.9}, "disk_low", "warning",
         "50.0 GiB (50%) of the disk are free; full in 7 days as the store grows"),
        (0, {"disk_days": 0.5}, "disk_low", "critical",
         "50.0 GiB (50%) of the disk are free; full in 12 h as the store grows"),
        (0, {"quarantine_files": 2, "quarantine_rows": 9},
         "quarantine", "warning", "9 rows in 2 files could not be stored"),
        (0, {"rings": [ring(0.0, damage="not a ring")]},
         "ring_damage", "critical", "ring 0-x.ring cannot be read: not a ring"),
        (0, {"counts": {"records_damaged": 2}},
         "ring_damage", "critical", "2 damaged places were found in rings and set aside"),
        (0, {"counts": {"rings_failed": 1}},
         "ring_failed", "critical", "the disk refused to sync a ring (1 given up); a fresh one takes its place"),
        (0, {"counts": {"bytes_lost": 80}},
         "events_lost", "critical", "80 bytes of answered events are not on the disk that had said so"),
        (0, {"counts": {"journal_damaged": 8}},
         "journal_damaged", "critical", "8 bytes of the journal were changed on the disk"),
        (0, {"geo_built": NOW_MS // 1000 - 50 * 86_400}, "geo_old", "warning", "the geo database is 50 days old"),
        (0, {"tls_ends": NOW_MS // 1000 + 10 * 86_400}, "certificate", "warning", "a certificate ends in 10 days"),
        (0, {"tls_ends": NOW_MS // 1000 + 2 * 86_400}, "certificate", "critical", "a certificate ends in 2 days"),
        (0, {"tls_ends": NOW_MS // 1000 - 1}, "certificate", "critical", "a certificate has ended"),
        (0, {"tls_ends": NOW_MS // 1000 + 60 * 86_400, "tls_error": "not its key"},
         "certificate", "warning", "a changed certificate is not in use, the one before is: not its key"),
        (5, {"children": [Child("worker 0", "worker", "starting", 0)]},
         "no_worker", "critical", "no worker is ready: nothing is taken"),
        (30, {"children": [WELL["children"][0], Child("flusher", "flusher", "waiting", 0)]},
         "flusher_down", "critical", "the flusher is waiting: nothing is stored"),
        (30, {"children": [WELL["children"][0], STARTING[1]]},
         "flusher_down", "warning", "the flusher is starting: nothing is stored"),
        (30, {"counts": {"oldest_pending_ms": NOW_MS - 71_000}}, "lagging", "warning",
         "the oldest event not yet stored has waited for 71 s although the store is well"),
        (0, {"children": [Child("worker 0", "worker", "ready", 3)]},
         "restart_loop", "critical", "worker 0 was restarted 3 times within 5 min"),
    ],
)  # fmt: skip
def test_an_alert_says_how_bad_it_is_and_what(
    seconds: float, changes: dict[str, Any], name: str, severity: str, text: str
) -> None:
    assert (name, severity, text) in found(seconds, **changes)
    if seconds:
        assert name not in {alert[0] for alert in found(seconds - 1, **changes)}, "it has to hold for a while"


@pytest.mark.parametrize(
    "changes",
    [
        {"rings": [ring(0.69), ring(1.0, failed=True)]},
        {"spool_used": 1, "spool_free": 2},
        {"disk_free": 25 * GIB, "disk_total": 10_000 * GIB},
        {"disk_free": 5 * GIB, "disk_total": 10 * GIB},
        {"disk_days": 8.0},
        {"full_in_s": 10.0},
        {"geo_built": None},
        {"counts": {"oldest_pending_ms": NOW_MS - 59_000}},
        {"counts": {"oldest_pending_ms": NOW_MS - 900_000}, "max_age": 3600.0},
    ],
)
def test_this_is_nothing_to_wake_anybody_for(changes: dict[str, Any]) -> None:
    assert found(60, **changes) == []


def test_a_flusher_that_waits_for_the_store_is_told_of_as_the_store_alone() -> None:
    children = [WELL["children"][0], STARTING[1]]
    assert [name for name, _, _ in found(60, store="away", children=children)] == ["store_away"]


def test_a_clock_that_was_set_back_is_told_of() -> None:
    watch = Watch(RULES)
    watch.note(Figures(NOW_MS, 0.0))
    watch.note(Figures(NOW_MS - 60_000 + 1000, 1.0))
    assert [alert.text for alert in watch.alerts] == ["the clock went back by 60 s: it was set, or the machine slept"]


@given(
    st.lists(
        st.builds(
            Figures,
            at_ms=st.integers(0, 2**45),
            now=st.floats(0, 1e9),
            children=st.lists(
                st.builds(Child, st.sampled_from(["worker 0", "flusher"]), st.sampled_from(["worker", "flusher"]),
                          st.sampled_from(["ready", "waiting", "starting", "silent"]), st.integers(0, 9)),
            ),
            counts=st.dictionaries(st.sampled_from(sorted(COUNTS)), st.integers(0, 2**63)),
            rings=st.lists(st.builds(ring, st.floats(0, 2), damage=st.sampled_from(["", "x"]))),
            store=st.sampled_from(SINK_STATES),
            store_since_ms=st.integers(0, 2**45),
            spool_used=st.integers(0, 2**45),
            spool_free=st.integers(0, 2**45),
            full_in_s=st.none() | st.floats(0, 1e12),
            disk_free=st.integers(0, 2**45),
            disk_total=st.integers(0, 2**45),
            disk_days=st.none() | st.floats(0, 1e9),
            geo_built=st.none() | st.integers(0, 2**40),
            paused=st.booleans(),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_no_figures_make_it_stumble(looks: list[Figures]) -> None:
    watch = Watch(RULES)
    for look in looks:
        watch.note(look)
        assert all(alert.text and alert.hint for alert in watch.alerts)


def test_the_operators_page_explains_every_alert_and_no_other() -> None:
    page = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
    section = page.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.M) == [rule.name for rule in RULES]
