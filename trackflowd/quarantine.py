"""Quarantine: what cannot be stored, as files, until somebody decides. The daemon deletes none by itself.

``quarantine/``:

``rows-BATCH-N.segment``       row N of a batch that the store refused, and its words (format: ``segment``)
``unreadable-BATCH.segment``   rows that are sound but of no format this version decodes
``damaged-RING-FROM-TO.bin``   bytes of a ring that are no record
``batch-BATCH-RING-….bin``     raw ranges of a batch that could not be put together again
``segment-BATCH.bin``          a segment of the spool some of whose rows are damaged

A file is durable before its rows count as settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trackflowd import segment
from trackflowd.cuts import Cut
from trackflowd.errors import DataDirError, SegmentDamaged
from trackflowd.ring.layout import Record
from trackflowd.segment import SUFFIX, Head, no_room, write_durably
from trackflowd.spool import head_of

#: What raw files are, by the first part of their name.
_RAW = {
    "damaged": "bytes of a ring that are no record",
    "batch": "bytes of a ring, of a batch that could not be put together again",
    "segment": "a segment of the spool some of whose rows are damaged",
}
#: Names of rows the store refused begin with this; only these can be tried again as they are.
_ROWS, _UNREADABLE = "rows-", "unreadable-"


class Quarantine:
    """The directory; the flusher writes, everybody may look.

    Args:
        directory: made when something is put into it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def put_row(self, cut: Cut, row: Record, origin: int, number: int, words: str) -> Path:
        """Keep a row that the store refuses.

        Args:
            cut: the batch of this one row.
            origin, number: the batch it was first cut into, and its number there.
            words: the store's.

        Raises:
            DataDirError: it cannot be written.
        """
        base = asdict(head_of(cut, words))
        head = Head(**{**base, "rows": 1, "origin": f"{origin:032x}", "row": number})
        return self._write(f"{_ROWS}{origin:032x}-{number}", head, [row])

    def put_unreadable(self, cut: Cut, rows: Sequence[Record]) -> Path:
        """Keep rows that do not decode. DataDirError: they cannot be written."""
        head = Head(**{**asdict(head_of(cut, "a row of no format this version decodes")), "rows": len(rows)})
        return self._write(f"{_UNREADABLE}{cut.batch_id:032x}", head, rows)

    def put_raw(self, name: str, raw: bytes) -> Path:
        """Keep bytes as they are. DataDirError: they cannot be written."""
        path = self.directory / f"{name}.bin"
        try:
            write_durably(path, raw)
        except OSError as error:
            raise no_room(path, error) from error
        return path

    def _write(self, name: str, head: Head, rows: Sequence[Record]) -> Path:
        path = self.directory / (name + SUFFIX)
        try:
            segment.write(path, head, rows)
        except OSError as error:
            raise no_room(path, error) from error
        return path

    def find(self, name: str) -> Path:
        """The file of that name. DataDirError: there is none."""
        path = self.directory / name
        if path.parent != self.directory or not path.is_file():
            raise DataDirError(f"no file {name!r} in quarantine", "see `trackflow quarantine list`")
        return path

    def retryable(self) -> list[Path]:
        """Files of rows that can be sent again."""
        return sorted(self.directory.glob(f"{_ROWS}*{SUFFIX}"))

    def rows_of(self, origin: int) -> set[int]:
        """Numbers of the rows of a batch that are here."""
        names = self.directory.glob(f"{_ROWS}{origin:032x}-*{SUFFIX}")
        return {int(path.stem.rpartition("-")[2]) for path in names}


def look(directory: Path) -> list[dict[str, Any]]:
    """Every file in quarantine, by name, for people.

    Returns:
        ``name``, ``bytes``, ``kind`` ("row", "unreadable", "damaged", "batch", "segment"), ``rows``, ``at``
        (ms since 1970 UTC), ``reason``, ``batch``, ``retry`` (whether `trackflow quarantine retry` takes it).
    """
    found = []
    for path in sorted(directory.glob("*")):
        if path.suffix == ".tmp":
            continue  # being written, or left by a kill in the middle
        try:
            found.append(describe(path))
        except FileNotFoundError:
            continue  # retried or dropped meanwhile
    return found


def count(directory: Path) -> tuple[int, int]:
    """Files in quarantine, and rows in them."""
    files = rows = 0
    for path in directory.glob("*"):
        if path.suffix == ".tmp":
            continue
        files += 1
        if path.name.startswith(_ROWS):
            rows += 1  # as its name says; there may be very many of these
        elif path.suffix == SUFFIX:
            try:
                rows += int(describe(path)["rows"])
            except FileNotFoundError:
                files -= 1
    return files, rows


def describe(path: Path) -> dict[str, Any]:
    """One of them. FileNotFoundError: it is gone."""
    status = path.stat()
    kind = path.name.partition("-")[0]
    about: dict[str, Any] = {
        "name": path.name, "bytes": status.st_size, "kind": "row" if kind == "rows" else kind, "rows": 0,
        "at": int(status.st_mtime * 1000), "reason": "", "batch": "", "retry": path.name.startswith(_ROWS),
    }  # fmt: skip
    if path.suffix == SUFFIX:
        try:
            head = segment.read_head(path)
        except SegmentDamaged as error:
            return about | {"reason": error.text, "retry": False}
        return about | {"rows": head.rows, "at": head.at, "reason": head.reason, "batch": head.batch}
    return about | {"reason": _RAW.get(kind, "not a file of this program")}
