"""What the supervisor remembers: ``state.sqlite``, and the snapshot it publishes to the workers.

Only the supervisor opens the database; workers read ``snapshot.msgpack``, which is written aside,
synced and renamed into place, when the generation in the shared page changes::

    {"generation": 7,
     "salts": [{"day": "2026-11-23", "from_ms": …, "to_ms": …, "salt": 32 bytes}, …],
     "sites": []}

Salts: one a day (UTC), random, made two days ahead, destroyed 48 h after their day ended; without
its salt a visitor hash can no longer be checked against an address. ``secure_delete`` overwrites a
destroyed salt in the database, and the journal mode is DELETE, not WAL, which would keep a copy
until its next checkpoint. Neither file belongs in a backup.
"""

from __future__ import annotations

import datetime
import os
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack

from trackflowd.errors import DataDirError

SCHEMA = 1

DAY_MS = 86_400_000
#: Days a salt is made before its own.
AHEAD_DAYS = 2
#: How long a salt lives on after its day: events may come late by as much, and no longer than needed.
KEEP_MS = 2 * DAY_MS
SALT_BYTES = 32

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE salts (day INTEGER PRIMARY KEY, salt BLOB NOT NULL) STRICT;
"""


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
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise self._trouble(error) from error

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise DataDirError(
                f"{self._path} was made by a later trackflowd (schema {version}, this one knows {SCHEMA})",
                "run that version, or move the file aside: today's visitors are then counted anew",
            )
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT")

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

    def publish(self) -> int:
        """Write the snapshot; the generation to put into the shared page once it is in place.

        Raises:
            DataDirError: the disk refuses; the snapshot before stays whole.
        """
        try:
            generation = self._next_generation()
            salts = [
                {"day": salt.name, "from_ms": salt.from_ms, "to_ms": salt.to_ms, "salt": salt.salt}
                for salt in self.salts()
            ]
            raw: bytes = msgpack.packb({"generation": generation, "salts": salts, "sites": []}, use_bin_type=True)
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

    def _next_generation(self) -> int:
        row = self._db.execute(
            "INSERT INTO meta VALUES ('generation', 1) "
            "ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value"
        ).fetchone()
        return int(row[0])

    def _trouble(self, error: Exception) -> DataDirError:
        hint = ""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            hint = "move the file aside: it holds only salts, and today's visitors are then counted anew"
        return DataDirError(f"{self._path}: {error}", hint)

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _private(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CLOEXEC, 0o600)
