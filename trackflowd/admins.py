"""Who may see what a worker decides: tokens of the admin listener that may change things, by their hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from hmac import compare_digest
from typing import NamedTuple

from trackflowd.proto.refusals import refused

_TOKEN = re.compile(rb"tft_([1-9][0-9]{0,15})_([A-Za-z0-9_-]{43})\Z")


class Admin(NamedTuple):
    """A token that works.

    Args:
        number: of its row.
        hash: SHA-256 of its secret.
        expires_ms: when it stops working, ms since 1970 UTC; None: never.
    """

    number: int
    hash: bytes
    expires_ms: int | None


class Admins:
    """The tokens.

    Args:
        admins: each of them.
    """

    def __init__(self, admins: Iterable[Admin] = ()) -> None:
        self._admins = {admin.number: admin for admin in admins}

    def check(self, shown: bytes, now_ms: int) -> None:
        """Let nobody pass who shows none of them. How long that takes says nothing of the right one.

        Args:
            shown: the token, as it was sent.
            now_ms: ms since 1970 UTC.

        Raises:
            Refused: ``bad_token``: there is none like it, or it does not work any more.
        """
        found = _TOKEN.match(shown)
        admin = self._admins.get(int(found[1])) if found else None
        # of an unknown number as much is computed as of a known one
        same = compare_digest(hashlib.sha256(found[2] if found else b"").digest(), admin.hash if admin else bytes(32))
        if admin is None or not same or (admin.expires_ms is not None and now_ms >= admin.expires_ms):
            raise refused(
                "bad_token", "this token does not let you see decisions: `trackflow tokens add --scope admin`"
            )
