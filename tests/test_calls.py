"""The flusher's end of its channel."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from trackflowd.calls import Calls, Errands, Stopped
from trackflowd.errors import QueryError
from trackflowd.proto.control import Decoder, encode


class Supervisor:
    """The other end."""

    def __init__(self) -> None:
        self.end, self.theirs = socket.socketpair()
        self.end.settimeout(10)
        self.lost = threading.Event()
        self.release = threading.Event()
        self._decoder = Decoder()
        self._messages: list[dict[str, Any]] = []
        quick = {"status": lambda: {"state": "ok"}, "broken": lambda: 1 / 0}
        slow = {"query": self._query}
        self.calls = Calls(self.theirs, quick, slow, self.lost.set)
        self.calls.start()

    def _query(self, sql: str) -> bytes:
        if sql == "slow":
            assert self.release.wait(10)
            return b"late"
        raise QueryError("no such table", "look at docs/schema.md")

    def ask(self, number: int, name: str, **args: Any) -> None:
        self.end.sendall(encode({"type": "call", "id": number, "name": name, "args": args}))

    def hear(self) -> dict[str, Any]:
        while not self._messages:
            self._messages += self._decoder.feed(self.end.recv(65536))
        return self._messages.pop(0)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    one = Supervisor()
    yield one
    one.release.set()
    one.end.close()
    assert one.lost.wait(10)
    one.theirs.close()


def test_a_call_is_answered_under_its_number(supervisor: Supervisor) -> None:
    supervisor.ask(7, "status")
    assert supervisor.hear() == {"type": "reply", "id": 7, "ok": True, "value": {"state": "ok"}}


def test_a_slow_query_keeps_no_other_call_waiting(supervisor: Supervisor) -> None:
    supervisor.ask(1, "query", sql="slow")
    supervisor.ask(2, "status")
    assert supervisor.hear()["id"] == 2
    supervisor.release.set()
    assert supervisor.hear() == {"type": "reply", "id": 1, "ok": True, "value": b"late"}


@pytest.mark.parametrize(
    ("name", "args", "code"),
    [
        ("query", {"sql": "SELECT x FROM y"}, "query"),
        ("query", {"nonsense": 1}, "bad_arguments"),
        ("dance", {}, "unknown_command"),
        ("broken", {}, "internal"),
    ],
)
def test_what_fails_is_answered_with_a_code(supervisor: Supervisor, name: str, args: dict[str, Any], code: str) -> None:
    supervisor.ask(3, name, **args)
    answer = supervisor.hear()
    assert (answer["id"], answer["ok"], answer["error"]["code"]) == (3, False, code)
    supervisor.ask(4, "status")
    assert supervisor.hear()["ok"]


def test_messages_of_another_kind_are_passed_over(supervisor: Supervisor) -> None:
    supervisor.end.sendall(encode({"type": "something newer"}))
    supervisor.ask(1, "status")
    assert supervisor.hear()["id"] == 1


@pytest.mark.parametrize("last_words", [b"", b"\xff\xff\xff\xff garbage"])
def test_the_end_of_the_supervisor_is_noticed(supervisor: Supervisor, last_words: bytes) -> None:
    supervisor.end.sendall(last_words)
    supervisor.end.shutdown(socket.SHUT_WR)
    assert supervisor.lost.wait(10)


def test_an_errand_is_done_by_the_loop_and_its_answer_or_error_comes_back() -> None:
    woken: list[int] = []
    errands = Errands(lambda: woken.append(1))
    good = errands.ask(lambda answer: answer.set_result(7))

    def refuse(answer: object) -> None:
        raise QueryError("no")

    bad = errands.ask(refuse)
    assert not good.done() and len(woken) == 2
    errands.serve()
    assert good.result() == 7
    with pytest.raises(QueryError):
        bad.result()


def test_who_waits_for_an_errand_is_told_when_the_loop_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackflowd.calls.LOOK_AROUND", 0.01)
    errands = Errands(lambda: None)
    errands.over.set()
    with pytest.raises(Stopped, match="has ended"):
        errands.do(lambda answer: None)
