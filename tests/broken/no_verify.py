"""Wrong on purpose: a batch that was open at a restart is sent again, and the store is not asked whether it has it."""

from __future__ import annotations

import sys
from typing import Any

from tests import daemon
from trackflowd.settle import Outcome, Settler
from trackflowd.sink.base import Batch


def wrong(right: Any) -> Any:
    def settle(settler: Settler, batch: Batch, in_doubt: bool) -> Outcome:
        outcome: Outcome = right(settler, batch, False)
        return outcome

    return settle


if __name__ == "__main__":
    sys.exit(daemon.main("tests.broken.no_verify", "trackflowd.settle:Settler.settle", wrong))
