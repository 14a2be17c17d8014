"""Commands of the control socket about tokens of the admin listener. ``commands`` has the others.

A token's text is in the answer to who asked for it, and nowhere else: not in the log, not in the audit, not on disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from trackflowd.tokens import Tokens

log = logging.getLogger(__name__)


class TokenCommands:
    """The handlers.

    Args:
        table: the tokens.
        changed: called after each change: workers know tokens, too.
    """

    def __init__(self, table: Tokens, changed: Callable[[], object]) -> None:
        self._table = table
        self._changed = changed

    async def tokens(self) -> list[dict[str, Any]]:
        """Every token, newest first, without its secret."""
        now_ms = _now_ms()
        return [token.as_dict(now_ms) for token in self._table.all()]

    async def token_add(self, name: str, scope: str, expires: float) -> dict[str, Any]:
        """A new one: as ``tokens`` has it, and ``token``, its text."""
        now_ms = _now_ms()
        made, text = self._table.add(name, scope, expires, now_ms)
        self._changed()
        log.info("token %d (%s, %s) is made", made.number, made.name, made.scope)
        return {**made.as_dict(now_ms), "token": text}

    async def token_revoke(self, which: str) -> dict[str, Any]:
        """Have one, or all of a name, not work any more; ``revoked``: those."""
        now_ms = _now_ms()
        gone = self._table.revoke(which, now_ms)
        self._changed()
        for token in gone:
            log.info("token %d (%s) is revoked", token.number, token.name)
        return {"revoked": [token.as_dict(now_ms) for token in gone]}

    async def token_rotate(self, which: str, overlap: float) -> dict[str, Any]:
        """A successor, as ``token_add`` answers it, with ``old``: the one before."""
        now_ms = _now_ms()
        made, text, old = self._table.rotate(which, overlap, now_ms)
        self._changed()
        log.info("token %d (%s) follows token %d", made.number, made.name, old.number)
        return {**made.as_dict(now_ms), "token": text, "old": old.as_dict(now_ms)}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
