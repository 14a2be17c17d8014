"""The mover's process as the supervisor holds it, with a process that does as told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fake_mover import CALLS, ORDERS
from trackflowd import config, migration
from trackflowd.errors import ControlError, TrackflowError
from trackflowd.job import Cancelled, Job
from trackflowd.migration import Helper, identity_of
from trackflowd.tasks import Task

FAKE = Path(__file__).parent / "fake_mover.py"


class Held:
    """A helper with a fake process."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(FAKE.parent.parent))
        monkeypatch.setattr(migration, "COMMAND", [sys.executable, str(FAKE), str(directory)])
        self.directory = directory
        self.task = Task(1, "migrate", {}, 0)
        self.job = Job(self.task, {}, config.load(None, (), {}), self.no_flusher, lambda task: None)
        self.helper = Helper(self.job, "postgresql://h/d", "chdb:")

    async def no_flusher(self, name: str, timeout: float, /, **args: Any) -> Any:
        raise AssertionError(name)

    def order(self, *lines: str) -> None:
        (self.directory / ORDERS).write_text("\n".join(lines))

    def calls(self) -> list[str]:
        return [line.split()[0] for line in (self.directory / CALLS).read_text().splitlines()]

    def pids(self) -> set[int]:
        return {int(line.split()[1]) for line in (self.directory / CALLS).read_text().splitlines()}

    def play(self, story: Callable[[Helper], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            try:
                return await asyncio.wait_for(story(self.helper), 60)
            finally:
                await self.helper.kill()

        return asyncio.run(whole())


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(tmp_path, monkeypatch)


def test_it_is_started_and_opened_with_the_first_call_and_gone_with_the_last(held: Held) -> None:
    async def story(helper: Helper) -> None:
        assert (await helper.up())["target"] == "chdb:"
        assert (await helper.ask("step", month=202611))["month"] == 202611
        await helper.stop()
        assert not any(psutil.pid_exists(pid) for pid in held.pids())
        assert await helper.ask("step", month=1)

    held.play(story)
    assert held.calls() == ["open", "step", "close", "open", "step"]
    assert held.helper.started == 2
    assert not any(psutil.pid_exists(pid) for pid in held.pids())


@pytest.mark.parametrize("order", ["die", "engine_broken"])
def test_one_that_ends_or_whose_engine_is_broken_is_followed_by_another_that_is_asked_again(
    held: Held, order: str
) -> None:
    held.order("", order)
    assert held.play(lambda helper: helper.ask("step", month=1))["month"] == 1
    assert held.calls() == ["open", "step", "open", "step"]
    assert len(held.pids()) == 2
    assert any("the mover" in text for _, text in held.task.history)


def test_one_that_always_ends_is_given_up(held: Held) -> None:
    held.order(*["die"] * migration.MOST_DEATHS)
    with pytest.raises(TrackflowError, match=f"ended {migration.MOST_DEATHS} times in a row"):
        held.play(lambda helper: helper.ask("step"))


def test_a_store_that_is_away_is_waited_for_and_said_so(held: Held) -> None:
    held.order("", "store_away", "store_doubt")
    held.play(lambda helper: helper.ask("step"))
    assert held.calls() == ["open", "step", "step", "step"]
    assert held.task.progress.text == "waits: as ordered"
    assert len(held.pids()) == 1


def test_what_does_not_pass_is_raised(held: Held) -> None:
    held.order("", "store_reject")
    with pytest.raises(ControlError, match="as ordered"):
        held.play(lambda helper: helper.ask("step"))


def test_a_job_that_is_to_end_asks_nothing_more(held: Held) -> None:
    held.job.cancel()
    with pytest.raises(Cancelled):
        held.play(lambda helper: helper.ask("step"))


def test_the_identity_of_a_url_is_that_of_its_sink() -> None:
    assert identity_of("postgresql://u:p@h/d") == "postgresql://h:5432/d"
    assert identity_of("chdb:") == "chdb:"
