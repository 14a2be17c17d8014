"""trackflowd.webhook: a real HTTP server is told, whatever it does about it."""

from __future__ import annotations

import json
import logging
import queue
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from trackflowd import webhook
from trackflowd.webhook import Undelivered, Webhook, post

PATIENCE = 30.0


class Server(ThreadingHTTPServer):
    """Notes what it is told, and answers what ``answers`` says, then 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told: queue.Queue[tuple[str, dict[str, str], Any]] = queue.Queue()
        self.answers: list[int] = []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook?key=s3cret"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.put((self.path, dict(self.headers), body))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == -1:  # trickle
            while not self.server.over.wait(0.02):
                self.wfile.write(b"H")
            return
        if status == 0:  # hang
            self.server.over.wait(PATIENCE)
            return
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(webhook, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(webhook, "MOST_WAIT", 0.001)


@pytest.fixture
def hook(server: Server) -> Iterator[Webhook]:
    hook = Webhook(server.url, PATIENCE)
    yield hook
    hook.close()


def done(hook: Webhook, **count: int) -> None:
    """Wait until so many messages were sent, failed or dropped."""
    waiting = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if all(getattr(hook.count, name) >= number for name, number in count.items()):
            return
        waiting.wait(0.01)
    raise AssertionError(f"not {count}: {hook.count}")


def test_a_message_is_posted_as_json(server: Server, hook: Webhook) -> None:
    hook.put({"name": "store_away", "text": "größer"})
    path, headers, body = server.told.get(timeout=PATIENCE)
    assert (path, headers["Content-Type"]) == ("/hook?key=s3cret", "application/json")
    assert headers["User-Agent"].startswith("trackflowd/")
    assert body == {"name": "store_away", "text": "größer"}
    done(hook, sent=1)


def test_a_user_in_the_url_is_sent_as_basic_auth(server: Server) -> None:
    post(server.url.replace("://", "://u%40x:p%3aw@"), b"{}", PATIENCE)
    assert server.told.get(timeout=PATIENCE)[1]["Authorization"] == "Basic dUB4OnA6dw=="


def test_what_does_not_arrive_is_tried_again_in_order_and_said_once(
    server: Server, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.answers = [500, 429, 503, 200, 200]
    for number in (1, 2):
        hook.put({"number": number})
    assert [server.told.get(timeout=PATIENCE)[2]["number"] for _ in range(5)] == [1, 1, 1, 1, 2]
    done(hook, sent=2, failed=3)
    assert hook.count.dropped == 0
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, told
    assert told[0].startswith("alerts.webhook: an alert could not be told: it answers 500")
    assert told[1] == "alerts.webhook: alerts are told again, after 3 failed tries"


@pytest.mark.parametrize("status", [302, 307, 400, 404])
def test_an_answer_that_will_not_change_is_not_asked_for_again(
    server: Server, hook: Webhook, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [status]
    hook.put({"number": 1})
    hook.put({"number": 2})
    done(hook, sent=1, failed=1, dropped=1)
    assert [server.told.get(timeout=PATIENCE)[2]["number"] for _ in range(2)] == [1, 2]
    assert ("redirect" in caplog.text) == (status < 400)
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("how", [0, -1])
def test_a_server_that_hangs_or_trickles_is_left_after_the_timeout(server: Server, how: int) -> None:
    server.answers = [how]
    with pytest.raises(Undelivered, match=r"no answer within 0\.2 s") as caught:
        post(server.url, b"{}", 0.2)
    assert caught.value.again


def test_whoever_puts_is_never_kept_waiting_and_what_is_too_much_is_left_out(
    server: Server, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [0]
    hook.put({})
    server.told.get(timeout=PATIENCE)  # the thread hangs in this one
    for _ in range(webhook.WAITING + 5):
        hook.put({})
    assert (hook.waiting, hook.count.dropped) == (webhook.WAITING, 5)
    assert [record.message for record in caplog.records] == [
        "alerts.webhook: an alert is not told: 64 wait already (said once, until one is told)"
    ]
    hook.close()


def test_nobody_there_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Undelivered, match="refused") as caught:
        post(f"http://127.0.0.1:{port}/", b"{}", PATIENCE)
    assert caught.value.again
    monkeypatch.setattr(webhook, "TRIES", 0.0)
    hook = Webhook(f"http://127.0.0.1:{port}/", PATIENCE)
    hook.put({})
    done(hook, failed=1, dropped=1)
    hook.close()


def test_a_server_without_a_right_certificate_is_told_nothing(server: Server) -> None:
    with pytest.raises(Undelivered):
        post(server.url.replace("http:", "https:"), b"{}", 1.0)
    assert server.told.empty()


def test_what_is_no_http_is_no_answer(server: Server) -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 smtp ready\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        with pytest.raises(Undelivered) as caught:
            post(f"http://127.0.0.1:{listener.getsockname()[1]}/", b"{}", PATIENCE)
        assert str(caught.value)
        thread.join(PATIENCE)


def test_without_a_url_nothing_happens() -> None:
    hook = Webhook("", 1.0)
    hook.put({})
    assert (hook.waiting, hook.count) == (0, webhook.Count())
    hook.close()
