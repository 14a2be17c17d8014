"""Prometheus text exposition of a look at the daemon, by prometheus-client.

Every series is bounded by what the daemon is, never by what is sent to it: labels are names of this program
(dialects, refusal codes, states, alerts), processes, worker slots and ``metrics.sites``. A site's name is text that
strangers send: those the operator names are counted each, all others together, so that a counter's meaning never
changes, as it would with "the ten largest".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from trackflowd import __version__
from trackflowd.alertrules import RULES
from trackflowd.alerts import Alert, Figures
from trackflowd.counters import DIALECTS, REFUSALS, TABLES
from trackflowd.histogram import Histogram
from trackflowd.statusview import SINK_STATES
from trackflowd.webhook import Count

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Label of all sites that are not counted each: no site can have this name.
OTHERS = "(others)"

_CLASSES = ("2xx", "3xx", "4xx", "5xx")
#: Counters whose metric has another name, unit in front as Prometheus wants it.
_NAMES: Mapping[str, str] = {
    "connections_total": "connections",
    "bytes_in": "received_bytes",
    "bytes_out": "sent_bytes",
    "bytes_damaged": "ring_damaged_bytes",
    "bytes_lost": "ring_lost_bytes",
    "bytes_read": "ring_read_bytes",
    "journal_damaged": "journal_damaged_bytes",
    "spool_free": "spool_free_bytes",
}
#: Counters that are told by others, which have labels or another unit.
_ELSEWHERE = frozenset(
    {
        *(f"responses_{name}" for name in _CLASSES),
        *(f"{what}_{name}" for what in ("accepted", "refused") for name in DIALECTS),
        *("ring_used", "ring_capacity", "sink_state", "open_since_ms", "oldest_pending_ms", "window_span_ms"),
        "snapshot",  # a number of each worker's own, to be compared, not added
    }
)


@dataclass(frozen=True, slots=True)
class Look:
    """What is told.

    Args:
        figures: as alerts are judged by; ``counts`` are there.
        refusals: by code.
        sites: events of sites that are counted each, by name, and "" for all others; empty: none is.
        histograms: figures of each (see ``Tally.words``).
        alerts: those that are on.
        ready: events can be delivered.
        started: when the supervisor was, s since 1970.
        spool_limit: bytes.
        told: by the webhook.
        admin: of the admin listener (``Admin.counts``).
        unaudited: commands that were given and could not be noted in the audit log.
    """

    figures: Figures
    refusals: Mapping[str, int]
    sites: Mapping[str, int]
    histograms: Mapping[Histogram, Sequence[int]]
    alerts: Sequence[Alert]
    ready: bool
    started: float
    spool_limit: int
    told: Count
    admin: Mapping[str, Any]
    unaudited: int


def render(look: Look, processes: Sequence[Mapping[str, Any]]) -> bytes:
    """The whole text, in format 0.0.4.

    Args:
        look: at the daemon.
        processes: as status has them.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(look, processes))
    return generate_latest(registry)


class _Families(Collector):
    """A look as prometheus-client collects it."""

    def __init__(self, look: Look, processes: Sequence[Mapping[str, Any]]) -> None:
        self._look = look
        self._told = processes

    def collect(self) -> Iterator[Metric]:
        look = self._look
        yield from _daemon(look)
        yield from _plain(look.figures.counts or {})
        yield from _labelled(look)
        yield from _buffers(look)
        yield from _store(look.figures)
        for histogram, figures in look.histograms.items():
            yield _histogram(histogram, figures)
        yield from _processes(self._told)
        yield from _alerts(look)
        yield from _admin(look.admin)


def _gauge(name: str, help: str, value: float | None) -> Iterator[Metric]:
    """A gauge; none at all where there is no value."""
    if value is not None:
        yield GaugeMetricFamily(f"trackflow_{name}", help, value)


def _gauges(name: str, help: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"trackflow_{name}", help, labels=[label])
    for value, number in values:
        family.add_metric([value], number)
    return family


