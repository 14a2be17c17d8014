"""Whose fault it is when the store refuses a batch: the table's or some rows'. Pure.

A refusal is blamed on rows only if the same table has taken other rows since: then the batch is
halved until the bad rows stand alone, and those go to quarantine. While nothing lands at all, a batch
is halved a few times to find out (one bad row among good ones shows at once); if then still nothing
lands, the table is at fault: the batches wait in the spool, whole, and land when it was mended.
"""

from __future__ import annotations

import enum

#: Halvings without any evidence: 16 pieces, after at most 31 inserts in vain.
PROBE = 16


class Blame(enum.Enum):
    """What to do with a refused batch: halve it, quarantine its one row, or keep it and try again later."""

    HALVES = "halves"
    ROW = "row"
    TABLE = "table"


def judge(rows: int, family: int, table_differs: bool, others_landed: bool) -> Blame:
    """Decide.

    Args:
        rows: of the refused batch.
        family: rows of the batch it is a piece of.
        table_differs: the table is not what the schema says.
        others_landed: the table took rows since the family was first refused.
    """
    if table_differs:
        return Blame.TABLE
    if rows > 1 and (others_landed or rows * PROBE > family):
        return Blame.HALVES
    return Blame.ROW if others_landed and rows == 1 else Blame.TABLE
