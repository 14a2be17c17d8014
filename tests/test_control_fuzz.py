"""Whatever bytes come over the control socket: others are served, and nothing is done that was not asked for."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.control_server import Server
from trackflowd.client import Client
from trackflowd.proto.command_table import COMMANDS
from trackflowd.proto.control import MAX_REQUEST, encode

EXAMPLES = 150


class Running:
    """A control server in a thread, with a client that is always good."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.server: Server
        self._loop = asyncio.new_event_loop()
        self.wrong: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda loop, context: self.wrong.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(path), self._loop).result(30)
        self.good = Client.connect(self.path)

    async def _open(self, path: Path) -> None:
        self.server = Server(path)
        await self.server.control.start()

    async def _close(self) -> None:
        self.server.control.close()
        self.server.gate.set()
        await asyncio.sleep(0)

    def close(self) -> None:
        self.good.close()
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    one = Running(tmp_path_factory.mktemp("fuzz") / "s.sock")
    yield one
    one.close()


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.sampled_from(["id", "name", "args", "cancel", "event", "ok", "x"])
ARGS = st.dictionaries(
    st.sampled_from(sorted({arg.name for command in COMMANDS.values() for arg in command.args})), VALUES, max_size=3
)
#: Messages from nearly right to nonsense.
MESSAGES = st.dictionaries(KEYS, VALUES, max_size=5) | st.fixed_dictionaries(
    {"id": st.integers(-5, 5) | VALUES, "name": st.sampled_from([*COMMANDS, "", "no"]) | VALUES, "args": ARGS | VALUES}
)
FRAMES = (
    MESSAGES.map(msgpack.packb).map(lambda raw: struct.pack(">I", len(raw)) + raw)
    | st.binary(max_size=60)
    | st.builds(lambda size, raw: struct.pack(">I", size) + raw, st.integers(0, 2**32 - 1), st.binary(max_size=40))
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FRAMES, max_size=6), st.integers(1, 50), st.booleans())
def test_frames_of_any_kind_hurt_nobody(running: Running, frames: list[bytes], piece: int, abrupt: bool) -> None:
    raw = b"".join(frames)
    with socket.socket(socket.AF_UNIX) as bad:
        bad.settimeout(30)
        bad.connect(running.path)
        try:
            for at in range(0, len(raw), piece):
                bad.sendall(raw[at : at + piece])
            if not abrupt:
                bad.shutdown(socket.SHUT_WR)
                while bad.recv(65536):
                    pass
        except OSError:
            pass  # closed in the middle: as it may be
    assert running.good.call("version") == "1"
    assert running.wrong == []


def test_in_the_end_nobody_is_left_but_the_good_client(running: Running) -> None:
    for _ in range(1000):
        if len(running.server.control.clients) == 1:
            break
        running.good.call("version")
    assert len(running.server.control.clients) == 1
    assert not running.server.tail.on


def test_a_frame_that_comes_byte_by_byte_and_is_never_whole_costs_its_sender_only(running: Running) -> None:
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(running.path)
        slow.sendall(struct.pack(">I", MAX_REQUEST) + b"\x81" * 1000)
        assert running.good.call("version") == "1"


def test_more_requests_than_may_be_open_are_refused_one_by_one(running: Running) -> None:
    with socket.socket(socket.AF_UNIX) as eager:
        eager.settimeout(30)
        eager.connect(running.path)
        eager.sendall(b"".join(encode({"id": n, "name": "flush"}) for n in range(1, 200)))
        while b"too_many_requests" not in eager.recv(65536):
            pass
        assert running.good.call("version") == "1"
