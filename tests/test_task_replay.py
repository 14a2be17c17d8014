from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fake_daemon import FakeDaemon
from tests.fake_replay import Replay
from tests.supervised import Running, play
from trackflowd import config, job
from trackflowd.errors import ControlError
from trackflowd.job import Job
from trackflowd.task_replay import MAX_NAMED, replay
from trackflowd.tasks import Task, TaskState

BATCHES = [f"{number:032x}" for number in range(1, 6)]
LOST = {"outcome": "gone", "restored": 0, "lost": 10, "text": "overwritten"}
PARTLY = {"outcome": "partly", "restored": 4, "lost": 6, "text": "half of it is overwritten"}
ELSEWHERE = {"outcome": "other_store", "restored": 0, "lost": 0, "text": "bound to another"}


class Alone:
    """A replay without a daemon: the body, against the prepared directory."""

    def __init__(self, directory: Path, checkpoint: Any = None, dry_run: bool = False) -> None:
        self.flusher = Replay(directory)
        self.task = Task(1, "replay", {"since_ms": 5, "dry_run": dry_run}, 0, checkpoint=checkpoint)
        self.kept: list[Any] = []  # checkpoints as they reached the disk
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def ask(self, name: str, timeout: float, /, **args: Any) -> Any:
        self.asked.append((name, args))
        if name == "replay_plan":
            return self.flusher.plan()
        assert timeout > 300
        return self.flusher.batch(**args)

    def run(self) -> Mapping[str, Any]:
        cfg = config.load(None, (), {})
        at = Job(self.task, self.task.args, cfg, self.ask, lambda task: self.kept.append(task.checkpoint))
        return asyncio.run(replay(at))


def batches_of(alone: Alone) -> Sequence[str]:
    return [args["batch"] for name, args in alone.asked if name == "replay_batch"]


def test_everything_is_looked_at_once_and_counted(tmp_path: Path) -> None:
    answers = {BATCHES[1]: PARTLY, BATCHES[2]: LOST, BATCHES[3]: ELSEWHERE}
    Replay(tmp_path).prepare(list(reversed(BATCHES)), BATCHES[:1], **answers)
    alone = Alone(tmp_path)
    result = alone.run()
    assert alone.asked[0] == ("replay_plan", {"since_ms": 5})
    assert batches_of(alone) == BATCHES
    named = [
        {"batch": batch, "outcome": value["outcome"], "lost": value["lost"], "text": value["text"]}
        for batch, value in answers.items()
    ]
    assert result == {
        "looked_at": 5, "out_of_reach": 3, "batches": 5, "held": 1, "restored": 1, "partly": 1, "gone": 1,
        "other_store": 1, "forgotten": 0, "rows": 50, "rows_restored": 14, "rows_lost": 16, "reach_ms": 1_000,
        "named": named,
    }  # fmt: skip
    assert alone.task.progress.as_dict() == {"done": 5, "total": 5, "unit": "batches", "text": ""}


def test_a_dry_run_counts_the_same_and_sends_nothing(tmp_path: Path) -> None:
    Replay(tmp_path).prepare(BATCHES, BATCHES[:1], **{BATCHES[2]: LOST})
    alone = Alone(tmp_path, dry_run=True)
    dry = alone.run()
    assert {args["dry_run"] for name, args in alone.asked if name == "replay_batch"} == {True}
    assert alone.flusher.sent == []
    assert dry == Alone(tmp_path).run()
    assert Replay(tmp_path).sent == [BATCHES[1], BATCHES[3], BATCHES[4]]


def test_nothing_to_replay_is_done_at_once(tmp_path: Path) -> None:
    result = Alone(tmp_path).run()
    assert (result["looked_at"], result["batches"], result["reach_ms"], result["out_of_reach"]) == (0, 0, 0, 0)


def test_from_any_checkpoint_that_reached_the_disk_it_goes_on_without_skipping_or_recounting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {BATCHES[1]: PARTLY, BATCHES[3]: LOST}
    monkeypatch.setattr(job, "SAVE_EVERY", 1e6)  # only what is urgent
    whole = tmp_path / "whole"
    Replay(whole).prepare(BATCHES, BATCHES[:1], **answers)
    before = Alone(whole)
    result = before.run()
    assert len(before.kept) == 4  # the list; the three of which something was sent
    for number, checkpoint in enumerate(before.kept):
        directory = tmp_path / str(number)
        done = [batch for batch in BATCHES if batch <= checkpoint["last"]]
        Replay(directory).prepare(BATCHES, sorted({BATCHES[0], *done} - set(answers)), **answers)
        after = Alone(directory, checkpoint)
        assert after.run() == result
        assert batches_of(after) == [batch for batch in BATCHES if batch > checkpoint["last"]]


def test_batches_cut_after_it_began_are_not_its_own(tmp_path: Path) -> None:
    Replay(tmp_path).prepare(BATCHES[:3])
    checkpoint = next(iter_kept(tmp_path))
    Replay(tmp_path).prepare(BATCHES)
    after = Alone(tmp_path, checkpoint)
    assert after.run()["looked_at"] == 3
    assert batches_of(after) == BATCHES[:3]


def test_what_left_the_journal_before_it_was_looked_at_is_out_of_reach(tmp_path: Path) -> None:
    Replay(tmp_path).prepare(BATCHES)
    checkpoint = next(iter_kept(tmp_path))
    Replay(tmp_path).prepare(BATCHES[2:])
    result = Alone(tmp_path, checkpoint).run()
    assert (result["looked_at"], result["forgotten"], result["out_of_reach"]) == (3, 2, 2)


