"""Names and meanings of every counter and histogram the processes keep.

The shared page (``shared``) has a word for each, status and metrics print them, docs list them;
nothing else spells the names. A counter of kind ``count`` only grows while the daemon runs, a
``gauge`` is the present value. Order is layout: supervisor and children run the same code, and
the page refuses to be attached by another (``SIGNATURE``).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

from trackflowd.histogram import Histogram

Kind = Literal["count", "gauge"]
Role = Literal["worker", "flusher"]


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter.

    Args:
        name: key in status, metrics and ``Slot.values()``.
        kind: ``count`` (only grows) or ``gauge`` (present value).
        meaning: one line for people.
    """

    name: str
    kind: Kind
    meaning: str


def _count(name: str, meaning: str) -> Counter:
    return Counter(name, "count", meaning)


def _gauge(name: str, meaning: str) -> Counter:
    return Counter(name, "gauge", meaning)


#: Wire formats of events, each with counters of its own. ``proto.dialects`` loads them by these names.
DIALECTS: tuple[str, ...] = ("native", "pixel")

#: Sites that may have a counter of their own (``metrics.sites``); all others share one.
MAX_SITES = 32

WORKER: tuple[Counter, ...] = (
    _count("requests", "HTTP requests answered, whatever the status"),
    _count("events_accepted", "events put into the ring"),
    _count("events_refused", "events refused with a reason (see refusals)"),
    _count("events_policy", "events answered 2xx but left out by policy, with X-Trackflow-Refused"),
    _count("bots", "accepted events flagged as sent by a bot"),
    _count("geo_missing", "accepted events without a country: no database, or address not in it"),
    _count("bytes_in", "bytes read from clients"),
    _count("bytes_out", "bytes written to clients"),
    _count("responses_2xx", "answers with a 2xx status"),
    _count("responses_3xx", "answers with a 3xx status"),
    _count("responses_4xx", "answers with a 4xx status"),
    _count("responses_5xx", "answers with a 5xx status"),
    _count("connections_total", "connections accepted"),
    _count("refused_connections", "connections closed at once: too many, or too many of one address"),
    _count("deadline_closed", "connections closed by a deadline (header, body, idle)"),
    _count(
        "proxy_missing", "connections closed because they did not begin with the PROXY header their listener asks for"
    ),
    _count("tls_failed", "connections closed because their TLS handshake failed, took too long, or was none"),
    _count("ring_full", "requests answered 503 because the ring had no room"),
    _count("rings_failed", "rings given up because the disk refused a sync"),
    # With those whose ring then failed (durability "disk"), which ``events_accepted`` leaves out.
    *(_count(f"accepted_{name}", f"events of the wire format {name} put into the ring") for name in DIALECTS),
    *(_count(f"refused_{name}", f"events of the wire format {name} refused") for name in DIALECTS),
    _gauge("connections_open", "connections open now"),
    _gauge("inflight_bytes", "request bytes held in memory now"),
    _gauge("ring_used", "bytes of the ring not yet confirmed by the store"),
    _gauge("ring_capacity", "bytes the ring can hold"),
    _gauge("snapshot", "number of the snapshot of sites, keys and salts that is worked by"),
)

