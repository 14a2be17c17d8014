"""The promise, tried: 50,000 events over 64 connections, processes killed under way, nothing lost or doubled."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.process.harness import Daemon, until
from tests.process.sender import SITE, Books, Sender, content_of, id_of
from trackflowd.shared import Page

EVENTS = 50_000
SEEDS = (1, 2, 3, 4, 5)


def page_of(daemon: Daemon) -> Page:
    """The daemon's shared page, through the supervisor's descriptors."""
    assert daemon.process is not None
    fds = Path(f"/proc/{daemon.process.pid}/fd")
    for link in fds.iterdir():
        if "trackflowd-page" in os.readlink(link):
            fd = os.open(link, os.O_RDWR | os.O_CLOEXEC)
            try:
                return Page.attach(fd)
            finally:
                os.close(fd)
    raise AssertionError("no shared page among the supervisor's descriptors")


def kill_flusher_with_a_batch_in_flight(daemon: Daemon, page: Page) -> None:
    """Stop it, look, and kill it only if it stands between the journal's cut and its done."""
    pid = daemon.pid("flusher")

    def caught() -> bool:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: _stopped(pid))
        if page.slot("flusher").get("rows_pending"):
            os.kill(pid, signal.SIGKILL)
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    until(caught)


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def send_and_kill(daemon: Daemon, page: Page, seed: int) -> tuple[Books, int]:
    """Send everything; kill the flusher and a worker on the way. Books, and requests a kill left unanswered."""
    host, _, port = daemon.http.removeprefix("http://").rpartition(":")
    sender = Sender(host, int(port), seed)
    sender.plan(EVENTS)
    sending = asyncio.create_task(sender.run())

    async def answered(part: float) -> None:
        while len(sender.books.answered) < EVENTS * part and not sending.done():
            await asyncio.sleep(0.005)

    await answered(0.2)
    await asyncio.to_thread(kill_flusher_with_a_batch_in_flight, daemon, page)
    await answered(0.5)
    before = sender.books.unanswered
    for part in (0.6, 0.7, 0.8, 1.0):  # again where it fell between two requests
        await asyncio.to_thread(daemon.kill, f"worker {seed % 2}")
        await answered(part)
        if sender.books.unanswered > before:
            break
    books = await sending
    return books, books.unanswered - before


def stored_rows(daemon: Daemon) -> list[dict[str, str]]:
    """All rows of the site, asked for in parts that one answer can hold."""
    sql = f"SELECT toString(event_id) AS id, path, title, props['h'] AS h FROM events WHERE site = '{SITE}'"
    return [row for part in range(8) for row in daemon.rows(f"{sql} AND _batch % 8 = {part}")]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answered_event_is_stored_once_through_kills_of_flusher_and_worker(tmp_path: Path, seed: int) -> None:
    with Daemon(tmp_path, "ring.size=16MiB", "batch.max_age=0.05", "batch.max_rows=2000") as daemon:
        page = page_of(daemon)
        books, unanswered = asyncio.run(send_and_kill(daemon, page, seed))
        page.close()
        assert books.answered == set(range(EVENTS))
        assert unanswered > 0, "the worker was killed between two requests: nothing was tried"
        daemon.flush()
        status = daemon.status()
        assert status["totals"]["batches_doubted"] > 0, "no batch was in flight: nothing was tried"
        rows = stored_rows(daemon)
        assert len(rows) == EVENTS
        found = {row["id"]: (row["path"], row["title"], row["h"]) for row in rows}
        assert found == {id_of(n): content_of(n) for n in range(EVENTS)}
        assert daemon.stop() == 0
