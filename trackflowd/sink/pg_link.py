"""A connection to PostgreSQL for threads that know no event loop: the home of asyncpg.

::

    postgresql://user[:password]@host[:port]/database[?sslmode=require]
    postgresql://user@/database?host=/run/postgresql        a unix socket, by the directory it is in

A link has an event loop of its own, which runs only while one of its calls does: one thread at a time. Values go in as
the store's own, not as Python's: times as ms since 1970, uuids as 16 bytes, JSON as text. That saves a datetime and a
UUID per row and column (2 µs a row).
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from trackflowd.errors import ConfigError, StoreReject

if TYPE_CHECKING:
    import asyncpg

Answer = TypeVar("Answer")

SCHEMES = ("postgresql", "postgres")
DEFAULT_DATABASE = "trackflow"
#: Schema of our tables: a database that serves others too keeps them apart, and "public" may be closed to us.
SCHEMA = "trackflow"

#: Values of sslmode, as libpq has them.
_TLS = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_HINT = "postgresql://user:password@host:5432/database or postgresql://user@/database?host=/run/postgresql"

#: µs from 1970 to 2000, where PostgreSQL's times begin.
_EPOCH = 946_684_800_000_000
_I64 = struct.Struct("!q")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and as whom to go there.

    Args:
        host: a name or address, or the directory of a unix socket.
        user, password: "" leaves them to the driver: the process's user; PGPASSWORD or ~/.pgpass.
        tls: libpq's sslmode.
    """

    host: str
    port: int
    database: str
    user: str
    password: str
    tls: str

    @property
    def identity(self) -> str:
        """The url without secrets."""
        return f"postgresql://{self.host}:{self.port}/{self.database}"


def address(url: str) -> Address:
    """The address of a url.

    Raises:
        ConfigError: it makes no sense.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
        asked = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ConfigError(f"store url: {error}", _HINT) from error
    host = unquote(parts.hostname or "") or asked.pop("host", "")
    tls = asked.pop("sslmode", "prefer")
    database = unquote(parts.path.removeprefix("/")) or DEFAULT_DATABASE
    if parts.scheme not in SCHEMES or not host or asked or parts.fragment or "/" in database or tls not in _TLS:
        raise ConfigError("store url: a host or ?host=/directory, then a database, then at most sslmode", _HINT)
    if host.startswith("/"):
        tls = "disable"
    return Address(host, port, database, unquote(parts.username or ""), unquote(parts.password or ""), tls)


class Link:
    """One connection.

    Args:
        where: the server.
        settings: of the session, over the server's own.
        timeout_s: seconds connecting may take.

    Raises:
        StoreReject: asyncpg is not installed.
    """

    def __init__(self, where: Address, settings: Mapping[str, str], timeout_s: float) -> None:
        try:
            import asyncpg  # here: only where this store is used
        except ImportError as error:
            raise StoreReject("asyncpg is not installed", "pip install 'trackflow[postgres]'") from error
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection | None = None
        try:
            self._connection = self._loop.run_until_complete(
                asyncpg.connect(
                    host=where.host,
                    port=where.port,
                    database=where.database,
                    user=where.user or None,
                    password=where.password or None,
                    ssl=where.tls,
                    timeout=timeout_s,
                    # A plan made while tables were small would be kept for when they are large.
                    statement_cache_size=0,
                    server_settings={"application_name": "trackflowd", "search_path": SCHEMA, **settings},
                )
            )
            self._loop.run_until_complete(_set_codecs(self._connection))
        except BaseException:
            self.drop()
            raise

    def run(self, work: Callable[[asyncpg.Connection], Awaitable[Answer]], timeout_s: float | None = None) -> Answer:
        """What work makes of the connection; raises what it raises, TimeoutError after timeout_s."""
        connection = self._connection
        assert connection is not None

        async def bounded() -> Answer:
            async with asyncio.timeout(timeout_s):
                return await work(connection)

        return self._loop.run_until_complete(bounded())

    @property
    def alive(self) -> bool:
        """It may be used; False once it is known to be broken."""
        return self._connection is not None and not self._connection.is_closed()

    def drop(self) -> None:
        """Let go at once, whatever goes on in it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        if not self._loop.is_closed():
            with contextlib.suppress(Exception):  # of a task that was under way
                self._loop.run_until_complete(self._settle())
            self._loop.close()

    def close(self) -> None:
        """Say goodbye to the server, which then has no backend of ours when this returns."""
        if self._connection is not None:
            with contextlib.suppress(Exception):  # it is let go of in any case
                self.run(lambda connection: connection.close(), 1.0)
        self.drop()

    @staticmethod
    async def _settle() -> None:
        """Have tasks that were left (the driver's request to cancel) ended and transports closed."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def _set_codecs(connection: asyncpg.Connection) -> None:
    """See the module's text. What comes back is the same: ms, 16 bytes, text."""

    async def codec(name: str, encoder: Callable[[Any], bytes], decoder: Callable[[bytes], Any]) -> None:
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="binary")

    await codec("timestamptz", _time, lambda raw: (_I64.unpack(raw)[0] + _EPOCH) // 1000)
    await codec("uuid", bytes, bytes)


def _time(ms: int) -> bytes:
    return _I64.pack(ms * 1000 - _EPOCH)
