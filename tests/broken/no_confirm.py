"""Wrong on purpose: an insert the embedded store answered well is taken at its word."""

from __future__ import annotations

import sys
from typing import Any

from tests import daemon


def wrong(right: Any) -> Any:
    def failed_writes(engine: object, asker: object) -> int:
        return 0

    return failed_writes


if __name__ == "__main__":
    sys.exit(daemon.main("tests.broken.no_confirm", "trackflowd.sink.engine:Embedded.failed_writes", wrong))
