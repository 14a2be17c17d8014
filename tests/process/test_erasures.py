"""Events shown, corrected and erased by the command line, over chDB and PostgreSQL: what is erased stays gone."""

from __future__ import annotations

import csv
import io
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Cluster
from tests.process.harness import Daemon, until
from tests.process.judge import flush
from tests.process.sender import event_of, id_of
from tests.process.test_faults_replay import alter
from tests.tcp_proxy import TcpProxy
from trackflowd import cli

SITE = "shop.example"
DATABASE = "erased"


class Desk:
    """A daemon and who works with it.

    Attributes:
        wire: to the store; None where it is embedded.
    """

    def __init__(self, daemon: Daemon, cluster: Cluster | None, capsys: pytest.CaptureFixture[str]) -> None:
        self.daemon = daemon
        self.cluster = cluster
        self.wire: TcpProxy | None = None
        self.capsys = capsys
        self.sent = 0

    def send(self, user: str, events: int = 5, stored: bool = True) -> list[str]:
        """Send events of a user; their ids."""
        numbers = range(self.sent, self.sent + events)
        self.sent += events
        sent = [event_of(n, 0) | {"site": SITE, "user": user, "title": f"{user} reads {n}"} for n in numbers]
        status, answer = self.daemon.post(sent)
        assert (status, answer["accepted"]) == (200, events)
        if stored:
            flush(self.daemon)
        return [id_of(n) for n in numbers]

    def lose_everything(self) -> None:
        """Empty the store of a daemon that is down."""
        if self.cluster is None:
            alter(self.daemon, "TRUNCATE TABLE events")
        else:
            for table in ("facts", "batches"):
                self.cluster.sql(DATABASE, f"DELETE FROM {table}")

    def says(self, *words: str, code: int = 0) -> str:
        """What a command prints."""
        self.capsys.readouterr()
        assert cli.operator(["--data-dir", str(self.daemon.data_dir), *words]) == code
        return self.capsys.readouterr().out

    def listed(self, *words: str) -> list[dict[str, Any]]:
        found = self.says("events", "list", "--limit", "0", "--json", "--oldest-first", "--period", "1h", *words)
        return [json.loads(line) for line in found.splitlines()]

    def ids(self, *words: str) -> set[str]:
        found = [event["event_id"] for event in self.listed(*words)]
        assert len(found) == len(set(found)), "stored twice"
        return set(found)


@pytest.fixture(params=["chdb", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    sets = ["daemon.workers=1", "batch.max_age=0.05", "store.timeout=3"]
    with ExitStack() as held:
        if request.param == "chdb":
            yield Desk(held.enter_context(Daemon(tmp_path, *sets)), None, capsys)
            return
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.sql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}")
        wire = TcpProxy(cluster.port)
        held.callback(wire.refuse)
        url = f"store.url={cluster.database(DATABASE, wire.port)}"
        desk = Desk(held.enter_context(Daemon(tmp_path, *sets, url)), cluster, capsys)
        desk.wire = wire
        yield desk


def test_a_user_is_found_exported_corrected_and_erased_and_no_replay_brings_anything_back(desk: Desk) -> None:
    alice, bob = desk.send("alice"), desk.send("bob")
    assert desk.ids("--user", "alice") == set(alice)
    exported = [json.loads(line) for line in desk.says("events", "export", "--user", "alice").splitlines()]
    assert sorted(event["title"] for event in exported) == [f"alice reads {n}" for n in range(5)]
    rows = list(csv.DictReader(io.StringIO(desk.says("events", "export", "--user", "alice", "--csv"))))
    assert [row["event_id"] for row in rows] == [event["event_id"] for event in exported]

    told = desk.says("events", "correct", bob[0], "--set", "h=other", "--set", "plan='pro'", "--unset", "n")
    assert "plan='pro'" in told
    assert json.loads(desk.says("events", "get", bob[0], "--json"))["props"] == {"h": "other", "plan": "'pro'"}

    assert "5 events would be erased" in desk.says("events", "erase", "--user", "alice", "--dry-run")
    assert desk.ids() == {*alice, *bob}
    assert "5 events erased in the store" in desk.says("events", "erase", "--user", "alice", "--yes")
    assert desk.ids() == set(bob)
    assert "restored 0 batches" in " ".join(desk.says("replay", "--since", "1h").split())
    assert desk.ids() == set(bob)

    again = desk.send("alice", 3)
    assert desk.ids() == {*bob, *again}, "what came after it lands"
    (erasure,) = json.loads(desk.says("events", "erasures", "--json"))
    assert (erasure["what"], erasure["state"]) == ({"user": "alice"}, "done")
    assert json.loads(desk.says("events", "get", bob[0], "--json"))["props"] == {"h": "other", "plan": "'pro'"}


def test_a_store_that_lost_everything_gets_back_all_but_what_was_erased_over_kills_of_flusher_and_daemon(
    desk: Desk,
) -> None:
    alice, bob = desk.send("alice", stored=False), desk.send("bob")
    desk.says("events", "erase", "--user", "alice", "--yes")
    desk.daemon.kill("flusher")
    desk.says("events", "erase", "--id", bob[0], "--yes")
    assert desk.daemon.stop() == 0
    desk.lose_everything()
    desk.daemon.start()
    assert desk.ids() == set()
    desk.says("replay", "--since", "1h")
    assert desk.ids() == set(bob[1:])
    desk.daemon.stop(signal.SIGKILL)
    desk.daemon.start()
    desk.says("replay", "--since", "1h")
    assert desk.ids() == set(bob[1:])
    assert not desk.ids() & set(alice)


@pytest.mark.parametrize("desk", ["postgresql"], indirect=True)
def test_what_waits_for_a_store_that_is_away_does_not_land_once_it_is_erased(desk: Desk) -> None:
    assert desk.wire is not None
    kept = desk.send("bob")
    desk.wire.refuse()
    alice, bob = desk.send("alice", 8, stored=False), desk.send("bob", 8, stored=False)
    desk.daemon.await_status(lambda status: status["sink"]["state"] == "away")
    task = desk.daemon.call("erase", what={"user": "alice"})["id"]
    desk.daemon.stop(signal.SIGKILL)
    desk.daemon.start(ready=False)
    desk.wire.accept()
    until(lambda: desk.daemon.call("task", id=task)["state"] == "done")
    flush(desk.daemon)
    assert desk.daemon.status()["totals"]["rows_erased"] == len(alice), "left out, not landed and deleted"
    assert desk.ids() == {*kept, *bob}
    assert not desk.ids() & set(alice)
