from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trackflowd import admin
from trackflowd.admin import Admin, Answer, respond
from trackflowd.errors import ConfigError


def ready() -> Answer:
    return 503, {"ready": False, "reason": "store away"}


ROUTES: dict[str, Callable[[], Answer]] = {"/healthz": lambda: (200, {"alive": True}), "/readyz": ready}


def parsed(raw: bytes) -> tuple[int, dict[str, Any] | None]:
    head, _, body = raw.partition(b"\r\n\r\n")
    if body:
        assert f"Content-Length: {len(body)}".encode() in head
    return int(head.split()[1]), json.loads(body) if body else None


def test_alive_and_ready_are_different_answers() -> None:
    assert parsed(respond(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", ROUTES)) == (200, {"alive": True})
    status, body = parsed(respond(b"GET /readyz?x=1 HTTP/1.0\r\n\r\n", ROUTES))
    assert (status, body) == (503, {"ready": False, "reason": "store away"})


def test_head_gets_the_head_only() -> None:
    status, body = parsed(respond(b"HEAD /readyz HTTP/1.1\r\n\r\n", ROUTES))
    assert (status, body) == (503, None)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /healthz/ HTTP/1.1\r\n\r\n", 404),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 404),
        (b"POST /healthz HTTP/1.1\r\n\r\n", 405),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET  /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"", 400),
    ],
)
def test_anything_else_is_refused_with_a_reason(head: bytes, status: int) -> None:
    got, body = parsed(respond(head, ROUTES))
    assert got == status
    assert body is not None
    assert body["reason"]


def served(story: Callable[[Admin, int], Awaitable[None]]) -> None:
    async def run() -> None:
        listener = Admin("127.0.0.1:0", ROUTES)
        await listener.start()
        try:
            await story(listener, int(listener.address.rpartition(":")[2]))
        finally:
            listener.close()

    asyncio.run(run())


async def exchange(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    try:
        answer = await asyncio.wait_for(reader.read(), 30)
    except ConnectionResetError:  # closed without our request being read
        answer = b""
    writer.close()
    return answer


def test_a_probe_gets_its_answer_and_the_connection_is_closed() -> None:
    async def story(listener: Admin, port: int) -> None:
        assert parsed(await exchange(port, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200

    served(story)


def test_a_head_over_the_limit_is_refused() -> None:
    async def story(listener: Admin, port: int) -> None:
        raw = b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 2 * admin.MAX_HEAD
        assert parsed(await exchange(port, raw + b"\r\n\r\n"))[0] == 400

    served(story)


def test_a_probe_that_dawdles_is_closed_and_one_too_many_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "DEADLINE", 0.05)

    async def story(listener: Admin, port: int) -> None:
        assert await exchange(port, b"GET /he") == b""
        monkeypatch.setattr(admin, "MAX_CONNECTIONS", 0)
        assert await exchange(port, b"GET /healthz HTTP/1.1\r\n\r\n") == b""

    served(story)


def test_a_taken_port_names_the_option() -> None:
    async def story(listener: Admin, port: int) -> None:
        with pytest.raises(ConfigError, match=f"admin.listen: 127.0.0.1:{port}: port {port} is taken"):
            await Admin(listener.address, ROUTES).start()

    served(story)