FLUSHER: tuple[Counter, ...] = (
    _count("rows_stored", "rows the store is known to hold"),
    _count("batches_confirmed", "batches the store is known to hold"),
    _count("batches_retried", "batches sent again under the same id"),
    _count("batches_doubted", "batches whose outcome had to be asked of the store"),
    _count("duplicates", "events left out as repeats of an id already taken"),
    _count("records_damaged", "damaged places found in rings"),
    _count("bytes_damaged", "bytes of rings found damaged and set aside"),
    _count("bytes_lost", "bytes known to be on disk that a ring of an earlier boot does not hold any more"),
    _count("records_quarantined", "rows set aside as files because they cannot be stored"),
    _count("bytes_read", "ring bytes read"),
    _count("batches_spooled", "batches copied to the spool because the store was away, slow or refused them"),
    _count("rows_restored", "rows sent again by replay because the store had lost them"),
    _count("rows_dropped", "rows given up on an operator's order (`trackflow spool drop`)"),
    _count("rows_erased", "rows of settled batches that were left out because an erasure names them"),
    _count("rows_released", "rows in doubt freed from their host on an operator's order (`trackflow spool release`)"),
    _count("journal_damaged", "bytes of the journal found damaged"),
    _count("sums_found", "days of a statistic, and parts of days, that were added up before and not read again"),
    _count("sums_made", "those that were added up and kept in memory"),
    _gauge("sums_bytes", "bytes of memory they take"),
    _gauge("sums_unstamped", "parts of the store's table that lacked stamps when a statistic was last asked for"),
    _gauge("rows_pending", "rows being sent to the store now"),
    _gauge("batches_open", "batches cut and not settled"),
    _gauge("rows_open", "rows of those"),
    _gauge("open_since_ms", "when the oldest of those was cut, ms since 1970 UTC; 0: none"),
    _gauge("batches_bound", "batches in doubt that wait for the one host of a cluster that can tell"),
    _gauge("rows_bound", "rows of those"),
    _gauge("spool_segments", "batches that wait in the spool"),
    _gauge("spool_bytes", "bytes they take"),
    _gauge("spool_free", "bytes the spool may still take, by its own bound and the free space of the disk"),
    _gauge("spool_full", "1: a batch that should go to the spool finds no room there"),
    _gauge("oldest_pending_ms", "received time of the oldest event not stored, ms since 1970 UTC; 0: none"),
    _gauge("window_ids", "event ids remembered"),
    _gauge("window_span_ms", "how far back the remembered ids reach, in ms"),
    _gauge("sink_state", "0 starting, 1 ok, 2 away, 3 in doubt, 4 refusing"),
    _gauge("rings", "ring files being read"),
)

#: Machine-readable codes of refusals, one counter each in every worker. ``proto.refusals``
#: gives each its status and text; a code not in here cannot be counted.
REFUSALS: tuple[str, ...] = (
    "malformed",
    "bad_host",
    "bad_version",
    "bad_transfer",
    "upgrade",
    "expectation",
    "url_too_long",
    "head_too_large",
    "body_too_large",
    "timeout",
    "too_busy",
    "too_many_connections",
    "not_found",
    "method",
    "unsupported_encoding",
    "bad_encoding",
    "inflated_too_large",
    "empty",
    "bad_json",
    "bad_utf8",
    "too_deep",
    "too_many_events",
    "ring_full",
    "ring_failed",
    "rate_limited",
    "address_rate_limited",
    "bad_key",
    "bad_token",
    "unknown_site",
    "key_site",
    "origin",
    "path",
    "opted_out",
    "bot",
    "excluded_address",
    "excluded_path",
    "event_too_large",
    "missing_key",
    "unknown_key",
    "forbidden_key",
    "bad_type",
    "bad_value",
)

TABLES: dict[Role, tuple[Counter, ...]] = {"worker": WORKER, "flusher": FLUSHER}

REQUEST = Histogram("request", "from the end of a request to its answer being written", 10_000, 6)
BATCH = Histogram("batch", "from the cut of a batch to the store being known to hold it", 1_000_000, 6)
INSERT = Histogram("insert", "the insert of a batch, as long as the store took to answer it", 1_000_000, 6)

HISTOGRAMS: dict[Role, tuple[Histogram, ...]] = {"worker": (REQUEST,), "flusher": (BATCH, INSERT)}

#: Changes whenever a name or its place does (u32).
SIGNATURE = zlib.crc32(
    "\n".join(
        [
            *(f"{role} {counter.name}" for role, table in TABLES.items() for counter in table),
            *REFUSALS,
            str(MAX_SITES),
            *(f"{role} {one.name} {one.words}" for role, each in HISTOGRAMS.items() for one in each),
        ]
    ).encode()
)
