"""Queries of people in PostgreSQL: bounded, read-only, each on a connection of its own.

Answers look as ClickHouse's do: times as ``2026-11-24 12:00:00.000`` in UTC, numbers as numbers, a map as an object.
"""

from __future__ import annotations

import csv
import io
import json
import math
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from trackflowd.errors import AnswerTooLong, QueryError
from trackflowd.sink import pg_outcome, pg_readonly
from trackflowd.sink.base import Format, Params, QueryLimits
from trackflowd.sink.pg_link import Address, Link

if TYPE_CHECKING:
    import asyncpg

#: Idle connections kept.
_IDLE = 2

#: Rows fetched at once.
_FETCH = 1000

_FORMATS = ("table", "json", "csv")

_VOLATILE = "SELECT DISTINCT proname::text FROM pg_proc WHERE provolatile = 'v'"


class Readers:
    """Connections for queries; each runs one at a time.

    Args:
        where: the server.
        timeout_s: seconds connecting may take.
    """

    def __init__(self, where: Address, timeout_s: float) -> None:
        self._where = where
        self._timeout = timeout_s
        self._lock = threading.Lock()
        self._open = False
        self._idle: list[tuple[QueryLimits, Link]] = []
        self._volatile: frozenset[str] = frozenset()

    def open(self) -> None:
        """Queries may run from now on."""
        self._open = True

    def close(self) -> None:
        """No more queries; idle connections are closed, the others when their query ends."""
        with self._lock:
            self._open = False
            idle, self._idle = self._idle, []
        for _, link in idle:
            link.close()

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None) -> bytes:
        """See ``base.Sink.query``."""
        if fmt not in _FORMATS:
            raise QueryError(f"no such format: {fmt}", "table, json or csv")
        link = None
        try:
            link = self._take(limits)
            names, rows = self._run(link, sql, limits, params or {})
        except QueryError:
            if link is not None:
                self._give_back(limits, link)
            raise
        except Exception as error:
            if link is not None:
                link.drop()
            raise pg_outcome.of_query(error, limits) from error
        self._give_back(limits, link)
        answer = written(names, rows, fmt)
        if len(answer) > limits.max_answer:
            raise _too_long(limits)
        return answer

    def _run(self, link: Link, sql: str, limits: QueryLimits, params: Params) -> tuple[list[str], list[list[Any]]]:
        if not self._volatile:
            self._volatile = frozenset(row[0] for row in link.run(lambda one: one.fetch(_VOLATILE), self._timeout))
        statement, values = pg_readonly.check(sql, self._volatile, params)
        return link.run(lambda one: _rows(one, statement, values, limits), limits.max_seconds)

    def _take(self, limits: QueryLimits) -> Link:
        """A connection that works: one that was idle may have been ended meanwhile (the server was restarted)."""
        while (link := self._take_idle(limits)) is not None:
            try:
                link.run(lambda one: one.execute(""), self._timeout)
            except Exception:  # whatever it is, another will do
                link.drop()
            else:
                return link
        return Link(self._where, _settings(limits), self._timeout)

    def _take_idle(self, limits: QueryLimits) -> Link | None:
        with self._lock:
            if not self._open:
                raise QueryError("the store is not open yet")
            for n, (made_for, link) in enumerate(self._idle):
                if made_for == limits:
                    del self._idle[n]
                    return link
        return None

    def _give_back(self, limits: QueryLimits, link: Link) -> None:
        with self._lock:
            surplus: Link | None = link
            if self._open and link.alive:
                self._idle.append((limits, link))
                surplus = self._idle.pop(0)[1] if len(self._idle) > _IDLE else None
        if surplus is not None:
            surplus.close()


def _settings(limits: QueryLimits) -> dict[str, str]:
    return {
        "application_name": "trackflowd query",
        "default_transaction_read_only": "on",
        "standard_conforming_strings": "on",  # or a string would not end where pg_readonly sees it end
        "statement_timeout": str(max(int(limits.max_seconds * 1000), 1)),
        "client_connection_check_interval": "2s",
        # The server has no bound for a query, only for each of its sorts and hash tables: some eight at once.
        "work_mem": f"{max(limits.max_memory // 8 // 1024, 4096)}kB",
        "timezone": "UTC",
        "jit": "off",
    }


