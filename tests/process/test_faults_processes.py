"""Processes killed and stopped under load, one after another and all at once."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.process.harness import Daemon, gone, slain, until
from tests.process.judge import judge, settle
from tests.process.sender import Sender, event_of

#: Seconds between two kills of a worker.
EACH = 0.05
#: Of workers, under load; more, until one had requests in flight.
KILLS, MOST_KILLS = 6, 60


def sender_for(daemon: Daemon, seed: int) -> Sender:
    host, _, port = daemon.http.removeprefix("http://").rpartition(":")
    return Sender(host, int(port), seed, connections=16)


def test_with_a_worker_killed_every_50_ms_what_is_answered_is_stored_once(tmp_path: Path) -> None:
    with Daemon(tmp_path, "store.url=chdb:", "batch.max_age=0.05", module="tests.traced_daemon") as daemon:
        sender, sent, killed = sender_for(daemon, 1), 0, 0

        async def send_and_kill() -> None:
            nonlocal sent, killed
            while killed < KILLS or (not sender.books.unanswered and killed < MOST_KILLS):
                sender.plan(sent + 500, first=sent)
                sent += 500
                sending = asyncio.create_task(sender.run())
                while not sending.done():
                    workers = [row for row in daemon.status()["processes"] if row["role"] == "worker"]
                    for row in [row for row in workers if row["state"] == "ready"][:1]:
                        killed += slain(row["pid"])
                    await asyncio.sleep(EACH)
                await sending

        asyncio.run(send_and_kill())
        settle(daemon)
        assert sender.books.answered == set(range(sent))
        assert sender.books.unanswered > 0, "no worker was killed with requests in flight: nothing was tried"
        verdict = judge(daemon, sent, sender.books.answered)
        assert verdict.kept, verdict


def test_all_killed_at_once_and_started_with_another_number_of_workers_nothing_is_lost_and_no_ring_left(
    tmp_path: Path,
) -> None:
    """Of three workers, one, two: rings of slots that are no more are read to their end and removed."""
    with Daemon(tmp_path, "store.url=chdb:", "daemon.workers=3") as daemon:
        books, sent = set[int](), 0
        for workers in (1, 2):
            sender = sender_for(daemon, workers)
            sender.plan(sent + 2000, first=sent)
            sent += 2000

            async def send_and_kill(sender: Sender = sender, workers: int = workers) -> None:
                sending = asyncio.create_task(sender.run())
                while len(sender.books.answered) < 500:
                    await asyncio.sleep(0.002)
                for pid in daemon.pids().values():
                    slain(pid)  # the supervisor's end is its children's
                daemon.wait()
                daemon.sets = (*daemon.sets, f"daemon.workers={workers}", f"http.listen={daemon.http[7:]}")
                await asyncio.to_thread(daemon.start)
                await sending

            asyncio.run(send_and_kill())
            assert sender.books.unanswered > 0, "nothing was in flight at the kill: nothing was tried"
            books |= sender.books.answered
        settle(daemon)
        assert books == set(range(sent))
        verdict = judge(daemon, sent, books)
        assert verdict.kept, verdict
        daemon.await_status(lambda status: len(status["rings"]) == 2)
        assert daemon.stop() == 0


def test_behind_a_stopped_flusher_rings_fill_up_then_503_and_once_it_goes_on_all_is_stored(tmp_path: Path) -> None:
    with Daemon(tmp_path, "store.url=chdb:", "ring.size=64KiB") as daemon:
        stopped = daemon.kill("flusher", signal.SIGSTOP)
        try:
            answered = set[int]()
            refused = sent = 0
            while refused < 20:
                status, _ = daemon.post(event_of(sent, 0))
                assert status in (200, 503)
                refused += status == 503
                answered |= {sent} if status == 200 else set()
                sent += 1
            assert len(answered) > 100, "both rings took their fill"
            until(lambda: daemon.ready()[0] == 503)
            assert daemon.pid("flusher") == stopped, "no second one is started while it may live"
        finally:
            os.kill(stopped, signal.SIGCONT)
        until(lambda: daemon.post(event_of(sent, 0))[0] == 200)
        settle(daemon)
        verdict = judge(daemon, sent + 1, answered | {sent})
        assert verdict.kept, verdict
        assert not gone(stopped)
