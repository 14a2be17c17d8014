"""What an operator sees while the store is away and when it is back: status, spool, readiness, flush, the tools."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.front_process import FrontProcess
from tests.process.harness import Daemon, until
from tests.process.sender import SITE, event_of, id_of
from trackflowd import cli
from trackflowd.errors import ControlError

EVENTS = 600
SETS = ("daemon.workers=1", "spool.start_at=10", "spool.keep_free=0")


def send(daemon: Daemon, first: int, count: int) -> None:
    for start in range(first, first + count, 100):
        assert daemon.post([event_of(n, 0) for n in range(start, start + 100)])[0] == 200


def test_a_store_that_is_away_fills_the_spool_and_when_it_is_back_all_lands_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FrontProcess(tmp_path / "front") as front, Daemon(tmp_path, f"store.url={front.url}", *SETS) as daemon:
        here = ["--data-dir", str(daemon.data_dir)]
        front.order("refuse")
        send(daemon, 0, EVENTS)
        sent = EVENTS

        def trickling() -> bool:
            """An event more: a rate is an average of the last seconds, and this machine may be slow."""
            nonlocal sent
            sent += 1
            return daemon.post(event_of(sent - 1, 0))[0] == 200

        status = daemon.await_status(
            lambda status: (
                trickling()
                and status["spool"]["segments"]
                and status["spool"]["oldest_s"] > 0
                and status["buffer"]["full_in_s"]
            )
        )
        assert status["spool"]["bytes"] > 0 and not status["spool"]["text"]
        assert status["buffer"]["full_in_s"] == pytest.approx(
            status["buffer"]["room"] / status["buffer"]["bytes_s"], rel=0.01
        )
        daemon.await_status(
            lambda status: (
                trickling()
                and re.fullmatch(
                    r"store away for \d+ (s|min): .*refused.*; rings and spool full in \d+ (s|min|h|days)",
                    status["health"]["reason"],
                )
            )
        )
        assert daemon.ready()[0] == 503
        with pytest.raises(ControlError, match=r"not stored after 0 s \(\d+ rows in \d+ batches"):
            daemon.call("flush", wait=0.01)
        capsys.readouterr()
        assert cli.operator([*here, "spool", "list", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert len(listed) >= status["spool"]["segments"]
        assert all("refused" in one["reason"] or "does not keep up" in one["reason"] for one in listed)
        assert cli.operator([*here, "spool", "dump"]) == 0
        dumped = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(dumped) == sum(one["rows"] for one in listed)
        assert {one["event_id"] for one in dumped} <= {id_of(n) for n in range(sent)}
        assert cli.operator([*here, "status"]) == 0
        assert "rings and spool full in" in capsys.readouterr().out

        front.order("accept")
        daemon.flush()
        rows = daemon.rows(f"SELECT toString(event_id) AS id FROM events WHERE site = '{SITE}'")
        assert sorted(row["id"] for row in rows) == sorted(id_of(n) for n in range(sent))
        status = daemon.await_status(lambda status: status["health"]["ready"])
        assert status["spool"]["segments"] == 0
        assert daemon.ready() == (200, {"ready": True})
        assert daemon.stop() == 0


def test_a_batch_that_is_given_up_is_the_only_one_that_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FrontProcess(tmp_path / "front") as front, Daemon(tmp_path, f"store.url={front.url}", *SETS) as daemon:
        front.order("refuse")
        send(daemon, 0, EVENTS)
        daemon.await_status(lambda status: status["spool"]["segments"])
        assert cli.operator(["--data-dir", str(daemon.data_dir), "spool", "list", "--json"]) == 0
        last = json.loads(capsys.readouterr().out)[-1]
        drop = ["--data-dir", str(daemon.data_dir), "spool", "drop", last["name"], "--yes", "--json"]
        until(lambda: cli.operator(drop) == 0)  # "try again", in the moment it is being sent
        assert json.loads(capsys.readouterr().out) == {"dropped": 1, "rows": last["rows"]}
        front.order("accept")
        daemon.flush()
        assert daemon.rows("SELECT count() AS n FROM events") == [{"n": EVENTS - last["rows"]}]
        assert daemon.status()["totals"]["rows_dropped"] == last["rows"]
        assert daemon.stop() == 0