def iter_kept(directory: Path) -> Any:
    alone = Alone(directory, dry_run=True)
    alone.run()
    return iter(alone.kept)


def test_only_the_first_that_are_out_of_reach_are_named(tmp_path: Path) -> None:
    batches = [f"{number:032x}" for number in range(MAX_NAMED + 5)]
    Replay(tmp_path).prepare(batches, (), **dict.fromkeys(batches, LOST))
    result = Alone(tmp_path).run()
    assert (len(result["named"]), result["gone"]) == (MAX_NAMED, MAX_NAMED + 5)


def test_an_outcome_nobody_knows_is_an_error(tmp_path: Path) -> None:
    Replay(tmp_path).prepare(BATCHES[:1], (), **{BATCHES[0]: {"outcome": "maybe"}})
    with pytest.raises(ControlError, match="maybe"):
        Alone(tmp_path).run()


# ------------------------------------------------- under a supervisor that runs


async def ended(running: Running, number: int) -> dict[str, Any]:
    one = running.supervisor.runner.one
    await running.until(lambda: TaskState(one(number)["state"]).ended)
    return one(number)


def test_while_the_flusher_restarts_it_waits_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "NOTE_AFTER", 0.0)
    flusher = Replay(tmp_path / "data")
    flusher.prepare(BATCHES)
    flusher.hold(BATCHES[2])

    async def story(running: Running) -> None:
        await running.ready()
        number = (await running.commands.replay(60, False))["id"]
        await running.until(lambda: BATCHES[2] in flusher.asked)
        os.kill(running.pid("flusher") or 0, signal.SIGKILL)
        await running.until(lambda: "waits" in running.supervisor.runner.one(number)["progress"]["text"])
        flusher.release()
        value = await ended(running, number)
        assert (value["state"], value["result"]["restored"]) == ("done", 5)
        assert [event["text"] for event in value["history"]] == [
            "asked for", "begins", "waits: flusher ended before it answered", "goes on", "done",
        ]  # fmt: skip

    play(tmp_path, story)
    assert flusher.sent == BATCHES


def test_a_batch_the_flusher_refuses_fails_the_task_which_can_go_on_later(tmp_path: Path) -> None:
    flusher = Replay(tmp_path / "data")
    flusher.prepare(BATCHES, (), **{BATCHES[1]: {"error": ["store_reject", "no such table"]}})

    async def story(running: Running) -> None:
        await running.ready()
        number = (await running.commands.replay(60, False))["id"]
        value = await ended(running, number)
        hint = f"to go on with it: trackflow tasks resume {number}"
        assert (value["state"], value["error"]) == ("failed", {"text": "no such table", "hint": hint})
        flusher.prepare(BATCHES)
        await running.commands.task_resume(number)
        assert (await ended(running, number))["result"]["restored"] == 5

    play(tmp_path, story)
    assert flusher.sent == BATCHES


def test_a_drain_leaves_it_for_the_next_start(tmp_path: Path) -> None:
    flusher = Replay(tmp_path / "data")
    flusher.prepare(BATCHES)
    flusher.hold(BATCHES[2])

    async def before(running: Running) -> None:
        await running.ready()
        await running.commands.replay(60, False)
        await running.until(lambda: BATCHES[2] in flusher.asked)
        running.supervisor.queue("SIGTERM")
        assert await running.over == 0

    async def after(running: Running) -> None:
        value = await ended(running, 1)
        assert (value["state"], value["result"]["restored"]) == ("done", 5)
        assert value["history"][2]["text"] == "the daemon stops; its next start goes on from here"

    play(tmp_path, before)
    flusher.release()
    play(tmp_path, after)
    assert flusher.sent == BATCHES


def test_the_daemon_is_killed_in_the_middle_and_nothing_is_skipped_or_sent_twice(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path) as daemon:
        daemon.replay.prepare(BATCHES, BATCHES[:1])
        daemon.replay.hold(BATCHES[3])
        assert daemon.call("replay", since=60)["id"] == 1
        daemon.until(lambda: BATCHES[3] in daemon.replay.asked)
        daemon.kill()
        daemon.replay.release()
        daemon.start()
        task = daemon.ended(1)
        assert task["state"] == "done"
        assert (task["result"]["held"], task["result"]["restored"], task["result"]["looked_at"]) == (1, 4, 5)
        assert daemon.replay.sent == BATCHES[1:]
        assert daemon.replay.asked == [*BATCHES[:4], *BATCHES[3:]]  # only the one in hand is asked for again
        assert [event["text"] for event in task["history"]] == [
            *("asked for", "begins", "taken up again: the daemon had ended under it"),
            *("goes on from its checkpoint", "done"),
        ]


def test_one_that_was_cancelled_stays_so_over_a_kill_and_goes_on_when_told(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path) as daemon:
        daemon.replay.prepare(BATCHES)
        daemon.replay.hold(BATCHES[1])
        daemon.call("replay", since=60)
        daemon.until(lambda: BATCHES[1] in daemon.replay.asked)
        assert daemon.call("task_cancel", id=1)["cancelling"]
        daemon.kill()
        daemon.replay.release()
        daemon.start()
        assert daemon.ended(1)["state"] == "cancelled"
        assert daemon.replay.sent == BATCHES[:1]
        daemon.call("task_resume", id=1)
        assert daemon.ended(1)["result"]["restored"] == 5
        assert daemon.replay.sent == BATCHES
