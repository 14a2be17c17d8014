"""Doors without sockets, for tests: a transport that notes what is done to it, a hall with a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import intakes
from trackflowd.door import Door, Hall
from trackflowd.intake import Intake
from trackflowd.ring.file import RingFile
from trackflowd.sections import Http


class Wire(asyncio.Transport):
    """What a door does to its socket."""

    def __init__(self, peer: tuple[str, int] | str) -> None:
        super().__init__({"peername": peer})
        self.sent = b""
        self.writes = 0
        self.reading = True
        self.eof = self.closed = self.aborted = False
        self.high = 0

    def write(self, data: Any) -> None:
        assert not self.eof and not self.closed
        self.sent += data
        self.writes += 1

    def write_eof(self) -> None:
        self.eof = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0


class House:
    """A hall whose clock the test moves."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.intake: Intake
        self.ring: RingFile
        self.intake, self.ring = intakes.make(directory, **options)
        self.now = 1000.0
        self.hall = Hall(Http(**options), self.intake, self.now)
        self.soon: list[Callable[[], None]] = []

    def come(self, peer: tuple[str, int] | str = ("203.0.113.9", 4711)) -> tuple[Door, Wire]:
        door, wire = Door(self.hall, self.soon.append), Wire(peer)
        door.connection_made(wire)
        return door, wire

    def after(self, seconds: float) -> None:
        """Let time pass in ticks."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.1, end)
            self.hall.tick(self.now)

    def run_soon(self) -> None:
        soon = list(self.soon)
        self.soon.clear()
        for call in soon:
            call()
