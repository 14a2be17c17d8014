"""The proxy between daemon and store: passes on what it is not told to spoil, and spoils as its table says."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

from bench.faults.proxy import MODES, Mode, Proxy

INSERT = "/?query=" + quote("INSERT INTO events FORMAT Native")
BODY = bytes(range(256)) * 300


class Handler(BaseHTTPRequestHandler):
    """Answers with the body it was sent."""

    protocol_version = "HTTP/1.1"
    seen: list[bytes]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.read(2)
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(body)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a reset on order


Stand = tuple[Proxy, list[bytes]]


@pytest.fixture
def stand() -> Iterator[Stand]:
    seen: list[bytes] = []
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    proxy = Proxy("127.0.0.1", server.server_port, 1)
    yield proxy, seen
    proxy.close()
    server.shutdown()
    thread.join()
    server.server_close()


def ask(proxy: Proxy, path: str = INSERT, body: bytes = BODY, chunked: bool = False) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    try:
        pieces = [body[:1000], body[1000:]] if len(body) > 1000 else [body]
        connection.request("POST", path, iter(pieces) if chunked else body, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_not_spoilt_goes_through_whole(stand: Stand, chunked: bool) -> None:
    proxy, seen = stand
    assert ask(proxy, chunked=chunked) == (200, BODY)
    assert seen == [BODY]
    assert not proxy.spoilt


def test_requests_of_one_connection_go_through_one_after_another(stand: Stand) -> None:
    proxy, _ = stand
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    for n in range(3):
        connection.request("POST", "/", b"SELECT %d" % n)
        assert connection.getresponse().read() == b"SELECT %d" % n
    connection.close()


def test_an_error_never_reaches_the_store(stand: Stand) -> None:
    proxy, seen = stand
    proxy.set(Mode("error"))
    assert ask(proxy)[0] == 500
    assert (seen, proxy.spoilt["error"]) == ([], 1)


@pytest.mark.parametrize(("statement", "spoilt"), [("INSERT INTO t", 1), ("SELECT 1", 1), ("KILL QUERY", 0)])
@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_text_for_an_answer_is_for_inserts_and_selects(
    stand: Stand, statement: str, spoilt: int, in_body: bool, chunked: bool
) -> None:
    proxy, _ = stand
    proxy.set(Mode("text"))
    path, body = ("/", statement.encode()) if in_body else ("/?query=" + quote(statement), b"1")
    status, answer = ask(proxy, path, body, chunked)
    assert (status, b"DB::Exception" in answer, proxy.spoilt["text"]) == (200, bool(spoilt), spoilt)


def test_a_lost_answer_is_one_the_store_has_given(stand: Stand) -> None:
    proxy, seen = stand
    proxy.set(Mode("lost"))
    with pytest.raises(ConnectionError):
        ask(proxy)
    assert seen == [BODY]


def test_a_cut_body_is_not_whole_at_the_store(stand: Stand) -> None:
    proxy, seen = stand
    proxy.set(Mode("cut", size=10_000))
    with pytest.raises(ConnectionError):
        ask(proxy)
    assert BODY not in seen


def test_a_hanging_request_is_reset_when_the_fault_is_over(stand: Stand) -> None:
    proxy, seen = stand
    proxy.set(Mode("hang"))
    raised: list[BaseException] = []

    def try_it() -> None:
        try:
            ask(proxy)
        except ConnectionError as error:
            raised.append(error)

    asking = threading.Thread(target=try_it)
    asking.start()
    while not proxy.spoilt["hang"]:
        pass
    assert asking.is_alive()
    proxy.set(None)
    asking.join(20)
    assert (len(raised), seen) == (1, [])
    assert ask(proxy) == (200, BODY)


def test_a_slow_store_takes_all_of_it_in_the_end(stand: Stand) -> None:
    proxy, seen = stand
    proxy.set(Mode("slow", size=2_000_000))
    assert ask(proxy) == (200, BODY)
    assert (seen, proxy.spoilt["slow"]) == ([BODY], 1)


def test_a_refusing_store_is_back_on_its_port(stand: Stand) -> None:
    proxy, _ = stand
    port = proxy.port
    proxy.set(Mode("refuse"))
    with pytest.raises(ConnectionRefusedError):
        ask(proxy)
    proxy.set(None)
    assert (ask(proxy), proxy.port) == ((200, BODY), port)


def test_a_share_of_the_requests_is_spared(stand: Stand) -> None:
    proxy, _ = stand
    proxy.set(Mode("error", share=0.5))
    statuses = [ask(proxy, body=b"x")[0] for _ in range(40)]
    assert {*statuses} == {200, 500}


def test_a_store_that_is_gone_is_a_reset(stand: Stand) -> None:
    proxy, _ = stand
    proxy.upstream = ("127.0.0.1", 1)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask(proxy)


def test_every_mode_has_a_fault_that_uses_it() -> None:
    from bench.faults.kinds import KINDS

    assert {f"store-{mode}" for mode in MODES} - {"store-lost"} <= set(KINDS)
    assert "store-lost-reply" in KINDS
