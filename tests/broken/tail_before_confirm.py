"""Wrong on purpose: a batch counts as done, and its ranges as free, once it is cut.

A flusher killed before the store has it leaves nobody who would send it.
"""

from __future__ import annotations

import sys
from typing import Any

from tests import daemon
from trackflowd.cuts import Cut
from trackflowd.journal import Journal


def wrong(right: Any) -> Any:
    def cut(journal: Journal, *cuts: Cut, instead_of: int = 0) -> None:
        right(journal, *cuts, instead_of=instead_of)
        for batch in cuts:
            journal.done(batch.batch_id)

    return cut


if __name__ == "__main__":
    sys.exit(daemon.main("tests.broken.tail_before_confirm", "trackflowd.journal:Journal.cut", wrong))
