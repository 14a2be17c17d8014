"""A move from PostgreSQL to chDB while events come in, its mover killed on the way, and the daemon after it."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import pytest

from tests.batches import columns
from tests.postgres import Cluster
from tests.process.harness import Daemon, slain, until
from tests.process.judge import judge, settle
from tests.process.sender import event_of
from tests.rows import NOW, event_id
from trackflowd.batch import new_batch_id
from trackflowd.errors import ControlError
from trackflowd.migrate import checksums
from trackflowd.sink.base import Batch, SinkOptions, open_sink

DATABASE = "grown"
#: Events the old store has before the daemon starts, in two months.
OLD = 100_000
AT_ONCE = 5_000
MONTHS = {202511: NOW, 202512: NOW + 30 * 86_400_000}
FEW = 20
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def fill(cluster: Cluster, database: str, directory: Path, events: int) -> str:
    """The url of a database with so many events that landed a day ago."""
    url = cluster.database(database)
    sink = open_sink(url, SinkOptions(directory))
    sink.open()
    made = columns(range(AT_ONCE), 0)
    for first in range(0, events, AT_ONCE):
        month = list(MONTHS)[first * len(MONTHS) // events]
        batch_id = new_batch_id(MONTHS[month] + first)
        numbers = range(first, first + AT_ONCE)
        fresh: dict[str, Any] = {
            "event_id": [event_id(n) for n in numbers],
            "received": [MONTHS[month] + n for n in numbers],
        }
        sink.insert(Batch(batch_id, 1, month, AT_ONCE, {**made, **fresh, "_batch": (batch_id,) * AT_ONCE}))
    sink.close()
    cluster.sql(database, "UPDATE batches SET at = at - interval '1 day'")
    return url


class Traffic:
    """A client that goes on sending fresh events, one request after another, until it is stopped.

    Attributes:
        sent, answered: numbers of events (0 …) that were sent, and of those that were answered 2xx.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent, self.answered = 0, set[int]()
        self.refused = 0

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; returns when all that was sent is answered."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.04):
            numbers = range(self.sent, self.sent + FEW)
            self.sent += FEW
            status, _ = self._daemon.post([event_of(n, 0) for n in numbers], User_Agent=PERSON)
            if status == 200:
                self.answered.update(numbers)
            else:
                self.refused += 1


def mover(daemon: Daemon) -> int:
    """Pid of the mover; waits until there is one."""
    found: list[int] = []

    def look() -> bool:
        assert daemon.process is not None
        for child in psutil.Process(daemon.process.pid).children():
            with suppress(psutil.Error):  # it may end while it is looked at
                if "trackflowd: mover" in " ".join(child.cmdline()):
                    found.append(child.pid)
        return bool(found)

    until(look)
    return found[0]


def reached(daemon: Daemon, number: int, phase: str, passed: int) -> None:
    """Return once a task has walked so far in a phase, or has passed it."""
    phases = ("copy", "verify", "cutover", "over")

    def look() -> bool:
        task = daemon.call("task", id=number)
        assert task["state"] == "running", task
        place = task["checkpoint"] or {"phase": "copy"}
        return phases.index(place["phase"]) > phases.index(phase) or (
            place["phase"] == phase and task["progress"]["done"] >= passed
        )

    until(look)


def ended(daemon: Daemon, number: int) -> dict[str, Any]:
    """A task once it has ended."""
    until(lambda: daemon.call("task", id=number)["state"] not in ("pending", "running"))
    task: dict[str, Any] = daemon.call("task", id=number)
    return task


def sums(cluster: Cluster, daemon: Daemon, month: int) -> tuple[dict[str, int], dict[str, int]]:
    """Checksums of one of the old months in the old store and in the one the daemon has now."""
    start, end = f"{month // 100}-{month % 100:02d}-01", "2025-12-01" if month == 202511 else "2026-01-01"
    old: dict[str, int] = {}
    for names, sql in checksums.postgres(f"received >= '{start} 00:00+00' AND received < '{end} 00:00+00'"):
        old.update(zip(names, map(int, cluster.sql(DATABASE, sql)[0]), strict=True))
    (row,) = daemon.rows(checksums.clickhouse(f"toYYYYMM(received) = {month}"))
    return old, {name: int(row[f"c{n}"]) for n, name in enumerate(checksums.NAMES)}


