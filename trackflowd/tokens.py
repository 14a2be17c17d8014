"""Bearer tokens of the admin listener: made, shown once, checked, rotated, revoked.

::

    tft_12_kq3…  (43 characters)
    │   │  └ the secret: 256 random bits, base64url without padding
    │   └ number of its row
    └ so that a scanner for leaked secrets knows one

The secret is stored nowhere: its row has the SHA-256 of it. Slow, salted hashes (scrypt, argon2) are for secrets that
people choose and others can guess; nobody enumerates 256 random bits, however fast the hash, and a slow one would let
anybody keep the supervisor busy with wrong tokens. A token is found by its number, which is no secret, and its hash is
compared in constant time, so how long a refusal takes tells nothing of the right one.

All of it runs in the supervisor's loop, and is held in memory: a check reads no disk. ``used_ms`` is written at most
once a minute for each token, and when the daemon ends.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Any

from trackflowd.errors import DataDirError
from trackflowd.proto.control import BadRequest
from trackflowd.state import State

log = logging.getLogger(__name__)

#: What a token may do: look; or change things, too.
READ, ADMIN = "read", "admin"
SCOPES = (READ, ADMIN)

SECRET_BYTES = 32
#: Tokens that work at one time: more is a script gone wrong.
MAX_LIVING = 100
#: Tokens that do not work any more and are still listed.
KEEP = 100
#: ms between two writes of when a token was last used.
NOTE_EVERY_MS = 60_000
#: Longest a token may last, and an old one beside its successor, in seconds.
MAX_LIFETIME = 3650 * 86_400
MAX_OVERLAP = 30 * 86_400

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}\Z")
_TEXT = re.compile(r"tft_([1-9][0-9]{0,15})_([A-Za-z0-9_-]{43})\Z")
_COLUMNS = "id, name, scope, hash, created_ms, expires_ms, used_ms, revoked_ms"


class TokenRefused(BadRequest):
    """A token that does not work; the text never says more than its owner may know."""


@dataclass(frozen=True, slots=True)
class Token:
    """One row.

    Args:
        number: grows, never given twice.
        name: whose it is or what for; a rotated one has the name of the one before.
        scope: one of ``SCOPES``.
        hash: SHA-256 of the secret.
        created_ms, expires_ms, used_ms, revoked_ms: ms since 1970 UTC; None: never, or not yet.
    """

    number: int
    name: str
    scope: str
    hash: bytes
    created_ms: int
    expires_ms: int | None = None
    used_ms: int | None = None
    revoked_ms: int | None = None

    def state(self, now_ms: int) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_ms is not None:
            return "revoked"
        return "active" if self.expires_ms is None or now_ms < self.expires_ms else "expired"

    def as_dict(self, now_ms: int) -> dict[str, Any]:
        """As JSON has it: everything but the hash."""
        return {
            "id": self.number, "name": self.name, "scope": self.scope, "state": self.state(now_ms),
            "created_ms": self.created_ms, "expires_ms": self.expires_ms, "used_ms": self.used_ms,
            "revoked_ms": self.revoked_ms,
        }  # fmt: skip


class Tokens:
    """The table.

    Args:
        state: the opened database.

    Every method that changes something raises DataDirError when the disk refuses. Then nothing was changed, or a
    rotation has made a token whose text nobody was told.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        rows = state.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY id")
        self._all = {row[0]: Token(*row) for row in rows}
        self._noted = {number: token.used_ms or 0 for number, token in self._all.items()}

    def all(self) -> Sequence[Token]:
        """Every one, newest first."""
        return [self._all[number] for number in sorted(self._all, reverse=True)]

    # ---------------------------------------------------------------- checks

    def check(self, text: str, now_ms: int) -> Token:
        """The token a client showed.

        Args:
            text: as it was sent.
            now_ms: wall clock, ms since 1970 UTC.

        Raises:
            TokenRefused: ``token_unknown``; ``token_expired`` and ``token_revoked``, which only its owner is told.
        """
        match = _TEXT.match(text)
        token = self._all.get(int(match[1])) if match else None
        given = _hashed(match[2] if match else "")
        if not compare_digest(given, token.hash if token else _hashed("nobody's")) or token is None:
            raise TokenRefused("token_unknown", "no such token", "`trackflow tokens add NAME` makes one")
        state = token.state(now_ms)
        if state != "active":
            raise TokenRefused(f"token_{state}", f"this token is {state}", "`trackflow tokens add NAME` makes another")
        self._used(token, now_ms)
        return token

    def _used(self, token: Token, now_ms: int) -> None:
        self._all[token.number] = replace(token, used_ms=now_ms)
        if abs(now_ms - self._noted[token.number]) >= NOTE_EVERY_MS:
            self._noted[token.number] = now_ms  # also where the disk refuses: the next try is a minute away
            self._note(token.number, now_ms)

    def _note(self, number: int, used_ms: int) -> None:
        try:
            self._state.execute("UPDATE tokens SET used_ms = ? WHERE id = ?", (used_ms, number))
        except DataDirError as error:
            log.warning("when token %d was last used cannot be written down: %s", number, error)

    def save(self) -> None:
        """Write down when each was last used, where that is not yet."""
        for number, token in self._all.items():
            if token.used_ms is not None and token.used_ms != self._noted[number]:
                self._noted[number] = token.used_ms
                self._note(number, token.used_ms)

    # --------------------------------------------------------------- changes

    def add(self, name: str, scope: str, lifetime: float, now_ms: int) -> tuple[Token, str]:
        """A new token, and its text, which nothing can tell again.

        Args:
            name: letters, digits, ``.``, ``_``, ``-``; a letter first.
            scope: one of ``SCOPES``.
            lifetime: seconds; 0: for ever.

        Raises:
            BadRequest: ``bad_arguments``, ``token_exists`` (a token of this name works), ``too_many_tokens``.
        """
        if not _NAME.match(name):
            hint = "at most 64 letters, digits, dots, dashes and underscores, a letter first"
            raise BadRequest("bad_arguments", f"{name!r} cannot be the name of a token", hint)
        if scope not in SCOPES:
            raise BadRequest("bad_arguments", f"{scope!r} is no scope", " or ".join(SCOPES))
        if lifetime and not 1 <= lifetime <= MAX_LIFETIME:
            raise BadRequest("bad_arguments", "a token lasts from a second to ten years", "0: for ever")
        if self._living(name, now_ms):
            raise BadRequest("token_exists", f"a token {name} is there", "rotate it, revoke it, or take another name")
        return self._make(name, scope, now_ms + int(lifetime * 1000) if lifetime else None, now_ms)

    def revoke(self, which: str, now_ms: int) -> Sequence[Token]:
        """Have tokens not work any more, from now on; those it were.

        Args:
            which: a number, or a name: all of that name that work.

        Raises:
            BadRequest: ``no_token``: none that works.
        """
        found = self._meant(which, now_ms)
        for token in found:
            self._state.execute("UPDATE tokens SET revoked_ms = ? WHERE id = ?", (now_ms, token.number))
            self._all[token.number] = replace(token, revoked_ms=now_ms)
        return [self._all[token.number] for token in found]

    def rotate(self, which: str, overlap: float, now_ms: int) -> tuple[Token, str, Token]:
        """A successor of the same name, scope and lifetime; the old one works for a while beside it.

        Args:
            which: a number or a name.
            overlap: seconds the old one goes on working; it may expire sooner by itself.

        Returns:
            The new one, its text, and the old one.

        Raises:
            BadRequest: ``no_token``; ``bad_arguments``: the overlap, or two of the name work (the last rotation's
                overlap goes on).
        """
        if not 0 <= overlap <= MAX_OVERLAP:
            raise BadRequest("bad_arguments", "an overlap lasts from 0 seconds to 30 days")
        found = self._meant(which, now_ms)
        if len(found) > 1:
            numbers = ", ".join(str(token.number) for token in found)
            raise BadRequest("bad_arguments", f"{len(found)} tokens {which} work: {numbers}", "say which by its number")
        (old,) = found
        lifetime = old.expires_ms - old.created_ms if old.expires_ms is not None else None
        made, text = self._make(old.name, old.scope, now_ms + lifetime if lifetime is not None else None, now_ms)
        until = now_ms + int(overlap * 1000)
        if old.expires_ms is None or until < old.expires_ms:
            self._state.execute("UPDATE tokens SET expires_ms = ? WHERE id = ?", (until, old.number))
            self._all[old.number] = replace(old, expires_ms=until)
        return made, text, self._all[old.number]

    def _make(self, name: str, scope: str, expires_ms: int | None, now_ms: int) -> tuple[Token, str]:
        if sum(token.state(now_ms) == "active" for token in self._all.values()) >= MAX_LIVING:
            raise BadRequest("too_many_tokens", f"{MAX_LIVING} tokens work", "revoke those nobody uses")
        secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
        sql = "INSERT INTO tokens (name, scope, hash, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?) RETURNING id"
        values = (name, scope, _hashed(secret), now_ms, expires_ms)
        ((number,),) = self._state.execute(sql, values)
        token = self._all[number] = Token(number, *values)
        self._noted[number] = 0
        self._trim(now_ms)
        return token, f"tft_{number}_{secret}"

    def _trim(self, now_ms: int) -> None:
        dead = [number for number, token in sorted(self._all.items()) if token.state(now_ms) != "active"]
        for number in dead[:-KEEP]:
            self._state.execute("DELETE FROM tokens WHERE id = ?", (number,))
            del self._all[number], self._noted[number]

    def _living(self, name: str, now_ms: int) -> list[Token]:
        return [token for token in self._all.values() if token.name == name and token.state(now_ms) == "active"]

    def _meant(self, which: str, now_ms: int) -> list[Token]:
        if which.isascii() and which.isdigit() and len(which) < 16:
            token = self._all.get(int(which))
            found = [token] if token and token.state(now_ms) == "active" else []
        else:
            found = self._living(which, now_ms)
        if not found:
            raise BadRequest("no_token", f"no token {which} works", "`trackflow tokens list` shows those there are")
        return found


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
