"""The judgement: the file of acks held against every row in the store.

Knows nothing of the daemon but its rows. Memory is two bytes a number sent; what is wrong goes to a file as it is
found, a line each: what, number (if it has one), event id, and for altered rows the columns that differ.
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from bench.faults import acks
from bench.faults.dialect import NAMES, Dialect
from bench.faults.events import DOMAIN, Events

#: Rows asked for at once: with up to 450 bytes each far below what one answer of the control socket may hold (8 MiB).
PART = 8000


@dataclass
class Findings:
    """What came out.

    Attributes:
        sent: numbers that were sent at least once.
        acked: those that were answered 2xx.
        stored: rows of this run in the store.
        lost: acked and not in the store (I1).
        doubled: numbers with more than one row (I2).
        altered: rows that differ from what was sent (I3).
        unknown: rows that nobody sent (I4).
        open_stored, open_not: numbers never answered that are in the store, and that are not: both are right.
        examples: the first of each sort that is wrong, as in the file.
    """

    sent: int = 0
    acked: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    unknown: int = 0
    open_stored: int = 0
    open_not: int = 0
    examples: dict[str, str] = field(default_factory=dict)


class Oracle:
    """Takes in rows one by one, then judges.

    Args:
        events: of this run.
        sent: numbers below it were sent.
        report: file for what is wrong; made when the first is found.
    """

    def __init__(self, events: Events, sent: int, report: Path) -> None:
        self._events = events
        self._acked = bytearray(sent)
        self._rows = bytearray(sent)
        self._report = report
        self._file: TextIO | None = None
        self.findings = Findings(sent=sent)

    def take_acks(self, path: Path) -> None:
        """Take in the file of acks. Raises OSError, ValueError."""
        for first, count in acks.read(path):
            self._acked[first : first + count] = b"\1" * count

    def take_rows(self, rows: Iterable[Sequence[str]]) -> None:
        """Take in rows, as ``rows`` reads them."""
        for row in rows:
            self._take(tuple(row))

    def take_strangers(self, count: int) -> None:
        """Rows of sites that are not this run's, and were not there before it."""
        if count:
            self.findings.unknown += count
            self._wrong("unknown", f"{count} rows of sites that this run does not have")

    def _take(self, row: tuple[str, ...]) -> None:
        self.findings.stored += 1
        try:
            n = self._events.number_of(uuid.UUID(row[0]))
        except (ValueError, IndexError):
            n = None
        if n is None or n >= self.findings.sent:
            self.findings.unknown += 1
            return self._wrong("unknown", f"{n if n is not None else '-'} {row[0] if row else '-'}")
        self._rows[n] = min(self._rows[n] + 1, 255)
        wanted = self._events.row_of(n)
        if row != wanted:
            self.findings.altered += 1
            pairs = zip(NAMES, wanted, row, strict=False)
            differing = [f"{name}: sent {sent!r}, stored {found!r}" for name, sent, found in pairs if sent != found]
            self._wrong("altered", f"{n} {row[0]} {'; '.join(differing) or 'columns are missing'}")

    def judge(self) -> Findings:
        """Compare; the file of what is wrong is complete then."""
        found = self.findings
        for n, (acked, rows) in enumerate(zip(self._acked, self._rows, strict=True)):
            found.acked += acked
            if acked and not rows:
                found.lost += 1
                self._wrong("lost", f"{n} {self._events.id_of(n)}")
            if rows > 1:
                found.doubled += 1
                self._wrong("doubled", f"{n} {self._events.id_of(n)} {rows} rows{'' if acked else ', never answered'}")
            if not acked:
                found.open_stored += 1 if rows else 0
                found.open_not += 0 if rows else 1
        if self._file is not None:
            self._file.close()
        return found

    def _wrong(self, what: str, text: str) -> None:
        self.findings.examples.setdefault(what, text)
        if self._file is None:
            self._file = self._report.open("w")
        self._file.write(f"{what} {text}\n")


Query = Callable[[str], str]


def rows(query: Query, events: Events, dialect: Dialect) -> Iterator[list[str]]:
    """Every row of the run, asked for in parts.

    Args:
        query: answers SQL with CSV with a head line; raises what it likes.
        dialect: of that SQL.
    """
    ours = dialect.ends.format(end=events.suffix)
    total = number(query(f"SELECT count(*) AS n FROM events WHERE {ours}"))
    parts = total // PART + 1
    for part in range(parts):
        share = dialect.share.format(parts=parts, part=part)
        answer = query(f"SELECT {dialect.columns} FROM events WHERE {ours} AND {share}")
        reader = csv.reader(io.StringIO(answer, newline=""))
        next(reader, None)
        yield from reader


def strangers(query: Query, events: Events, dialect: Dialect) -> int:
    """Rows of other sites."""
    return number(query(f"SELECT count(*) AS n FROM events WHERE NOT ({dialect.ends.format(end=events.suffix)})"))


def foreign(query: Query, dialect: Dialect) -> int:
    """Rows that are of no run at all: somebody's own."""
    return number(query(f"SELECT count(*) AS n FROM events WHERE NOT ({dialect.ends.format(end='.' + DOMAIN)})"))


def number(answer: str) -> int:
    """The one number of a CSV answer."""
    return int(answer.split()[-1])
