"""Wrong on purpose: a batch that was open at a restart is sent again, and the store is not asked whether it has it."""

from __future__ import annotations

import sys
from typing import Any

from tests import daemon
from trackflowd.settle import Case, Settler, Verdict


def wrong(right: Any) -> Any:
    def settle(settler: Settler, case: Case) -> Verdict:
        if not case.sendings:
            case.doubt = False
        verdict: Verdict = right(settler, case)
        return verdict

    return settle


if __name__ == "__main__":
    sys.exit(daemon.main("tests.broken.no_verify", "trackflowd.settle:Settler.settle", wrong))
