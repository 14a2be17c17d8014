"""What the supervisor remembers: ``state.sqlite``, and the snapshot it publishes to the workers.

Only the supervisor opens the database; workers read ``snapshot.msgpack``, which is written aside,
synced and renamed into place, when the generation in the shared page changes::

    {"generation": 7,
     "salts": [{"day": "2026-11-23", "from_ms": …, "to_ms": …, "salt": 32 bytes}, …],
     …}                                  and what else ``snapshot`` puts there: sites, hashes of keys

Salts: one a day (UTC), random, made two days ahead, destroyed 48 h after their day ended; without
its salt a visitor hash can no longer be checked against an address. ``secure_delete`` overwrites a
destroyed salt in the database, and the journal mode is DELETE, not WAL, which would keep a copy
until its next checkpoint. Neither file belongs in a backup.

The database also holds the long jobs, the tombstones of erasures, the tokens of the admin listener, the
sites and their server keys, one row each, and what was refused by the hour; ``tasks``, ``tombstones``,
``tokens``, ``registry``, ``keys`` and ``refusalbook`` read and write those through ``execute``. Its schema is
``MIGRATIONS``: numbered, forward only, each step in one transaction.
"""

from __future__ import annotations

import datetime
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from trackflowd.errors import DataDirError

DAY_MS = 86_400_000
#: Days a salt is made before its own.
AHEAD_DAYS = 2
#: How long a salt lives on after its day: events may come late by as much, and no longer than needed.
KEEP_MS = 2 * DAY_MS
SALT_BYTES = 32
#: Seconds ``peek`` waits for a writer.
_PATIENCE = 0.1

#: How the schema came about: step n makes version n out of version n - 1. What is on disks already is
#: never edited, only followed by another step.
MIGRATIONS = (
    """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE salts (day INTEGER PRIMARY KEY, salt BLOB NOT NULL) STRICT;
""",
    # args to result are JSON; *_ms are ms since 1970 UTC; cancel: 1 once it was asked to end.
    """
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    args TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'failed', 'cancelled', 'interrupted')),
    cancel INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    started_ms INTEGER,
    ended_ms INTEGER,
    progress TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    history TEXT NOT NULL,
    result TEXT NOT NULL,
    error TEXT NOT NULL,
    hint TEXT NOT NULL
) STRICT;
""",
    # what: a selection as JSON; task: number of the one that carries it out.
    """
CREATE TABLE tombstones (
    id INTEGER PRIMARY KEY,
    what TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    task INTEGER
) STRICT;
""",
    # hash: SHA-256 of the secret, which stands nowhere. AUTOINCREMENT: a number is never given twice.
    """
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('read', 'admin')),
    hash BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    used_ms INTEGER,
    revoked_ms INTEGER
) STRICT;
""",
    # settings: JSON of those that are not the default. hash: as of tokens; its number is drawn, see ``keys``.
    # retention: 1 where a site's retention_days has made the tombstone.
    """
CREATE TABLE sites (
    site TEXT PRIMARY KEY,
    settings TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    site TEXT NOT NULL,
    hash BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    used_ms INTEGER,
    revoked_ms INTEGER
) STRICT;
ALTER TABLE tombstones ADD COLUMN retention INTEGER NOT NULL DEFAULT 0;
""",
    # hour: since 1970 UTC. See ``refusalbook``.
    """
CREATE TABLE refusals (
    hour INTEGER NOT NULL,
    site TEXT NOT NULL,
    code TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, site, code)
) STRICT, WITHOUT ROWID;
""",
)
SCHEMA = len(MIGRATIONS)

#: What a person loses who moves the file aside.
_LOST = (
    "today's visitors are then counted anew, the sites and their keys (`trackflow sites export` keeps those), the list "
    "of long jobs and every token of the admin listener are lost, and so are the tombstones of erasures: a replay "
    "could bring back what was erased"
)


@dataclass(frozen=True, slots=True)
class Salt:
    """One day's salt.

    Args:
        day: days since 1970-01-01 UTC.
        salt: 32 random bytes.
    """

    day: int
    salt: bytes

    @property
    def from_ms(self) -> int:
        """Begin of its day, ms since 1970 UTC."""
        return self.day * DAY_MS

    @property
    def to_ms(self) -> int:
        """End of its day (exclusive), ms since 1970 UTC."""
        return (self.day + 1) * DAY_MS

    @property
    def name(self) -> str:
        """Its day as 2026-11-23."""
        return (datetime.date(1970, 1, 1) + datetime.timedelta(self.day)).isoformat()


