"""The one table of options: every option of TrackFlow is one ``option(...)`` below.

``--set``, the environment, the TOML file, ``trackflowd.example.toml`` and
``docs/configuration.md`` are derived from it by ``config`` and ``config_text``. An option that no
code reads has no place here; a test looks for the reader of each.
"""

from __future__ import annotations

from dataclasses import dataclass

from trackflowd.option import (
    ADDRESS,
    ADDRESSES,
    COUNT,
    DURATION,
    FLAG,
    NETWORKS,
    PATHS,
    SITES,
    SIZE,
    STORE,
    TEXT,
    WEBHOOK,
    option,
)
from trackflowd.site import Sites
from trackflowd.tlssection import Tls

KIB, MIB, GIB = 2**10, 2**20, 2**30
MAX_WORKERS = 64  # slots of the shared page
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Daemon:
    """The processes and where they keep their things."""

    data_dir: str = option(
        "",
        TEXT,
        "Data directory. Empty: $STATE_DIRECTORY (systemd sets it), else /var/lib/trackflow for root, else "
        "~/.local/share/trackflow.",
    )
    workers: int = option(
        0, COUNT, "Worker processes. 0: one per core this process may use.", high=MAX_WORKERS, reload=True
    )
    stall_after: float = option(
        30.0,
        DURATION,
        "A child that shows no sign of life for so long is killed and replaced.",
        low=1,
        high=3600,
    )
    drain_timeout: float = option(
        20.0,
        DURATION,
        "Most time a stop may take to answer what is in flight and to flush.",
        low=1,
        high=3600,
        reload=True,
    )


@dataclass(frozen=True, slots=True)
class Log:
    """What is said on standard error."""

    level: str = option(
        "info",
        TEXT,
        "Least level that is written. Nothing is written per event at any level.",
        choices=LOG_LEVELS,
        reload=True,
    )
    format: str = option(
        "text",
        TEXT,
        "A line for people, or a JSON object per line.",
        choices=("text", "json"),
        reload=True,
    )


@dataclass(frozen=True, slots=True)
class Http:
    """The public listener: routes, limits and deadlines. Limits are per worker unless they say otherwise."""

    listen: tuple[str, ...] = option(
        ("127.0.0.1:8080",),
        ADDRESSES,
        'Where events are taken: "host:port" (port 0: any free one, shown by status) or "unix:/path". Words behind it '
        'say more, such as "unix:/run/trackflow/events.sock mode=0660 group=www-data trusted": docs/listeners.md.',
    )
    trusted_proxies: tuple[str, ...] = option(
        (),
        NETWORKS,
        "Networks whose X-Forwarded-For and Forwarded headers are believed; the client is the right-most "
        "address outside of them.",
        reload=True,
    )
    demo: bool = option(False, FLAG, "Serve a demo page at /.", reload=True)
    event_path: tuple[str, ...] = option(
        ("/v1/events",),
        PATHS,
        "Routes of events. Names of your own keep blockers from knowing them; the script sends to the first.",
        reload=True,
    )
    script_path: tuple[str, ...] = option(
        ("/t.js",),
        PATHS,
        "Routes of the tracker script. Its other files and versions lie beside each: /t.extras.js, /t.VERSION.js.",
        reload=True,
    )
    pixel_path: tuple[str, ...] = option(("/v1/pixel.gif",), PATHS, "Routes of the no-script pixel.", reload=True)
    header_timeout: float = option(
        5.0,
        DURATION,
        "From the first byte of a request to the end of its headers.",
        low=0.1,
        high=3600,
        reload=True,
    )
    body_timeout: float = option(
        10.0,
        DURATION,
        "From the end of the headers to the end of the body.",
        low=0.1,
        high=3600,
        reload=True,
    )
    idle_timeout: float = option(
        75.0, DURATION, "How long a connection without a request is kept.", low=0.1, high=3600, reload=True
    )
    max_head: int = option(
        32 * KIB, SIZE, "Most bytes of a request line and headers together.", low=KIB, high=MIB, reload=True
    )
    max_url: int = option(
        8 * KIB,
        SIZE,
        "Most bytes of a request's target; no longer than 65535, where the parser's own limit is.",
        low=256,
        high=65535,
        reload=True,
    )
    max_body: int = option(MIB, SIZE, "Most bytes of a request body as sent.", low=KIB, high=64 * MIB, reload=True)
    max_inflated: int = option(
        4 * MIB, SIZE, "Most bytes a compressed body may inflate to.", low=KIB, high=256 * MIB, reload=True
    )
    max_events: int = option(500, COUNT, "Most events in one request.", low=1, high=10_000, reload=True)
    max_pipeline: int = option(
        128,
        COUNT,
        "Most requests of one connection waiting for their answer.",
        low=1,
        high=10_000,
        reload=True,
    )
    max_connections: int = option(10_000, COUNT, "Most connections of one worker.", low=1, high=1_000_000, reload=True)
    max_connections_per_address: int = option(
        1000,
        COUNT,
        "Most connections of one peer address to one worker. A trusted proxy is not limited.",
        low=1,
        high=1_000_000,
        reload=True,
    )
    max_inflight: int = option(
        64 * MIB,
        SIZE,
        "Most bytes of unfinished bodies one worker holds; past it, 503.",
        low=MIB,
        high=16 * GIB,
        reload=True,
    )
    retry_after: int = option(
        5, COUNT, "Seconds named by Retry-After when an answer is 503.", low=1, high=3600, reload=True
    )
    backlog: int = option(
        4096,
        COUNT,
        "Connections the kernel queues per listener (it caps this at net.core.somaxconn).",
        low=1,
        high=65535,
    )


