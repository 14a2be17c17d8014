"""A replay of what a store really lost: parts and rows taken out of an embedded store while the daemon was down.

The flusher is killed in the middle of it, and then the whole daemon; failpoints of ``tests.daemon`` place the kills at
inserts, which nobody makes there but the replay.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import failpoints
from tests.process.harness import ROOT, Daemon, until
from tests.process.judge import flush, judge
from tests.process.sender import event_of
from trackflowd import cli

BATCHES, ROWS = 9, 20
#: Within the replay: the flusher dies behind its second insert, and the next stops behind its own second.
KILLS = "f4:2:kill,f4:2:stop"

ALTER = """
import sys, chdb
store = chdb.connect(sys.argv[1] + "?logger.console=0")
for statement in sys.argv[2:]:
    print(store.query(statement, "TabSeparated").bytes().decode(), end="")
store.close()
"""


def alter(daemon: Daemon, *statements: str) -> str:
    """Run statements on the store of a daemon that is down; their answers."""
    command = [sys.executable, "-c", ALTER, str(daemon.data_dir / "store"), *statements]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def replay(daemon: Daemon, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The command, with code 0; its summary."""
    assert cli.operator(["--data-dir", str(daemon.data_dir), "replay", "--since", "1h", *more]) == 0
    return re.sub(" +", " ", capsys.readouterr().out)


def stored(daemon: Daemon) -> int:
    return int(daemon.rows("SELECT count() AS n FROM events")[0]["n"])


def test_a_replay_restores_what_the_store_lost_over_kills_of_flusher_and_daemon_and_doubles_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    total = BATCHES * ROWS
    with Daemon(tmp_path, "batch.max_age=0.05") as daemon:
        for n in range(0, total, ROWS):
            assert daemon.post([event_of(m, 0) for m in range(n, n + ROWS)])[0] == 200
            flush(daemon)
        assert daemon.stop() == 0
        ids = alter(daemon, "SELECT DISTINCT toString(_batch) FROM events ORDER BY 1").split()
        assert len(ids) >= BATCHES
        whole, part = ids[1:-2:2], ids[-1]
        left = alter(
            daemon,
            f"ALTER TABLE events DELETE WHERE toString(_batch) IN {(*whole,)} SETTINGS mutations_sync = 2",
            f"ALTER TABLE events DELETE WHERE toString(_batch) = '{part}' AND cityHash64(event_id) % 2 "
            "SETTINGS mutations_sync = 2",
            "SELECT count() FROM events",
        )
        lost = total - int(left)
        assert lost > 3 * ROWS

        daemon.module = "tests.daemon"
        daemon.env |= {failpoints.VARIABLE: KILLS, failpoints.MARKS: str(marks)}
        daemon.start()
        assert f"would be restored {len(whole) + 1} batches {lost} rows" in replay(daemon, capsys, "--dry-run")
        assert stored(daemon) == total - lost
        task = daemon.call("replay", since=3600, dry_run=False)["id"]
        until(lambda: len(failpoints.fired(marks)) == 2)
        assert daemon.call("task", id=task)["state"] == "running"
        daemon.stop(signal.SIGKILL)
        daemon.start()
        until(lambda: daemon.call("task", id=task)["state"] == "done")
        result = daemon.call("task", id=task)["result"]
        assert (result["out_of_reach"], result["batches"]) == (0, len(ids))
        verdict = judge(daemon, total, set(range(total)))
        assert verdict.kept, verdict
        assert re.search(r"restored 0 batches 0 rows", replay(daemon, capsys))
        verdict = judge(daemon, total, set(range(total)))
        assert verdict.kept, verdict
        assert daemon.stop() == 0
