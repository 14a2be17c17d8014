"""How the daemon is: latency, alerts, metrics. Looked at once a second by the supervisor.

Nothing here waits: what takes long (files are counted, a worker is asked for its geo database, metrics are rendered) is
done beside the supervisor's loop, and the last that is known is used meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from trackflowd import __version__, statusview
from trackflowd.alertrules import RULES
from trackflowd.alerts import Change, Child, Figures, Watch
from trackflowd.counters import HISTOGRAMS, REQUEST
from trackflowd.errors import TrackflowError
from trackflowd.latency import Latency, summed
from trackflowd.metrics import Look, render
from trackflowd.spool import Room
from trackflowd.webhook import Webhook

if TYPE_CHECKING:
    from trackflowd.supervisor import Supervisor

log = logging.getLogger(__name__)

#: Seconds between two looks at what takes long: disk, quarantine, geo database.
LOOK_EVERY = 10.0
#: Seconds one rendering of the metrics is good for: however many ask, it costs no more than once in that time.
RENDER_EVERY = 1.0


class Vitals:
    """The office of the supervisor that knows it.

    Args:
        daemon: looked at.
    """

    def __init__(self, daemon: Supervisor) -> None:
        self._daemon = daemon
        self._latency = Latency()
        self._watch = Watch(RULES)
        self._webhook = Webhook(daemon.cfg.alerts.webhook, daemon.cfg.alerts.webhook_timeout)
        self._host = socket.gethostname()
        self._started = time.time()
        self._figures = Figures(time.time_ns() // 1_000_000, time.monotonic(), counts=statusview.totals(daemon.crew))
        self._space: dict[str, Any] = {}
        self._geo_built: int | None = None
        self._looked = -LOOK_EVERY
        self._looking: asyncio.Task[None] | None = None
        self._rendered = -RENDER_EVERY
        self._rendering: asyncio.Task[bytes] | None = None

    def note(self, now: float, room: Room, full_in_s: float | None, judge: bool) -> None:
        """Take a look, about once a second.

        Args:
            now: monotonic clock, s.
            room: of the spool.
            full_in_s: see ``Figures``.
            judge: alerts may begin and end: not in a drain, which looks like many of them.
        """
        self._latency.note(now, summed(self._daemon.crew, REQUEST))
        if now - self._looked >= LOOK_EVERY and (self._looking is None or self._looking.done()):
            self._looked = now
            self._looking = asyncio.get_running_loop().create_task(self._look())
        self._figures = self._all(now, room, full_in_s)
        for change in self._watch.note(self._figures) if judge else ():
            self._tell(change)

    def latency(self, seconds: float) -> dict[str, float | None]:
        """See ``Latency.quantiles``."""
        return self._latency.quantiles(seconds)

    def status(self) -> dict[str, Any]:
        """The blocks ``latency`` and ``alerts`` of status."""
        return {"latency": self._latency.quantiles(), "alerts": [alert.as_dict() for alert in self._watch.alerts]}

    async def metrics(self) -> bytes:
        """The text of /metrics. Rendered in a thread: it takes 1 ms with two workers, 6 ms with 64."""
        now = time.monotonic()
        if self._rendering is None or now - self._rendered >= RENDER_EVERY:
            self._rendered = now
            self._rendering = asyncio.get_running_loop().create_task(asyncio.to_thread(self._render, self._told()))
        return await asyncio.shield(self._rendering)

    def close(self) -> None:
        """End what runs beside the loop."""
        self._webhook.close()

    async def _look(self) -> None:
        """Look at what takes long."""
        try:
            geo = await self._daemon.crew.ask_workers("geo")
            self._geo_built = (geo or {}).get("built") or None
        except TrackflowError:
            self._looked = -LOOK_EVERY  # no worker is ready: asked again at the next look
        try:
            self._space = await asyncio.to_thread(self._daemon.budget.look)
        except OSError as error:
            log.debug("what was known of the disk stays: %s", error)

    def _all(self, now: float, room: Room, full_in_s: float | None) -> Figures:
        daemon, crew = self._daemon, self._daemon.crew
        disk, quarantine = self._space.get("disk") or {}, self._space.get("quarantine") or {}
        return Figures(
            at_ms=time.time_ns() // 1_000_000,
            now=now,
            children=[Child(seat.name, seat.role, seat.phase.value, seat.restarts) for seat in crew.seats],
            counts=statusview.totals(crew),
            rings=daemon.rings,
            store=statusview.sink_state(crew),
            store_text=daemon.told.text,
            store_since_ms=daemon.told.since_ms,
            spool_used=room.used,
            spool_free=room.free,
            spool_text=daemon.told.spool,
            full_in_s=full_in_s,
            disk_free=disk.get("free", 0),
            disk_total=disk.get("total", 0),
            disk_days=disk.get("days_to_full"),
            quarantine_files=quarantine.get("files", 0),
            quarantine_rows=quarantine.get("rows", 0),
            geo_built=self._geo_built,
            max_age=daemon.cfg.batch.max_age,
            paused=crew.page.paused,
            tls_error=daemon.sealing.error,
            tls_ends=daemon.sealing.ends,
        )

    def _tell(self, change: Change) -> None:
        """Say in the log and to the webhook what became of an alert."""
        alert = change.alert
        if change.what == "end":
            log.info("alert %s has ended: %s", alert.name, alert.text)
        else:
            level = logging.ERROR if alert.severity == "critical" else logging.WARNING
            log.log(level, "alert %s (%s): %s; %s", alert.name, alert.severity, alert.text, alert.hint)
        at_ms = self._figures.at_ms
        about = {"event": change.what, "at_ms": at_ms, "host": self._host, "version": __version__}
        self._webhook.put({**about, **alert.as_dict()})

    def _told(self) -> Look:
        daemon, crew = self._daemon, self._daemon.crew
        sites = daemon.cfg.metrics.sites
        each = [slot.sites(len(sites)) for slot in crew.slots()[1:]] if sites else []
        return Look(
            figures=self._figures,
            refusals=statusview.refusals(crew),
            sites=dict(zip(("", *sites), map(sum, zip(*each, strict=True)), strict=False)),
            histograms={one: summed(crew, one) for table in HISTOGRAMS.values() for one in table},
            alerts=self._watch.alerts,
            ready=daemon.health.ready,
            started=self._started,
            spool_limit=daemon.cfg.spool.max_bytes,
            told=self._webhook.count,
            admin=daemon.admin.counts(),
            unaudited=daemon.control.audit.missed,
        )

    def _render(self, look: Look) -> bytes:
        """In a thread, which must not touch the shared page: that is closed with the supervisor."""
        return render(look, statusview.processes(self._daemon.crew, self._daemon.started))