class State:
    """The opened database.

    Args:
        data_dir: the data directory, which the caller has locked.

    Raises:
        DataDirError: damaged, made by a later version, or the disk refuses.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "state.sqlite"
        self._snapshot = data_dir / "snapshot.msgpack"
        self._tmp = data_dir / "tmp" / "snapshot.tmp"
        try:
            # The file is made here and not by SQLite, so that it and its journal are 0600 from the start.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(self._path, isolation_level=None)
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA journal_mode = DELETE")
            try:
                self._prepare()
            except BaseException:
                self._db.close()  # a step that failed is rolled back
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._trouble(error) from error

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise DataDirError(
                f"{self._path} was made by a later trackflowd (schema {version}, this one knows {SCHEMA})",
                f"run that version, or move the file aside: {_LOST}",
            )
        for number, step in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN; {step} PRAGMA user_version = {number}; COMMIT")

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, committed and on the disk when this returns; its rows.

        Raises:
            DataDirError: the disk refuses or the file is damaged; then nothing was changed.
        """
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """Have what is executed inside be on the disk all of it or, where anything is raised, none.

        Raises:
            DataDirError: the disk refuses; nothing was changed.
        """
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def rotate(self, now_ms: int) -> bool:
        """Make salts that are due, destroy those that are over; True if there was anything to do.

        Args:
            now_ms: wall clock, ms since 1970 UTC.
        """
        today = now_ms // DAY_MS
        oldest = (now_ms - KEEP_MS) // DAY_MS  # its day ends at most KEEP_MS ago
        try:
            have = {day for (day,) in self._db.execute("SELECT day FROM salts")}
            missing = [day for day in range(today, today + AHEAD_DAYS + 1) if day not in have]
            over = [day for day in have if day < oldest]
            if not missing and not over:
                return False
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM salts WHERE day = ?", [(day,) for day in over])
            fresh = [(day, secrets.token_bytes(SALT_BYTES)) for day in missing]
            self._db.executemany("INSERT INTO salts VALUES (?, ?)", fresh)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._trouble(error) from error
        return True

    def salts(self) -> Sequence[Salt]:
        """Living salts, oldest day first."""
        return [Salt(day, salt) for day, salt in self._db.execute("SELECT day, salt FROM salts ORDER BY day")]

    def publish(self, parts: Mapping[str, Any]) -> int:
        """Write the snapshot; the generation to put into the shared page once it is in place.

        Args:
            parts: what it holds beside generation and salts; values that msgpack can say.

        Raises:
            DataDirError: the disk refuses; the snapshot before stays whole.
        """
        try:
            generation = self._next_generation()
            salts = [
                {"day": salt.name, "from_ms": salt.from_ms, "to_ms": salt.to_ms, "salt": salt.salt}
                for salt in self.salts()
            ]
            raw: bytes = msgpack.packb({"generation": generation, "salts": salts, **parts}, use_bin_type=True)
            self._tmp.parent.mkdir(mode=0o700, exist_ok=True)
            self._tmp.unlink(missing_ok=True)
            with open(self._tmp, "xb", opener=_private) as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            self._tmp.rename(self._snapshot)
        except (sqlite3.Error, OSError) as error:
            raise self._trouble(error) from error
        return generation

    def published(self, now_ms: int) -> int:
        """Generation of the snapshot that is there; 0 when there is none, or none with a salt for now.

        Args:
            now_ms: wall clock, ms since 1970 UTC.
        """
        try:
            snapshot = msgpack.unpackb(self._snapshot.read_bytes())
            living = any(salt["from_ms"] <= now_ms < salt["to_ms"] for salt in snapshot["salts"])
            return int(snapshot["generation"]) if living else 0
        except (OSError, ValueError, TypeError, KeyError):
            return 0

    def _next_generation(self) -> int:
        row = self._db.execute(
            "INSERT INTO meta VALUES ('generation', 1) "
            "ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value"
        ).fetchone()
        return int(row[0])

    def _trouble(self, error: Exception) -> DataDirError:
        hint = "free space there" if "full" in str(error) or "space" in str(error) else ""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            hint = f"move the file aside: {_LOST}"
        return DataDirError(f"{self._path}: {error}", hint)

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def peek(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a database that others write to, without ever making one wait or waiting for one.

    Raises:
        DataDirError: it cannot be read, at least not now.
    """
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()
    except sqlite3.Error as error:
        raise DataDirError(f"{path}: {error}") from error


def _private(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CLOEXEC, 0o600)
