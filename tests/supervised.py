"""A supervisor in this process with fake children, for tests: quick to start, and they do as told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trackflowd import children
from trackflowd.commands import Commands
from trackflowd.config import Config, Source
from trackflowd.supervisor import OnReady, Supervisor

FAKE = Path(__file__).parent / "fake_child.py"
#: Seconds a story may take before its test fails.
PATIENCE = 60.0
_SETS = (
    "http.listen=127.0.0.1:0",
    "admin.listen=127.0.0.1:0",
    "daemon.workers=2",
    "daemon.drain_timeout=30",
    "ring.size=64KiB",
)


def source(directory: Path, *sets: str) -> Source:
    """Where the options of a daemon with its data dir below directory come from: sets, and a file for later."""
    path = directory / "options.toml"
    path.touch()
    return Source(str(path), [*_SETS, f"daemon.data_dir={directory / 'data'}", *sets], {})


def settings(directory: Path, *sets: str) -> Config:
    """A configuration for a data dir below directory."""
    return source(directory, *sets).load()


class Running:
    """A supervisor that runs, and its commands."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.commands = Commands(supervisor)
        self.over: asyncio.Task[int] = asyncio.get_running_loop().create_task(supervisor.run())

    async def until(self, good: Callable[[], object]) -> None:
        """Return once good() is true, or the daemon is over."""
        while not good() and not self.over.done():
            await asyncio.sleep(0.005)
        assert good()

    async def ready(self) -> None:
        """Return once every child is ready."""
        crew = self.supervisor.crew
        await self.until(lambda: self.supervisor.health.ready and all(s.phase.value == "ready" for s in crew.seats))

    def pid(self, name: str) -> int | None:
        """Process id of "flusher" or "worker N"."""
        crew = self.supervisor.crew
        child = next((child for seat in crew.seats if (child := crew.child(seat)) and seat.name == name), None)
        return child.pid if child else None

    async def order(self, text: str) -> bytes:
        """Have the fake flusher do something."""
        return await self.commands.query(text, "table", None)

    async def knock(self) -> int:
        """Connect as a client; the pid of the worker that answered."""
        host, _, port = self.supervisor.listeners.addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            return int(await reader.read())
        finally:
            writer.close()
            await writer.wait_closed()


Story = Callable[[Running], Awaitable[None]]


def play(
    directory: Path,
    story: Story,
    *sets: str,
    on_ready: OnReady | None = None,
    on_event: Callable[[Mapping[str, Any]], None] | None = None,
) -> int:
    """Run a supervisor with fake children while the story lasts, then stop it; its exit code."""

    async def whole() -> int:
        running = Running(Supervisor(settings(directory, *sets), on_ready, on_event, source(directory, *sets)))
        try:
            await asyncio.wait_for(story(running), PATIENCE)
        finally:
            if not running.over.done():
                running.supervisor.queue("stop")
            code = await asyncio.wait_for(running.over, PATIENCE)
        return code

    with with_fakes():
        return asyncio.run(whole())


@contextmanager
def with_fakes() -> Iterator[None]:
    """Whatever supervisor is started meanwhile has fake children."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(FAKE.parent.parent))
        patch.setitem(children.COMMANDS, "worker", [sys.executable, str(FAKE), "worker", "--slot", "{slot}"])
        patch.setitem(children.COMMANDS, "flusher", [sys.executable, str(FAKE), "flusher"])
        yield
