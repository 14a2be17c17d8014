"""The daemon with PostgreSQL: what people see of it, and the store killed, cut off or in the way within an insert.

An insert is held in its middle by a lock on the table it needs, and at its COMMIT by a standby that it has to wait
for and that does not exist: by then the batch is durable, and its answer can still be lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import asyncpg
import pytest

from tests.postgres import Cluster
from tests.process.harness import ROOT, Daemon, until
from tests.process.judge import judge, settle
from tests.process.sender import SITE, event_of
from tests.tcp_proxy import TcpProxy

DATABASE = "served"
#: Events of one request.
FEW = 20
SETS = ("daemon.workers=1", "store.timeout=3", "batch.max_age=0.05")
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IN_THE_WAY = "LOCK TABLE facts IN EXCLUSIVE MODE"


class Stage:
    """A cluster, a wire to it and a daemon; all that was ever sent is judged each time.

    Attributes:
        sent: events sent so far, numbered from 0.
    """

    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster()
        self.wire = TcpProxy(self.cluster.port)
        self.daemon = Daemon(directory, f"store.url={self.cluster.database(DATABASE, self.wire.port)}", *SETS)
        self.sent = 0

    def __enter__(self) -> Stage:
        self.daemon.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.daemon.end()
        self.wire.refuse()
        self.cluster.close()

    def send(self, requests: int = 1) -> None:
        """Send fresh events."""
        for _ in range(requests):
            events = [event_of(n, 0) for n in range(self.sent, self.sent + FEW)]
            status, answer = self.daemon.post(events, User_Agent=PERSON)
            assert (status, answer["accepted"]) == (200, FEW)
            self.sent += FEW

    def doubted(self) -> int:
        """Batches whose outcome was in doubt, so far."""
        found: int = self.daemon.status()["totals"]["batches_doubted"]
        return found

    def backend(self, where: str) -> int:
        """Pid of the daemon's backend once a condition on ``pg_stat_activity`` holds for it."""
        found: list[int] = []

        def look() -> bool:
            found[:] = self.cluster.backends(DATABASE, where)
            return bool(found)

        until(look)
        return found[0]

    def assert_kept(self) -> None:
        """Everything is stored, once, and the daemon is well."""
        settle(self.daemon)
        verdict = judge(self.daemon, self.sent, set(range(self.sent)))
        assert verdict.kept, verdict
        status = self.daemon.await_status(lambda status: status["health"]["ready"])
        assert status["batches"]["open"] == 0

    def _commits_wait_no_more(self) -> bool:
        """False while a killed backend takes the others with it, this connection too."""
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.cluster.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names")
            self.cluster.sql("postgres", "SELECT pg_reload_conf()")
            return bool(self.cluster.sql("postgres", "SHOW synchronous_standby_names") == [("",)])
        return False

    @contextmanager
    def waiting_commits(self) -> Iterator[None]:
        """COMMITs are done here, and wait for a standby that is not there before they are answered."""
        self.cluster.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        self.cluster.sql("postgres", "SELECT pg_reload_conf()")
        try:
            yield
        finally:
            until(self._commits_wait_no_more)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("postgres")) as stage:
        yield stage


@pytest.fixture
def stage(running: Stage) -> Iterator[Stage]:
    """The stage, with a batch landed and a connection that is good."""
    running.send()
    settle(running.daemon)
    running.wire.struck = 0
    yield running
    running.wire.clear()
    running.wire.accept()


