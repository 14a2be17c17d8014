"""Backups under traffic, brought into another daemon: what was answered before is there once, no half is whole."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.process.harness import ROOT, Daemon, until
from tests.process.sender import SITE, Sender, event_of, id_of
from tests.restoring_daemon import STEPS
from trackflowd import backup, cli

SETS = ("store.url=chdb:", "daemon.workers=1", "dedup.max_ids=10000")
TOOL = [sys.executable, "-c", "from trackflowd.cli import operator; import sys; sys.exit(operator(sys.argv[1:]))"]


def trackflow(daemon: Daemon, *words: str) -> int:
    return cli.operator([*words, "--socket", str(daemon.socket)])


def send(daemon: Daemon, first: int, count: int, attempt: int = 0, **more: Any) -> None:
    for start in range(first, first + count, 100):
        numbers = range(start, min(start + 100, first + count))
        assert daemon.post([event_of(n, attempt) | more for n in numbers])[0] == 200


def stored(daemon: Daemon) -> Counter[str]:
    daemon.flush()
    return Counter(row["id"] for row in daemon.rows(f"SELECT toString(event_id) id FROM events WHERE site = '{SITE}'"))


def ids(*numbers: int) -> set[str]:
    return {id_of(n) for n in numbers}


@contextmanager
def traffic(daemon: Daemon, first: int) -> Iterator[set[int]]:
    """Events from a number on, one after another, for as long as it lasts; the numbers that were answered."""
    answered: set[int] = set()
    over = threading.Event()

    def go_on() -> None:
        n = first
        while not over.wait(0.01):
            if daemon.post([event_of(n + i, 0) for i in range(20)])[0] == 200:
                answered.update(range(n, n + 20))
            n += 20

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        until(lambda: answered)
        yield answered
    finally:
        over.set()
        thread.join()


def test_what_was_answered_before_a_backup_under_traffic_is_there_once_after_a_wipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "backups" / "one"
    with Daemon(tmp_path, *SETS) as daemon:
        host, _, port = daemon.http.removeprefix("http://").rpartition(":")
        sender = Sender(host, int(port), 7)
        sender.plan(2000)
        asyncio.run(sender.run())
        send(daemon, 5000, 50, user="alice")
        send(daemon, 6000, 50, user="bob")
        assert trackflow(daemon, "events", "erase", "--user", "alice", "--yes") == 0
        daemon.call("site_add", site="shop.example", settings={"gpc": "refuse"})
        key = daemon.call("key_add", site="shop.example", name="backend", expires=0)
        with traffic(daemon, 10_000) as answered:
            before = set(range(2000)) | set(answered)
            capsys.readouterr()
            assert trackflow(daemon, "backup", str(made), "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["counts"]["events"] >= len(before) and told["counts"] | {"events": 0} == {
            "events": 0, "sites": 1, "keys": 1, "erasures": 1, "quarantine": 0
        }  # fmt: skip
        everything = {id_of(n) for n in answered | set(range(2000))}  # and bob's, who is in the backup
        assert list((daemon.data_dir / "backup").glob("*")) == []
        assert list((daemon.data_dir / "store" / "shadow").glob("trackflow*")) == []
    assert not (made.parent / "one.partial").exists()
    nothing_secret(made, daemon.data_dir, key["key"])

    shutil.rmtree(daemon.data_dir)
    with Daemon(tmp_path, *SETS) as daemon:
        send(daemon, 0, 100, attempt=1)  # a client that sends again reaches the new one first
        assert trackflow(daemon, "events", "erase", "--user", "bob", "--yes") == 0
        capsys.readouterr()
        assert trackflow(daemon, "restore", str(made), "--json") == 0
        result = json.loads(capsys.readouterr().out)["result"]
        send(daemon, 100, 100, attempt=1)  # and one that does later
        found = stored(daemon)
        assert {id_of(n) for n in before} <= set(found) <= everything
        assert set(found.values()) == {1}
        assert not ids(*range(5000, 5050), *range(6000, 6050)) & set(found), (
            "what was erased, there or here, stays gone"
        )
        assert result["restored"] + result["held"] + 50 == result["events"] and result["held"] >= 100
        assert result["erased"] == 50
        assert (result["sites"], result["keys"], result["erasures"]) == (1, 1, 1)
        assert daemon.call("site", site="shop.example")["settings"]["gpc"] == "refuse"
        assert [one["id"] for one in daemon.call("keys")] == [key["id"]]
        assert list((daemon.data_dir / "restore").glob("*")) == []

        # Again, and with what the store has lost meanwhile: only that comes back.
        assert trackflow(daemon, "restore", str(made), "--json") == 0
        result = json.loads(capsys.readouterr().out)["result"]
        assert (result["restored"], result["sites"], result["keys"], result["erasures"]) == (0, 0, 0, 0)
        assert stored(daemon) == found


def nothing_secret(made: Path, data_dir: Path, key: str) -> None:
    """No salt, no key, no file of one machine's rings is in a backup, and nobody else may read it."""
    import sqlite3

    salts = [row[0] for row in sqlite3.connect(data_dir / "state.sqlite").execute("SELECT salt FROM salts")]
    assert len(salts) == 3
    secrets = [*salts, *(salt.hex().encode() for salt in salts), key.split("_", 2)[2].encode()]
    for path in (path for path in made.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        assert not any(secret in raw for secret in secrets), path
        assert path.stat().st_mode & 0o077 == 0 and path.suffix not in (".ring", ".journal", ".ids", ".sqlite")
    assert made.stat().st_mode & 0o077 == 0


def into_a_small_disk(at: Path, words: list[str]) -> str:
    """What is said of a backup to a disk of 16 KiB, in a mount namespace of its own."""
    at.mkdir()
    script = 'mount -t tmpfs -o size=16k tmpfs "$0" && exec "$@"'
    namespace = ["unshare", "--mount", "sh", "-c", script, str(at)]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("this machine cannot mount in a namespace")
    command = [*namespace, *TOOL, "backup", str(at / "made"), *words[-2:]]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr


def test_a_backup_that_is_killed_is_no_backup_and_the_next_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    with Daemon(tmp_path, *SETS) as daemon:
        send(daemon, 0, 500)
        words = [*TOOL, "backup", str(made), "--socket", str(daemon.socket)]
        # Killed by strace as it renames what is whole by then, and at its third fsync: after some files.
        for strike, whole in (("rename:signal=SIGKILL:when=1", 0), ("fsync:signal=SIGKILL:when=3", 1)):
            inject = ["-e", f"inject={strike}"]
            done = subprocess.run(
                ["strace", "-f", "-q", "-o", str(tmp_path / "strace"), "-e", "trace=fsync,rename", *inject, *words],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
            )
            assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
            assert not made.exists() and (tmp_path / "made.partial").is_dir()
            assert cli.operator(["restore", str(made), "--check"]) == 1
            assert "is no backup" in capsys.readouterr().err
            assert cli.operator(["restore", str(tmp_path / "made.partial"), "--check"]) == whole
        frozen = list((daemon.data_dir / "store" / "shadow").glob("trackflow*"))
        assert frozen, "the kill left what was frozen"
        capsys.readouterr()
        assert trackflow(daemon, "backup", str(made)) == 0
        assert not any(path.exists() for path in frozen), "gone with the next"
        assert "500 events" in capsys.readouterr().out
        assert cli.operator(["restore", str(made), "--check"]) == 0
        assert "whole" in capsys.readouterr().out
        assert trackflow(daemon, "backup", str(made)) == 1
        assert "not empty" in capsys.readouterr().err
        with backup.alone(daemon.data_dir):
            assert trackflow(daemon, "backup", str(tmp_path / "other")) == 1
        assert "another backup or restore" in capsys.readouterr().err
        assert "bytes are needed" in into_a_small_disk(tmp_path / "small", words)
        assert not list((daemon.data_dir / "store" / "shadow").glob("trackflow*")), "let go of after a failure, too"

        part = next(path for path in (made / "parts").rglob("data.bin"))
        raw = bytearray(part.read_bytes())
        raw[len(raw) // 2] ^= 1
        part.write_bytes(raw)
        for words in (["restore", str(made), "--check"], ["restore", str(made), "--socket", str(daemon.socket)]):
            assert cli.operator(words) == 1
            assert "is not what was backed up" in capsys.readouterr().err
        assert list((daemon.data_dir / "restore").glob("*")) == []


def test_a_restore_laid_into_a_stopped_daemon_goes_on_after_a_kill_at_each_of_its_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, marks = tmp_path / "made", tmp_path / "marks"
    marks.mkdir()
    with Daemon(tmp_path, *SETS) as daemon:
        send(daemon, 0, 2000)
        daemon.call("site_add", site="shop.example", settings={})
        assert trackflow(daemon, "backup", str(made)) == 0
        (daemon.data_dir / "control.sock").rename(tmp_path / "away.sock")
        lay = ["restore", str(made), "--data-dir", str(daemon.data_dir), "--json"]
        assert cli.operator(lay) == 1
        assert "a daemon works in" in capsys.readouterr().err
    shutil.rmtree(daemon.data_dir)
    assert cli.operator(lay) == 1
    assert "is not there" in capsys.readouterr().err
    daemon.data_dir.mkdir(0o700)
    assert cli.operator(lay) == 0
    assert json.loads(capsys.readouterr().out)["waits"] is True
    assert cli.operator(lay) == 1
    assert "waits in" in capsys.readouterr().err
    env = {"TESTS_MARKS": str(marks)}
    with Daemon(tmp_path, *SETS, module="tests.restoring_daemon", env=env) as daemon:
        assert daemon.call("site", site="shop.example")
        (number,) = [task["id"] for task in daemon.call("tasks")]
        assert trackflow(daemon, "restore", str(made)) == 1
        assert f"task {number} restores a backup already" in capsys.readouterr().err
        for step in ("attached", "merged"):  # of the supervisor, too: the job begins anew from its checkpoint
            until((marks / step).exists)
            daemon.stop(signal.SIGKILL)
            daemon.start()
        until(lambda: daemon.call("task", id=number)["state"] not in ("pending", "running"))
        task = daemon.call("task", id=number)
        assert task["state"] == "done", task
        assert {path.name for path in marks.iterdir()} == set(STEPS)
        found = stored(daemon)
        assert set(found) == ids(*range(2000)) and set(found.values()) == {1}
        assert task["result"]["restored"] + task["result"]["held"] == 2000 and task["result"]["held"] > 0
        assert not daemon.rows("SELECT name FROM system.tables WHERE name = 'restored_events'")