@dataclass(frozen=True, slots=True)
class Admin:
    """The listener for probes, Prometheus and programs: docs/admin.md."""

    listen: str = option(
        "127.0.0.1:8081",
        ADDRESS,
        "Where probes (/healthz, /readyz), /metrics and the admin API (/v1/…, with tokens) are answered. Port 0: any "
        "free one; empty: nowhere. It speaks plain HTTP: beyond loopback, put TLS in front.",
    )


@dataclass(frozen=True, slots=True)
class Control:
    """The operator's socket."""

    socket: str = option("", TEXT, "Path of the control socket. Empty: control.sock in the data directory.")


@dataclass(frozen=True, slots=True)
class Ring:
    """The write-ahead log between workers and flusher."""

    size: int = option(
        0,
        SIZE,
        "Bytes of each worker's ring. 0: a 32nd of the memory, within 16 MiB and 256 MiB, all rings together "
        "at most a tenth of it.",
        high=64 * GIB,
    )
    durability: str = option(
        "process",
        TEXT,
        "What an answered event survives. process: the death of every process, not a power cut. disk: a power cut "
        "too; each answer waits until the disk has the event.",
        choices=("process", "disk"),
    )


@dataclass(frozen=True, slots=True)
class Spool:
    """Where batches wait when the store is away or slow and a ring fills up: files on the same disk."""

    start_at: int = option(
        50,
        COUNT,
        "Fill of a ring, in percent, from which batches go to the spool until the store has taken them.",
        low=1,
        high=90,
        reload=True,
    )
    max_bytes: int = option(
        4 * GIB,
        SIZE,
        "Most bytes the spool takes. 0: none, events wait in the rings only.",
        high=64 * 1024 * GIB,
        reload=True,
    )
    keep_free: int = option(
        512 * MIB,
        SIZE,
        "Bytes of the disk that stay free: with less, nothing goes to the spool.",
        high=64 * 1024 * GIB,
        reload=True,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """When a batch is cut: at whichever comes first."""

    max_rows: int = option(50_000, COUNT, "Most rows of a batch.", low=1, high=1_000_000, reload=True)
    max_bytes: int = option(32 * MIB, SIZE, "Most bytes of records in a batch.", low=64 * KIB, high=GIB, reload=True)
    max_age: float = option(
        1.0,
        DURATION,
        "Longest an event waits for others. An insert costs 13 to 20 ms whatever its size.",
        low=0.01,
        high=3600,
        reload=True,
    )


@dataclass(frozen=True, slots=True)
class Dedup:
    """The window of event ids in which a repeat is recognised."""

    max_ids: int = option(
        1_000_000,
        COUNT,
        "Event ids remembered, in two generations: at least the last half of them. Up to 40 bytes of memory each.",
        low=1000,
        high=100_000_000,
    )


@dataclass(frozen=True, slots=True)
class Store:
    """Where rows land."""

    url: str = option(
        "chdb:",
        STORE,
        'The store: "chdb:" (embedded, in the data directory), "chdb:///path", '
        '"clickhouse://user:password@host:8123/database" (several hosts with commas between: store.cluster), '
        '"clickhouses://…" over TLS, '
        '"postgresql://user:password@host:5432/database", "postgresql://user@/database?host=/run/postgresql" '
        '(a unix socket), "null:" (keeps nothing; for measuring).',
    )
    timeout: float = option(
        20.0,
        DURATION,
        "How long one insert or check may take before its outcome counts as unknown; two thirds of "
        "daemon.stall_after at most.",
        low=1,
        high=3600,
    )
    cluster: str = option(
        "",
        TEXT,
        "Name of the ClickHouse cluster that the hosts of store.url form: tables are made ON CLUSTER with Replicated "
        "engines, each host takes inserts of its own, reads go through a Distributed table. Empty: one server.",
    )
    replicas: int = option(
        1,
        COUNT,
        "How many hosts that follow each other in store.url are replicas of one table. From 2 on, inserts want a "
        "quorum (most of them), and a batch in doubt is settled at another replica while its host is away.",
        low=1,
        high=16,
    )
    memory: int = option(2 * GIB, SIZE, "Most memory the embedded engine may take.", low=256 * MIB, high=1024 * GIB)
    retention_days: int = option(0, COUNT, "Days events are kept (PostgreSQL: whole months). 0: for ever.", high=36_500)


@dataclass(frozen=True, slots=True)
class Query:
    """Limits of a query from the operator's tools."""

    max_seconds: float = option(30.0, DURATION, "Longest it may run.", low=0.1, high=3600, reload=True)
    max_rows: int = option(100_000, COUNT, "Most rows it may return.", low=1, high=100_000_000, reload=True)
    max_memory: int = option(GIB, SIZE, "Most memory it may take.", low=64 * MIB, high=1024 * GIB, reload=True)


@dataclass(frozen=True, slots=True)
class Geo:
    """The database that turns an address into a country or city."""

    database: str = option(
        "",
        TEXT,
        "Path of an .mmdb file (MaxMind, DB-IP or IPinfo). Empty: the newest one in geo/ of the data directory.",
        reload=True,
    )
    check_every: float = option(
        10.0, DURATION, "How often workers look whether the file changed.", low=0.1, high=86400, reload=True
    )


@dataclass(frozen=True, slots=True)
class Alerts:
    """What is told to whom when something needs a person."""

    webhook: str = option(
        "",
        WEBHOOK,
        "Where a JSON object is POSTed when an alert begins, gets worse or ends: http:// or https://. Empty: nowhere.",
    )
    webhook_timeout: float = option(
        5.0, DURATION, "Longest one POST may take as a whole; after it, it is tried again.", low=0.1, high=60
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """What /metrics tells apart."""

    sites: tuple[str, ...] = option(
        (),
        SITES,
        "Sites whose events are counted each for itself (at most 32); those of all others are counted together. "
        "Empty: sites are not told apart.",
    )


@dataclass(frozen=True, slots=True)
class Config:
    """One attribute per section, named as the section is in the file."""

    daemon: Daemon = Daemon()
    log: Log = Log()
    http: Http = Http()
    admin: Admin = Admin()
    control: Control = Control()
    ring: Ring = Ring()
    spool: Spool = Spool()
    batch: Batch = Batch()
    dedup: Dedup = Dedup()
    store: Store = Store()
    query: Query = Query()
    geo: Geo = Geo()
    alerts: Alerts = Alerts()
    metrics: Metrics = Metrics()
    tls: Tls = Tls()
    sites: Sites = Sites()
