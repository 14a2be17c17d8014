"""What a mover copies at once, and how two stores' lists of batches differ. Pure.

A list says how many rows of which batch (128-bit id) a store holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

#: Rows of a chunk: one insert, one part. A batch is never divided, so a chunk may be as large as the largest batch.
MAX_ROWS = 50_000
#: Batches of a chunk: their ids have to fit into a statement (45 bytes each of 256 KiB).
MAX_BATCHES = 1000

Rows = Mapping[int, int]


class Landed(NamedTuple):
    """A batch in a store.

    Args:
        month: YYYYMM (UTC) its rows were received in.
        batch: its id.
        rows: how many it has.
    """

    month: int
    batch: int
    rows: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Batches of one month.

    Args:
        month: YYYYMM.
        batches: rows by batch, at least one, in the order of ids.
    """

    month: int
    batches: Rows

    @property
    def rows(self) -> int:
        """Rows of all of them."""
        return sum(self.batches.values())

    @property
    def last(self) -> int:
        """The highest id."""
        return max(self.batches)

    @property
    def id(self) -> int:
        """128 bits that name the insert of exactly this."""
        digest = blake2b(f"{self.month}".encode(), digest_size=16)
        for batch, rows in sorted(self.batches.items()):
            digest.update(b"%x:%d\0" % (batch, rows))
        return int.from_bytes(digest.digest(), "big")

    def only(self, batches: Iterable[int]) -> Chunk:
        """Some of its batches."""
        return Chunk(self.month, {batch: self.batches[batch] for batch in sorted(batches)})

    def halves(self) -> tuple[Chunk, Chunk]:
        """Two chunks of half of its batches each; it has two at least."""
        ids = sorted(self.batches)
        return self.only(ids[: len(ids) // 2]), self.only(ids[len(ids) // 2 :])


def chunks(landed: Iterable[Landed], max_rows: int = MAX_ROWS, max_batches: int = MAX_BATCHES) -> Iterator[Chunk]:
    """Batches, in the order of month and id, as chunks."""
    month, batches, rows = 0, dict[int, int](), 0
    for one in landed:
        if batches and (one.month != month or rows + one.rows > max_rows or len(batches) >= max_batches):
            yield Chunk(month, batches)
            batches, rows = {}, 0
        month = one.month
        batches[one.batch] = one.rows
        rows += one.rows
    if batches:
        yield Chunk(month, batches)


class Difference(NamedTuple):
    """How a target differs from its source.

    Args:
        lacking: batches it has nothing of.
        wrong: batches it has another number of rows of.
        surplus: batches the source has nothing of.
    """

    lacking: list[int]
    wrong: list[int]
    surplus: list[int]

    @property
    def none(self) -> bool:
        """It does not."""
        return not (self.lacking or self.wrong or self.surplus)


def difference(source: Rows, target: Rows) -> Difference:
    """Hold two lists against each other."""
    return Difference(
        sorted(source.keys() - target.keys()),
        sorted(batch for batch in source.keys() & target.keys() if source[batch] != target[batch]),
        sorted(target.keys() - source.keys()),
    )
