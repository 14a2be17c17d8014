"""The move's body: who is asked for what in which order, against a mover and a flusher that only remember."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from trackflowd import config, job, task_migrate
from trackflowd.errors import ConfigError, ControlError, TrackflowError
from trackflowd.job import Job
from trackflowd.migration import check_urls, urls
from trackflowd.proto.control import BadRequest
from trackflowd.task_migrate import migrate
from trackflowd.tasks import Task

OLD, NEW = "postgresql://u:pw@old/db", "chdb:"
OLD_NAME = "postgresql://old:5432/db"
MONTHS = {202610: 5, 202611: 3}


class World:
    """A daemon and a mover between two made-up stores. A batch has one row.

    Attributes:
        told: everything that was asked of either, in order.
        target: rows in the target by month.
        at: identity of the store the daemon writes to.
        open: batches that are not settled, taken one by one.
    """

    def __init__(self, checkpoint: Any = None, cutover: bool = True, **args: Any) -> None:
        self.told: list[str] = []
        self.target = dict.fromkeys(MONTHS, 0)
        self.at = OLD_NAME
        self.held = False
        self.open = 2
        self.lose = 0
        self.failures: dict[str, TrackflowError] = {}
        self.kept: list[Any] = []
        values = {"source": "", "target": NEW, "cutover": cutover, "plan": False, **args}
        self.task = Task(1, "migrate", values, 0, checkpoint=checkpoint)
        self.started = 0

    # the flusher

    async def ask_flusher(self, name: str, timeout: float, /, **args: Any) -> Any:
        if name == "status":
            return {"sink": {"identity": self.at}}
        self.told.append(name if name != "store_hold" else "hold" if args["seconds"] else "let go")
        if name == "store_hold":
            if not args["renew"]:
                self.held = bool(args["seconds"])
            elif self.lose:
                self.lose, self.held = self.lose - 1, False
            self.open = max(self.open - 1, 0)
            return {"held": self.held, "open": self.open}
        assert name == "store_switch" and self.held and args["url"] == NEW
        if error := self.failures.pop("switch", None):
            raise error
        self.at = NEW
        return NEW

    # the mover

    async def up(self) -> Mapping[str, Any]:
        return {"there": sum(self.target.values()), "now_ms": 77}

    async def ask(self, name: str, **args: Any) -> Any:
        self.told.append("verify" if args.get("verify") else name)
        if name == "months":
            return {"months": [[m, n, self.target[m]] for m, n in MONTHS.items()], "source_bytes": 9, "target_bytes": 3}
        if name == "plan":
            return {"rows": 8}
        if error := self.failures.pop(name, None):
            raise error
        if name == "late":
            assert args["since_ms"] == 77
            return {"month": 0, "after": "0", "done": True, "rows": 0, "copied": 0, "mended": 0}
        month, at = args["month"], int(args["after"], 16)
        done = at >= MONTHS[month]
        copied = int(not done and self.target[month] <= at)
        self.target[month] += copied
        return {"after": f"{at + 1:x}", "done": done, "rows": int(not done), "copied": copied, "mended": 0}

    async def stop(self) -> None:
        self.told.append("stop")

    async def kill(self) -> None:
        self.told.append("kill")

    def run(self) -> Mapping[str, Any]:
        cfg = config.load(None, [f"store.url={OLD}"], {})
        at = Job(self.task, self.task.args, cfg, self.ask_flusher, lambda task: self.kept.append(task.checkpoint))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(job, "SAVE_EVERY", 0.0)
            patch.setattr(task_migrate, "Helper", lambda job, source, target: self)
            return asyncio.run(migrate(at))


def in_order(told: list[str]) -> list[str]:
    """Without repetitions."""
    return [name for n, name in enumerate(told) if not n or told[n - 1] != name]


def test_the_steps_come_in_their_order_and_the_result_says_what_was_done() -> None:
    world = World()
    result = world.run()
    assert in_order(world.told) == [
        *("months", "step", "months", "verify"),
        *("late", "hold", "late", "months", "stop", "hold", "store_switch", "kill"),
    ]
    assert world.target == MONTHS
    assert (result["rows"], result["copied"], result["verified"], result["equal"]) == (8, 8, 8, True)
    assert result["switched_ms"] > 0
    assert result["months"][0] == {"month": 202610, "source": 5, "target": 5}
    assert world.at == NEW


def test_without_a_cutover_the_flusher_is_told_nothing() -> None:
    world = World(cutover=False)
    result = world.run()
    assert not {"hold", "store_switch"} & set(world.told)
    assert (result["switched_ms"], result["equal"]) == (0, True)
    assert world.at == OLD_NAME


def test_from_every_checkpoint_it_goes_on_to_the_same_end() -> None:
    first = World()
    first.run()
    for kept in first.kept:
        world = World(checkpoint=kept)
        world.target = dict(MONTHS)
        if kept["switched_ms"]:
            world.at = NEW
        result = world.run()
        assert result["copied"] == kept["copied"]
        assert world.at == NEW


def test_a_switch_whose_answer_was_lost_is_found_to_be_done() -> None:
    world = World()
    error = ControlError("ended before it answered")
    error.code = "internal"

    async def switch(name: str, timeout: float, /, **args: Any) -> Any:
        if name == "store_switch":
            world.at = NEW
            raise error
        return await World.ask_flusher(world, name, timeout, **args)

    world.ask_flusher = switch  # type: ignore[method-assign]
    assert world.run()["switched_ms"] > 0


def test_a_daemon_killed_after_the_switch_and_before_the_checkpoint_has_nothing_left_to_do() -> None:
    world = World()
    world.run()
    before = next(kept for kept in world.kept if kept["phase"] == "cutover" and not kept["switched_ms"])
    after = World(checkpoint=before)
    after.at = NEW
    assert after.run()["switched_ms"] > 0
    assert after.told == ["kill"]  # above all no mover is started: the flusher has the files


def test_a_hold_that_is_lost_is_begun_again_and_nothing_was_switched_before() -> None:
    world = World()
    world.lose = 2
    world.run()
    assert world.told.count("let go") == 2
    assert world.told.count("store_switch") == 1
    assert any("once more" in text for _, text in world.task.history)


def test_holds_that_are_always_lost_end_the_job_with_what_to_do() -> None:
    world = World()
    world.lose = 99
    with pytest.raises(TrackflowError, match="could not be held back") as error:
        world.run()
    assert "trackflow tasks resume 1" in error.value.hint
    assert "store_switch" not in world.told and world.told[-2] == "let go"


def test_batches_that_are_not_settled_in_time_end_the_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_migrate, "SETTLE", 0.0)
    world = World()
    world.open = 99
    with pytest.raises(TrackflowError, match="97 batches are not settled") as error:
        world.run()
    assert "spool list" in error.value.hint
    assert (world.held, world.at) == (False, OLD_NAME)


def test_stores_that_count_differently_are_not_switched() -> None:
    world = World()
    world.run()
    place = next(kept for kept in world.kept if kept["phase"] == "cutover")
    other = World(checkpoint=place)
    other.target = {**MONTHS, 202611: 2}
    with pytest.raises(TrackflowError, match="hold 3 and 2 rows of 202611"):
        other.run()
    assert (other.held, other.at) == (False, OLD_NAME)
    assert "store_switch" not in other.told
    again = World(checkpoint=other.kept[-1])
    again.target = {**MONTHS, 202611: 2}
    assert again.run()["equal"]  # it is verified anew, which brings what lacked
    assert "verify" in again.told


def test_a_mover_started_again_under_the_hold_begins_the_hold_again() -> None:
    world = World()
    rounds = 0

    async def ask(name: str, **args: Any) -> Any:
        nonlocal rounds
        rounds += name == "late"
        if name == "late" and rounds == 2:
            world.started += 1
        return await World.ask(world, name, **args)

    world.ask = ask  # type: ignore[method-assign]
    world.run()
    assert world.told.count("store_switch") == 1
    assert world.told.count("let go") == 1


@pytest.mark.parametrize(
    ("at", "args", "words"),
    [
        (NEW, {}, "stores events in chdb: already"),
        ("null:", {}, "not in postgresql://old:5432/db: there is nothing to cut over"),
        ("null:", {"source": "postgresql://third/db"}, "not in postgresql://third:5432/db"),
    ],
)
def test_a_daemon_that_stores_elsewhere_is_not_cut_over(at: str, args: dict[str, Any], words: str) -> None:
    world = World(**args)
    world.at = at
    with pytest.raises(TrackflowError, match=words):
        world.run()
    assert world.told == ["kill"]


def test_a_plan_asks_the_mover_and_nothing_else() -> None:
    world = World(plan=True)
    assert world.run() == {"plan": {"rows": 8}}
    assert world.told == ["plan", "kill"]


def cfg(url: str) -> config.Config:
    return config.load(None, [f"store.url={url}"], {})


def test_the_daemons_own_store_needs_no_url_and_no_password() -> None:
    for source in ("", "postgresql://u@old/db", OLD_NAME):
        assert urls({"source": source, "target": NEW}, cfg(OLD)) == (OLD, NEW)
    given = "postgresql://u:other@old/db"
    assert urls({"source": given, "target": NEW}, cfg(OLD)) == (given, NEW)


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("", "", "where to"),
        ("", "null:", "not moved to null:"),
        ("", "postgresql://x/y", "not moved to postgresql:"),
        ("chdb:", "clickhouse://h/d", "from PostgreSQL only"),
    ],
)
def test_ways_there_are_none_for_are_refused_at_once(source: str, target: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        check_urls({"source": source, "target": target, "plan": False}, cfg(OLD))


def test_urls_that_make_no_sense_are_refused_at_once() -> None:
    for target in ("clickhouse://", "chdb://host/path"):
        with pytest.raises(ConfigError):
            check_urls({"source": "", "target": target, "plan": False}, cfg(OLD))
    check_urls({"source": "", "target": "", "plan": True}, cfg(OLD))
