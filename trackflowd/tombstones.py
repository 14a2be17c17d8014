"""The tombstones on disk: rows of ``state.sqlite``, and the file that tells the flusher of them.

The supervisor writes both: a row first, then ``tombstones.msgpack`` (written aside, synced, renamed into place), which
the flusher reads at its start, before it sends anything, and again when it is told to. At the supervisor's own start,
before the flusher's, the file is made from the rows again, so a kill between the two is mended.

They hold ids of people, since what must not come back has to be known: both files are 0600. Neither belongs into a
backup; what they name is in those of `trackflow backup`, or a restore would bring back what was erased.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from trackflowd.errors import DataDirError, TrackflowError
from trackflowd.selection import Selection, Tombstone
from trackflowd.state import State

FILE = "tombstones.msgpack"


@dataclass(frozen=True, slots=True)
class Kept:
    """A tombstone and the task that carries it out; None: killed before there was one.

    Args:
        retention: it is of a site that keeps its events for a while only, and was not asked for.
    """

    tombstone: Tombstone
    task: int | None
    retention: bool = False


class Tombstones:
    """The table; the supervisor owns it. Every method raises DataDirError when the disk refuses.

    Args:
        state: the opened database.
        data_dir: where the file goes.
    """

    def __init__(self, state: State, data_dir: Path) -> None:
        self._state = state
        self._path = data_dir / FILE
        self._tmp = data_dir / "tmp" / "tombstones.tmp"

    def all(self) -> Sequence[Kept]:
        """Every one, oldest first."""
        rows = self._state.execute("SELECT id, what, until_ms, task, retention FROM tombstones ORDER BY id")
        return [Kept(_tombstone(number, what, until), task, bool(kept)) for number, what, until, task, kept in rows]

    def add(self, what: Selection, until_ms: int) -> Tombstone:
        """Write one down and publish it. When this returns it stands, whatever is killed."""
        sql = "INSERT INTO tombstones (what, until_ms) VALUES (?, ?) RETURNING id"
        ((number,),) = self._state.execute(sql, (json.dumps(what.as_dict()), until_ms))
        self.publish()
        return Tombstone(what, until_ms, number)

    def retain(self, until: Mapping[str, int]) -> Sequence[int]:
        """Write down, and publish, that sites keep nothing received up to a time; the numbers.

        Each replaces the one of its site that was written here before, which it includes.

        Args:
            until: ms since 1970 UTC, by site.
        """
        numbers = []
        with self._state.together():
            for site, until_ms in until.items():
                what = json.dumps(Selection(site=site).as_dict())
                sql = "DELETE FROM tombstones WHERE retention = 1 AND what = ? RETURNING until_ms"
                before = [row[0] for row in self._state.execute(sql, (what,))]
                sql = "INSERT INTO tombstones (what, until_ms, retention) VALUES (?, ?, 1) RETURNING id"
                numbers += [row[0] for row in self._state.execute(sql, (what, max(until_ms, *before, 0)))]
        self.publish()
        return numbers

    def take_over(self, others: Sequence[Kept]) -> Sequence[Tombstone]:
        """Write down, and publish, those of another daemon that are not here; those that were asked for."""
        here = {(one.tombstone.what, one.tombstone.until_ms) for one in self.all()}
        fresh = [one for one in others if (one.tombstone.what, one.tombstone.until_ms) not in here]
        retained = {one.tombstone.what.site: one.tombstone.until_ms for one in fresh if one.retention}
        if retained:
            self.retain(retained)
        return [self.add(one.tombstone.what, one.tombstone.until_ms) for one in fresh if not one.retention]

    def carried_by(self, number: int, task: int) -> None:
        """Note the task that carries one out."""
        self._state.execute("UPDATE tombstones SET task = ? WHERE id = ?", (task, number))

    def remove(self, number: int) -> bool:
        """Forget one; whether it was there. What it kept out may then come back."""
        gone = self._state.execute("DELETE FROM tombstones WHERE id = ? RETURNING id", (number,))
        self.publish()
        return bool(gone)

    def publish(self) -> None:
        """Make the file anew if it says another thing; the one before stays whole if that fails."""
        values = [[one.tombstone.number, one.tombstone.what.as_dict(), one.tombstone.until_ms] for one in self.all()]
        packed = msgpack.packb(values)
        try:
            # A start on a full disk needs no room for what is there already.
            if (self._path.read_bytes() == packed) if self._path.exists() else not values:
                return
            self._tmp.parent.mkdir(mode=0o700, exist_ok=True)
            self._tmp.unlink(missing_ok=True)
            with open(self._tmp, "xb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
                file.write(packed)
                file.flush()
                os.fsync(file.fileno())
            self._tmp.rename(self._path)
        except OSError as error:
            raise DataDirError(f"{self._path} cannot be written: {error.strerror}", "free space there") from error


def load(data_dir: Path) -> Sequence[Tombstone]:
    """What the file says; nothing where there is none.

    Raises:
        DataDirError: it cannot be read. Nothing may be sent then: erased events could come back.
    """
    path = data_dir / FILE
    try:
        return [_tombstone(number, what, until_ms) for number, what, until_ms in msgpack.unpackb(path.read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise DataDirError(f"{path} cannot be read: {error}", "restart the daemon: it makes the file anew") from error


def _tombstone(number: int, what: str | Mapping[str, Any], until_ms: int) -> Tombstone:
    try:
        return Tombstone(Selection.read(json.loads(what) if isinstance(what, str) else what), until_ms, number)
    except (TrackflowError, ValueError, TypeError) as error:
        hint = (
            f"remove it while the daemon is stopped: sqlite3 state.sqlite 'DELETE FROM tombstones WHERE id = {number}'"
        )
        raise DataDirError(f"tombstone {number} cannot be read: {error}", hint) from error
