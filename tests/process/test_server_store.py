"""The daemon against a ClickHouse server (the HTTP front over chDB): what a batch looks like, and faults in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.front_process import FrontProcess
from tests.process.harness import Daemon
from tests.process.sender import SITE, event_of, id_of

#: Pinned with every insert, whatever the server's profile says (docs/architecture.md says why).
PINNED = {"async_insert": "0", "max_insert_threads": "1"}


def send(daemon: Daemon, first: int, count: int) -> None:
    for start in range(first, first + count, 100):
        numbers = range(start, min(start + 100, first + count))
        status, answer = daemon.post([event_of(n, 0) for n in numbers])
        assert (status, answer["accepted"]) == (200, len(numbers))


def test_each_batch_is_one_native_block_with_its_settings_pinned(tmp_path: Path) -> None:
    with FrontProcess(tmp_path / "front") as front, Daemon(tmp_path, f"store.url={front.url}") as daemon:
        send(daemon, 0, 1000)
        daemon.flush()
        send(daemon, 1000, 250)
        daemon.flush()
        inserts = [one for one in front.log() if "events" in one["query"]]
        assert sum(one["rows"] for one in inserts) == 1250
        for one in inserts:
            settings = one["settings"]
            assert (one["format"], one["blocks"], one["chunked"]) == ("Native", 1, True)
            assert settings.items() >= PINNED.items()
            assert int(settings["min_insert_block_size_rows"]) > one["rows"]
            token = settings["insert_deduplication_token"]
            assert one["transport"]["query_id"] == token
            assert "session_id" not in one["transport"]
        assert len({one["settings"]["insert_deduplication_token"] for one in inserts}) == len(inserts)
        parts = daemon.rows("SELECT count() AS n FROM system.parts WHERE table = 'events' AND level = 0")
        assert parts[0]["n"] >= len(inserts)
        assert daemon.stop() == 0


@pytest.mark.parametrize("fault", ["status", "text", "cut", "lost", "half", "poison", "late"])
def test_whatever_the_server_does_with_an_insert_every_event_is_stored_once(tmp_path: Path, fault: str) -> None:
    sets = ("store.timeout=2", "batch.max_age=0.05")
    with FrontProcess(tmp_path / "front") as front, Daemon(tmp_path, f"store.url={front.url}", *sets) as daemon:
        send(daemon, 0, 100)
        daemon.flush()
        front.fault(fault)
        send(daemon, 100, 300)
        daemon.flush()
        rows = daemon.rows(f"SELECT toString(event_id) AS id FROM events WHERE site = '{SITE}'")
        assert sorted(row["id"] for row in rows) == sorted(id_of(n) for n in range(400))


def test_a_server_that_is_away_is_said_and_all_lands_when_it_is_back(tmp_path: Path) -> None:
    with FrontProcess(tmp_path / "front") as front, Daemon(tmp_path, f"store.url={front.url}") as daemon:
        front.order("refuse")
        send(daemon, 0, 200)
        status = daemon.await_status(lambda status: not status["health"]["ready"])
        assert status["sink"]["state"] == "away"
        code, answer = daemon.ready()
        assert (code, answer["ready"]) == (503, False)
        assert "store" in answer["reason"]
        front.order("accept")
        daemon.flush()
        daemon.await_status(lambda status: bool(status["health"]["ready"]))
        assert daemon.rows("SELECT count() AS n FROM events")[0]["n"] == 200
