"""Every step from a request to its row, with the process that takes it killed, stopped or refused by the disk there."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests import failpoints
from tests.failpoints import POINTS, Trigger, parse
from tests.front_process import FrontProcess
from tests.process.harness import ROOT, Daemon, until
from tests.process.judge import flush, judge, settle
from tests.process.sender import Sender, event_of, id_of
from tests.process.stage import ask
from trackflowd import config, segment

REFUSAL = "$TRACKFLOWD_FAILPOINT is set: this daemon has no failpoints"


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A Python module, to its end."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_shipped_daemon_refuses_the_variable(command: str, tmp_path: Path) -> None:
    done = run("trackflowd.cli", command, "--data-dir", str(tmp_path), TRACKFLOWD_FAILPOINT="w1:1:kill")
    assert done.returncode == 2
    assert REFUSAL in done.stderr and "unset it" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("role", ["worker", "flusher"])
def test_the_shipped_children_refuse_it_too(role: str) -> None:
    config_fd = os.memfd_create("config")
    os.write(config_fd, config.dump(config.Config()).encode())
    os.lseek(config_fd, 0, os.SEEK_SET)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fds = ["--config-json", str(config_fd), "--page", str(config_fd), "--channel", str(theirs.fileno())]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                f"trackflowd.{role}",
                *fds,
                *(["--slot=0", "--listen=0", "--buckets=0"] * (role == "worker")),
            ],
            env={**os.environ, "TRACKFLOWD_FAILPOINT": ""},
            pass_fds=[config_fd, theirs.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
        )
    os.close(config_fd)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert REFUSAL in done.stderr


def test_no_other_module_of_the_product_knows_of_failpoints() -> None:
    """So they can cost nothing on any path: there is no code of theirs to run."""
    modules = [path for path in (ROOT / "trackflowd").rglob("*.py") if re.search("failpoint", path.read_text(), re.I)]
    assert [path.name for path in modules] == ["config.py"]


def test_the_launcher_says_what_it_does_not_understand(tmp_path: Path) -> None:
    done = run("tests.daemon", "run", "--data-dir", str(tmp_path), TRACKFLOWD_FAILPOINT="w1:1:kill,w1:x:kill")
    assert done.returncode == 2
    assert "'w1:x:kill' is not NAME:N:ACTION; names: w0 w1 w2" in done.stderr


@pytest.mark.parametrize("text", ["x1:1:kill", "w1:0:kill", "w1:1:burn", "w1", "w1:-1:kill", "w1:1:kill:"])
def test_what_makes_no_sense_is_not_taken(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAME:N:ACTION"):
        parse(text)


def test_a_charge_acts_at_its_reach_and_once_over_all_processes(tmp_path: Path) -> None:
    charges = parse("f1:2:eio,f1:2:eio,f1:3:eio")
    acted = []
    for process in range(4):  # a Trigger each, as every process has
        trigger = Trigger(charges, tmp_path)
        for reach in range(1, 5):
            if trigger.due():
                acted.append((process, reach))
    assert acted == [(0, 2), (0, 3), (1, 2)]
    assert failpoints.fired(tmp_path) == dict.fromkeys(("0-f1", "1-f1", "2-f1"), os.getpid())


@pytest.mark.parametrize("point", [point for point in POINTS if point.target], ids=lambda point: point.name)
def test_a_point_lies_at_a_function_of_the_product(point: failpoints.Point, tmp_path: Path) -> None:
    made = []

    def look(real: failpoints.Function) -> failpoints.Function:
        made.append(point.where(real, Trigger([], tmp_path)))
        return real

    failpoints.replace(point.target, look)
    assert callable(made[0])


#: What strikes in one run of a daemon, in whatever order it comes about; every point of the table but w0
#: and those of BY_SPOOL is among it.
RUNS = {
    "up to the store": "w1:30:kill,w4:5:kill,f1:2:kill,f2:3:kill,f3:1:kill,f4-:1:kill",
    "from the store to the tail": "w2:10:kill,w5:1:kill,f4:1:kill,f7:1:kill,f5-:1:kill,f5:1:kill,f6:1:kill",
    "with half a batch in the store": "w3:10:kill,w6:1:kill,f4/2:1:kill,f8-:1:kill,f8:1:kill,f4/2:1:kill,f9:1:kill",
    "stopped, and refused by the disk": "w3:10:stop,f4:1:stop,w2:20:eio,w3:30:eio,f2:4:eio,f4:2:eio",
}
#: Events a round; all rounds together send several laps of the two rings of 64 KiB, which hold about 230 each.
ROUND = 120
#: Rounds after which what has not struck will not.
ROUNDS = 40


#: The way by spool and quarantine takes a store that is away and rows it refuses.
FEW = 40
BAD = {2 * FEW + 3, 2 * FEW + 30}
BY_SPOOL = "s1:1:kill,s2:1:kill,s3:1:kill,s4:1:kill,q1:1:kill,q2:1:kill"


def test_every_point_is_struck_by_a_kill() -> None:
    struck = {charge.point for run in (*RUNS.values(), BY_SPOOL) for charge in parse(run) if charge.action == "kill"}
    assert struck == {point.name for point in POINTS if point.target}


@pytest.mark.parametrize("name", RUNS)
def test_what_was_answered_is_stored_once_whatever_strikes(name: str, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    charges = {charge.mark for charge in parse(RUNS[name])}
    env = {failpoints.VARIABLE: RUNS[name], failpoints.MARKS: str(marks)}
    sets = ("store.url=chdb:", "ring.size=64KiB", "batch.max_age=0.05", "daemon.stall_after=2")
    with Daemon(tmp_path, *sets, env=env, module="tests.daemon") as daemon:
        host, _, port = daemon.http.removeprefix("http://").rpartition(":")
        sender = Sender(host, int(port), seed=1, connections=8)
        sent = 0
        while sent < ROUNDS * ROUND:
            over = failpoints.fired(marks).keys() == charges
            sender.plan(sent + ROUND, first=sent, array=30)
            sent += ROUND
            asyncio.run(sender.run())
            flush(daemon)
            if over:
                break  # the last round came when all faults were over
        settle(daemon)
        assert failpoints.fired(marks).keys() == charges
        assert sender.books.answered == set(range(sent))
        verdict = judge(daemon, sent, sender.books.answered)
        assert verdict.kept, verdict
        assert daemon.stop() == 0


def test_by_spool_and_quarantine_what_was_answered_is_stored_or_set_aside_once_whatever_strikes(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    env = {failpoints.VARIABLE: BY_SPOOL, failpoints.MARKS: str(marks)}
    small = ("daemon.workers=1", "ring.size=64KiB", "spool.start_at=1", "spool.keep_free=0", "batch.max_age=0.05")
    with FrontProcess(tmp_path / "front") as front:
        with Daemon(tmp_path, f"store.url={front.url}", *small, env=env, module="tests.daemon") as daemon:
            ask(front.port, "ALTER TABLE events ADD CONSTRAINT c CHECK path != '/bad'")

            def post(first: int, *bad: int) -> None:
                events = [event_of(n, 0) for n in range(first, first + FEW)]
                for n in bad:
                    events[n - first]["url"] = "https://kill.example/bad"
                assert daemon.post(events)[0] == 200

            def struck(*points: str) -> None:
                names = {f"{n}-{point}" for n, point in enumerate(("s1", "s2", "s3", "s4", "q1", "q2"))}
                until(lambda: {name for name in names if name[2:] in points} <= failpoints.fired(marks).keys())

            front.order("refuse")
            post(0)
            struck("s1", "s2", "s3")
            post(FEW)
            front.order("accept")
            struck("s4")
            post(2 * FEW, *BAD)
            post(3 * FEW)
            struck("q1", "q2")
            settle(daemon)
            verdict = judge(daemon, 4 * FEW, set(range(4 * FEW)) - BAD)
            assert verdict.kept, verdict
            aside = [segment.read(path)[1] for path in (daemon.data_dir / "quarantine").iterdir()]
            ids = sorted(str(uuid.UUID(bytes=row.event_id)) for rows in aside for row in rows if row)
            assert ids == sorted(id_of(n) for n in BAD)
            assert list((daemon.data_dir / "spool").iterdir()) == []
            assert daemon.stop() == 0
