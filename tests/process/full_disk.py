"""Stories of a daemon whose disk is full, each a process: ``python -m tests.process.full_disk STORY DIR``.

The data directory is a tmpfs of this process's mount namespace (``bench.faults.disk``), filled up by a ballast file.
"""

from __future__ import annotations

import glob
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bench.faults.disk import Disk, NoDisk
from tests.front_process import FrontProcess
from tests.process.harness import Daemon, until
from tests.process.judge import flush, settle
from tests.process.sender import SITE, event_of, id_of

#: Exit code where this machine does not let us mount.
CANNOT = 77
#: Events sent at most until enough writes have failed.
_MOST = 20_000
_SAID = "the embedded store failed to write"
_SIZE = 256 * 2**20
_SETS = ("daemon.workers=1", "dedup.max_ids=10000", "spool.keep_free=0", "batch.max_age=0.05")


def send(daemon: Daemon, first: int, count: int) -> set[int]:
    """Events one by one; the numbers of those that were answered 200. Others must be 503."""
    answered = set()
    for n in range(first, first + count):
        status, answer = daemon.post(event_of(n, 0))
        assert status in (200, 503), answer
        if status == 200:
            answered.add(n)
    return answered


def assert_stored_once(daemon: Daemon, numbers: set[int]) -> None:
    daemon.flush()
    rows = daemon.rows(f"SELECT toString(event_id) AS id FROM events WHERE site = '{SITE}'")
    assert sorted(row["id"] for row in rows) == sorted(id_of(n) for n in numbers)


def killed(directory: Path, disk: Disk) -> None:
    """Killed while the disk is full, the daemon starts, takes events, and stores all once there is room."""
    daemon = Daemon(directory, *_SETS)
    with daemon:
        answered = send(daemon, 0, 100)
        daemon.flush()
        disk.fill()
        answered |= send(daemon, 100, 100)
        daemon.stop(signal.SIGKILL)
        disk.fill()
        daemon.start(ready=False)
        daemon.await_status(lambda status: any(row["state"] == "ready" for row in status["processes"][1:]))
        until(lambda: daemon.post(event_of(200, 0))[0] == 200)
        answered |= {200} | send(daemon, 201, 100)
        assert len(answered) == 301, "rings are allocated: nothing is refused"
        assert "going on with salts, sites and keys of the last start" in daemon.log()
        disk.free()
        daemon.await_status(lambda status: status["health"]["ready"])
        assert_stored_once(daemon, answered)
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.log()


def spool(directory: Path, disk: Disk) -> None:
    """A full disk under a spool that is wanted turns readiness; room on it, and the store, turn it back."""
    with FrontProcess(directory / "front") as front:
        daemon = Daemon(directory, *_SETS, f"store.url={front.url}", "spool.start_at=10")
        with daemon:
            front.order("refuse")
            disk.fill()
            answered = send(daemon, 0, 400)
            status = daemon.await_status(lambda status: status["totals"]["spool_full"])
            assert status["spool"]["segments"] == 0
            daemon.await_status(lambda status: "no room" in status["spool"]["text"])
            assert daemon.ready()[0] == 503
            disk.free()
            daemon.await_status(lambda status: status["spool"]["segments"] and not status["totals"]["spool_full"])
            front.order("accept")
            assert_stored_once(daemon, answered)
            daemon.await_status(lambda status: status["health"]["ready"] and not status["spool"]["segments"])
            assert daemon.ready()[0] == 200
            assert daemon.stop() == 0
        assert "Traceback" not in daemon.log()


def ring(directory: Path, disk: Disk) -> None:
    """Without room for a ring the daemon does not start, and says why; with room it does."""
    disk.fill()
    daemon = Daemon(directory, *_SETS)
    daemon.launch()
    assert daemon.wait() == 1
    assert "database or disk is full" in daemon.log() and "free space" in daemon.log()
    disk.free()
    disk.fill(leave=2**20 // 2)
    daemon.launch()
    assert daemon.wait() == 1
    assert "no room for a ring" in daemon.log()
    disk.free()
    with daemon:
        assert_stored_once(daemon, send(daemon, 0, 10))
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.log()


def within(directory: Path, disk: Disk) -> None:
    """Filled up while the embedded store writes, again and again: what that only thinks it has is found out."""
    daemon = Daemon(directory, *_SETS, "batch.max_age=0.01", module="tests.daemon")
    with daemon:
        answered = _while_others_fill(daemon, directory, disk, lambda: daemon.log().count(_SAID) >= 3)
        settle(daemon)
        daemon.stop()
        daemon.start()
        assert_stored_once(daemon, answered)
        assert daemon.stop() == 0
    assert daemon.log().count(_SAID) >= 3, "no write failed: nothing was tried"
    assert "Traceback" not in daemon.log()


def believed(directory: Path, disk: Disk) -> None:
    """The negative control: a build that believes the embedded store loses what was answered."""

    def torn() -> bool:
        return any(_size(path) == 0 for path in _there(directory, "2*_*_*_0/checksums.txt"))

    daemon = Daemon(directory, *_SETS, "batch.max_age=0.01", module="tests.broken.no_confirm")
    answered: set[int] = set()
    lost: set[str] = set()
    with daemon:
        for turn in range(5):  # a merge reads what is in memory, and so may save a part
            answered |= _while_others_fill(daemon, directory, disk, torn, turn * _MOST)
            flush(daemon)
            daemon.stop(signal.SIGKILL)
            daemon.start()
            settle(daemon)
            stored = {row["id"] for row in daemon.rows("SELECT DISTINCT toString(event_id) AS id FROM events")}
            if lost := {id_of(n) for n in answered} - stored:
                break
    assert lost, "the engine looks at its writes now, or none failed: is this still needed?"


def _there(directory: Path, pattern: str) -> list[str]:
    """What the tables have of it. The engine takes directories away meanwhile, with which ``Path.glob`` would end."""
    return glob.glob(f"{directory}/data/store/store/*/*/{pattern}")


def _size(path: str) -> int | None:
    """Bytes of a file; None if it is gone."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def _while_others_fill(
    daemon: Daemon, directory: Path, disk: Disk, enough: Callable[[], bool], start: int = 0
) -> set[int]:
    """Events sent while the disk is full within every second insert or so; the numbers of those answered."""
    over = threading.Event()

    def others() -> None:
        chance = random.Random(1)
        while not over.is_set():
            # Before there is one, the engine makes sure of room for the projection, and says so if there is none.
            under_way = next(iter(_there(directory, "tmp_insert_*/*.proj")), "")
            if not under_way or chance.random() < 0.5 or not disk.close_off():
                continue
            while os.path.exists(under_way) and not over.is_set():
                pass
            disk.open_up()

    daemon.flush()
    thread = threading.Thread(target=others)
    thread.start()
    answered: set[int] = set()
    try:
        for first in range(start, start + _MOST, 10):
            answered |= send(daemon, first, 10)
            if enough():
                break
    finally:
        over.set()
        thread.join()
    return answered


if __name__ == "__main__":
    path = Path(sys.argv[2])
    (path / "data").mkdir()
    try:
        mounted = Disk(path / "data", _SIZE)
    except NoDisk as error:
        print(error)
        sys.exit(CANNOT)
    stories = {"killed": killed, "spool": spool, "ring": ring, "within": within, "believed": believed}
    stories[sys.argv[1]](path, mounted)
