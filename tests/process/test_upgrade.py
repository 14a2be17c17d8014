"""A later version on the same data directory and store, under traffic; and the earlier one after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.front_process import FrontProcess
from tests.postgres import Cluster
from tests.process.harness import Daemon, until
from tests.process.judge import judge, settle
from tests.process.sender import event_of

#: A silent process is replaced after 3 s, a call to the store given up after 2; the change takes 5.
_SETS = (
    "daemon.workers=1", "ring.size=1MiB", "spool.start_at=3", "spool.keep_free=0", "batch.max_age=0.05",
    "store.timeout=2", "daemon.stall_after=3", "dedup.max_ids=20000",
)  # fmt: skip


@contextmanager
def store(kind: str, directory: Path) -> Iterator[str]:
    if kind == "chdb":
        yield "chdb:"
    elif kind == "clickhouse":
        with FrontProcess(directory / "front") as front:
            yield front.url
    else:
        with Cluster() as cluster:
            yield cluster.database("upgraded")


class Traffic:
    """Events one after another; what was answered 2xx."""

    def __init__(self) -> None:
        self.sent = 0
        self.answered: set[int] = set()

    def send(self, daemon: Daemon, count: int) -> None:
        for n in range(self.sent, self.sent + count):
            status, answer = daemon.post(event_of(n, 0))
            assert status == 200, answer
            self.answered.add(n)
        self.sent += count


@pytest.mark.parametrize("kind", ["chdb", "clickhouse", "postgresql"])
def test_a_long_change_of_the_schema_refuses_no_event_and_an_earlier_version_leaves_the_store_alone(
    kind: str, tmp_path: Path
) -> None:
    traffic = Traffic()
    with store(kind, tmp_path) as url, Daemon(tmp_path, *_SETS, f"store.url={url}", module="tests.daemon") as daemon:
        traffic.send(daemon, 100)
        assert daemon.stop() == 0
        changes = daemon.log().count("changing its schema")

        daemon.module = "tests.newer"
        daemon.start(ready=False)
        daemon.await_status(
            lambda status: any(row["role"] == "worker" and row["state"] == "ready" for row in status["processes"])
        )
        # until the flusher runs nothing empties the ring
        until(lambda: daemon.log().count("changing its schema") > changes)
        flusher = daemon.pid("flusher")
        while not daemon.ready()[0] == 200 and traffic.sent < 5000:
            traffic.send(daemon, 10)
            # The spool makes room, however long the disk takes over it.
            until(lambda: sum(ring["used"] for ring in daemon.status()["rings"]) < 2**19)
        spooled = daemon.status()["totals"]["batches_spooled"]
        assert spooled, "the ring took it all: the change was no long one"
        traffic.send(daemon, 100)
        settle(daemon)
        assert daemon.pid("flusher") == flusher, "it was taken for dead while the store was being changed"
        assert daemon.stop() == 0

        daemon.module = "tests.daemon"
        daemon.start(ready=False)
        daemon.await_status(lambda status: "this program knows" in status["health"]["reason"])
        traffic.send(daemon, 20)
        daemon.stop()

        daemon.module = "tests.newer"
        daemon.start()
        settle(daemon)
        verdict = judge(daemon, traffic.sent, traffic.answered)
        assert verdict.kept, verdict
        assert daemon.stop() == 0
