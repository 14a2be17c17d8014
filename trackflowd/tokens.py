"""Bearer tokens of the admin listener: ``tft_NUMBER_SECRET``. What they are made of is in ``bearer``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, ClassVar

from trackflowd.bearer import Bearer, Bearers, Words, hashed
from trackflowd.proto.control import BadRequest
from trackflowd.state import State

#: What a token may do: look; or change things, too.
READ, ADMIN = "read", "admin"
SCOPES = (READ, ADMIN)

#: Tokens that work at one time.
MAX_LIVING = 100

_TEXT = re.compile(r"tft_([1-9][0-9]{0,15})_([A-Za-z0-9_-]{43})\Z")


class TokenRefused(BadRequest):
    """A token that does not work; the text never says more than its owner may know."""


@dataclass(frozen=True, slots=True)
class Token(Bearer):
    """One row; its realm is one of ``SCOPES``."""

    REALM: ClassVar[str] = "scope"

    @property
    def scope(self) -> str:
        """What it may do."""
        return self.realm


class Tokens(Bearers[Token]):
    """The table.

    Args:
        state: the opened database.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state, Token, Words("token", "tokens", "tft", MAX_LIVING, "trackflow tokens"))

    def check(self, text: str, now_ms: int) -> Token:
        """The token a client showed.

        Args:
            text: as it was sent.
            now_ms: wall clock, ms since 1970 UTC.

        Raises:
            TokenRefused: ``token_unknown``; ``token_expired`` and ``token_revoked``, which only its owner is told.
        """
        match = _TEXT.match(text)
        token = self.get(int(match[1])) if match else None
        given = hashed(match[2] if match else "")
        if not compare_digest(given, token.hash if token else hashed("nobody's")) or token is None:
            raise TokenRefused("token_unknown", "no such token", "`trackflow tokens add NAME` makes one")
        state = token.state(now_ms)
        if state != "active":
            raise TokenRefused(f"token_{state}", f"this token is {state}", "`trackflow tokens add NAME` makes another")
        self.used(token.number, now_ms)
        return token

    def add(self, name: str, realm: str, lifetime: float, now_ms: int) -> tuple[Token, str]:
        """As ``Bearers`` has it; ``realm`` is one of ``SCOPES``."""
        if realm not in SCOPES:
            raise BadRequest("bad_arguments", f"{realm!r} is no scope", " or ".join(SCOPES))
        return super().add(name, realm, lifetime, now_ms)

    def published(self, now_ms: int) -> list[dict[str, Any]]:
        """What workers have to know to let an admin see what they decide: never a secret."""
        return [
            {"id": one.number, "hash": one.hash, "expires_ms": one.expires_ms}
            for one in self.living(now_ms)
            if one.scope == ADMIN
        ]
