from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from pathlib import Path

import pytest

from tests.control_server import Server, dial, play
from trackflowd import control
from trackflowd.errors import ConfigError
from trackflowd.outlet import Begin, Close, Outlet
from trackflowd.proto.control import MAX_REQUEST, BadRequest, encode


def test_a_command_is_answered_under_its_id(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        assert await talker.ask(7, "version") == {"id": 7, "ok": True, "value": "1"}
        assert (await talker.ask(8, "query", sql="x"))["value"] == b"x"

    play(tmp_path, story)


def test_a_slow_answer_holds_no_other_up(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        talker.send({"id": 1, "name": "flush"})
        assert (await talker.ask(2, "version"))["id"] == 2
        server.gate.set()
        assert await talker.receive() == {"id": 1, "ok": True, "value": "flushed"}

    play(tmp_path, story)


def test_errors_keep_their_code_and_hint_and_a_bug_closes_nothing(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        error = (await talker.ask(1, "query", sql="refuse"))["error"]
        assert error == {"code": "query", "text": "not allowed", "hint": "ask otherwise"}
        assert (await talker.ask(2, "status"))["error"]["code"] == "internal"
        assert (await talker.ask(3, "nonsense"))["error"]["code"] == "unknown_command"
        assert (await talker.ask(4, "query"))["error"]["code"] == "bad_arguments"
        assert (await talker.ask(5, "version"))["ok"]
        assert (await talker.ask(6, "watch"))["error"]["code"] == "internal"  # there is nothing that would begin it
        assert (await talker.ask(7, "version"))["ok"]

    play(tmp_path, story)


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "too long": struct.pack(">I", MAX_REQUEST + 1),
    "not msgpack": b"\0\0\0\1\xc1",
    "no id": encode({"name": "version"}),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_closes_that_client_only(tmp_path: Path, raw: bytes) -> None:
    async def story(server: Server) -> None:
        good, bad = await dial(server), await dial(server)
        bad.writer.write(raw)
        assert await bad.receive() is None
        assert (await good.ask(1, "version"))["ok"]
        assert len(server.control.clients) == 1

    play(tmp_path, story)


def test_what_came_before_the_garbage_is_still_answered(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        talker.writer.write(encode({"id": 1, "name": "nonsense"}))
        assert (await talker.receive() or {})["id"] == 1
        talker.writer.write(b"\xff" * 16)
        assert await talker.receive() is None

    play(tmp_path, story)


def test_a_stream_brings_what_was_asked_for_until_it_is_cancelled(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        assert (await talker.ask(1, "tail", site="a"))["ok"]
        server.tail.offer([{"site": "b"}, {"site": "a", "n": 1}])
        assert await talker.receive() == {"id": 1, "event": {"site": "a", "n": 1}}
        talker.send({"id": 1, "cancel": True})
        assert (await talker.ask(2, "version"))["ok"]
        assert not server.tail.on

    play(tmp_path, story)


def test_a_client_that_leaves_watches_no_more(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        talker, other = await dial(server), await dial(server)
        await talker.ask(1, "tail")
        talker.writer.close()
        while server.tail.on:
            await other.ask(1, "version")

    play(tmp_path, story)


def test_a_client_that_does_not_read_loses_rows_and_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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

    play(tmp_path, story)


def test_a_client_that_asks_and_does_not_read_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_UNREAD", 100_000)

    async def story(server: Server) -> None:
        bad, good = await dial(server), await dial(server)
        with contextlib.suppress(OSError):  # it may be closed before it has asked for all
            for n in range(8):
                bad.send({"id": n, "name": "query", "args": {"sql": "x" * 500_000}})
                await bad.writer.drain()
        while len(server.control.clients) > 1:
            assert (await good.ask(1, "version"))["ok"]

    play(tmp_path, story)


def test_there_is_a_cap_on_what_a_client_may_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_PENDING", 3)

    async def story(server: Server) -> None:
        talker = await dial(server)
        for number in range(3):
            talker.send({"id": number, "name": "flush"})
        assert (await talker.ask(9, "version"))["error"]["code"] == "too_many_requests"
        server.gate.set()

    play(tmp_path, story)


def test_a_stream_may_be_refused_and_may_end_by_itself(tmp_path: Path) -> None:
    def log(lines: float, follow: bool) -> Begin:
        if lines > 2:
            raise BadRequest("bad_arguments", "too many")

        def begin(outlet: Outlet) -> Close:
            assert outlet.clear
            for number in range(int(lines)):
                outlet.send({"n": number})
            outlet.end()
            assert not outlet.send({"n": "after the end"})
            return lambda: None

        return begin

    async def story(server: Server) -> None:
        server.control.openers = {"log": log}
        talker = await dial(server)
        assert (await talker.ask(1, "log", lines=3))["error"]["code"] == "bad_arguments"
        assert await talker.ask(2, "log", lines=2) == {"id": 2, "ok": True, "value": None}
        assert [await talker.receive() for _ in range(3)] == [
            {"id": 2, "event": {"n": 0}},
            {"id": 2, "event": {"n": 1}},
            {"id": 2, "end": True},
        ]
        assert next(iter(server.control.clients)).idle

    play(tmp_path, story)


def test_an_answer_too_big_for_a_frame_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(server: Server) -> None:
        async def huge() -> bytes:
            return bytes(9 * 2**20)

        server.control.handlers = {"version": huge}
        talker = await dial(server)
        assert "the most is" in (await talker.ask(1, "version"))["error"]["text"]

    play(tmp_path, story)


def test_the_socket_is_for_user_and_group_and_goes_with_the_server(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        assert stat.S_IMODE(os.stat(server.control.path).st_mode) == 0o660

    play(tmp_path, story)
    assert not (tmp_path / "s.sock").exists()


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
