"""Copies of an embedded store's events: taken out as files while batches land, and brought in again by event id.

``freeze`` has the engine make hard links of all parts of the table (``ALTER TABLE … FREEZE``): milliseconds, and
what is in them does not change any more. ``stage`` puts such parts into a table of their own, made by the statement
that made the one they are from, so parts of an older schema are read as what they are. ``merge`` takes over, bucket
by bucket of event ids, what the table of events has not got and no tombstone names.

A bucket may be merged any number of times: what is there is not inserted again. So a kill anywhere costs nothing but
the bucket it struck. Rows keep their batch id: a batch of the journal is counted whole once its rows are back.
All methods belong to the sender's thread, which is the only one that inserts: nothing lands between look and insert.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trackflowd.errors import DataDirError, StoreReject
from trackflowd.event import FIELDS
from trackflowd.selection import Tombstone
from trackflowd.sink.ch_edit import any_of
from trackflowd.sink.migrations import breathing

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: Rows of a bucket, about: some 100 MB in memory, and a second or two in which no batch lands.
BUCKET = 200_000
#: Name of the table that staged parts are in.
STAGED = "restored_events"
#: Frozen parts lie in a directory of this name and the backup's.
_PREFIX = "trackflow_"
#: What the engine answers of our table: no other statement of a backup is run.
_MADE = re.compile(r"CREATE TABLE \w+\.events (\(.*\) ENGINE = (?:Replicated)?MergeTree\b.*)\Z", re.DOTALL)
_TTL = re.compile(r" TTL toDateTime\(received\) \+ toIntervalDay\(\d+\)")


class Frozen(NamedTuple):
    """What was frozen.

    Args:
        parts: directories, one a part.
        rows: in them.
        made_by: the statement that made their table.
    """

    parts: Sequence[Path]
    rows: int
    made_by: str


class Merged(NamedTuple):
    """What a bucket came to: rows that were taken over, that were there, that a tombstone names."""

    restored: int
    held: int
    erased: int


class Archive:
    """One embedded store's.

    Args:
        asking: lends the connection; what the driver raises within becomes a ``StoreAway``.
        root: directory of the engine.
        settings: of an insert on this engine.
        breathe: shows that a long call lives.
    """

    def __init__(
        self,
        asking: Callable[[], AbstractContextManager[Client]],
        root: Path,
        settings: Callable[[Client], dict[str, Any]],
        breathe: Callable[[], None],
    ) -> None:
        self._asking = asking
        self._root = root
        self._settings = settings
        self._breathe = breathe

    # ------------------------------------------------------------------- out

    def freeze(self, name: str) -> Frozen:
        """Freeze all that is in the table; name: letters and digits.

        Raises:
            StoreAway: the engine cannot, or the disk refuses.
        """
        with breathing(self._breathe), self._asking() as asker:
            asker.command(f"ALTER TABLE events FREEZE WITH NAME '{_PREFIX}{name}'")
            made_by = _text(asker, "SELECT create_table_query FROM system.tables WHERE {here} AND name = 'events'")
        parts = sorted(path.parent for path in self._shadow(name).glob("store/*/*/*/checksums.txt"))
        rows = sum(int((part / "count.txt").read_text()) for part in parts)
        return Frozen(parts, rows, made_by)

    def release(self, name: str) -> None:
        """Let go of what was frozen; its parts stay as long as the table has them."""
        shutil.rmtree(self._shadow(name), ignore_errors=True)

    def sweep(self) -> None:
        """Let go of everything that was ever frozen."""
        for path in (self._root / "shadow").glob(f"{_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _shadow(self, name: str) -> Path:
        return self._root / "shadow" / f"{_PREFIX}{name}"

    # -------------------------------------------------------------------- in

    def stage(self, directory: Path, made_by: str) -> int:
        """Have the parts of a directory in the staged table; the rows that has. May be called again after a kill.

        Args:
            directory: of parts, which are moved away from there.
            made_by: ``Frozen.made_by``.

        Raises:
            StoreReject: not a statement that made a table of events.
            DataDirError: a part cannot be moved.
            StoreAway: the engine cannot.
        """
        if (made := _MADE.fullmatch(made_by)) is None:
            raise StoreReject("the backup does not say how its table was made", "see events.sql in it")
        with breathing(self._breathe), self._asking() as asker:
            # No row of it is to expire before it is looked at: what the table keeps, its own TTL says.
            asker.command(f"CREATE TABLE IF NOT EXISTS {STAGED} {_TTL.sub('', made[1])}")
            asker.command(f"SYSTEM STOP MERGES {STAGED}")
            place = _text(asker, f"SELECT data_paths[1] FROM system.tables WHERE {{here}} AND name = '{STAGED}'")
            months = _move(directory, Path(place) / "detached")
            for month in months:
                asker.command(f"ALTER TABLE {STAGED} ATTACH PARTITION {month}")
            return _number(asker, f"SELECT count() FROM {STAGED}")

    def buckets(self) -> int:
        """Into how many buckets of about ``BUCKET`` rows the ids are to be divided."""
        with self._asking() as asker:
            return max(1, -(-_number(asker, f"SELECT count() FROM {STAGED}") // BUCKET))

    def merge(self, bucket: int, of: int, without: Sequence[Tombstone]) -> Merged:
        """Take over one bucket.

        Args:
            bucket, of: which, of how many.
            without: what they name stays away.

        Raises:
            StoreAway: the engine cannot, or the disk is full; what is there of the bucket then is no harm.
        """
        named, values = any_of(without) if without else ("0", {})
        mine = f"cityHash64(event_id) % {int(of)} = {int(bucket)}"
        # What is remembered of the table of events is no more than the bucket has, however large that table is.
        asked = f"event_id IN (SELECT event_id FROM {STAGED} WHERE {mine})"
        there = f"(site, event_id) IN (SELECT site, event_id FROM events WHERE {asked})"
        with breathing(self._breathe), self._asking() as asker:
            counted: Any = asker.command(
                f"SELECT toString(tuple(countIf(NOT ({named}) AND NOT ({there})), "
                f"countIf(NOT ({named}) AND {there}), countIf({named}))) FROM {STAGED} WHERE {mine}",
                parameters=values,
            )
            found = Merged(*map(int, re.findall(r"\d+", str(counted))))
            if found.restored:
                known = _text(asker, f"SELECT arrayStringConcat(groupArray(name), ',') FROM system.columns "
                                     f"WHERE {{here}} AND table = '{STAGED}'").split(",")  # fmt: skip
                columns = ", ".join(field.name for field in FIELDS if field.name in known)
                asker.command(
                    f"INSERT INTO events ({columns}) SELECT {columns} FROM {STAGED} "
                    f"WHERE {mine} AND NOT ({named}) AND NOT ({there})",
                    parameters=values,
                    settings=self._settings(asker),
                )
        return found

    def drop(self) -> None:
        """Have no staged table. StoreAway: the engine cannot."""
        with breathing(self._breathe), self._asking() as asker:
            asker.command(f"DROP TABLE IF EXISTS {STAGED} SYNC")


def _move(directory: Path, detached: Path) -> Sequence[str]:
    """Move parts to where the engine attaches them from; the months of those that lie there."""
    try:
        for part in sorted(directory.glob("*")):
            shutil.move(part, detached / part.name)
        return sorted({part.name.partition("_")[0] for part in _whole(detached)})
    except OSError as error:
        raise DataDirError(f"{error.filename or directory} cannot be moved: {error.strerror}") from error


def _whole(detached: Path) -> Iterator[Path]:
    return (path.parent for path in detached.glob("*/checksums.txt") if path.parent.name[:6].isdigit())


def _text(asker: Client, sql: str) -> str:
    raw = asker.raw_query(sql.format(here="database = currentDatabase()"), fmt="TabSeparatedRaw")
    return raw.decode().rstrip("\n")


def _number(asker: Client, sql: str) -> int:
    answer: Any = asker.command(sql)
    return int(answer)
