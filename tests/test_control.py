from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from trackflowd import control
from trackflowd.control import Control
from trackflowd.errors import ConfigError, QueryError
from trackflowd.proto.control import MAX_REQUEST, Decoder, encode
from trackflowd.tail import Tail


class Server:
    """A control server with handlers of its own, and what tests need of it."""

    def __init__(self, path: Path) -> None:
        self.tail = Tail(lambda: None)
        self.gate = asyncio.Event()
        self.talkers: list[Talker] = []
        handlers: dict[str, Any] = {
            "version": self.version,
            "query": self.query,
            "status": self.status,
            "flush": self.flush,
        }
        self.control = Control(str(path), handlers, self.tail)

    async def version(self) -> str:
        return "1"

    async def query(self, sql: str, format: str, params: Any) -> bytes:
        if sql == "refuse":
            raise QueryError("not allowed", "ask otherwise")
        return sql.encode()

    async def status(self) -> None:
        raise ValueError("a bug")

    async def flush(self, wait: float) -> str:
        await self.gate.wait()
        return "flushed"


class Talker:
    """A client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.decoder = Decoder()
        self.messages: list[dict[str, Any]] = []

    def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self.writer.write(encode(message))

    async def receive(self) -> dict[str, Any] | None:
        """Next message; None when the server has closed."""
        while not self.messages:
            raw = await asyncio.wait_for(self.reader.read(65536), 30)
            if not raw:
                return None
            self.messages = self.decoder.feed(raw)
        return self.messages.pop(0)

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass  # the server was first

    async def ask(self, number: int, name: str, **args: Any) -> dict[str, Any]:
        self.send({"id": number, "name": name, "args": args})
        answer = await self.receive()
        assert answer is not None
        return answer


async def connect(server: Server) -> Talker:
    talker = Talker(*await asyncio.open_unix_connection(server.control.path))
    server.talkers.append(talker)
    return talker


async def dial(server: Server) -> Talker:
    talker = await connect(server)
    greeting = await talker.receive()
    assert greeting is not None
    assert greeting["hello"] == "trackflow"
    return talker


Story = Callable[[Server], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Story], None]:
    def play(story: Story) -> None:
        async def whole() -> None:
            server = Server(tmp_path / "s.sock")
            await server.control.start()
            try:
                await story(server)
            finally:
                server.control.close()
                for talker in server.talkers:
                    await talker.close()

        asyncio.run(whole())

    return play


def test_a_command_is_answered_under_its_id(run: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        assert await talker.ask(7, "version") == {"id": 7, "ok": True, "value": "1"}
        assert (await talker.ask(8, "query", sql="x"))["value"] == b"x"

    run(story)


def test_a_slow_answer_holds_no_other_up(run: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        talker.send({"id": 1, "name": "flush"})
        assert (await talker.ask(2, "version"))["id"] == 2
        server.gate.set()
        assert await talker.receive() == {"id": 1, "ok": True, "value": "flushed"}

    run(story)


def test_errors_keep_their_code_and_hint_and_a_bug_closes_nothing(run: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        error = (await talker.ask(1, "query", sql="refuse"))["error"]
        assert error == {"code": "query", "text": "not allowed", "hint": "ask otherwise"}
        assert (await talker.ask(2, "status"))["error"]["code"] == "internal"
        assert (await talker.ask(3, "nonsense"))["error"]["code"] == "unknown_command"
        assert (await talker.ask(4, "query"))["error"]["code"] == "bad_arguments"
        assert (await talker.ask(5, "version"))["ok"]

    run(story)


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "too long": struct.pack(">I", MAX_REQUEST + 1),
    "not msgpack": b"\0\0\0\1\xc1",
    "no id": encode({"name": "version"}),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_closes_that_client_only(run: Callable[[Story], None], raw: bytes) -> None:
    async def story(server: Server) -> None:
        good, bad = await dial(server), await dial(server)
        bad.writer.write(raw)
        assert await bad.receive() is None
        assert (await good.ask(1, "version"))["ok"]
        assert len(server.control.clients) == 1

    run(story)


def test_what_came_before_the_garbage_is_still_answered(run: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        talker.writer.write(encode({"id": 1, "name": "nonsense"}))
        assert (await talker.receive() or {})["id"] == 1
        talker.writer.write(b"\xff" * 16)
        assert await talker.receive() is None

    run(story)


def test_a_stream_brings_what_was_asked_for_until_it_is_cancelled(run: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        assert (await talker.ask(1, "tail", site="a"))["ok"]
        server.tail.offer([{"site": "b"}, {"site": "a", "n": 1}])
        assert await talker.receive() == {"id": 1, "event": {"site": "a", "n": 1}}
        talker.send({"id": 1, "cancel": True})
        assert (await talker.ask(2, "version"))["ok"]
        assert not server.tail.on

    run(story)


def test_a_client_that_leaves_watches_no_more(run: Callable[[Story], None]) -> None:
    async def story(server: Server) -> None:
        talker, other = await dial(server), await dial(server)
        await talker.ask(1, "tail")
        talker.writer.close()
        while server.tail.on:
            await other.ask(1, "version")

    run(story)


def test_a_client_that_does_not_read_loses_rows_and_blocks_nobody(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_LAG", 100_000)

    async def story(server: Server) -> None:
        slow, good = await dial(server), await dial(server)
        await slow.ask(1, "tail")
        for n in range(2000):
            server.tail.offer([{"n": n, "text": "x" * 1000}])
        assert (await good.ask(1, "version"))["ok"]
        seen = []
        while True:
            message = await slow.receive()
            assert message is not None
            seen.append(message["event"])
            if seen[-1].get("n") == 1_000_000:
                break
            if not slow.messages and "dropped" not in seen[-1]:
                server.tail.offer([{"n": 1_000_000}])
        dropped = sum(event.get("dropped", 0) for event in seen)
        rows = sum("text" in event for event in seen)
        assert dropped > 0
        assert rows + dropped >= 2000

    run(story)


def test_a_client_that_asks_and_does_not_read_is_closed(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_UNREAD", 100_000)

    async def story(server: Server) -> None:
        bad, good = await dial(server), await dial(server)
        with contextlib.suppress(OSError):  # it may be closed before it has asked for all
            for n in range(8):
                bad.send({"id": n, "name": "query", "args": {"sql": "x" * 500_000}})
                await bad.writer.drain()
        while len(server.control.clients) > 1:
            assert (await good.ask(1, "version"))["ok"]

    run(story)


def test_there_is_a_cap_on_clients_and_on_what_one_may_ask(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CLIENTS", 2)
    monkeypatch.setattr(control, "MAX_PENDING", 3)

    async def story(server: Server) -> None:
        first, _ = await dial(server), await dial(server)
        third = await connect(server)
        assert (await third.receive() or {})["error"]["code"] == "too_many_clients"
        assert await third.receive() is None
        for number in range(3):
            first.send({"id": number, "name": "flush"})
        assert (await first.ask(9, "version"))["error"]["code"] == "too_many_requests"
        server.gate.set()

    run(story)


def test_an_answer_too_big_for_a_frame_is_an_error(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(server: Server) -> None:
        async def huge() -> bytes:
            return bytes(9 * 2**20)

        server.control.handlers = {"version": huge}
        talker = await dial(server)
        assert "the most is" in (await talker.ask(1, "version"))["error"]["text"]

    run(story)


def test_the_socket_is_for_user_and_group_and_goes_with_the_server(
    run: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(server: Server) -> None:
        assert stat.S_IMODE(os.stat(server.control.path).st_mode) == 0o660

    run(story)
    assert list(tmp_path.iterdir()) == []


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    control.listen(path).close()
    assert os.path.exists(path)
    control.listen(path).close()


def test_a_live_socket_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    first = control.listen(path)
    with pytest.raises(ConfigError, match="another daemon listens"):
        control.listen(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    first.close()


def test_anything_else_at_the_path_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="not a socket"):
        control.listen(str(path))
    assert path.read_text() == "mine"


def test_a_path_that_no_socket_can_have_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        control.listen(str(tmp_path / ("x" * 120)))
    with pytest.raises(ConfigError, match="No such file"):
        control.listen(str(tmp_path / "no" / "s.sock"))
