"""Two daemons on one store, as on two machines: what a retry at the other one comes to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.front_process import FrontProcess
from tests.process.harness import Daemon
from tests.process.sender import SITE, event_of, id_of
from trackflowd import cli


def test_a_retry_at_another_daemon_is_stored_once_when_the_event_has_landed_and_twice_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with FrontProcess(tmp_path / "front") as front:
        sets = (f"store.url={front.url}", "daemon.workers=1")
        with Daemon(tmp_path / "a", *sets) as one, Daemon(tmp_path / "b", *sets) as other:
            assert one.post(event_of(0, 0))[0] == 200
            one.flush()
            assert other.post(event_of(0, 1))[0] == 200
            other.flush()

            one.call("pause")
            assert one.post(event_of(1, 0))[0] == other.post(event_of(1, 1))[0] == 200
            other.flush()
            one.call("resume")
            one.flush()
            rows = one.rows(f"SELECT toString(event_id) id, count() n FROM events WHERE site = '{SITE}' GROUP BY 1")
            assert {row["id"]: row["n"] for row in rows} == {id_of(0): 1, id_of(1): 2}

            one.call("site_add", site="shop.example", settings={"gpc": "refuse"})
            one.call("key_add", site="shop.example", name="backend", expires=0)
            assert cli.operator(["sites", "export", "--keys", "--socket", str(one.socket)]) == 0
            (tmp_path / "sites.json").write_text(capsys.readouterr().out)
            words = ["sites", "import", str(tmp_path / "sites.json"), "--socket", str(other.socket)]
            assert cli.operator([*words, "--json"]) == 0
            assert len(json.loads(capsys.readouterr().out)["changes"]) == 2

            # A server store's events are left to its own tools; the rest is backed up, and comes back.
            assert cli.operator(["backup", str(tmp_path / "made"), "--socket", str(one.socket)]) == 0
            assert "back that up with BACKUP TABLE" in capsys.readouterr().out
            other.call("site_remove", site="shop.example", revoke_keys=True)
            assert cli.operator(["restore", str(tmp_path / "made"), "--json", "--socket", str(other.socket)]) == 0
            result = json.loads(capsys.readouterr().out)["result"]
            assert (result["sites"], result["keys"], result["events"]) == (1, 0, 0), "a key revoked here stays revoked"
