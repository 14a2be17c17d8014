"""Options and the number of workers changed again and again under load: no request fails, what is answered is stored.

The long form is ``python -m bench reload``.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.process.harness import PATIENCE, Daemon
from tests.process.judge import judge, settle
from tests.process.sender import Sender

#: Numbers of workers, one after the other.
COUNTS = (3, 1, 2, 1, 3, 2)
CHUNK = 400


def options(workers: int, other: int) -> str:
    return f"[daemon]\nworkers = {workers}\n[http]\nretry_after = {other}\n[batch]\nmax_rows = {1000 + other}\n"


async def changed(daemon: Daemon, workers: int, other: int) -> None:
    """Change them, by command or by signal, and return once so many workers serve and no other is left."""
    daemon.configure(options(workers, other))
    if other % 2:
        told = await asyncio.to_thread(daemon.call, "reload")
        assert (told["restart"], told["applied"]) == ([], True)
    else:
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)

    def done() -> bool:
        rows = [row for row in daemon.call("processes") if row["role"] == "worker"]
        return [(row["slot"], row["state"]) for row in rows] == [(n, "ready") for n in range(workers)]

    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(done):
            await asyncio.sleep(0.02)


def test_under_load_no_request_fails_and_what_is_answered_is_stored_once(tmp_path: Path) -> None:
    with Daemon(tmp_path, "store.url=chdb:", "ring.size=32MiB", file=options(2, 100)) as daemon:
        host, _, port = daemon.http.removeprefix("http://").rpartition(":")
        sender, sent, over = Sender(host, int(port), 1, connections=16), 0, False

        async def send() -> None:
            nonlocal sent
            while not over:
                sender.plan(sent + CHUNK, first=sent, kinds=("single",))
                sent += CHUNK
                await sender.run()

        async def whole() -> None:
            nonlocal over
            sending = asyncio.create_task(send())
            for other, workers in enumerate(COUNTS, 1):
                await changed(daemon, workers, other)
                before = len(sender.books.answered)
                while len(sender.books.answered) < before + CHUNK:
                    await asyncio.sleep(0.01)
            over = True
            await sending

        asyncio.run(whole())
        settle(daemon)
        books = sender.books
        assert (books.unanswered, books.unconnected, books.full) == (0, 0, 0)
        assert books.answered == set(range(sent))
        verdict = judge(daemon, sent, books.answered)
        assert verdict.kept, verdict
        status = daemon.await_status(lambda status: len(status["rings"]) == 2)
        assert status["totals"]["events_accepted"] == sent, "counts of workers that are gone stay"
        assert daemon.call("config")["http.retry_after"] == len(COUNTS)
        assert daemon.log().count("SIGHUP: ") == len(COUNTS) // 2
        assert daemon.stop() == 0
