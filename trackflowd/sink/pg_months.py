"""Partitions of ``facts``: a month (UTC) of received each, made ahead, dropped when all of it is too old.

Making and dropping one locks the whole table for the moment it takes, so it waits ``_LOCK`` at most for others that
use it, and is tried again an hour later. A batch never waits for that: rows whose month is missing go to the default
partition, and move when the month is made.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

log = logging.getLogger(__name__)

#: Months made ahead of the one that is needed.
AHEAD = 2
#: Longest wait for the table: those who come later wait behind.
_LOCK = "2s"
#: Key of the advisory lock under which schema and partitions change: of two daemons one at a time.
CHANGING = 0x7472_6163_6B66_6C6F  # "trackflo"

_PARTITION = re.compile(r"facts_(\d{6})\Z")


def following(month: int) -> int:
    """The month after a month (both as YYYYMM)."""
    return month + 1 if month % 100 < 12 else month + 89


def start_of(month: int) -> datetime:
    """First moment of a month."""
    return datetime(month // 100, month % 100, 1, tzinfo=UTC)


async def make(connection: asyncpg.Connection, first: int) -> None:
    """Have the partition of a month and of those after it.

    Args:
        first: as YYYYMM.
    """
    month = first
    for _ in range(1 + AHEAD):
        if not await _exists(connection, month):
            await _make(connection, month)
        month = following(month)


async def drop(connection: asyncpg.Connection, oldest: datetime) -> list[int]:
    """Drop what is older, month by month; the months that went.

    Args:
        oldest: a month goes once it ended before.
    """
    names = await connection.fetch(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'facts'::regclass"
    )
    months = sorted(int(match[1]) for row in names if (match := _PARTITION.match(row[0])))
    gone = [month for month in months if start_of(following(month)) <= oldest]
    for month in gone:
        async with connection.transaction():
            await _lock(connection)
            await connection.execute(f"DROP TABLE IF EXISTS facts_{month}")
            await connection.execute(f"DELETE FROM batches WHERE month = {month}")
        log.info("store: dropped the events of %d-%02d", *divmod(month, 100))
    await connection.execute(f"DELETE FROM facts_default WHERE received < '{oldest.isoformat()}'")
    return gone


def oldest_kept(days: int, now: datetime) -> datetime:
    """What was received before may go."""
    return now - timedelta(days=days)


async def _exists(connection: asyncpg.Connection, month: int) -> bool:
    return bool(await connection.fetchval(f"SELECT to_regclass('facts_{month}') IS NOT NULL"))


async def _lock(connection: asyncpg.Connection) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK}'")
    await connection.execute(f"SELECT pg_advisory_xact_lock({CHANGING})")


async def _make(connection: asyncpg.Connection, month: int) -> None:
    table = f"facts_{month}"
    start, end = start_of(month).isoformat(), start_of(following(month)).isoformat()
    async with connection.transaction():
        await _lock(connection)
        if await _exists(connection, month):
            return  # another daemon was first
        await connection.execute("LOCK TABLE facts_default IN ACCESS EXCLUSIVE MODE")
        await connection.execute(f"CREATE TABLE {table} (LIKE facts INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        await connection.execute(
            f"WITH moved AS (DELETE FROM facts_default WHERE received >= '{start}' AND received < '{end}' RETURNING *) "
            f"INSERT INTO {table} SELECT * FROM moved"
        )
        await connection.execute(f"ALTER TABLE facts ATTACH PARTITION {table} FOR VALUES FROM ('{start}') TO ('{end}')")
