"""Days of a period that were added up before, and are still the same.

Nobody is seen on two days: a visitor's number ends with its day (``enrich.visitor``). So visitors, visits and what is
counted of them add up over days, as long as no number is met on both sides of the cut. That is not taken on trust. The
store keeps, by site and half hour (projection ``stamps``), which days the numbers there end with, how many events there
are and a sum of hashes over every column that these statistics read. From it follows

- where a period can be cut: the lowest ten bits part the visitors, whoever made their numbers, and a day, or the part
  of it that lies in the period, is a piece if the half hours it is seen in are its alone. Otherwise the period is not
  cut, and all of it is read;
- whether a piece is still what it was when it was added up: its stamp is the same. An event that came late, that was
  corrected or erased, by whomever, makes it another one (but for two sums of 64 bits that are equal by chance).

So nobody has to say when something changes, and nothing goes wrong if a process is killed: sums are in memory only.
"""

from __future__ import annotations

import heapq
import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from sys import getsizeof, intern
from typing import Any, NamedTuple

from trackflowd.stats.compose import LATE_MS, Scope, load

#: Statistics' files that add up over days. Not those that count something else than visitors only once (different
#: values of a property) or look over several days (funnels, retention).
SUMMED = frozenset(
    "overview overview_pages pages entries exits sources mediums campaigns referrers countries regions cities browsers"
    " os devices events revenue".split()
)

#: Events a piece has to have on average: adding one up costs a question (10 ms) more than reading it among others.
WORTH = 50_000

#: Rows of a piece at most, and of the days that one question adds up. A longer list is read whole each time.
LONGEST = 20_000

#: Events that one question adds up, unless a single day has more: bounds its time and memory.
AT_ONCE = 2_000_000

#: Bytes of days that are kept, some 200 a row of pages; the sums that were not used for longest go.
KEPT_BYTES = 100_000_000

#: The same of parts of days.
KEPT_ENDS_BYTES = 20_000_000

#: What a sum takes beside its rows.
_EMPTY_BYTES = 1000

#: Of so many pieces the size of all is guessed.
_TELLING = 3