def _counters(name: str, help: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(f"trackflow_{name}", help, labels=[label])
    for value, number in values:
        family.add_metric([value], number)
    return family


def _daemon(look: Look) -> Iterator[Metric]:
    yield _gauges("build_info", "1; the version that runs.", "version", [(__version__, 1)])
    yield from _gauge("start_time_seconds", "When the supervisor started, seconds since 1970.", look.started)
    yield from _gauge("ready", "1: an event taken now reaches the store.", int(look.ready))
    missed = "Orders that audit.log could not take (a full disk); they are in the log alone."
    yield CounterMetricFamily("trackflow_audit_missed", missed, look.unaudited)


def _plain(counts: Mapping[str, int]) -> Iterator[Metric]:
    """Every counter and gauge of the processes that needs no label."""
    for counter in (counter for table in TABLES.values() for counter in table if counter.name not in _ELSEWHERE):
        name = f"trackflow_{_NAMES.get(counter.name, counter.name)}"
        family = CounterMetricFamily if counter.kind == "count" else GaugeMetricFamily
        yield family(name, _sentence(counter.meaning), counts[counter.name])


def _labelled(look: Look) -> Iterator[Metric]:
    counts = look.figures.counts or {}
    codes = [(code, counts[f"responses_{code}"]) for code in _CLASSES]
    yield _counters("responses", "Answers by the class of their status.", "class", codes)
    refused = [(code, look.refusals.get(code, 0)) for code in REFUSALS]
    yield _counters("refusals", "Refusals of requests and of single events, by reason.", "reason", refused)
    for what, help in (("accepted", "put into the ring"), ("refused", "refused")):
        each = [(name, counts[f"{what}_{name}"]) for name in DIALECTS]
        yield _counters(f"dialect_events_{what}", f"Events {help}, by wire format.", "dialect", each)
    sites = [(site or OTHERS, number) for site, number in look.sites.items()]
    yield _counters("site_events", "Events put into the ring, by site where metrics.sites names it.", "site", sites)


def _buffers(look: Look) -> Iterator[Metric]:
    figures = look.figures
    slots = {str(ring.slot): [0, 0] for ring in figures.rings}
    for ring in figures.rings:  # a slot has several files while those of before are drained
        slots[str(ring.slot)][0] += ring.used
        slots[str(ring.slot)][1] += ring.capacity
    used, capacity = ([(slot, pair[n]) for slot, pair in slots.items()] for n in (0, 1))
    yield _gauges("ring_used_bytes", "Bytes not known to be stored, by worker (-1: unreadable).", "worker", used)
    yield _gauges("ring_capacity_bytes", "Bytes the worker's rings can hold.", "worker", capacity)
    yield from _gauge("spool_limit_bytes", "Bytes the spool may take: spool.max_bytes.", look.spool_limit)
    help = "Seconds until rings and spool are full if the store takes nothing; absent: nothing comes in."
    yield from _gauge("buffer_full_seconds", help, figures.full_in_s)
    if figures.disk_total:
        yield from _gauge("disk_free_bytes", "Free bytes of the data directory's disk.", figures.disk_free)
        yield from _gauge("disk_size_bytes", "Bytes of the data directory's disk.", figures.disk_total)
    days = figures.disk_days
    help = "Seconds until the store's disk is full as it grows; absent: not known."
    yield from _gauge("disk_full_seconds", help, None if days is None else days * 86_400)
    yield from _gauge("quarantine_files", "Files of what could not be stored.", figures.quarantine_files)
    yield from _gauge("quarantine_rows", "Rows in them.", figures.quarantine_rows)


def _store(figures: Figures) -> Iterator[Metric]:
    counts = figures.counts or {}
    states = [(state.replace(" ", "_"), int(state == figures.store)) for state in SINK_STATES]
    yield _gauges("store_state", "1 for the state the store is in.", "state", states)
    for name, key, help in (
        ("oldest_pending_seconds", "oldest_pending_ms", "Age of the oldest event not stored; 0: none."),
        ("oldest_batch_seconds", "open_since_ms", "Age of the oldest batch not settled; 0: none."),
    ):
        since = counts[key]
        yield from _gauge(name, help, max(figures.at_ms - since, 0) / 1000 if since else 0.0)
    span = counts["window_span_ms"] / 1000
    yield from _gauge("window_span_seconds", "How far back the remembered event ids reach.", span)
    built = figures.geo_built
    help = "Age of the geo database; absent: there is none."
    yield from _gauge("geo_database_age_seconds", help, figures.at_ms / 1000 - built if built else None)
    yield from _gauge("paused", "1: nothing is sent to the store, on request.", int(figures.paused))


def _histogram(histogram: Histogram, figures: Sequence[int]) -> Metric:
    shown, counted = iter(histogram.shown), 0
    buckets: list[tuple[str, float]] = []
    bound = next(shown)
    for number, count in zip(histogram.bounds, figures, strict=False):
        counted += count
        if number == bound:
            buckets.append((f"{bound / 1e9:g}", counted))
            bound = next(shown, 0)
    buckets.append(("+Inf", sum(figures[:-1])))
    name = f"trackflow_{histogram.name}_duration_seconds"
    return HistogramMetricFamily(name, _sentence(histogram.meaning), buckets, figures[-1] / 1e9)


def _processes(processes: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    named = [(f"worker {p['slot']}" if p["role"] == "worker" else str(p["role"]), p) for p in processes]

    def known(key: str) -> list[tuple[str, float]]:
        return [(name, process[key]) for name, process in named if process[key] is not None]

    ready = [(name, int(process["state"] == "ready")) for name, process in named]
    yield _gauges("process_ready", "1: the process is ready.", "process", ready)
    yield _counters("process_restarts", "How often the process was replaced.", "process", known("restarts"))
    yield _counters("process_cpu_seconds", "CPU time of the process that runs now.", "process", known("cpu_s"))
    yield _gauges("process_resident_memory_bytes", "Resident memory.", "process", known("rss"))
    yield _gauges("process_open_fds", "Open descriptors.", "process", known("fds"))
    age = known("heartbeat_age_s")
    yield _gauges("process_heartbeat_age_seconds", "Since the last sign of life.", "process", age)


def _alerts(look: Look) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "trackflow_alert_active", "1: this alert is on (trackflow alerts).", labels=["name", "severity"]
    )
    on = {(alert.name, alert.severity) for alert in look.alerts}
    for rule in RULES:
        for severity in ("warning", "critical"):
            family.add_metric([rule.name, severity], int((rule.name, severity) in on))
    yield family
    told = look.told
    for name, count, help in (
        ("sent", told.sent, "Messages the webhook took."),
        ("failed", told.failed, "Tries to tell the webhook that failed."),
        ("dropped", told.dropped, "Messages the webhook was never told of."),
    ):
        yield CounterMetricFamily(f"trackflow_webhook_{name}", help, count)


def _admin(counts: Mapping[str, Any]) -> Iterator[Metric]:
    """What was asked of the admin listener; a path that no route has counts as "other"."""
    family = CounterMetricFamily(
        "trackflow_admin_requests", "Requests to the admin listener, by route and status.", labels=["route", "status"]
    )
    for one in counts["requests"]:
        family.add_metric([one["route"], str(one["status"])], one["count"])
    yield family
    refused = counts["refused"].items()
    yield _counters("admin_refused", "Refusals of the admin listener, by error.", "error", refused)
    yield from _gauge("admin_connections", "Connections to the admin listener now.", counts["connections"])


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
