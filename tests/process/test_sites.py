"""Sites and keys of a real daemon, by its command line: workers know of each change, secrets are in no file, and what
a site keeps no longer is deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.process.harness import Daemon, until
from tests.process.judge import flush
from tests.process.test_faults_replay import alter
from trackflowd import cli

DAYS = 86_400


class Office:
    """Who works with a daemon."""

    def __init__(self, daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
        self.daemon = daemon
        self.capsys = capsys

    def says(self, *words: str) -> str:
        """What a command prints."""
        self.capsys.readouterr()
        assert cli.operator(["--data-dir", str(self.daemon.data_dir), *words]) == 0
        return self.capsys.readouterr().out

    def told(self) -> int:
        """Number of the newest snapshot, once every worker works by it."""
        newest: int = self.daemon.status()["sites"]["snapshot"]

        def known() -> bool:
            workers = [one for one in self.daemon.status()["processes"] if one["role"] == "worker"]
            return len(workers) == 2 and all(one.get("snapshot") == newest for one in workers)

        until(known)
        return newest


def test_every_change_reaches_every_worker_and_secrets_are_in_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Daemon(tmp_path, "store.url=null:") as daemon:
        office = Office(daemon, capsys)
        numbers = [office.told()]
        office.says("sites", "add", "a.example", "origins=https://a.example")
        numbers.append(office.told())
        assert office.says("sites", "set", "a.example", "gpc=refuse").strip() == "gpc: ignore -> refuse"
        numbers.append(office.told())
        keys = [office.says("keys", "add", "a.example").strip()]
        numbers.append(office.told())
        keys.append(office.says("keys", "rotate", "a.example/server").strip())
        (tmp_path / "sites.json").write_text(office.says("sites", "export", "--keys"))
        daemon.kill("worker 0")
        numbers.append(office.told() + 1)  # a new worker works by the newest from its start
        assert numbers == sorted(set(numbers))
        listed = office.says("keys", "list", "--json") + office.says("sites", "list") + office.says("audit", "--json")
        listed += json.dumps(daemon.status()) + (tmp_path / "sites.json").read_text()
        daemon.stop()
    assert len({key.split("_")[1] for key in keys}) == 2
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"keys" in files
    for secret in (key.split("_", 2)[2] for key in keys):
        assert secret not in listed
        assert secret.encode() not in files
    with Daemon(tmp_path, "store.url=null:") as daemon:
        office = Office(daemon, capsys)
        assert "gpc=refuse" in office.says("sites", "list")
        assert office.says("sites", "import", str(tmp_path / "sites.json"), "--replace") == "nothing to change\n"


def test_workers_act_on_a_change_while_events_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Daemon(tmp_path, "sites.mode=registered") as daemon:
        office, event = Office(daemon, capsys), {"site": "a.example", "name": "n"}

        def answered(status: int, **headers: str) -> None:
            """So it is by both workers: each connection may come to either."""
            office.told()
            for _ in range(20):
                assert daemon.post(event, **headers)[0] == status

        answered(403)
        office.says("sites", "add", "a.example", "gpc=refuse")
        key = office.says("keys", "add", "a.example").strip()
        answered(200)
        assert daemon.post(event, **{"Sec-GPC": "1"})[1]["error"] == "opted_out"
        spoofed = {**event, "ip": "203.0.113.9"}
        assert daemon.post(spoofed)[0] == 403
        assert daemon.post(spoofed, Authorization=f"Bearer {key}")[0] == 200
        until(lambda: json.loads(office.says("keys", "list", "--json"))[0]["used_ms"])
        office.says("keys", "revoke", "a.example/server")
        answered(401, Authorization=f"Bearer {key}")
        office.says("sites", "remove", "a.example")
        answered(403)
        flush(daemon)
        assert daemon.rows("SELECT count() AS n FROM events") == [{"n": 21}]
        # what is refused is in no ring that a flush waits for: workers say it in their next tick
        status = daemon.await_status(lambda status: status["refusals"].get("unknown_site", 0) >= 40)
        assert status["refusals"]["unknown_site"] == 40


#: A site's events once more in the store, as if they had come so many days earlier.
OLDER = (
    "INSERT INTO events SELECT * REPLACE (received - INTERVAL {days} DAY AS received, "
    "time - INTERVAL {days} DAY AS time, generateUUIDv4() AS event_id, _batch + {days} AS _batch) "
    "FROM (SELECT * FROM events WHERE site = '{site}' AND received > now() - INTERVAL 1 DAY)"
)


def test_what_a_site_keeps_no_longer_is_deleted_by_a_task_and_has_a_tombstone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Daemon(tmp_path, "batch.max_age=0.05") as daemon:
        office = Office(daemon, capsys)
        for site in ("short", "long", "ever", "other"):
            events = [{"site": site, "name": "pageview", "id": f"{site}-{n}"} for n in range(5)]
            assert daemon.post(events)[1]["accepted"] == 5
        flush(daemon)
        daemon.stop()
        for site in ("short", "long", "ever", "other"):
            alter(daemon, *(OLDER.format(site=site, days=days) for days in (40, 400)))
        daemon.start()

        def left() -> dict[str, int]:
            rows: list[dict[str, Any]] = daemon.rows(
                "SELECT site, count() AS n FROM events GROUP BY site ORDER BY site"
            )
            return {row["site"]: int(row["n"]) for row in rows}

        assert left() == {"ever": 15, "long": 15, "other": 15, "short": 15}
        office.says("sites", "add", "ever")
        office.says("sites", "add", "long", "retention_days=100")
        office.says("sites", "add", "short", "retention_days=30")
        until(lambda: left() == {"ever": 15, "long": 10, "other": 15, "short": 5})
        office.says("sites", "set", "*", "retention_days=100")
        until(lambda: left() == {"ever": 15, "long": 10, "other": 10, "short": 5})

        tasks: list[dict[str, Any]] = []

        def done() -> bool:
            tasks[:] = json.loads(office.says("tasks", "list", "--json"))
            return all(task["state"] == "done" for task in tasks)

        until(done)
        assert {task["kind"] for task in tasks} == {"retention"}
        assert sum(task["result"]["events"] for task in tasks) == 20
        kept = json.loads(office.says("events", "erasures", "--json"))
        assert sorted(one["what"]["site"] for one in kept) == ["long", "other", "short"]
        assert all(one["retention"] and one["state"] == "done" for one in kept)
