"""The negative controls: builds that are wrong in one function, and what tries the promise must find each of them out.

Each fault strikes at a failpoint, so it strikes every time. Nothing is cut into a batch before all
is sent (``batch.max_age`` of an hour): what is answered lies in the ring when the worker is hit. What is
sent again does not say so: its id has to do.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests import failpoints
from tests.process.harness import Daemon, state, until
from tests.process.judge import Verdict, flush, judge, settle
from tests.process.sender import Books, Sender

EVENTS = 60
#: Answers 503 after which the sender gives up: it gets hundreds a second from a worker whose ring has failed.
REFUSALS = 100
#: Fault → failpoint; the right build lives through all of them in one run.
FAULTS = {
    "a worker killed within the store of the head": "w0:20:kill",
    "a worker stopped within a record, read meanwhile": "w1:30:stop",
    "a worker killed before its answers": "w3:5:kill",
    "a flusher killed before it sends": "f4-:1:kill",
    "a flusher killed before it hears that the batch is stored": "f4:1:kill",
}
#: Build → the fault it does not live through, and what is then wrong.
BROKEN = {
    "pack_into_head": ("a worker killed within the store of the head", "lost"),
    "head_before_payload": ("a worker stopped within a record, read meanwhile", "lost"),
    "tail_before_confirm": ("a flusher killed before it sends", "lost"),
    "no_verify": ("a flusher killed before it hears that the batch is stored", "doubled"),
    "no_event_id_window": ("a worker killed before its answers", "doubled"),
}


def promise(directory: Path, module: str, charges: str) -> tuple[Verdict, set[str]]:
    """What a build makes of the promise under these failpoints, and which of them struck."""
    marks = directory / "marks"
    marks.mkdir()
    env = {failpoints.VARIABLE: charges, failpoints.MARKS: str(marks)}
    sets = ("store.url=chdb:", "daemon.workers=1", "batch.max_age=1h")
    with Daemon(directory, *sets, env=env, module=module) as daemon:
        books = asyncio.run(_send(daemon, marks))
        settle(daemon)
        return judge(daemon, EVENTS, books.answered), {name.partition("-")[2] for name in failpoints.fired(marks)}


async def _send(daemon: Daemon, marks: Path) -> Books:
    """Send everything over one connection, until it is answered or only 503 comes; the rings have room for it all."""
    host, _, port = daemon.http.removeprefix("http://").rpartition(":")
    sender = Sender(host, int(port), seed=1, connections=1, marks=False)
    sender.plan(EVENTS)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(sender.run())]
    if "stop" in daemon.env[failpoints.VARIABLE]:
        tasks.append(asyncio.create_task(asyncio.to_thread(_go_on, daemon, marks)))
    while not all(task.done() for task in tasks) and sender.books.full < REFUSALS:
        await asyncio.sleep(0.01)
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=sender.books.full >= REFUSALS)
    return sender.books


def _go_on(daemon: Daemon, marks: Path) -> None:
    """Wake the worker that was stopped, when the flusher has read its ring."""

    def stopped() -> int:
        pids = (pid for name, pid in failpoints.fired(marks).items() if name.endswith("-w1"))
        return next((pid for pid in pids if pid and state(pid) == "T"), 0)

    until(stopped)
    flush(daemon)
    os.kill(stopped(), signal.SIGCONT)


def test_the_right_build_keeps_its_promise_under_every_fault(tmp_path: Path) -> None:
    verdict, struck = promise(tmp_path, "tests.daemon", ",".join(FAULTS.values()))
    assert verdict.kept, verdict
    assert struck == {"w1", "w3", "f4-", "f4"}, "w0 is a place that only a wrong build has"


@pytest.mark.parametrize("build", BROKEN)
def test_a_wrong_build_is_found_out(build: str, tmp_path: Path) -> None:
    fault, wrong = BROKEN[build]
    verdict, struck = promise(tmp_path, f"tests.broken.{build}", FAULTS[fault])
    assert len(struck) == 1, "the fault did not strike: nothing was tried"
    assert getattr(verdict, wrong), verdict