def trackflow(stage: Stage, *words: str) -> str:
    code = "import sys; from trackflowd.cli import operator; sys.exit(operator())"
    command = [sys.executable, "-c", code, *words, "--socket", str(stage.daemon.socket)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=stage.daemon.env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_sent_can_be_asked_for_counted_and_seen(stage: Stage) -> None:
    stage.send(3)
    stage.assert_kept()
    query = trackflow(stage, "query", "SELECT site, count(*) AS n FROM events GROUP BY site", "--json")
    assert json.loads(query) == {"site": SITE, "n": stage.sent}
    status = json.loads(trackflow(stage, "status", "--json"))
    assert (status["sink"]["state"], status["sink"]["url"].split(":")[0]) == ("ok", "postgresql")
    stats = json.loads(trackflow(stage, "stats", "overview", "--json"))
    shown = {name: stats["totals"][name] for name in ("visitors", "visits", "views", "events")}
    assert shown == {"visitors": 1, "visits": 1, "views": stage.sent, "events": 0}
    assert stats["previous"]["views"] == 0
    assert sum(page["views"] for page in stats["pages"]) <= stage.sent
    assert "visitors" in trackflow(stage, "stats", "overview", "--site", SITE)


def test_a_backend_killed_within_an_insert_leaves_nothing_of_it_and_all_lands_once(stage: Stage) -> None:
    with stage.cluster.holding(DATABASE, IN_THE_WAY):
        stage.send()
        os.kill(stage.backend("wait_event_type = 'Lock'"), signal.SIGKILL)
        stage.send(2)
    stage.assert_kept()


def test_a_backend_killed_behind_its_commit_has_landed_the_batch_and_it_is_not_sent_again(stage: Stage) -> None:
    before = stage.doubted()
    with stage.waiting_commits():
        stage.send()
        os.kill(stage.backend("wait_event = 'SyncRep'"), signal.SIGKILL)
    stage.assert_kept()
    assert stage.doubted() == before + 1


def test_commits_that_wait_for_a_standby_for_ever_are_found_to_be_done_and_pile_up_no_backends(stage: Stage) -> None:
    before = stage.daemon.status()["totals"]["rows_stored"]
    with stage.waiting_commits():
        for n in (1, 2):
            stage.send()
            rows = before + n * FEW
            stage.daemon.await_status(lambda status, rows=rows: status["totals"]["rows_stored"] == rows)  # type: ignore[misc]
        assert len(stage.cluster.backends(DATABASE, "true")) <= 2
    stage.assert_kept()


@pytest.mark.parametrize("moment", ["within an insert", "behind a commit"])
def test_a_cluster_killed_and_started_again_has_all_once(stage: Stage, moment: str) -> None:
    in_the_way, there = {
        "within an insert": (stage.cluster.holding(DATABASE, IN_THE_WAY), "wait_event_type = 'Lock'"),
        "behind a commit": (stage.waiting_commits(), "wait_event = 'SyncRep'"),
    }[moment]
    with in_the_way:
        stage.send()
        stage.backend(there)
        stage.cluster.kill()
        stage.send(2)
        stage.daemon.await_status(lambda status: status["sink"]["state"] == "away")
        stage.cluster.start()
    stage.assert_kept()


def test_a_flusher_killed_within_an_insert_is_followed_by_one_that_ends_what_it_left(stage: Stage) -> None:
    with stage.cluster.holding(DATABASE, IN_THE_WAY):
        stage.send()
        left = stage.backend("wait_event_type = 'Lock'")
        stage.daemon.kill("flusher")
        until(lambda: left not in stage.cluster.backends(DATABASE, "true"))
    stage.assert_kept()


@pytest.mark.parametrize("fault", ["lost", "hang", "cut"])
def test_a_commit_the_wire_spoils_is_asked_about_and_lands_once(stage: Stage, fault: str) -> None:
    before = stage.doubted()
    stage.wire.order(fault, match=b"COMMIT;")
    stage.send()
    until(lambda: stage.wire.struck)
    stage.send(2)
    stage.assert_kept()
    assert stage.doubted() == before + 1


def test_rows_a_constraint_refuses_are_set_aside_and_the_others_land(stage: Stage) -> None:
    stage.cluster.sql(DATABASE, "ALTER TABLE facts ADD CONSTRAINT mine CHECK (props->>'n' NOT IN ('x')) NOT VALID")
    try:
        bad = event_of(10**6, 0)
        bad["props"] = {"n": "x"}
        good = [event_of(n, 0) for n in range(stage.sent, stage.sent + FEW)]
        status, answer = stage.daemon.post([*good[:7], bad, *good[7:]])
        assert (status, answer["accepted"]) == (200, FEW + 1)
        stage.sent += FEW
        stage.assert_kept()
        assert stage.daemon.status()["totals"]["records_quarantined"] == 1
    finally:
        stage.cluster.sql(DATABASE, "ALTER TABLE facts DROP CONSTRAINT mine")


def test_a_store_that_is_away_is_said_and_all_lands_when_it_is_back(stage: Stage) -> None:
    stage.wire.refuse()
    stage.send()
    until(lambda: stage.daemon.ready()[0] == 503)
    assert "store" in stage.daemon.ready()[1]["reason"]
    stage.wire.accept()
    stage.assert_kept()
