"""admin_routes: the table, held to docs/admin.md; probes by a real supervisor."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

from tests.admin_client import Asker
from tests.supervised import Running, play
from trackflowd.admin_desk import Desk
from trackflowd.admin_routes import routes
from trackflowd.audit import Audit
from trackflowd.metrics import CONTENT_TYPE

MANUAL = Path(__file__).parent.parent / "docs" / "admin.md"


async def metrics() -> bytes:
    return b"metric 1\n"


def test_the_manual_has_every_route_and_no_other() -> None:
    table = routes(
        Desk({}, lambda: 1.0, Audit(Path())), {"/healthz": lambda: (True, {}), "/readyz": lambda: (True, {})}, metrics
    )
    named = re.findall(
        r"^\| `(GET|POST|PUT|PATCH|DELETE) (/[^`]*)` \| (read|admin|near|) *\|", MANUAL.read_text(), re.M
    )
    assert sorted(named) == sorted((route.method, route.path, route.scope) for route in table)


def test_everything_under_v1_needs_a_token_and_changes_one_that_may() -> None:
    for route in routes(Desk({}, lambda: 1.0, Audit(Path())), {"/healthz": lambda: (True, {})}, metrics):
        open_to = "near" if route.path == "/metrics" else ""
        assert route.scope == ("admin" if route.method != "GET" else "read" if "/v1/" in route.path else open_to)


def test_metrics_are_a_text_and_head_gets_its_length(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        asker = Asker(running.supervisor.admin.address)
        reply = await asyncio.to_thread(asker.ask, "GET", "/metrics")
        assert (reply.status, reply.headers["content-type"]) == (200, CONTENT_TYPE)
        assert b"trackflow_ready 1.0\n" in reply.body
        reply = await asyncio.to_thread(asker.ask, "HEAD", "/metrics")
        assert (reply.status, reply.body) == (200, b"")

    play(tmp_path, story)


def test_alive_and_ready_are_different_answers(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.until(lambda: running.supervisor.admin.address)
        asker = Asker(running.supervisor.admin.address)
        assert (await asyncio.to_thread(asker.get, "/healthz")).json["alive"] is True
        await running.ready()
        reply = await asyncio.to_thread(asker.get, "/readyz?x=1")
        assert (reply.status, reply.json) == (200, {"ready": True})
        os.kill(running.pid("worker 0") or 0, signal.SIGSTOP)  # holds the drain up
        running.supervisor.queue("drain")
        await running.until(lambda: running.supervisor.health.reason == "stopping")
        reply = await asyncio.to_thread(asker.get, "/readyz")
        assert (reply.status, reply.json["ready"], reply.json["reason"]) == (503, False, "stopping")
        os.kill(running.pid("worker 0") or 0, signal.SIGCONT)

    play(tmp_path, story)
