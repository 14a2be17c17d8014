"""Which version a store has, asked by who changes nothing there: no table, no schema, no database is made.

An embedded store is not opened, which only its flusher may do: its version is that of the library.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from trackflowd.errors import TrackflowError
from trackflowd.sink import clickhouse, cluster, outcome, pg_outcome, postgres
from trackflowd.sink.base import SinkOptions, masked
from trackflowd.sink.engine import Server
from trackflowd.sink.pg_link import Link, address

#: The library of the embedded engine.
EMBEDDED = "chdb-core"


class Answer(NamedTuple):
    """What one store said: its url without secrets, its version ("": none), the error there was, and a hint."""

    url: str
    version: str = ""
    error: str = ""
    hint: str = ""


def least(url: str) -> str:
    """The oldest version of a kind of store that will do; "" where nothing is asked of it."""
    if url.startswith(("postgresql:", "postgres:")):
        return str(postgres.LEAST_VERSION)
    return ".".join(map(str, clickhouse.LEAST_VERSION)) if url.startswith(("clickhouse", "chdb")) else ""


def ask(url: str, timeout_s: float, clustered: bool = False) -> Sequence[Answer]:
    """Ask a store, or each host of a cluster.

    Args:
        url: ``store.url``.
        timeout_s: seconds each may take.
        clustered: it names the hosts of a cluster.
    """
    if url.startswith("null:"):
        return [Answer(url)]
    if url.startswith("chdb:"):
        try:
            return [Answer(url, metadata.version(EMBEDDED))]
        except metadata.PackageNotFoundError:
            return [Answer(url, "", f"{EMBEDDED} is not installed", "pip install 'trackflowd[embedded]'")]
    try:
        urls = cluster.hosts_of(url) if clustered else [url]
    except TrackflowError as error:
        return [Answer(masked(url), "", error.text, error.hint)]
    return [_ask(one, timeout_s) for one in urls]


def _ask(url: str, timeout_s: float) -> Answer:
    postgresql = url.startswith(("postgresql:", "postgres:"))
    try:
        version = _postgres(url, timeout_s) if postgresql else _clickhouse(url, timeout_s)
    except TrackflowError as error:
        return Answer(masked(url), "", error.text, error.hint)
    except Exception as error:  # whatever a driver raises: this is its border
        said = pg_outcome.of_question(error) if postgresql else outcome.of_question(error)
        return Answer(masked(url), "", said.text, said.hint)
    return Answer(masked(url), version)


def _postgres(url: str, timeout_s: float) -> str:
    link = Link(address(url), {}, timeout_s)
    try:

        async def version(connection: object) -> str:
            found = connection.get_server_version()  # type: ignore[attr-defined]
            return f"{found.major}.{found.minor}"

        return link.run(version, timeout_s)
    finally:
        link.close()


def _clickhouse(url: str, timeout_s: float) -> str:
    server = Server(url, SinkOptions(Path(), timeout_s))
    client = server.writer()
    try:
        return str(client.server_version)
    finally:
        server.release(client)
