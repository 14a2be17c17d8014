"""Doors without sockets, for tests: a transport that notes what is done to it, a hall with a clock."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from tests import intakes
from trackflowd.deferred import DeferredDoor, DeferredHall
from trackflowd.door import Door
from trackflowd.hall import Hall
from trackflowd.intake import Intake
from trackflowd.ring.file import RingFile
from trackflowd.ring.syncer import Syncer
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
        self.protocol: Any = None
        self.socket: socket.socket | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else super().get_extra_info(name, default)

    def write(self, data: Any) -> None:
        assert not self.eof and not self.closed
        self.sent += data
        self.writes += 1

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(Any, protocol)

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


class Disk:
    """A syncer that syncs when the test says so."""

    def __init__(self) -> None:
        self.synced = 0
        self.asked = 0

    def wake(self) -> None:
        self.asked += 1


class DiskHouse(House):
    """The same under durability "disk"."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self.disk = Disk()
        self.hall: DeferredHall = DeferredHall(Http(**options), self.intake, self.now, cast(Syncer, self.disk))

    def come(self, peer: tuple[str, int] | str = ("203.0.113.9", 4711)) -> tuple[Door, Wire]:
        door, wire = DeferredDoor(self.hall, self.soon.append), Wire(peer)
        door.connection_made(wire)
        return door, wire

    def sync(self, position: int | None = None) -> None:
        """The disk has everything up to position, or all that is published, and the loop is told."""
        self.disk.synced = self.ring.writer.head if position is None else position
        self.hall.settle()

    def fail(self) -> None:
        """The disk refuses, as ``keeper`` takes it."""
        self.intake.ring_failed = True
        self.hall.refuse()
