"""trackflowd.metrics: the text that Prometheus scrapes, read back by its own parser and checked by its own tool."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.looks import COUNTS, PROCESSES, look, promtool
from trackflowd import metrics
from trackflowd.alertrules import RULES
from trackflowd.counters import DIALECTS, REFUSALS, REQUEST, TABLES
from trackflowd.histogram import Tally
from trackflowd.metrics import Look, render


def parsed(told: Look) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels."""
    families = text_string_to_metric_families(render(told, PROCESSES).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(told: Look, name: str, labels: dict[str, str]) -> float | None:
    return parsed(told).get((f"trackflow_{name}", frozenset(labels.items())))


@pytest.mark.parametrize(
    ("name", "labels", "number"),
    [
        ("ready", {}, 0),
        ("requests_total", {}, COUNTS["requests"]),
        ("received_bytes_total", {}, COUNTS["bytes_in"]),
        ("connections_total", {}, COUNTS["connections_total"]),
        ("connections_open", {}, COUNTS["connections_open"]),
        ("responses_total", {"class": "5xx"}, COUNTS["responses_5xx"]),
        ("refusals_total", {"reason": "bad_json"}, 4),
        ("refusals_total", {"reason": "timeout"}, 0),
        ("dialect_events_accepted_total", {"dialect": "pixel"}, COUNTS["accepted_pixel"]),
        ("dialect_events_refused_total", {"dialect": "native"}, COUNTS["refused_native"]),
        ("site_events_total", {"site": "shop.example"}, 10),
        ("site_events_total", {"site": "(others)"}, 90),
        ("ring_used_bytes", {"worker": "0"}, 500),
        ("ring_capacity_bytes", {"worker": "0"}, 2000),
        ("spool_free_bytes", {}, COUNTS["spool_free"]),
        ("spool_limit_bytes", {}, 30),
        ("buffer_full_seconds", {}, None),
        ("disk_full_seconds", {}, 172_800),
        ("store_state", {"state": "in_doubt"}, 1),
        ("store_state", {"state": "ok"}, 0),
        ("oldest_pending_seconds", {}, 1.5),
        ("oldest_batch_seconds", {}, 0),
        ("window_span_seconds", {}, 61),
        ("geo_database_age_seconds", {}, 60),
        ("process_cpu_seconds_total", {"process": "supervisor"}, 1.5),
        ("process_cpu_seconds_total", {"process": "worker 1"}, None),
        ("process_restarts_total", {"process": "worker 1"}, 3),
        ("process_ready", {"process": "worker 1"}, 0),
        ("alert_active", {"name": "store_away", "severity": "critical"}, 1),
        ("alert_active", {"name": "store_away", "severity": "warning"}, 0),
        ("webhook_failed_total", {}, 2),
        ("audit_missed_total", {}, 6),
        ("admin_requests_total", {"route": "/v1/stats/{name}", "status": "200"}, 5),
        ("admin_connections", {}, 4),
    ],
)
def test_a_figure_is_told(name: str, labels: dict[str, str], number: float | None) -> None:
    assert value(look(), name, labels) == number


def test_what_is_not_known_is_absent_and_no_zero() -> None:
    told = parsed(look(disk_total=0, disk_days=None, geo_built=None))
    names = {name.removeprefix("trackflow_") for name, _ in told}
    assert not names & {"disk_free_bytes", "disk_size_bytes", "disk_full_seconds", "geo_database_age_seconds"}


def test_every_counter_of_the_processes_is_told_by_some_metric() -> None:
    numbered = {name: number for number, name in enumerate(COUNTS, 1000)}
    told = set(parsed(look(counts=numbered)).values())
    elsewhere = {"ring_used", "ring_capacity", "sink_state", "open_since_ms", "oldest_pending_ms", "window_span_ms"}
    elsewhere.add("snapshot")  # is in no metric: it says nothing over time
    names = [counter.name for table in TABLES.values() for counter in table]
    assert [name for name in names if name not in elsewhere and numbered[name] not in told] == []


def test_a_histogram_is_cumulative_and_ends_with_all() -> None:
    tally = Tally(REQUEST)
    for ns in (5_000, 100_000, 100_001, 10**12):
        tally.note(ns)
    told = parsed(replace(look(), histograms={REQUEST: tally.words}))
    name = "trackflow_request_duration_seconds"
    buckets = {dict(labels)["le"]: count for (key, labels), count in told.items() if key == f"{name}_bucket"}
    assert len(buckets) == len(REQUEST.shown) + 1
    assert (buckets["1e-05"], buckets["0.0001"], buckets["0.00025"]) == (1, 2, 3)
    assert (buckets["10"], buckets["10.0"] if "10.0" in buckets else 3, buckets["+Inf"]) == (3, 3, 4)
    assert told[f"{name}_count", frozenset()] == 4
    assert told[f"{name}_sum", frozenset()] == pytest.approx(1000.000205001)


def test_promtool_has_nothing_to_say() -> None:
    promtool("check", "metrics", text=render(look(), PROCESSES))


def test_labels_are_words_of_ours_only() -> None:
    known: dict[str, set[Any]] = {
        "reason": set(REFUSALS),
        "dialect": set(DIALECTS),
        "name": {rule.name for rule in RULES},
        "class": set(metrics._CLASSES),
        "site": {"shop.example", metrics.OTHERS},
    }
    for (name, labels), _ in parsed(look()).items():
        for label, text in labels:
            assert label not in known or text in known[label], name
