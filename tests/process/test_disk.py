"""durability = "disk" in the real daemon: kills, and a disk that refuses (strace puts the error in)."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.process.harness import Daemon, until
from tests.process.sender import SITE, Books, Sender, content_of, id_of
from tests.process.tracer import injecting
from trackflowd.ring import file

EVENTS = 10_000
DISK = ("ring.durability=disk", "batch.max_age=0.05")


def sender_for(daemon: Daemon, events: int, connections: int = 32) -> Sender:
    host, _, port = daemon.http.removeprefix("http://").rpartition(":")
    sender = Sender(host, int(port), 7, connections)
    sender.plan(events)
    return sender


async def send_and_kill(daemon: Daemon) -> Books:
    """Send everything; kill the flusher, then a worker, on the way."""
    sender, pids = sender_for(daemon, EVENTS), daemon.pids()
    sending = asyncio.create_task(sender.run())
    for part, victim in ((0.1, "flusher 0"), (0.3, "worker 0"), (0.5, "worker 1")):
        while len(sender.books.answered) < EVENTS * part and not sending.done():
            await asyncio.sleep(0.002)
        os.kill(pids[victim], signal.SIGKILL)  # in the same turn of the loop: requests are in flight
    return await sending


def assert_all_stored_once(daemon: Daemon, events: int) -> None:
    daemon.flush()
    sql = f"SELECT toString(event_id) AS id, path, title, props['h'] AS h FROM events WHERE site = '{SITE}'"
    rows = daemon.rows(sql)
    assert len(rows) == events
    assert {row["id"]: (row["path"], row["title"], row["h"]) for row in rows} == {
        id_of(n): content_of(n) for n in range(events)
    }


def test_every_answered_event_is_synced_and_stored_once_through_kills(tmp_path: Path) -> None:
    with Daemon(tmp_path, *DISK) as daemon:
        books = asyncio.run(send_and_kill(daemon))
        assert books.answered == set(range(EVENTS))
        assert books.unanswered > 0, "no worker was killed with requests in flight: nothing was tried"
        assert_all_stored_once(daemon, EVENTS)
        for ring in daemon.status()["rings"]:
            assert ring["synced"] == ring["head"] > 0
            assert not ring["failed"]
        assert daemon.status()["totals"]["rings_failed"] == 0
        assert daemon.stop() == 0


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_refused_sync_fails_the_ring_over_and_stores_exactly_what_was_answered(tmp_path: Path, error: str) -> None:
    """Events without ids, never sent again: what is stored must be what was answered 200, no more and no less."""
    with Daemon(tmp_path, *DISK, "daemon.workers=1") as daemon:
        answers: dict[str, int] = {}

        def send(n: int) -> None:
            status, answer = daemon.post({"site": SITE, "name": f"e{n}"})
            answers[f"e{n}"] = status
            assert status == 200 or (status, answer["error"]) == (503, "ring_failed"), answer

        worker = daemon.pid("worker 0")
        with injecting(worker, f"fdatasync:error={error}:when=20"), ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(600)))
            until(lambda: daemon.post({"site": SITE, "name": "later"})[0] == 200)
        good = {name for name, status in answers.items() if status == 200}
        assert 0 < len(good) < len(answers), "no sync was refused while somebody waited: nothing was tried"
        daemon.flush()
        stored = [row["name"] for row in daemon.rows(f"SELECT name FROM events WHERE site = '{SITE}'")]
        assert sorted(name for name in stored if name != "later") == sorted(good)
        status = daemon.await_status(lambda status: len(status["rings"]) == 1)
        assert status["totals"]["rings_failed"] == daemon.log().count("has failed and ends at") > 0
        assert status["refusals"]["ring_failed"] >= len(answers) - len(good)
        assert not status["rings"][0]["failed"], "the failed ring is drained and removed"
        assert daemon.pid("worker 0") == worker, "the worker goes on"
        assert daemon.stop() == 0


def test_without_room_for_a_fresh_ring_it_answers_503_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with Daemon(tmp_path, *DISK, "daemon.workers=1") as daemon:
        worker = daemon.pid("worker 0")
        event = {"site": SITE, "name": "n"}
        answered = 0
        with injecting(worker, "fdatasync:error=ENOSPC:when=3", "fallocate:error=ENOSPC:when=1+"):
            while daemon.post(event)[0] == 200:
                answered += 1
            until(lambda: "no room for a ring" in daemon.log())
            assert [daemon.post(event)[0] for _ in range(5)] == [503] * 5
            assert all(found.failed for found in file.scan(daemon.data_dir / "rings"))
        until(lambda: daemon.post(event)[0] == 200)
        assert daemon.pid("worker 0") == worker
        daemon.flush()
        assert daemon.rows("SELECT count() AS n FROM events") == [{"n": answered + 1}]
        assert daemon.stop() == 0


def test_events_refused_by_a_failed_ring_land_once_when_they_are_sent_again(tmp_path: Path) -> None:
    with Daemon(tmp_path, *DISK, "daemon.workers=1") as daemon:
        sender = sender_for(daemon, 3000)
        with injecting(daemon.pid("worker 0"), "fdatasync:error=EIO:when=25"):
            books = asyncio.run(sender.run())
        assert books.answered == set(range(3000))
        # strace counts calls by thread, and each ring has its own: the 25th sync of every ring was refused.
        assert books.full > 0 and daemon.status()["totals"]["rings_failed"] > 0
        assert_all_stored_once(daemon, 3000)
        daemon.kill("worker 0")
        daemon.kill("flusher")
        until(lambda: daemon.post({"site": "other", "name": "n"})[0] == 200)
        assert_all_stored_once(daemon, 3000)
