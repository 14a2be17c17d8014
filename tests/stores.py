"""Where the tests of stores find ClickHouse and PostgreSQL: a url, else the Docker stack, else their own.

========== =============================== ========================================= ============================
kind       url                             Docker, with ``TRACKFLOW_TEST_DOCKER=1``  embedded
========== =============================== ========================================= ============================
clickhouse TRACKFLOW_TEST_CLICKHOUSE_URL   the healthy container ``clickhouse``      tests.clickhouse_front
postgresql TRACKFLOW_TEST_POSTGRESQL_URL   the healthy container ``postgresql``      tests.postgres, from the wheel
chdb                                                                                 in the test's own process
========== =============================== ========================================= ============================

On a server that is not the tests' own each module has a database of its own, removed when it is through. The head of
pytest's output says which are used.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

if TYPE_CHECKING:
    from tests.postgres import Cluster

SERVERS = ("clickhouse", "postgresql")
URL, DOCKER, EMBEDDED = "url", "docker", "embedded"


def found(kind: str, env: Mapping[str, str], docker: Callable[[], Mapping[str, str]]) -> tuple[str, str]:
    """Where a server is taken from, and its url ("": the tests start their own).

    Args:
        kind: one of ``SERVERS``.
        env: the environment.
        docker: urls of the stack's healthy stores by kind.
    """
    if url := env.get(f"TRACKFLOW_TEST_{kind.upper()}_URL"):
        return URL, url
    if env.get("TRACKFLOW_TEST_DOCKER") == "1" and (url := docker().get(kind)):
        return DOCKER, url
    return EMBEDDED, ""


@cache
def of_stack() -> Mapping[str, str]:
    """Urls of the stores that ``trackflow stack up`` started and that are healthy now; empty without an engine."""
    from trackflowd.errors import StackError
    from trackflowd.stack import plan
    from trackflowd.stack.engine import Engine

    meant = plan.load(Path(os.environ.get("TRACKFLOW_STACK") or plan.SHIPPED))
    try:
        with Engine(meant) as engine:
            seen = engine.look()
    except StackError:
        return {}
    healthy = {name for name, one in seen.items() if (one.status, one.health) == ("running", "healthy")}
    return {name: store.outside for name, store in meant.stores.items() if store.outside and name in healthy}


def header() -> str:
    """A line that says which are used."""
    places = {kind: found(kind, os.environ, of_stack) for kind in SERVERS}
    return "stores: " + ", ".join(f"{kind} {place}" for kind, (place, _) in places.items())


class Stores:
    """Stores for one module of tests.

    Args:
        directory: the module's own.
        postgres: gives the session's own PostgreSQL, started when it is first asked for.
    """

    def __init__(self, directory: Path, postgres: Callable[[], Cluster]) -> None:
        self._directory = directory
        self._postgres = postgres
        self._held = ExitStack()

    def url(self, kind: str, name: str, embedded: str = "") -> str:
        """Url of a store that is empty.

        Args:
            kind: "chdb", "clickhouse" or "postgresql".
            name: of its database, for the tests' own PostgreSQL.
            embedded: url to use where nobody gave a ClickHouse server, instead of a front of its own.
        """
        if kind == "chdb":
            return "chdb:"
        place, base = found(kind, os.environ, of_stack)
        if place != EMBEDDED:
            return self._held.enter_context(_database(base))
        if kind == "postgresql":
            return self._postgres().database(name)
        if embedded:
            return embedded
        from tests.front_process import FrontProcess

        return self._held.enter_context(FrontProcess(self._directory / "front")).url

    def close(self) -> None:
        """Remove what was made."""
        self._held.close()


def sql(url: str, statement: str) -> None:
    """Run a statement on a PostgreSQL."""
    import asyncpg

    parts = urlsplit(url)

    async def ask() -> None:
        connection = await asyncpg.connect(
            host=parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0], port=parts.port or 5432,
            user=parts.username, password=parts.password, database=parts.path[1:],
            server_settings={"search_path": "trackflow"},
        )  # fmt: skip
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(ask())


@contextmanager
def _database(base: str) -> Iterator[str]:
    """A new database on somebody's server, removed again."""
    name = f"tf_test_{uuid.uuid4().hex[:12]}"
    parts = urlsplit(base)
    if parts.scheme.startswith("postgres"):
        sql(base, f"CREATE DATABASE {name}")
        yield urlunsplit(parts._replace(path=f"/{name}"))
        sql(base, f"DROP DATABASE {name} WITH (FORCE)")
        return
    import clickhouse_connect

    yield urlunsplit(parts._replace(path=f"/{name}"))  # the sink makes it
    client = clickhouse_connect.get_client(
        host=parts.hostname, port=parts.port or 8123, username=parts.username or "default",
        password=parts.password or "", secure=parts.scheme == "clickhouses",
    )  # fmt: skip
    client.command(f"DROP DATABASE IF EXISTS {name}")
    client.close()