def test_events_move_while_others_come_in_and_the_mover_is_killed_twice(postgres: Cluster, tmp_path: Path) -> None:
    url = fill(postgres, DATABASE, tmp_path, OLD)
    daemon = Daemon(tmp_path, f"store.url={url}", "daemon.workers=1", "ring.size=4MiB")
    with daemon, Traffic(daemon) as traffic:
        number = daemon.call("migrate", target="chdb:", cutover=True)["id"]
        for phase in ("copy", "verify"):
            reached(daemon, number, phase, 10_000)
            assert slain(mover(daemon))
        task = ended(daemon, number)
        assert task["state"] == "done", task
        at_switch = len(traffic.answered)
        until(lambda: len(traffic.answered) > at_switch + 10 * FEW)
        traffic.stop()
        settle(daemon)
        assert traffic.refused == 0
        result = task["result"]
        assert result["movers"] >= 3, task["history"]
        assert result["equal"] and result["rows"] >= OLD
        assert result["verified"] >= OLD
        verdict = judge(daemon, traffic.sent, traffic.answered)
        assert verdict.kept, verdict
        (row,) = daemon.rows("SELECT count() AS n, uniqExact(event_id) AS ids FROM events")
        assert row == {"n": OLD + len(traffic.answered), "ids": OLD + len(traffic.answered)}
        for month in MONTHS:
            old, new = sums(postgres, daemon, month)
            assert old == new
            assert old[checksums.COUNT] == OLD // 2
        assert task["args"]["target"] == "chdb:"
        then_old_url_in_options(daemon, url)


def then_old_url_in_options(daemon: Daemon, url: str) -> None:
    """The journaled switch wins over options that still name the old store, until they name the new one."""
    (before,) = daemon.rows("SELECT count() AS n FROM events")
    status = daemon.status()
    assert "store.url still names" in status["sink"]["warning"]
    assert status["sink"]["url"] == "chdb:"
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.rows("SELECT count() AS n FROM events") == [before]
    assert "set store.url to chdb:" in daemon.log()
    with pytest.raises(ControlError, match="stores events in chdb: already"):
        raise ControlError(ended(daemon, daemon.call("migrate", source=url, target="chdb:")["id"])["error"]["text"])
    assert daemon.stop() == 0
    daemon.sets = (*daemon.sets, "store.url=chdb:")
    daemon.start()
    assert daemon.rows("SELECT count() AS n FROM events") == [before]
    assert daemon.status()["sink"]["warning"] == ""
    assert not (daemon.data_dir / "store.switch").exists()


def test_a_flusher_and_then_the_daemon_killed_while_batches_are_held_lose_and_double_nothing(
    postgres: Cluster, tmp_path: Path
) -> None:
    url = fill(postgres, "moved_while_held", tmp_path, AT_ONCE)
    daemon = Daemon(tmp_path, f"store.url={url}", "daemon.workers=1", "ring.size=4MiB")
    with daemon:
        traffic = Traffic(daemon)
        with traffic:
            number = daemon.call("migrate", target="chdb:", cutover=True)["id"]
            until(lambda: cutting(daemon, number))
            killed = daemon.kill("flusher")
            until(lambda: daemon.pid("flusher") != killed)
        until(lambda: cutting(daemon, number))
        daemon.end()
        daemon.start(ready=False)
        task = ended(daemon, number)
        assert task["state"] == "done", task
        settle(daemon)
        verdict = judge(daemon, traffic.sent, traffic.answered)
        assert verdict.kept, verdict
        (row,) = daemon.rows("SELECT count() AS n, uniqExact(event_id) AS ids FROM events")
        assert row == {"n": AT_ONCE + len(traffic.answered), "ids": AT_ONCE + len(traffic.answered)}
        assert daemon.status()["sink"]["url"] == "chdb:"


def cutting(daemon: Daemon, number: int) -> bool:
    """Whether batches are held for a task, or it has ended."""
    task = daemon.call("task", id=number)
    return bool(task["progress"]["text"] == "cuts over" or task["state"] == "done")
