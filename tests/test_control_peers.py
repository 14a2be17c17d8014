"""The control socket when there are many clients, and such that may only look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.control_server import STRANGER, Server, connect, dial, play
from trackflowd import control
from trackflowd.peer import Peer, peer_of


def test_who_comes_to_a_full_house_takes_the_place_of_the_longest_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CLIENTS", 3)

    async def story(server: Server) -> None:
        busy, idle, fresh = await dial(server), await dial(server), await dial(server)
        await busy.ask(1, "tail")
        assert (await fresh.ask(1, "version"))["ok"]
        assert (await (await dial(server)).ask(1, "version"))["ok"]
        assert (await idle.receive() or {})["error"]["code"] == "too_many_clients"
        assert await idle.receive() is None
        server.tail.offer([{"n": 1}])
        assert await busy.receive() == {"id": 1, "event": {"n": 1}}
        assert (await fresh.ask(2, "version"))["ok"]

    play(tmp_path, story)


def strangers(monkeypatch: pytest.MonkeyPatch) -> list[Peer]:
    """Whom the next connections are taken for; whoever is not in the list is the daemon's own user."""
    coming: list[Peer] = []
    real = peer_of
    monkeypatch.setattr(control, "peer_of", lambda sock: coming.pop(0) if coming else real(sock))
    return coming


def test_others_can_neither_keep_the_owner_out_nor_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CLIENTS", 2)
    monkeypatch.setattr(control, "RESERVED", 1)
    coming = strangers(monkeypatch)

    async def story(server: Server) -> None:
        for _ in range(2):
            coming.append(STRANGER)
            await (await dial(server)).ask(1, "tail")
        coming.append(STRANGER)
        refused = await connect(server)
        assert (await refused.receive() or {})["error"]["text"].startswith("2 clients are connected")
        owner = await dial(server)
        assert (await owner.ask(1, "version"))["ok"]
        coming.append(STRANGER)
        refused = await connect(server)
        assert (await refused.receive() or {})["error"]["code"] == "too_many_clients"
        assert (await owner.ask(2, "version"))["ok"]
        await (await dial(server)).ask(1, "version")  # the owner again: in the place of its own idle connection
        assert (await owner.receive() or {})["error"]["code"] == "too_many_clients"

    play(tmp_path, story)


def test_who_may_only_look_may_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coming = strangers(monkeypatch)

    async def story(server: Server) -> None:
        coming.append(STRANGER)
        talker = await dial(server)
        assert (await talker.ask(1, "version"))["ok"]
        error = (await talker.ask(2, "flush"))["error"]
        assert (error["code"], "may only look" in error["text"]) == ("not_permitted", True)
        assert (await talker.ask(3, "tail"))["ok"]
        (entry,) = server.audit.last(10)
        assert (entry["uid"], entry["pid"], entry["command"]) == (*STRANGER, "flush")
        assert (entry["ok"], entry["code"]) == (False, "not_permitted")

    play(tmp_path, story)


def test_acting_commands_are_noted_with_their_outcome_and_others_are_not(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        talker = await dial(server)
        await talker.ask(1, "version")
        talker.send({"id": 2, "name": "flush", "args": {"wait": 5}})
        server.gate.set()
        assert (await talker.receive() or {})["ok"]
        (entry,) = server.audit.last(10)
        assert entry | {"at_ms": 0, "user": ""} == {
            "at_ms": 0, "uid": os.geteuid(), "user": "", "pid": os.getpid(), "command": "flush", "args": {"wait": 5},
            "ok": True, "code": "",
        }  # fmt: skip

    play(tmp_path, story)


def test_an_order_whose_client_leaves_before_it_is_done_is_noted_too(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        talker, other = await dial(server), await dial(server)
        talker.send({"id": 1, "name": "flush"})
        await talker.ask(2, "version")
        await talker.close()
        while not server.audit.last(1):
            assert (await other.ask(1, "version"))["ok"]
        assert server.audit.last(1)[0]["code"] == "client_left"

    play(tmp_path, story)