_ORDER = re.compile(r"^ORDER BY (.*)\nLIMIT ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a period whose visitors are in no other.

    Args:
        scope: what is asked of it.
        stamp: a sum of hashes over all that decides the answers; another one, and they may be others.
        day: the number that its visitors' numbers end with.
        events: how many that day has, of bots too, as far as stamps were asked for.
        last_ms: when the last one of them was received.
        whole: all of them are meant (of a day in whose middle the stamps asked for end, that may be its beginning);
            False: the part of it that lies in a period.
    """

    scope: Scope
    stamp: int
    day: int
    events: int
    last_ms: int
    whole: bool = True


def cut(days: Sequence[Mapping[str, Any]], scope: Scope) -> list[Piece]:
    """A period in pieces: days that lie in it as a whole, then the parts of days it begins and ends with.

    Of a period that is not to be cut there is none; one of a part of a day is a piece itself.

    Args:
        days: rows of ``stamps.sql``, of this period or one around it, and of ``back_ms`` before.
        scope: the period, without filters.
    """
    scope = replace(scope, until_ms=scope.until_ms or scope.end_ms + LATE_MS)
    read = [day for day in days if int(day["end_ms"]) > scope.start_ms - scope.back_ms]
    read = [day for day in read if int(day["start_ms"]) < scope.end_ms]
    seen = [day for day in read if int(day["end_ms"]) > scope.start_ms]
    whole = [day for day in seen if scope.start_ms <= int(day["start_ms"]) and int(day["end_ms"]) <= scope.end_ms]
    worthy = whole or seen
    if not seen or sum(int(day["events"]) for day in worthy) < WORTH * len(worthy) or not _apart(read):
        return []
    # What was received before it happened, or so late that this period does not look for it, is for no piece to say: a
    # piece asks for what was received since its own begin (the first one's is the period's).
    if any(int(day["first_ms"]) < int(day["start_ms"]) for day in (*whole, seen[-1])):
        return []
    if any(int(day["last_ms"]) >= scope.until_ms for day in whole):
        return []
    found = [_piece(_whole(scope, day), day) for day in whole]
    if seen[0] not in whole:
        end_ms = int(seen[1]["start_ms"]) if seen[1:] else scope.end_ms
        found.append(_piece(replace(scope, end_ms=end_ms), seen[0], whole=False))
    if seen[1:] and seen[-1] not in whole:
        rest = replace(scope, start_ms=int(seen[-2]["end_ms"]), back_ms=0)
        found.append(_piece(rest, seen[-1], whole=False))
    return found


def _whole(scope: Scope, day: Mapping[str, Any]) -> Scope:
    """A day, asked for in the same words whatever period it is of."""
    start_ms, end_ms, last_ms = (int(day[name]) for name in ("start_ms", "end_ms", "last_ms"))
    return replace(scope, start_ms=start_ms, end_ms=end_ms, until_ms=last_ms + 1, back_ms=0)


def _piece(scope: Scope, day: Mapping[str, Any], whole: bool = True) -> Piece:
    stamp, number, events, last_ms = (int(day[name]) for name in ("stamp", "day", "events", "last_ms"))
    return Piece(scope, stamp, number, events, last_ms, whole)


def _apart(days: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no half hour has visitors of two days, and no day reaches into the next one."""
    bounds = [(int(day["start_ms"]), int(day["end_ms"])) for day in days]
    return all(day["day"] == day["last_day"] for day in days) and all(
        end_ms <= start_ms for (_, end_ms), (start_ms, _) in pairwise(bounds)
    )


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows of a statistic, column by column.

    Args:
        labels: of each row, its texts.
        figures: of each column of numbers, those of all rows.

    Attributes:
        size: bytes it takes, about; more if it shares its texts with others.
    """

    labels: Sequence[tuple[str, ...]]
    figures: Mapping[str, Sequence[int]]
    size: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        texts = sum(getsizeof(text) for label in self.labels for text in label)
        tuples = sum(getsizeof(label) for label in self.labels)
        size = _EMPTY_BYTES + texts + tuples + len(self.labels) * (len(self.figures) + 3) * 8
        object.__setattr__(self, "size", size)

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> Sum:
        """From a store's rows; texts are the columns that label them."""
        names = [name for name in (rows[0] if rows else ()) if name not in (*texts, "day")]
        labels = [tuple(intern(str(row[text])) for text in texts) for row in rows]
        return cls(labels, {name: _packed([int(row[name]) for row in rows]) for name in names})


def _packed(numbers: list[int]) -> Sequence[int]:
    try:
        return array("q", numbers)
    except OverflowError:  # sums of money may have more than 64 bits
        return numbers


def order_of(file: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns a statistic's rows are ordered by: the numbers, greatest first, and the texts that label a row.

    Args:
        file: one of ``SUMMED``.
    """
    match = _ORDER.search(load("clickhouse", file))
    words = match[1].split(", ") if match else []
    numbers = tuple(word.removesuffix(" DESC") for word in words if word.endswith(" DESC"))
    return numbers, tuple(word for word in words if not word.endswith(" DESC"))


def top(file: str, sums: Iterable[Sum], limit: int, offset: int) -> list[dict[str, Any]]:
    """Rows of all sums together, as the store would have ordered them.

    Args:
        file: one of ``SUMMED``.
        sums: of visitors that are nowhere in another.
        limit, offset: rows wanted, rows left out before them.
    """
    numbers, texts = order_of(file)
    added: dict[str, dict[tuple[str, ...], int]] = {}
    for one in sums:
        for name, column in one.figures.items():
            of_name = added.setdefault(name, {})
            known = of_name.get
            for label, number in zip(one.labels, column, strict=True):
                of_name[label] = known(label, 0) + number
    ranks = [added.get(name, {}) for name in numbers]
    labels = next(iter(added.values()), {})
    first = heapq.nsmallest(offset + limit, labels, key=lambda label: (*(-rank[label] for rank in ranks), label))
    return [
        {**dict(zip(texts, label, strict=True)), **{name: of_name[label] for name, of_name in added.items()}}
        for label in first[offset:]
    ]


class _Kept:
    """Sums by what was asked, and the stamps they were made at. Args: most: bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self.sums: OrderedDict[tuple[str, Scope], tuple[int, Sum | None]] = OrderedDict()

    def put(self, key: tuple[str, Scope], stamp: int, found: Sum | None) -> None:
        """In the place of an older one; those that were not used for longest make room."""
        self._forget(key)
        self.sums[key] = (stamp, found)
        self.size += _size(found)
        while self.size > self.most:
            self._forget(next(iter(self.sums)))

    def _forget(self, key: tuple[str, Scope]) -> None:
        if key in self.sums:
            _, found = self.sums.pop(key)
            self.size -= _size(found)


class Use(NamedTuple):
    """What memory is used for.

    Args:
        size: bytes all sums take now, about.
        found: sums that were there for an answer that was put together; made: that were kept. Both since this was last
            told.
        unstamped: parts of the store's table without stamps, when it was last asked: none of it is added up meanwhile.
    """

    size: int
    found: int
    made: int
    unstamped: int


class Sums:
    """Pieces that were added up, by what was asked of them. May be used by several threads.

    Args:
        most: bytes of all days together.
        most_ends: bytes of the parts of days with which periods begin and end. Each minute has others of its own: they
            have a room of their own too, lest they push days out.

    Attributes:
        unstamped: as in ``Use``.
    """

    def __init__(self, most: int = KEPT_BYTES, most_ends: int = KEPT_ENDS_BYTES) -> None:
        self._days = _Kept(most)
        self._ends = _Kept(most_ends)
        self._lock = threading.Lock()
        self._found = self._made = self.unstamped = 0
        #: Grows with each ``clear``.
        self.cleared = 0

    def _of(self, piece: Piece) -> _Kept:
        return self._days if piece.whole else self._ends

    def get(self, file: str, piece: Piece) -> tuple[Sum | None] | None:
        """A piece's sum, in brackets; ``(None,)`` if it is known to be too long, None if nothing is known."""
        key = file, piece.scope
        with self._lock:
            sums = self._of(piece).sums
            stamp, found = sums.get(key, (None, None))
            if stamp != piece.stamp:
                return None
            sums.move_to_end(key)
            return (found,)

    def put(self, file: str, piece: Piece, found: Sum | None, cleared: int = 0) -> None:
        """Keep a piece's sum, None for one that is too long, in the place of what it was before it changed.

        Args:
            cleared: as it was before the store was asked; not kept if all was forgotten since.
        """
        with self._lock:
            if cleared == self.cleared:
                self._of(piece).put((file, piece.scope), piece.stamp, found)
                self._made += found is not None

    def used(self, number: int) -> None:
        """An answer was put together with so many that were there."""
        with self._lock:
            self._found += number

    def have_room(self, some: Collection[Sum | None], number: int) -> bool:
        """Whether so many sums may be kept at one time, if they are as large as these are on average."""
        return len(some) < _TELLING or sum(map(_size, some)) * number <= self._days.most * len(some)

    def clear(self) -> None:
        """Forget all: what was erased from the store is not to stay in memory."""
        with self._lock:
            self._days = _Kept(self._days.most)
            self._ends = _Kept(self._ends.most)
            self.cleared += 1

    def tell(self) -> Use:
        """How it is used; counts begin anew."""
        with self._lock:
            use = Use(self._days.size + self._ends.size, self._found, self._made, self.unstamped)
            self._found = self._made = 0
        return use

    def __len__(self) -> int:
        return len(self._days.sums) + len(self._ends.sums)


def _size(found: Sum | None) -> int:
    return found.size if found is not None else _EMPTY_BYTES
