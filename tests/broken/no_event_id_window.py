"""Wrong on purpose: no event id is remembered, so an event that is sent twice counts as two."""

from __future__ import annotations

import sys
from typing import Any

from tests import daemon
from trackflowd.window import Window


def wrong(right: Any) -> Any:
    def add(window: Window, event_id: bytes, site: int, now_ms: int) -> bool:
        return True

    return add


if __name__ == "__main__":
    sys.exit(daemon.main("tests.broken.no_event_id_window", "trackflowd.window:Window.add", wrong))
