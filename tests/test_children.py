from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from trackflowd import children
from trackflowd.children import Child, Inherited, describe_exit, figures, spawn
from trackflowd.errors import ControlError, QueryError, TrackflowError
from trackflowd.fleet import Seat
from trackflowd.shared import Page, State

FAKE = Path(__file__).parent / "fake_child.py"


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FAKE.parent.parent))
    monkeypatch.setitem(children.COMMANDS, "worker", [sys.executable, str(FAKE), "worker", "--slot", "{slot}"])
    monkeypatch.setitem(children.COMMANDS, "flusher", [sys.executable, str(FAKE), "flusher"])


class Start:
    """A flusher, with every message it sent unasked."""

    def __init__(self) -> None:
        self.page, self.fd = Page.create(1, 1)
        self.messages: list[dict[str, Any]] = []

    async def flusher(self) -> Child:
        slot = self.page.slot("flusher")
        seat = Seat("flusher", 0, 30)
        # What takes its log lines is of no matter here: any descriptor will do.
        fds = Inherited(self.fd, self.fd, self.fd, [])
        return await spawn(seat, slot, "{}", fds, lambda _, got: self.messages.append(got))


def play(story: Callable[[Start, Child], Awaitable[None]]) -> None:
    async def whole() -> None:
        start = Start()
        child = await start.flusher()
        try:
            await asyncio.wait_for(story(start, child), 60)
        finally:
            child.kill()
            child.process.wait()
            child.channel.close()
            await asyncio.sleep(0)
            start.page.close()
            os.close(start.fd)

    asyncio.run(whole())


async def until(good: Callable[[], object]) -> None:
    while not good():
        await asyncio.sleep(0.005)


def test_a_child_is_seen_to_start_and_says_so() -> None:
    async def story(start: Start, child: Child) -> None:
        assert child.state is State.STARTING
        assert not child.look().up
        await until(lambda: child.look().up)
        await until(lambda: start.messages)
        assert start.messages == [{"type": "ready"}]
        assert child.look().beat > 0
        assert child.look().exit is None

    play(story)


def test_calls_are_answered_with_values_and_with_errors_that_keep_their_code() -> None:
    async def story(start: Start, child: Child) -> None:
        assert await child.channel.call("stats", 30, name="overview") == {"name": "overview"}
        with pytest.raises(QueryError) as caught:
            await child.channel.call("query", 30, sql="refuse")
        assert caught.value.hint == "ask otherwise"
        with pytest.raises(ControlError) as unknown:
            await child.channel.call("nonsense", 30)
        assert unknown.value.code == "unknown_command"

    play(story)


def test_a_child_that_does_not_answer_is_given_up_on_and_others_wait_for_nothing() -> None:
    async def story(start: Start, child: Child) -> None:
        await until(lambda: child.look().up)
        with pytest.raises(ControlError, match="did not answer within"):
            await child.channel.call("query", 0.05, sql="hang")

    play(story)


def test_a_child_that_dies_fails_its_calls_at_once_and_is_reaped() -> None:
    async def story(start: Start, child: Child) -> None:
        with pytest.raises(ControlError, match="ended before it answered"):
            await child.channel.call("query", 600, sql="crash")
        await until(lambda: child.look().exit is not None)
        assert child.look().exit == 9
        assert not Path(f"/proc/{child.pid}").exists()
        with pytest.raises(ControlError, match="cannot be asked now"):
            await child.channel.call("status", 1)
        child.channel.tell("drain")

    play(story)


def test_a_child_that_sends_garbage_loses_its_channel_and_nothing_else() -> None:
    async def story(start: Start, child: Child) -> None:
        with pytest.raises(TrackflowError):
            await child.channel.call("query", 600, sql="garbage")

    play(story)


def test_a_child_that_has_stopped_reading_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "MAX_UNREAD", 100_000)

    async def story(start: Start, child: Child) -> None:
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(ControlError, match="cannot be asked now"):
            for _ in range(100):
                child.channel.tell("x", text="x" * 50_000)
                if child.channel._transport is not None and child.channel._transport.get_write_buffer_size() > 100_000:
                    await child.channel.call("status", 0.01)

    play(story)


def test_draining_is_told_once_and_ends_it_with_code_0() -> None:
    async def story(start: Start, child: Child) -> None:
        child.tell_once("drain")
        child.tell_once("drain")
        await until(lambda: child.look().exit is not None)
        assert child.look().exit == 0
        await until(lambda: {"type": "drained"} in start.messages)

    play(story)


def test_a_slot_that_another_process_left_behind_is_not_taken_for_the_childs_own() -> None:
    async def story(start: Start, child: Child) -> None:
        await until(lambda: child.look().up)
        start.page.slot("flusher")._words[start.page.slot("flusher")._first + 1] = 1  # the pid
        assert child.state is State.STARTING
        assert not child.look().up
        assert child.look().beat == 0

    play(story)


def test_ctrl_c_in_a_terminal_does_not_reach_it() -> None:
    async def story(start: Start, child: Child) -> None:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)

    play(story)


def test_a_command_that_does_not_exist_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(children.COMMANDS, "flusher", ["/no/such/program"])

    async def whole() -> None:
        start = Start()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="No such file"):
            await start.flusher()
        assert len(os.listdir("/proc/self/fd")) == before
        start.page.close()
        os.close(start.fd)

    asyncio.run(whole())


def test_figures_of_a_process_that_is_gone_are_unknown() -> None:
    assert figures(os.getpid())["rss"] > 0
    assert figures(2**22 + 1) == {"cpu_s": None, "rss": None, "fds": None}


@pytest.mark.parametrize(
    ("code", "text"), [(0, "ended with code 0"), (-9, "was killed by SIGKILL"), (-70, "signal 70")]
)
def test_an_exit_is_described(code: int, text: str) -> None:
    assert text in describe_exit(code)
