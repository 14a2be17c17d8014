"""What is known of the store's state: one word for the counters, a text and a moment for people."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from trackflowd.shared import Slot

log = logging.getLogger(__name__)

#: The words, as the counter ``sink_state`` has them.
NUMBERS: Mapping[str, int] = {"starting": 0, "ok": 1, "away": 2, "doubt": 3, "rejects": 4}
_LEVELS = {"ok": logging.INFO, "rejects": logging.ERROR}


class StoreState:
    """The state of the store in effect.

    Args:
        slot: counters.
        url: says which store that is, without its password.
    """

    def __init__(self, slot: Slot, url: Callable[[], str]) -> None:
        self._slot = slot
        self._url = url
        self._state, self._text, self._since = "starting", "", time.time()

    def report(self, state: str, text: str) -> None:
        """Note a state; a change is logged once."""
        if state != self._state:
            level = _LEVELS.get(state, logging.WARNING)
            log.log(level, "store %s: %s%s", self._url(), state, f": {text}" if text else "")
            self._since = time.time()
        self._state, self._text = state, text
        self._slot.set("sink_state", NUMBERS[state])

    def as_dict(self) -> dict[str, Any]:
        """``url``, ``state``, ``text``, ``since_ms`` (ms since 1970 UTC)."""
        return {"url": self._url(), "state": self._state, "text": self._text, "since_ms": int(self._since * 1000)}
