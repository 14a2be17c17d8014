"""The listeners a worker serves, and how a connection of each begins.

Which are a worker's to serve is in the shared page and may change with every tick. Their numbers go by ``http.listen``:
of each of its addresses there are as many as the supervisor opened for it. A plain listener's connection is a ``Door``
from the start; whatever else a listener asks for stands before it and costs the others nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from trackflowd.certificates import Certificates, Pair
from trackflowd.door import Door
from trackflowd.endpoint import Endpoint, read_endpoint
from trackflowd.hall import Hall
from trackflowd.keeper import CallSoon
from trackflowd.porch import Porch, Unannounced
from trackflowd.redirect import Signpost
from trackflowd.sealed import Sealed
from trackflowd.sections import Config
from trackflowd.tlssection import Tls

MakeDoor = Callable[[CallSoon], Door]


class Entrances:
    """Listeners that are served.

    Args:
        cfg: the options.
        fds: descriptors of all listeners there are, by number.
        hall: of the worker.
        door: makes a new connection of it.
        now: monotonic seconds.
    """

    def __init__(self, cfg: Config, fds: Sequence[int], hall: Hall, door: MakeDoor, now: float) -> None:
        self._fds = list(fds)
        self._backlog = cfg.http.backlog
        self._endpoints = [read_endpoint(text) for text in cfg.http.listen]
        self._each = max(len(fds) // len(self._endpoints), 1)
        self._door = door
        self._porch = Porch(hall, cfg.tls, now)
        self._servers: dict[int, asyncio.Server] = {}

    @property
    def open(self) -> bool:
        """Whether connections are taken anywhere, or are on their way in."""
        return bool(self._servers or self._porch.guests)

    def tick(self, now: float) -> None:
        """Take the time (monotonic seconds)."""
        self._porch.tick(now)

    def counts(self) -> dict[str, int]:
        """What was counted, by the names of ``counters``."""
        return {"proxy_missing": self._porch.unannounced, "tls_failed": self._porch.unsealed}

    def take(self, tls: Tls) -> None:
        """Take on the options."""
        self._porch.tls = tls

    def seal(self, pairs: Sequence[Mapping[str, Any]]) -> None:
        """Speak TLS with these certificates from now on (``certificates.as_message``).

        Raises:
            ConfigError: they cannot be used.
        """
        self._porch.certificates = Certificates([Pair(**each) for each in pairs])

    async def serve(self, loop: asyncio.AbstractEventLoop, numbers: Iterable[int]) -> None:
        """Take connections at the listeners with these numbers, and at no other."""
        ours = self._apart(numbers)
        for number in self._servers.keys() - ours:
            self._servers.pop(number).close()
        for number in sorted(ours - self._servers.keys()):
            self._servers[number] = await self._open(loop, number)

    def _apart(self, numbers: Iterable[int]) -> set[int]:
        """Without those that cannot be served yet, or are the same unix socket once more: the first is enough."""
        apart: dict[int, int] = {}
        for number in sorted(numbers):
            group = number // self._each
            if not self._endpoints[group].tls or self._porch.certificates is not None:
                apart.setdefault(group if self._endpoints[group].path else -1 - number, number)
        return set(apart.values())

    async def _open(self, loop: asyncio.AbstractEventLoop, number: int) -> asyncio.Server:
        endpoint = self._endpoints[number // self._each]
        sock = socket.socket(fileno=os.dup(self._fds[number]))
        factory = self._factory(endpoint, loop.call_soon)
        if endpoint.path:
            return await loop.create_unix_server(factory, sock=sock, backlog=self._backlog)
        return await loop.create_server(factory, sock=sock, backlog=self._backlog)

    def close(self) -> None:
        """Take no more connections; those that are on their way in have to hurry."""
        for number in list(self._servers):
            self._servers.pop(number).close()
        self._porch.drain()

    def _signpost(self, port: int, call_soon: CallSoon) -> Door:
        return Signpost(self._porch.hall, call_soon, port)

    def _factory(self, endpoint: Endpoint, call_soon: CallSoon) -> Callable[[], asyncio.Protocol]:
        """What a new connection of a listener begins as."""
        porch, port = self._porch, endpoint.redirect
        door = partial(self._signpost, port) if port else self._door
        if endpoint.proxy and endpoint.tls:
            return lambda: Unannounced(porch, Sealed(porch, door(call_soon), call_soon))
        if endpoint.proxy:
            return lambda: Unannounced(porch, door(call_soon))
        if endpoint.tls:
            return lambda: Sealed(porch, door(call_soon), call_soon)
        if endpoint.trusted:
            return lambda: Trusted(door(call_soon))
        return lambda: door(call_soon)


class Trusted(asyncio.Protocol):
    """The first moment of a connection of whose peer we know that it is a proxy whose word counts.

    Args:
        door: has the connection from then on.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        transport.set_protocol(self._door)
        self._door.arrive(transport, "", True)