def _too_long(limits: QueryLimits) -> AnswerTooLong:
    return AnswerTooLong(f"the query answers with more than {limits.max_answer} bytes", "ask for less, or LIMIT")


async def _rows(
    connection: asyncpg.Connection, statement: str, values: Sequence[str | int], limits: QueryLimits
) -> tuple[list[str], list[list[Any]]]:
    """Names of the columns, and rows of plain values."""
    rows: list[list[Any]] = []
    size = 0
    async with connection.transaction(readonly=True):
        prepared = await connection.prepare(statement)
        names = [attribute.name for attribute in prepared.get_attributes()]
        kinds = [attribute.type.name for attribute in prepared.get_attributes()]
        cursor = await prepared.cursor(*values)
        while found := await cursor.fetch(_FETCH):
            for row in found:
                rows.append([plain(value, kind) for value, kind in zip(row, kinds, strict=True)])
                size += sum(len(value) if isinstance(value, str) else 1 for value in rows[-1])
            if len(rows) > limits.max_rows:
                raise AnswerTooLong(
                    f"the query answers with more than {limits.max_rows} rows or {limits.max_answer} bytes"
                )
            if size > limits.max_answer:
                raise _too_long(limits)
    return names, rows


def plain(value: Any, kind: str) -> Any:
    """A value of the driver as None, bool, int, float, Decimal, str, dict or list."""
    if value is None or isinstance(value, bool | int | str):
        return json.loads(value) if kind in ("json", "jsonb") and isinstance(value, str) else _timed(value, kind)
    if isinstance(value, float | Decimal):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if kind == "uuid" else value.hex()
    if isinstance(value, datetime):
        return _written_time(value)
    if isinstance(value, list | tuple):
        return [plain(each, kind.removesuffix("[]")) for each in value]
    return str(value)


def _timed(value: Any, kind: str) -> Any:
    """A timestamptz comes as ms since 1970."""
    if kind != "timestamptz" or value is None:
        return value
    try:
        return _written_time(datetime.fromtimestamp(value / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return "infinity" if value > 0 else "-infinity"


def _written_time(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(" ", "milliseconds")


def written(names: Sequence[str], rows: Sequence[Sequence[Any]], fmt: Format) -> bytes:
    """An answer in a format."""
    if fmt == "json":
        encode = msgspec.json.Encoder(decimal_format="number").encode
        return b"".join(encode(dict(zip(names, row, strict=True))) + b"\n" for row in rows)
    if fmt == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(names)
        writer.writerows([[_cell(value, "\\N") for value in row] for row in rows])
        return text.getvalue().encode()
    return _drawn(names, rows).encode()


def _cell(value: Any, null: str) -> Any:
    if value is None:
        return null
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return value if isinstance(value, int | float | Decimal) else str(value)


def _drawn(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table for people; numbers to the right."""
    if not names:
        return ""
    cells = [[" ".join(str(_cell(value, "NULL")).split("\n")) for value in row] for row in rows]
    right = [all(isinstance(row[n], int | float | Decimal) for row in rows) and bool(rows) for n in range(len(names))]
    widths = [max(len(name), *(len(row[n]) for row in cells), 0) for n, name in enumerate(names)]

    def aligned(row: Sequence[str], fill: str) -> list[str]:
        columns = zip(row, widths, right, strict=True)
        return [cell.rjust(width, fill) if to else cell.ljust(width, fill) for cell, width, to in columns]

    top = "┌─" + "─┬─".join(aligned(names, "─")) + "─┐"
    lines = ["│ " + " │ ".join(aligned(row, " ")) + " │" for row in cells]
    bottom = "└─" + "─┴─".join("─" * width for width in widths) + "─┘"
    return "\n".join([top, *lines, bottom]) + "\n"
