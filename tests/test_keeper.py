"""trackflowd.keeper: a worker's ring that fails under it, on real files and a real loop; the syncs are the test's."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import intakes
from tests.doors import Wire
from tests.syncs import EIO, Gate
from tests.workers import PATIENCE, post, split_answers
from trackflowd import keeper as keeper_module
from trackflowd.enrich.finish import Finisher
from trackflowd.enrich.geo import Geo
from trackflowd.enrich.visitor import Salt
from trackflowd.errors import DataDirError
from trackflowd.intake import Intake
from trackflowd.keeper import Keeper, SyncedKeeper
from trackflowd.proto import dialects
from trackflowd.ring import file, syncer
from trackflowd.sections import Http

ONE = post(b'{"site":"example.org","name":"n"}', close=False)
SIZE = 64 * 1024


class Stage:
    """A keeper with what a worker puts around it."""

    def __init__(self, rings: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.keeper = SyncedKeeper(rings, 0, SIZE)
        finisher = Finisher(Geo(str(rings / "none")), [Salt("all", 0, 2**50, b"s" * 32)])
        self.intake = Intake(Http(), dialects.load(), finisher, self.keeper.writer, intakes.NOW)
        self.hall = self.keeper.hall(Http(), self.intake, 0.0)
        self.loop = loop
        self.keeper.start(loop)

    def ask(self) -> Wire:
        """Send one event on a connection of its own."""
        door, wire = self.keeper.door(self.hall, self.loop.call_soon), Wire(("203.0.113.9", 1))
        door.connection_made(wire)
        door.data_received(ONE)
        return wire

    @property
    def files(self) -> list[file.RingInfo]:
        return file.scan(self.keeper._place[0])


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.005)


def codes(*wires: Wire) -> list[object]:
    """Status of each one's only answer, or the code of its refusal."""
    found: list[object] = []
    for wire in wires:
        ((status, _, body),) = split_answers(wire.sent)
        found.append(json.loads(body).get("error", status))
    return found


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(syncer, "fdatasync", gate)
    return gate


def test_a_sync_answers_and_a_failed_one_gives_the_ring_up_for_a_fresh_one(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper_module, "LASTS", 0.0)

    async def play() -> None:
        stage = Stage(tmp_path, asyncio.get_running_loop())
        first = stage.ask()
        await asyncio.to_thread(gate.await_sync, 1)
        assert first.sent == b""
        gate.let()
        await until(lambda: first.sent)
        second = stage.ask()
        await asyncio.to_thread(gate.await_sync, 2)
        third = stage.ask()
        gate.let(EIO)
        await until(lambda: second.sent and third.sent)
        assert codes(first, second, third) == [200, "ring_failed", "ring_failed"]
        await until(lambda: not stage.intake.ring_failed)
        assert stage.keeper.failed == 1
        (failed,) = (found for found in stage.files if found.failed)
        (fresh,) = (found for found in stage.files if not found.failed)
        assert not file.has_writer(failed.path) and file.has_writer(fresh.path)
        assert (failed.head, failed.synced) == (failed.head, failed.head) and failed.head > 0
        fourth = stage.ask()
        gate.let()
        await until(lambda: fourth.sent)
        assert codes(fourth) == [200]
        assert file.info(fresh.path).synced == file.info(fresh.path).head == failed.head
        await stage.keeper.close()
        with file.open_for_writer(tmp_path, 0, SIZE) as next_one:
            assert next_one.path == fresh.path

    asyncio.run(play())
    alarms = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(alarms) == 1 and "2 requests" in alarms[0].getMessage()


def test_while_no_fresh_ring_can_be_made_everything_is_503_and_it_is_tried_each_second(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def full(rings: Path, slot: int, size: int) -> file.RingFile:
        tries.append(slot)
        raise DataDirError("no room for a ring")

    async def play() -> None:
        stage = Stage(tmp_path, asyncio.get_running_loop())
        with monkeypatch.context() as patch:
            patch.setattr(file, "create", full)
            gate.let(errno.ENOSPC)
            wire = stage.ask()
            await until(lambda: wire.sent)
            assert tries == [], "a ring that did not last is followed by another at the next second"
            for n in range(1, 4):
                stage.keeper.each_second()
                stage.keeper.each_second()
                await until(lambda: stage.keeper._making is None)
                assert len(tries) == n
            assert codes(wire, stage.ask()) == ["ring_failed"] * 2
        stage.keeper.each_second()
        await until(lambda: not stage.intake.ring_failed)
        wire = stage.ask()
        gate.let()
        await until(lambda: wire.sent)
        assert codes(wire) == [200]
        await stage.keeper.close()

    asyncio.run(play())
    assert sum("no room for a ring" in record.getMessage() for record in caplog.records) == 1, "said once"


def test_the_ring_of_a_killed_worker_is_gone_on_with_and_what_it_left_is_synced(tmp_path: Path, gate: Gate) -> None:
    with file.open_for_writer(tmp_path, 0, SIZE) as ring:
        ring.writer.append([(b"i" * 16, 1, 1, 0, b"left by the worker before")])
        ring.writer.publish()
        head, path = ring.writer.head, ring.path

    async def play() -> None:
        stage = Stage(tmp_path, asyncio.get_running_loop())
        assert stage.keeper.ring is not None and stage.keeper.ring.path == path
        gate.let()
        await until(lambda: file.info(path).synced == head)
        await stage.keeper.close()

    asyncio.run(play())


def test_closing_syncs_what_nobody_waits_for_any_more_and_waits_for_a_ring_being_made(
    tmp_path: Path, gate: Gate
) -> None:
    async def play() -> None:
        stage = Stage(tmp_path, asyncio.get_running_loop())
        stage.ask()
        gate.let()
        await stage.keeper.close()
        (found,) = stage.files
        assert found.synced == found.head > 0 and not file.has_writer(found.path)

        stage = Stage(tmp_path, asyncio.get_running_loop())
        wire = stage.ask()
        gate.let(EIO)
        await until(lambda: wire.sent)
        stage.keeper.each_second()
        await stage.keeper.close()
        assert stage.keeper.ring is None
        assert not any(file.has_writer(found.path) for found in stage.files)

    asyncio.run(play())


def test_a_ring_that_was_removed_ends_the_2xx_under_either_durability(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, 0, SIZE)
    finisher = Finisher(Geo(str(tmp_path / "none")), [Salt("all", 0, 2**50, b"s" * 32)])
    intake = Intake(Http(), dialects.load(), finisher, keeper.writer, intakes.NOW)
    keeper.hall(Http(), intake, 0.0)
    keeper.each_second()
    assert not intake.ring_failed
    assert keeper.ring is not None
    keeper.ring.path.unlink()
    keeper.each_second()
    assert intake.ring_failed
    asyncio.run(keeper.close())
    assert keeper.ring is None
