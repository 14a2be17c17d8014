"""trackflowd.vitals: a supervisor (with fake children) that looks at itself once a second."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.supervised import Running, play
from trackflowd import supervisor as supervisor_module
from trackflowd import vitals
from trackflowd.counters import REQUEST
from trackflowd.histogram import Tally
from trackflowd.metrics import Look, render


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "NOTE_EVERY", 0.0)
    monkeypatch.setattr(vitals, "RENDER_EVERY", 0.0)


def names(running: Running) -> list[str]:
    return [alert["name"] for alert in running.supervisor.vitals.status()["alerts"]]


async def scraped(running: Running) -> dict[str, float]:
    """Samples without labels by name."""
    text = await running.supervisor.vitals.metrics()
    families = text_string_to_metric_families(text.decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_latency_and_alerts_are_part_of_status(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        assert (await running.commands.status())["latency"] == {"p50_ms": None, "p99_ms": None}
        tally = Tally(REQUEST)
        tally.note(2_000_000, 100)
        running.supervisor.crew.page.slot("worker", 1).publish_histogram(REQUEST, tally.words)
        await running.until(lambda: running.supervisor.vitals.status()["latency"]["p50_ms"])
        assert 1.6 <= (await running.commands.status())["latency"]["p50_ms"] <= 2
        running.supervisor.crew.page.slot("worker", 0).add("ring_full", 3)
        await running.until(lambda: names(running))
        (alert,) = (await running.commands.status())["alerts"]
        assert (alert["name"], alert["severity"]) == ("turned_away", "critical")
        assert alert["text"].startswith("3 requests")

    play(tmp_path, story)


def test_a_drain_is_no_alarm(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        daemon = running.supervisor
        os.kill(running.pid("worker 0") or 0, signal.SIGSTOP)  # holds the drain up
        daemon.queue("SIGTERM")
        await running.until(lambda: daemon.stopping)
        daemon.crew.page.slot("worker", 0).add("ring_full", 3)
        before = daemon._noted
        await running.until(lambda: daemon._noted > before)
        assert names(running) == []
        assert (await scraped(running))["trackflow_ring_full_total"] == 3
        os.kill(running.pid("worker 0") or 0, signal.SIGCONT)

    play(tmp_path, story)


def test_a_pause_is_an_alert_until_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.alerts.LINGER", 0.0)

    async def story(running: Running) -> None:
        await running.ready()
        running.supervisor.crew.page.paused = True
        await running.until(lambda: names(running) == ["paused"])
        assert (await scraped(running))["trackflow_paused"] == 1
        running.supervisor.crew.page.paused = False
        await running.until(lambda: names(running) == [])

    play(tmp_path, story)


def test_each_second_of_the_history_has_its_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "NOTE_EVERY", 0.05)

    async def story(running: Running) -> None:
        await running.ready()
        tally = Tally(REQUEST)
        tally.note(2_000_000, 100)
        running.supervisor.crew.page.slot("worker", 0).publish_histogram(REQUEST, tally.words)
        await running.until(lambda: running.supervisor.vitals.latency(10.0)["p50_ms"])
        series = running.supervisor.history.last(3600)["series"]
        assert [round(value) for value in series["p99_ms"] if value is not None] == [2]
        assert len(series["p99_ms"]) == len(series["p50_ms"]) > 1

    play(tmp_path, story)


def test_disk_and_quarantine_are_looked_at_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "LOOK_EVERY", 0.0)

    async def story(running: Running) -> None:
        await running.ready()
        directory = tmp_path / "data" / "quarantine"
        directory.mkdir(exist_ok=True)
        (directory / "damaged-1").write_bytes(b"x")
        await running.until(lambda: "quarantine" in names(running))
        told = await scraped(running)
        assert told["trackflow_quarantine_files"] == 1
        assert 0 < told["trackflow_disk_free_bytes"] < told["trackflow_disk_size_bytes"]

    play(tmp_path, story)


def test_what_is_on_is_logged_once_and_told_to_the_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr("trackflowd.alerts.LINGER", 0.0)
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    async def story(running: Running) -> None:
        await running.ready()
        running.supervisor.crew.page.slot("worker", 0).add("ring_full", 8)
        await running.until(lambda: told)
        monkeypatch.setattr("trackflowd.alertrules.TURNED_AWAY_FOR", -1.0)
        await running.until(lambda: len(told) == 2)
        while (await scraped(running))["trackflow_webhook_sent_total"] < 2:  # counted once the answer is read
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        play(tmp_path, story, f"alerts.webhook=http://127.0.0.1:{server.server_address[1]}/")
        server.shutdown()
    assert [(one["event"], one["name"], one["severity"]) for one in told] == [
        ("begin", "turned_away", "critical"), ("end", "turned_away", "critical"),
    ]  # fmt: skip
    assert set(told[0]) == {"event", "at_ms", "host", "version", "name", "severity", "since_ms", "text", "hint"}
    lines = [record.getMessage() for record in caplog.records if "alert turned_away" in record.getMessage()]
    assert len(lines) == 1 and lines[0].startswith("alert turned_away (critical): 8 requests were answered 503")


def test_a_webhook_that_hangs_keeps_nothing_waiting(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        running.supervisor.crew.page.slot("flusher").add("bytes_lost", 8)
        await running.until(lambda: "events_lost" in names(running) and not running.supervisor.vitals._webhook.waiting)
        before = running.supervisor._noted
        await running.until(lambda: running.supervisor._noted > before)
        assert (await running.commands.status())["health"]["ready"]

    with socket.create_server(("127.0.0.1", 0)) as listener:  # connects, and is never answered
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        play(tmp_path, story, f"alerts.webhook={url}", "alerts.webhook_timeout=60")


def test_however_many_scrape_it_is_rendered_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "RENDER_EVERY", 3600.0)
    rendered: list[int] = []

    def counted(look: Look, processes: Sequence[Mapping[str, Any]]) -> bytes:
        rendered.append(1)
        return render(look, processes)

    monkeypatch.setattr(vitals, "render", counted)

    async def story(running: Running) -> None:
        await running.ready()
        answers = await asyncio.gather(*(running.supervisor.vitals.metrics() for _ in range(20)))
        assert all(answer == answers[0] for answer in answers)
        assert len(rendered) == 1

    play(tmp_path, story)


def test_sites_that_are_named_are_counted_each(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        for index in (0, 1):
            running.supervisor.crew.page.slot("worker", index).publish_sites([5, 2, index])
        text = await running.supervisor.vitals.metrics()
        lines = [line for line in text.decode().splitlines() if line.startswith("trackflow_site_events_total")]
        assert lines == [
            'trackflow_site_events_total{site="(others)"} 10.0',
            'trackflow_site_events_total{site="a.example"} 4.0',
            'trackflow_site_events_total{site="b.example"} 1.0',
        ]

    play(tmp_path, story, "metrics.sites=a.example,b.example")
