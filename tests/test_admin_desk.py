"""admin_desk: commands run for the admin listener, and how many questions the store is asked at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from trackflowd.admin_desk import RUNNING, WAITING, Desk
from trackflowd.admin_words import HttpError
from trackflowd.audit import Audit
from trackflowd.errors import ControlError, QueryError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where changes are noted."""
    monkeypatch.chdir(tmp_path)


class Store:
    """Handlers that answer when they are let."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.gate = asyncio.Event()

    async def events(self, **args: Any) -> dict[str, Any]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
            if args["after"] == "wrong":
                raise QueryError("wrong")
            return args
        finally:
            self.running -= 1

    async def task_cancel(self, id: float) -> Any:
        if id == 7:
            raise ControlError("no")
        if id == 8:
            raise KeyError("bug")
        if id == 9:
            await self.gate.wait()
        return {"id": id}


def told(story: Callable[[Desk, Store], Awaitable[None]], max_seconds: float = 60.0) -> None:
    async def run() -> None:
        store = Store()
        await story(
            Desk({"events": store.events, "task_cancel": store.task_cancel}, lambda: max_seconds, Audit(Path())), store
        )

    asyncio.run(run())


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_arguments_are_those_of_the_command() -> None:
    async def story(desk: Desk, store: Store) -> None:
        store.gate.set()
        assert await desk.ask("events", limit=5) == {"what": None, "limit": 5, "after": "", "newest": True}
        with pytest.raises(ControlError, match="takes no argument 'colour'"):
            await desk.ask("events", colour="red")

    told(story)


def test_questions_to_the_store_wait_in_a_line_and_the_line_has_an_end() -> None:
    async def story(desk: Desk, store: Store) -> None:
        asked = [asyncio.ensure_future(desk.ask_store("events", limit=n)) for n in range(1, RUNNING + WAITING + 1)]
        await settle()
        assert store.running == RUNNING
        for _ in range(2):
            with pytest.raises(HttpError) as caught:
                await desk.ask_store("events")
            assert caught.value.code == "busy"
        store.gate.set()
        assert [one["limit"] for one in await asyncio.gather(*asked)] == [*range(1, RUNNING + WAITING + 1)]
        assert store.most == RUNNING
        assert await desk.ask_store("events", limit=5)

    told(story)


def test_a_question_that_fails_or_is_given_up_makes_room() -> None:
    async def story(desk: Desk, store: Store) -> None:
        asked = [asyncio.ensure_future(desk.ask_store("events")) for _ in range(RUNNING + 1)]
        await settle()
        for one in asked:
            one.cancel()
        await settle()
        store.gate.set()
        for _ in range(RUNNING + WAITING):
            with pytest.raises(QueryError):
                await desk.ask_store("events", after="wrong")
        assert (await desk.ask_store("events"))["limit"] == 100

    told(story)


def test_nobody_waits_for_ever() -> None:
    async def story(desk: Desk, store: Store) -> None:
        held = [asyncio.ensure_future(desk.ask_store("events")) for _ in range(RUNNING)]
        await settle()
        with pytest.raises(HttpError, match=r"busy with other questions for 0\.01 s"):
            await desk.ask_store("events")
        store.gate.set()
        await asyncio.gather(*held)

    told(story, 0.01)


def test_who_changes_something_is_noted_with_what_came_of_it(tmp_path: Path) -> None:
    async def story(desk: Desk, store: Store) -> None:
        assert await desk.act("token 3 (ops)", "task_cancel", id=1) == {"id": 1}
        with pytest.raises(ControlError):
            await desk.act("token 3 (ops)", "task_cancel", id=7)
        with pytest.raises(KeyError):
            await desk.act("token 3 (ops)", "task_cancel", id=8)
        begun = asyncio.ensure_future(desk.act("token 3 (ops)", "task_cancel", id=9))
        await settle()
        begun.cancel()
        await settle()

    told(story)
    noted = Audit(tmp_path).last(10)
    assert [(one["args"]["id"], one["ok"], one["code"]) for one in reversed(noted)] == [
        (1, True, ""), (7, False, "control"), (8, False, "internal"), (9, False, "interrupted"),
    ]  # fmt: skip
    for one in noted:
        assert (one["user"], one["uid"], one["pid"], one["command"]) == ("token 3 (ops)", None, None, "task_cancel")
        assert abs(one["at_ms"] - time.time() * 1000) < 60_000
