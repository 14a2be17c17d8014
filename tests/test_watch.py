from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.test_logbook import Out, until
from trackflowd import watch
from trackflowd.errors import ControlError
from trackflowd.proto.control import BadRequest
from trackflowd.watch import Watch


class Source:
    """Makes a status, and counts how often it was asked."""

    def __init__(self) -> None:
        self.made = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: ControlError | None = None

    async def status(self) -> dict[str, Any]:
        self.made += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        return {"n": self.made}


def play(story: Callable[[Source, Watch], Awaitable[None]]) -> None:
    async def whole() -> None:
        source = Source()
        await asyncio.wait_for(story(source, Watch(source.status)), 30)

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LEAST", 0.001)
    monkeypatch.setattr(watch, "FRESH", 0.0005)


def test_the_status_comes_again_and_again_until_it_is_closed() -> None:
    async def story(source: Source, watching: Watch) -> None:
        out = Out()
        close = watching.watch(0.001)(out)
        await until(lambda: len(out.events) >= 3)
        close()
        await asyncio.sleep(0)
        seen = len(out.events)
        await asyncio.sleep(0.02)
        assert len(out.events) == seen
        numbers = [event["n"] for event in out.events]
        assert numbers == sorted(numbers)

    play(story)


def test_who_does_not_read_is_waited_for_by_nobody_and_costs_no_status() -> None:
    async def story(source: Source, watching: Watch) -> None:
        slow, quick = Out(), Out()
        slow.clear = False
        watching.watch(0.001)(slow)
        await asyncio.sleep(0.02)
        assert (slow.events, source.made) == ([], 0)
        watching.watch(0.001)(quick)
        await until(lambda: len(quick.events) >= 3)
        assert slow.events == []
        slow.clear = True
        await until(lambda: slow.events)

    play(story)


def test_all_who_watch_at_a_time_share_one_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FRESH", 60.0)

    async def story(source: Source, watching: Watch) -> None:
        source.gate.clear()
        outs = [Out() for _ in range(50)]
        for out in outs:
            watching.watch(60.0)(out)
        await until(lambda: source.made)
        source.gate.set()
        await until(lambda: all(out.events for out in outs))
        assert source.made == 1

    play(story)


def test_a_watcher_that_leaves_takes_the_status_from_no_other() -> None:
    async def story(source: Source, watching: Watch) -> None:
        source.gate.clear()
        first, second = Out(), Out()
        close = watching.watch(0.001)(first)
        watching.watch(0.001)(second)
        await until(lambda: source.made)
        close()
        await asyncio.sleep(0)
        source.gate.set()
        await until(lambda: second.events)
        assert first.events == []

    play(story)


def test_a_status_that_cannot_be_made_ends_nothing() -> None:
    async def story(source: Source, watching: Watch) -> None:
        source.error = ControlError("not now")
        out = Out()
        watching.watch(0.001)(out)
        await until(lambda: source.made >= 2)
        source.error = None
        await until(lambda: out.events)

    play(story)


@pytest.mark.parametrize("interval", [0, -1, 61, float("nan"), float("inf")])
def test_an_interval_out_of_bounds_is_refused(interval: float) -> None:
    async def story(source: Source, watching: Watch) -> None:
        with pytest.raises(BadRequest, match="interval"):
            watching.watch(interval)

    play(story)
