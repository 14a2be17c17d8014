"""The store killed in the middle of an insert: the engine in the flusher at every rename of a file, a server anywhere.

ClickHouse notes a batch's token before the part has its name. Killed in between it has the token and not the
rows, and takes the batch sent again for a repeat.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.front_process import FrontProcess
from tests.process.harness import Daemon, gone, until
from tests.process.judge import Verdict, judge, settle
from tests.process.sender import event_of
from tests.process.tracer import RENAMES, injecting, need_tracing
from tests.traced_daemon import VARIABLE
from trackflowd.stats.compose import load

#: Events of one batch.
FEW = 20
#: No insert renames so many files.
MANY = 12

#: One life of the flusher each, by what kills it (strace's ``inject``): the rename that is not done any more.
FIRST_START = {
    "renameat2:signal=KILL:when=1": "gives the table of versions its name",
    "rename:signal=KILL:when=1": "notes that the table of events is made",
    "renameat2:signal=KILL:when=2": "begins to fill the index that the second version adds",
}


#: What the projection ``stamps`` keeps of each half hour, of all of it: from the projection, and from the rows.
STAMPS = """
SELECT sum(events) AS events, sum(hashes) AS hashes
FROM
(
    SELECT
        site, intDiv(toUnixTimestamp64Milli(time), 1800000) AS half_hour,
        count() AS events, sum(cityHash64({})) AS hashes
    FROM events {{}}
    GROUP BY site, half_hour
)""".format(re.findall(r"cityHash64\((.*?)\)", load("clickhouse", "stamps"), re.DOTALL)[0].strip())


def stamps_agree(daemon: Daemon) -> bool:
    """Whether base and aggregate say the same, and the aggregate is what the projection has."""
    from_rows = "WHERE _batch != 0"  # no projection has that column
    plan = daemon.rows(f"EXPLAIN {STAMPS.format('')}")
    return any("(stamps)" in line["explain"] for line in plan) and daemon.rows(STAMPS.format("")) == daemon.rows(
        STAMPS.format(from_rows)
    )


def send(daemon: Daemon, first: int) -> int:
    """Post a batch; the number of the event after it."""
    status, answer = daemon.post([event_of(n, 0) for n in range(first, first + FEW)])
    assert (status, answer["accepted"]) == (200, FEW)
    return first + FEW


def killed_at(daemon: Daemon, rename: int, first: int) -> bool:
    """Send a batch to be killed in; whether the flusher came to that rename."""
    pid = daemon.pid("flusher")
    with injecting(pid, f"{RENAMES}:signal=KILL:when={rename}"):
        send(daemon, first)
        settle(daemon)
        return gone(pid)


def test_killed_at_renames_of_its_first_start_and_at_every_one_of_an_insert_the_embedded_engine_has_all_once(
    tmp_path: Path,
) -> None:
    need_tracing()
    plan = tmp_path / "plan"
    plan.mkdir()
    (plan / "plan").write_text("\n".join(FIRST_START))
    env = {VARIABLE: str(plan)}
    with Daemon(tmp_path, "store.url=chdb:", "daemon.workers=1", env=env, module="tests.traced_daemon") as daemon:
        sent = send(daemon, 0)
        settle(daemon)
        assert daemon.log().count("was killed by SIGKILL") == len(FIRST_START), "the engine starts another way now"
        rename = 1
        while killed_at(daemon, rename, sent):
            sent, rename = sent + FEW, rename + 1
            assert rename < MANY
        sent += FEW
        assert rename > 1, "no insert was killed: nothing was tried"
        verdict = judge(daemon, sent, set(range(sent)))
        assert verdict.kept, verdict
        assert stamps_agree(daemon)


def dies_at(daemon: Daemon, front: FrontProcess, rename: int, first: int) -> bool:
    """Send a batch; whether the server came to that rename and was killed there."""
    with injecting(front.pid, f"{RENAMES}:signal=KILL:when={rename}"):
        end = send(daemon, first)
        until(lambda: gone(front.pid) or daemon.status()["totals"]["rows_stored"] == end)
        return gone(front.pid)


def killed_server(directory: Path, module: str) -> tuple[Verdict, str]:
    """Server and flusher killed at every rename of an insert; what became of it, and what the daemon said."""
    front = FrontProcess(directory / "front")
    sets = (f"store.url={front.url}", "daemon.workers=1", "store.timeout=4")
    try:
        with Daemon(directory, *sets, module=module) as daemon:
            sent, rename = 0, 1
            while dies_at(daemon, front, rename, sent):
                sent, rename = sent + FEW, rename + 1
                daemon.kill("flusher")
                front.kill()
                front = FrontProcess(directory / "front", port=front.port)
                settle(daemon)
                assert rename < MANY
            sent += FEW
            assert rename > 1, "no insert was killed: nothing was tried"
            return judge(daemon, sent, set(range(sent))), daemon.log()
    finally:
        front.kill()


def test_killed_with_the_flusher_at_every_rename_of_an_insert_a_server_has_all_once(tmp_path: Path) -> None:
    verdict, said = killed_server(tmp_path, "trackflowd.cli")
    assert verdict.kept, verdict
    assert "answered well, yet not there; sent again under a fresh token" in said, "it never had the token alone"


def test_a_build_that_trusts_the_token_loses_what_a_server_killed_at_a_rename_did_not_keep(tmp_path: Path) -> None:
    verdict, _ = killed_server(tmp_path, "tests.broken.no_verify")
    assert verdict.lost, verdict


def test_killed_while_it_reads_holds_or_runs_an_insert_a_server_has_all_once(tmp_path: Path) -> None:
    front = FrontProcess(tmp_path / "front")
    try:
        with Daemon(tmp_path, f"store.url={front.url}", "batch.max_age=0.05", "store.timeout=4") as daemon:
            sent = 0
            moments = {
                "slow": lambda: daemon.status()["totals"]["rows_pending"],
                "hang": lambda: front.running(),
                "": lambda: front.log(),
            }
            for kind, come in moments.items():
                if kind:
                    front.fault(kind, size=5000)
                for _ in range(5):
                    sent = send(daemon, sent)
                until(come)
                front.kill()
                front = FrontProcess(tmp_path / "front", port=front.port)
                settle(daemon)
            assert daemon.status()["totals"]["batches_doubted"] >= 2
            verdict = judge(daemon, sent, set(range(sent)))
            assert verdict.kept, verdict
    finally:
        front.kill()
