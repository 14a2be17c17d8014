from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trackflowd import client, config
from trackflowd.client import Client, candidates, find_socket
from trackflowd.errors import ControlError, QueryError
from trackflowd.proto.control import Decoder, encode, hello

Script = Callable[["Peer"], None]


class Peer:
    """The server's side of one connection, in a thread."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.decoder = Decoder()

    def say(self, *messages: dict[str, Any]) -> None:
        self.sock.sendall(b"".join(encode(message) for message in messages))

    def hear(self) -> dict[str, Any]:
        while True:
            if (message := self.decoder.maybe_next()) is not None:
                return message
            self.decoder.receive(self.sock.recv(65536))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Script], str]]:
    """Start a server that plays a script with its first client; its path."""
    started: list[tuple[threading.Thread, socket.socket, list[BaseException]]] = []

    def begin(script: Script) -> str:
        path = str(tmp_path / "s.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        failed: list[BaseException] = []

        def play() -> None:
            sock, _ = listener.accept()
            with sock:
                try:
                    script(Peer(sock))
                except BaseException as error:
                    failed.append(error)

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        started.append((thread, listener, failed))
        return path

    yield begin
    for thread, listener, failed in started:
        thread.join(30)
        listener.close()
        assert not failed


def test_a_call_returns_the_value(serve: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.say(hello("1.2"))
        asked = peer.hear()
        assert asked == {"id": 1, "name": "stats", "args": {"name": "overview", "from": 1}}
        peer.say({"id": 1, "ok": True, "value": {"a": b"raw"}})

    with Client.connect(serve(script)) as talker:
        assert talker.version == "1.2"
        assert talker.call("stats", name="overview", **{"from": 1}) == {"a": b"raw"}


@pytest.mark.parametrize(("code", "kind"), [("query", QueryError), ("not_stored", ControlError)])
def test_an_error_is_raised_with_its_code_and_hint(
    serve: Callable[[Script], str], code: str, kind: type[Exception]
) -> None:
    def script(peer: Peer) -> None:
        peer.say(hello("1"))
        peer.hear()
        peer.say({"id": 1, "ok": False, "error": {"code": code, "text": "no", "hint": "ask otherwise"}})

    with Client.connect(serve(script)) as talker, pytest.raises(kind) as caught:
        talker.call("query", sql="x")
    assert isinstance(caught.value, QueryError | ControlError)
    assert (caught.value.code, caught.value.text, caught.value.hint) == (code, "no", "ask otherwise")


def test_a_stream_yields_events_and_says_when_it_is_left(serve: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.say(hello("1"))
        assert peer.hear()["args"] == {"site": "a"}
        peer.say(
            {"id": 1, "ok": True, "value": None},
            {"id": 9, "event": {"n": -1}},
            *({"id": 1, "event": {"n": n}} for n in range(5)),
        )
        assert peer.hear() == {"id": 1, "cancel": True}
        peer.say({"id": 1, "event": {"late": 1}})
        assert peer.hear()["id"] == 2
        peer.say({"id": 2, "ok": True, "value": "next"})

    with Client.connect(serve(script)) as talker:
        stream = talker.stream("tail", site="a")
        assert [next(stream)["n"] for _ in range(2)] == [0, 1]
        stream.close()  # type: ignore[attr-defined]
        assert talker.call("version") == "next"


def test_a_stream_that_ends_by_itself_ends_the_loop_and_the_connection_goes_on(serve: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.say(hello("1"))
        peer.hear()
        peer.say({"id": 1, "ok": True, "value": None}, {"id": 1, "event": {"n": 0}}, {"id": 1, "end": True})
        while (message := peer.hear()).get("cancel"):
            pass
        peer.say({"id": message["id"], "ok": True, "value": "next"})

    with Client.connect(serve(script)) as talker:
        assert list(talker.stream("log", lines=1, follow=False)) == [{"n": 0}]
        assert talker.call("version") == "next"


def test_why_an_idle_connection_was_closed_is_told_at_the_next_call(serve: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.say(hello("1"), {"id": 0, "ok": False, "error": {"code": "too_many_clients", "text": "idle", "hint": ""}})
        peer.hear()

    with Client.connect(serve(script)) as talker, pytest.raises(ControlError, match="idle") as caught:
        talker.call("version")
    assert caught.value.code == "too_many_clients"


def test_a_refused_stream_is_refused_at_once(serve: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.say(hello("1"))
        peer.hear()
        peer.say({"id": 1, "ok": False, "error": {"code": "bad_arguments", "text": "no", "hint": ""}})

    with Client.connect(serve(script)) as talker, pytest.raises(ControlError):
        talker.stream("tail", nonsense=1)


GREETINGS: dict[str, tuple[bytes, str]] = {
    "another program": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a frame of"),
    "another protocol": (encode({**hello("9"), "protocol": 9}), "protocol 9"),
    "a full house": (encode({"id": 0, "ok": False, "error": {"code": "too_many_clients", "text": "full"}}), "full"),
    "nothing": (b"", "closed the connection"),
}


@pytest.mark.parametrize(("raw", "said"), GREETINGS.values(), ids=GREETINGS)
def test_a_greeting_that_is_not_ours_is_explained(serve: Callable[[Script], str], raw: bytes, said: str) -> None:
    path = serve(lambda peer: peer.sock.sendall(raw))
    with pytest.raises(ControlError, match=said):
        Client.connect(path)


def test_a_daemon_that_goes_away_during_a_call_is_explained(serve: Callable[[Script], str]) -> None:
    def script(peer: Peer) -> None:
        peer.say(hello("1"))
        peer.hear()

    with Client.connect(serve(script)) as talker, pytest.raises(ControlError, match="closed the connection"):
        talker.call("status")


def test_a_daemon_that_is_stopped_does_not_hold_us_for_ever(serve: Callable[[Script], str]) -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.say(hello("1"))
        done.wait(30)

    with Client.connect(serve(script)) as talker, pytest.raises(ControlError, match="does not answer"):
        talker.call("status", timeout=0.05)
    done.set()


def test_nobody_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no trackflowd listens") as caught:
        Client.connect(str(tmp_path / "s.sock"))
    assert "trackflowd run" in caught.value.hint


def dead_socket(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def live_socket(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def test_a_flag_goes_before_everything_and_is_taken_as_it_is() -> None:
    env = {"TRACKFLOW_SOCKET": "/env.sock"}
    assert find_socket("/flag.sock", env, "/data") == "/flag.sock"
    assert find_socket(None, env, "/data") == "/data/control.sock"
    assert find_socket(None, env) == "/env.sock"


def test_places_are_looked_at_in_order_and_dead_sockets_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "SYSTEM_SOCKET", str(tmp_path / "run" / "control.sock"))
    env = {"TRACKFLOW_DAEMON_DATA_DIR": str(tmp_path / "data")}
    assert candidates(env) == [".data/control.sock", str(tmp_path / "data/control.sock"), client.SYSTEM_SOCKET]
    with pytest.raises(ControlError, match="no running trackflowd found") as caught:
        find_socket(None, env)
    assert str(tmp_path / "data/control.sock") in caught.value.text
    dead_socket(tmp_path / ".data" / "control.sock")
    system = live_socket(tmp_path / "run" / "control.sock")
    assert find_socket(None, env) == client.SYSTEM_SOCKET
    own = live_socket(tmp_path / "data" / "control.sock")
    assert find_socket(None, env) == str(tmp_path / "data/control.sock")
    system.close()
    own.close()


def test_a_wrong_environment_does_not_keep_the_tools_from_looking() -> None:
    with pytest.raises(Exception, match="no option"):
        config.load(None, (), {"TRACKFLOW_HTTP_NONSENSE": "1"})
    assert candidates({"TRACKFLOW_HTTP_NONSENSE": "1"}) == [client.LOCAL_SOCKET, client.SYSTEM_SOCKET]
