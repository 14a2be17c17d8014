from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from trackflowd import config, job
from trackflowd.children import Unavailable
from trackflowd.errors import ControlError, QueryError, TrackflowError
from trackflowd.job import Cancelled, Job
from trackflowd.tasks import Progress, Task


class Flusher:
    """Gives prepared answers, the last one for ever; an exception is raised."""

    def __init__(self, answers: Sequence[object]) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, float, dict[str, Any]]] = []

    async def __call__(self, name: str, timeout: float, /, **args: Any) -> Any:
        self.calls.append((name, timeout, args))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(job, "LONGEST_WAIT", 0.002)
    monkeypatch.setattr(job, "NOTE_AFTER", 0.002)


def made(flusher: Flusher, saved: list[Task] | None = None) -> tuple[Task, Job]:
    task = Task(1, "walk", {}, 0)
    kept: list[Task] = [] if saved is None else saved
    return task, Job(task, {}, config.load(None, (), {}), flusher, kept.append)


def coded(code: str) -> TrackflowError:
    error = ControlError("the store is away")
    error.code = code
    return error


@pytest.mark.parametrize("error", [Unavailable("restarted"), coded("store_away"), coded("store_doubt")])
def test_what_passes_by_itself_is_waited_for(error: Exception) -> None:
    flusher = Flusher([error, error, error, 42])
    task, at = made(flusher)
    at.progress(3, 9, "steps")
    assert asyncio.run(at.ask_flusher("step", 7.5, number=1)) == 42
    assert flusher.calls == [("step", 7.5, {"number": 1})] * 4
    assert task.progress == Progress(3, 9, "steps")
    assert [text for _, text in task.history] == [f"waits: {error}", "goes on"]


def test_a_short_wait_is_not_in_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "NOTE_AFTER", 1e6)
    task, at = made(Flusher([Unavailable("restarted"), 1]))
    asyncio.run(at.ask_flusher("step", 1))
    assert task.history == []


def test_what_it_waits_for_is_shown_while_it_waits() -> None:
    task, at = made(Flusher([Unavailable("the flusher is being restarted"), 1]))
    at.progress(3, 9, "steps")
    seen = []

    async def watch() -> None:
        asked = asyncio.ensure_future(at.ask_flusher("step", 1))
        while not asked.done():
            seen.append(task.progress)
            await asyncio.sleep(0)

    asyncio.run(watch())
    assert Progress(3, 9, "steps", "waits: the flusher is being restarted") in seen


def test_what_does_not_pass_by_itself_is_raised_at_once() -> None:
    flusher = Flusher([QueryError("no")])
    with pytest.raises(QueryError):
        asyncio.run(made(flusher)[1].ask_flusher("step", 1))
    assert len(flusher.calls) == 1


def test_one_that_is_to_end_asks_nothing_more() -> None:
    flusher = Flusher([1])
    _, at = made(flusher)
    at.cancel()
    with pytest.raises(Cancelled):
        asyncio.run(at.ask_flusher("step", 1))
    assert flusher.calls == []


def test_one_that_is_to_end_does_not_go_on_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "FIRST_WAIT", 1e6)
    _, at = made(Flusher([Unavailable("gone")]))

    async def story() -> None:
        asked = asyncio.ensure_future(at.ask_flusher("step", 1))
        await asyncio.sleep(0)
        at.cancel()
        with pytest.raises(Cancelled):
            await asyncio.wait_for(asked, 60)

    asyncio.run(story())


def test_a_checkpoint_that_is_not_urgent_may_wait_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Task] = []
    task, at = made(Flusher([1]), saved)
    monkeypatch.setattr(job, "SAVE_EVERY", 1e6)
    at.save("a", urgent=False)
    assert (saved, task.checkpoint, at.checkpoint) == ([], "a", "a")
    at.save("b")
    assert len(saved) == 1
    monkeypatch.setattr(job, "SAVE_EVERY", 0.0)
    at.save("c", urgent=False)
    assert len(saved) == 2


def test_it_begins_at_the_checkpoint_of_its_task() -> None:
    kept: list[Task] = []
    task = Task(1, "walk", {}, 0, checkpoint={"at": 5})
    assert Job(task, {}, config.load(None, (), {}), Flusher([1]), kept.append).checkpoint == {"at": 5}
