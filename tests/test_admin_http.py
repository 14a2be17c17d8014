"""admin_http: what HTTP does on a connection, with real sockets: framing, limits, deadlines, and clients gone wrong."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.admin_client import Asker, everything, parsed
from trackflowd import admin_http
from trackflowd.admin_http import MAX_BODY, MAX_HEAD, Server
from trackflowd.admin_words import Answer, Request, json_answer
from trackflowd.errors import ConfigError, ControlError

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(request: Request) -> Answer:
    """Says what was asked; some targets have answers of their own."""
    if request.target == b"/stream":
        return Answer(200, pieces(3), "text/plain")
    if request.target == b"/breaks":
        return Answer(200, pieces(3, breaks=ControlError("the store is gone")), "text/plain")
    if request.target == b"/bug":
        return Answer(200, pieces(3, breaks=KeyError("bug")), "text/plain")
    if request.target == b"/endless":
        return Answer(200, pieces(10**6, b"x" * 65536), "text/plain")
    if request.target == b"/big":
        return Answer(200, b"x" * 2**24, "text/plain")
    value = {
        "method": request.method, "target": request.target.decode(), "auth": list(request.authorization),
        "body": len(request.body),
    }  # fmt: skip
    return json_answer(value, 201, [("X-Own", "yes")])


async def pieces(count: int, piece: bytes = b"piece ", breaks: Exception | None = None) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield piece
    if breaks:
        raise breaks


Story = Callable[[Server, Asker], Awaitable[None]]


def served(story: Story) -> None:
    async def run() -> None:
        server = Server("127.0.0.1:0", echo)
        await server.start()
        try:
            await story(server, Asker(server.address))
        finally:
            server.close()
            await asyncio.gather(*server.connections.values(), return_exceptions=True)
            assert not server.connections

    asyncio.run(run())


def raw(*pieces: bytes, end: bool = True) -> bytes:
    """What is answered to bytes on one connection."""
    answers = []

    async def story(server: Server, asker: Asker) -> None:
        answers.append(await asyncio.to_thread(asker.raw, *pieces, end=end))

    served(story)
    return answers[0]


def test_a_request_is_answered_with_the_usual_headers() -> None:
    async def story(server: Server, asker: Asker) -> None:
        reply = await asyncio.to_thread(asker.ask, "PATCH", "/x?y=1", b"{}", Authorization="Bearer t")
        assert reply.json == {"method": "PATCH", "target": "/x?y=1", "auth": ["Bearer t"], "body": 2}
        assert reply.status == 201
        expected = {
            "content-type": "application/json", "content-length": str(len(reply.body)), "cache-control": "no-store",
            "x-content-type-options": "nosniff", "x-own": "yes",
        }  # fmt: skip
        assert {name: reply.headers.get(name) for name in expected} == expected
        assert reply.headers["date"].endswith("GMT")

    served(story)


def test_a_connection_serves_one_request_after_another_also_sent_ahead() -> None:
    answer = raw(GET, GET + b"POST /y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + GET)
    assert answer.count(b"HTTP/1.1 201") == 4
    assert answer.count(b'"body":3') == 1
    assert b"Connection: close" not in answer


@pytest.mark.parametrize(
    "request_", [b"GET /x HTTP/1.0\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]
)
def test_a_client_that_wants_no_more_is_closed(request_: bytes) -> None:
    reply = parsed(raw(request_, end=False))
    assert (reply.status, reply.headers["connection"]) == (201, "close")


def test_head_gets_the_head_of_the_answer() -> None:
    whole, head = parsed(raw(GET)), parsed(raw(GET.replace(b"GET", b"HEAD")))
    assert head.body == b""
    assert int(head.headers["content-length"]) == len(whole.body) + 1  # "HEAD" is a letter longer
    assert b"piece" not in raw(b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n")


def test_a_stream_comes_in_chunks_and_to_an_old_client_until_the_end() -> None:
    answer = raw(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert b"Transfer-Encoding: chunked" in answer
    assert answer.count(b"6\r\npiece \r\n") == 3
    assert b"\r\n0\r\n\r\nHTTP/1.1 201" in answer
    assert parsed(raw(b"GET /stream HTTP/1.0\r\n\r\n", end=False)).body == b"piece " * 3


def test_a_stream_that_breaks_off_has_no_end(caplog: pytest.LogCaptureFixture) -> None:
    answer = raw(b"GET /breaks HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"HTTP/1.1 200" in answer
    assert b"\r\n0\r\n" not in answer
    assert "an answer breaks off: the store is gone" in caplog.text
    assert raw(b"GET /bug HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"(reset)")
    assert "a connection is given up" in caplog.text
    assert raw(b"GET /breaks HTTP/1.0\r\n\r\n", end=False).endswith(b"(reset)")


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"\x16\x03\x01\x00\x01\r\n\r\n", (400, "bad_request")),
        (b"GET /x\r\n\r\n", (400, "bad_request")),
        (b"GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", (400, "bad_request")),
        (b"GET /x HTTP/1.1\r\n\r\n", (400, "bad_request")),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (400, "bad_request")),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", (400, "bad_request")),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nA: b\r\n c\x00\r\n\r\n", (400, "bad_request")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", (400, "bad_request")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nab", (400, "bad_request")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nab", (400, "bad_request")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"9" * 5000, (400, "bad_request")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", (400, "bad_request")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", (400, "bad_request")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", (400, "bad_request")),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2 * MAX_HEAD + b"\r\n\r\n", (431, "head_too_large")),
        (b"GET /" + b"x" * 2 * MAX_HEAD, (431, "head_too_large")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", (413, "too_large")),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (MAX_BODY + 1)
         + b"x" * (MAX_BODY + 1), (413, "too_large")),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_with_a_reason_and_the_connection_ends(
    sent: bytes, error: tuple[int, str]
) -> None:
    reply = parsed(raw(sent))
    assert reply.error == error
    assert reply.headers["connection"] == "close"


def test_a_refusal_repeats_nothing_of_what_was_sent() -> None:
    answer = raw(b"GET /x HTTP/1.1\r\nHost: a\r\nAuthorization\x00: Bearer tft_1_secret\r\n\r\n")
    assert b"HTTP/1.1 400" in answer
    assert b"secret" not in answer


def test_a_client_that_asks_first_is_told_to_send_or_not_to() -> None:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    assert raw(head % (MAX_BODY + 1), end=False).startswith(b"HTTP/1.1 413")

    async def story(server: Server, asker: Asker) -> None:
        with asker.connect() as sock:
            sock.sendall(head % 3)
            assert await asyncio.to_thread(sock.recv, 100) == b"HTTP/1.1 100 \r\n\r\n"
            sock.sendall(b"abc")
            assert (await asyncio.to_thread(sock.recv, 100)).startswith(b"HTTP/1.1 201")

    served(story)


def test_a_body_too_large_is_told_to_a_client_that_is_still_sending() -> None:
    sent = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % 2**19 + b"x" * 2**19
    assert parsed(raw(sent)).error == (413, "too_large")


@pytest.mark.parametrize(
    ("sent", "limit", "answer"),
    [
        (b"", "IDLE_SECONDS", b""),
        (GET, "IDLE_SECONDS", b"HTTP/1.1 201"),
        (b"GET /x HT", "HEAD_SECONDS", b"HTTP/1.1 408"),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "BODY_SECONDS", b"HTTP/1.1 408"),
    ],
)
def test_a_client_that_dawdles_is_closed(
    sent: bytes, limit: str, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_http, limit, 0.05)
    assert raw(sent, end=False)[:12] == answer


@pytest.mark.parametrize("target", [b"/big", b"/endless"])
def test_a_client_that_does_not_read_is_closed(target: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_http, "WRITE_SECONDS", 0.05)

    async def story(server: Server, asker: Asker) -> None:
        with asker.connect() as sock:
            sock.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            while not server.connections:
                await asyncio.sleep(0.005)
            await asyncio.gather(*server.connections.values())
            assert len(await asyncio.to_thread(everything, sock)) < 2**24

    served(story)


async def opened(server: Server, asker: Asker, count: int) -> list[socket.socket]:
    """So many connections that have asked for something and got it."""
    socks = [asker.connect() for _ in range(count)]
    for sock in socks:
        sock.sendall(GET)
        assert (await asyncio.to_thread(sock.recv, 65536)).startswith(b"HTTP/1.1 201")
    while not all(connection.idle_since for connection in server.connections):
        await asyncio.sleep(0)
    return socks


def test_where_all_connections_are_taken_the_one_idle_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_http, "MAX_CONNECTIONS", 3)

    async def story(server: Server, asker: Asker) -> None:
        socks = await opened(server, asker, 3)
        socks[0].sendall(GET)  # no longer the one
        await asyncio.to_thread(socks[0].recv, 65536)
        assert (await asyncio.to_thread(asker.get, "/x")).status == 201
        socks[1].settimeout(60)
        await asyncio.to_thread(everything, socks[1])  # ends
        for sock in (socks[0], socks[2]):
            sock.sendall(GET)
            assert b"201" in await asyncio.to_thread(sock.recv, 65536)
        for sock in socks:
            sock.close()

    served(story)


def test_where_none_is_idle_the_next_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_http, "MAX_CONNECTIONS", 2)

    async def story(server: Server, asker: Asker) -> None:
        socks = [asker.connect() for _ in range(2)]
        for sock in socks:
            sock.sendall(b"GET /x HTTP")
        while len(server.connections) < 2 or any(connection.idle_since for connection in server.connections):
            await asyncio.sleep(0.005)
        reply = parsed(await asyncio.to_thread(asker.raw, GET))
        assert (reply.error, reply.headers["retry-after"]) == ((503, "too_many_connections"), "2")
        assert server.refused["too_many_connections"] == 1
        socks[0].sendall(b"/1.1\r\nHost: a\r\n\r\n")
        assert b"201" in await asyncio.to_thread(socks[0].recv, 65536)
        for sock in socks:
            sock.close()

    served(story)


def test_a_flood_is_not_even_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_http, "MAX_CONNECTIONS", 0)
    answer = raw(GET)
    assert answer in (b"", b"(reset)")


def test_a_taken_port_names_the_option() -> None:
    async def story(server: Server, asker: Asker) -> None:
        with pytest.raises(ConfigError, match=f"admin.listen: 127.0.0.1:{asker.port}: port {asker.port} is taken"):
            await Server(server.address, echo).start()

    served(story)


def test_an_end_ends_every_connection() -> None:
    async def story(server: Server, asker: Asker) -> None:
        socks = await opened(server, asker, 2)
        server.close()
        for sock in socks:
            await asyncio.to_thread(everything, sock)
            sock.close()
        with pytest.raises(ConnectionRefusedError):
            asker.connect()

    served(story)


def test_json_answers_are_json() -> None:
    assert json.loads(parsed(raw(GET)).body)["method"] == "GET"


def test_bytes_gone_wrong_hurt_nobody_else() -> None:
    """Requests with bytes changed, left out, doubled, from a seed: each is answered or closed, and then others are."""
    rng = random.Random(7)
    seeds = (GET, b"POST /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    def wrong() -> bytes:
        raw = bytearray(rng.choice(seeds) + rng.choice(seeds))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(3)] = rng.choice((b"", b"\r\n", b"\x00", rng.randbytes(2), raw[:at]))
        return bytes(raw)

    async def story(server: Server, asker: Asker) -> None:
        for _ in range(150):
            sent = wrong()
            answer = await asyncio.to_thread(asker.raw, sent)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 ", b"(reset)")), sent
        assert (await asyncio.to_thread(asker.get, "/x")).status == 201

    served(story)
