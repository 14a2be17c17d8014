"""A control socket's server with handlers of its own, and clients of it in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from trackflowd.audit import Audit
from trackflowd.control import Control
from trackflowd.errors import QueryError
from trackflowd.peer import Peer
from trackflowd.proto.control import Decoder, encode
from trackflowd.tail import Tail

#: Of a user who is neither root nor the daemon's.
STRANGER = Peer(4_000_000, 77)


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
        self.audit = Audit(path.parent)
        self.control = Control(str(path), handlers, {"tail": self.tail.watch}, self.audit)

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


def play(directory: Path, story: Story) -> None:
    """Serve in directory while the story lasts."""

    async def whole() -> None:
        server = Server(directory / "s.sock")
        await server.control.start()
        try:
            await asyncio.wait_for(story(server), 60)
        finally:
            server.control.close()
            for talker in server.talkers:
                await talker.close()

    asyncio.run(whole())
