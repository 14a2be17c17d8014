"""Secrets that are shown once: made, checked, rotated, revoked. Tokens and server keys are made of this.

::

    tft_12_kq3…  (43 characters)
    │   │  └ the secret: 256 random bits, base64url without padding
    │   └ number of its row
    └ kind, so that a scanner for leaked secrets knows one

The secret is stored nowhere: its row has the SHA-256 of it. Slow, salted hashes (scrypt, argon2) are for secrets that
people choose and others can guess; nobody enumerates 256 random bits, however fast the hash, and a slow one would let
anybody keep the daemon busy with wrong ones. One is found by its number, which is no secret, and its hash is compared
in constant time, so how long a refusal takes tells nothing of the right one.

All of it runs in the supervisor's loop, and is held in memory: a check reads no disk. ``used_ms`` is written at most
once a minute for each, and when the daemon ends.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

from trackflowd.errors import DataDirError
from trackflowd.proto.control import BadRequest
from trackflowd.state import State

log = logging.getLogger(__name__)

SECRET_BYTES = 32
#: Those that do not work any more and are still listed.
KEEP = 100
#: ms between two writes of when one was last used.
NOTE_EVERY_MS = 60_000
#: Longest one may last, and an old one beside its successor, in seconds.
MAX_LIFETIME = 3650 * 86_400
MAX_OVERLAP = 30 * 86_400

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}\Z")
#: What looks like a secret, whole or nearly.
_TEXT = re.compile(r"(tf[a-z]_[0-9]{1,15}_)[A-Za-z0-9_-]{20,}", re.ASCII | re.IGNORECASE)


def veiled(text: str) -> str:
    """A text without the secrets in it: people paste one where its name belongs."""
    return _TEXT.sub(r"\1***", text)


@dataclass(frozen=True, slots=True)
class Bearer:
    """One row.

    Args:
        number: never given twice.
        name: whose it is or what for; a rotated one has the name of the one before.
        realm: what it is good for: of a token its scope, of a key its site.
        hash: SHA-256 of the secret.
        created_ms, expires_ms, used_ms, revoked_ms: ms since 1970 UTC; None: never, or not yet.
    """

    #: What ``realm`` is called, in JSON and in the table.
    REALM: ClassVar[str]

    number: int
    name: str
    realm: str
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
            "id": self.number, "name": self.name, self.REALM: self.realm, "state": self.state(now_ms),
            "created_ms": self.created_ms, "expires_ms": self.expires_ms, "used_ms": self.used_ms,
            "revoked_ms": self.revoked_ms,
        }  # fmt: skip

    def used(self, at_ms: int) -> Self:
        """The same, used at a time."""
        return replace(self, used_ms=at_ms)


Row = TypeVar("Row", bound=Bearer)


@dataclass(frozen=True, slots=True)
class Words:
    """What one kind is called.

    Args:
        noun: "token".
        table: of the database.
        prefix: of the text.
        most: how many may work at one time: more is a script gone wrong.
        tool: words of the tool: "trackflow tokens".
        drawn: numbers are drawn at random, not counted.
    """

    noun: str
    table: str
    prefix: str
    most: int
    tool: str
    drawn: bool = False


class Bearers(Generic[Row]):
    """The table of one kind.

    Args:
        state: the opened database.
        row: what a row is made of.
        words: see there.

    Every method that changes something raises DataDirError when the disk refuses. Then nothing was changed, or a
    rotation has made one whose text nobody was told.
    """

    def __init__(self, state: State, row: type[Row], words: Words) -> None:
        self.words = words
        self._state = state
        self._row = row
        self._columns = f"id, name, {row.REALM}, hash, created_ms, expires_ms, used_ms, revoked_ms"
        self._all: dict[int, Row] = {}
        self._noted: dict[int, int] = {}
        self.load()

    def load(self) -> None:
        """Read all of it."""
        found = (
            self._row(*values) for values in self._state.execute(f"SELECT {self._columns} FROM {self.words.table}")
        )
        self._all = {one.number: one for one in found}
        self._noted = {number: one.used_ms or 0 for number, one in self._all.items()}

    def all(self) -> Sequence[Row]:
        """Every one, newest first."""
        return sorted(self._all.values(), key=lambda one: (one.created_ms, one.number), reverse=True)

    def living(self, now_ms: int) -> Sequence[Row]:
        """Those that work, newest first."""
        return [one for one in self.all() if one.state(now_ms) == "active"]

    def get(self, number: int) -> Row | None:
        """One by its number."""
        return self._all.get(number)

    # ------------------------------------------------------------------ use

    def used(self, number: int, now_ms: int) -> None:
        """Note that one was used; nothing where there is none of this number."""
        one = self._all.get(number)
        if one is None:
            return
        self._all[number] = one.used(now_ms)
        if abs(now_ms - self._noted[number]) >= NOTE_EVERY_MS:
            self._noted[number] = now_ms  # also where the disk refuses: the next try is a minute away
            self._note(number, now_ms)

    def _note(self, number: int, used_ms: int) -> None:
        try:
            self._state.execute(f"UPDATE {self.words.table} SET used_ms = ? WHERE id = ?", (used_ms, number))
        except DataDirError as error:
            log.warning("when %s %d was last used cannot be written down: %s", self.words.noun, number, error)

    def save(self) -> None:
        """Write down when each was last used, where that is not yet."""
        for number, one in self._all.items():
            if one.used_ms is not None and one.used_ms != self._noted[number]:
                self._noted[number] = one.used_ms
                self._note(number, one.used_ms)

    # --------------------------------------------------------------- changes

    def add(self, name: str, realm: str, lifetime: float, now_ms: int) -> tuple[Row, str]:
        """A new one, and its text, which nothing can tell again.

        Args:
            name: letters, digits, ``.``, ``_``, ``-``; a letter first.
            realm: see ``Bearer``.
            lifetime: seconds; 0: for ever.

        Raises:
            BadRequest: ``bad_arguments``, ``…_exists`` (one of this name works), ``too_many_…``.
        """
        noun = self.words.noun
        if not _NAME.match(name):
            hint = "at most 64 letters, digits, dots, dashes and underscores, a letter first"
            raise BadRequest("bad_arguments", f"{name!r} cannot be the name of a {noun}", hint)
        if lifetime and not 1 <= lifetime <= MAX_LIFETIME:
            raise BadRequest("bad_arguments", f"a {noun} lasts from a second to ten years", "0: for ever")
        if self._same(name, realm, now_ms):
            hint = "rotate it, revoke it, or take another name"
            raise BadRequest(f"{noun}_exists", f"a {noun} {name} is there", hint)
        return self._make(name, realm, now_ms + int(lifetime * 1000) if lifetime else None, now_ms)

    def revoke(self, which: str, now_ms: int) -> Sequence[Row]:
        """Have some not work any more, from now on; those it were.

        Args:
            which: a number, or a name: all of that name that work.

        Raises:
            BadRequest: ``no_…``: none that works; ``bad_arguments``: those of the name are good for different things.
        """
        found = self.meant(which, now_ms)
        if len({one.realm for one in found}) > 1:
            raise self._several(which, found)
        for one in found:
            self._state.execute(f"UPDATE {self.words.table} SET revoked_ms = ? WHERE id = ?", (now_ms, one.number))
            self._all[one.number] = replace(one, revoked_ms=now_ms)
        return [self._all[one.number] for one in found]

    def rotate(self, which: str, overlap: float, now_ms: int) -> tuple[Row, str, Row]:
        """A successor of the same name, realm and lifetime; the old one works for a while beside it.

        Args:
            which: a number or a name.
            overlap: seconds the old one goes on working; it may expire sooner by itself.

        Returns:
            The new one, its text, and the old one.

        Raises:
            BadRequest: ``no_…``; ``bad_arguments``: the overlap, or two of the name work (the last rotation's
                overlap goes on).
        """
        if not 0 <= overlap <= MAX_OVERLAP:
            raise BadRequest("bad_arguments", "an overlap lasts from 0 seconds to 30 days")
        found = self.meant(which, now_ms)
        if len(found) > 1:
            raise self._several(which, found)
        (old,) = found
        lifetime = old.expires_ms - old.created_ms if old.expires_ms is not None else None
        made, text = self._make(old.name, old.realm, now_ms + lifetime if lifetime is not None else None, now_ms)
        until = now_ms + int(overlap * 1000)
        if old.expires_ms is None or until < old.expires_ms:
            self._state.execute(f"UPDATE {self.words.table} SET expires_ms = ? WHERE id = ?", (until, old.number))
            self._all[old.number] = replace(old, expires_ms=until)
        return made, text, self._all[old.number]

    def _several(self, which: str, found: Sequence[Row]) -> BadRequest:
        numbers = ", ".join(f"{one.number} ({one.realm})" for one in found)
        text = f"{len(found)} {self.words.noun}s {which} work: {numbers}"
        return BadRequest("bad_arguments", text, "say which by its number")

    def _make(self, name: str, realm: str, expires_ms: int | None, now_ms: int) -> tuple[Row, str]:
        words = self.words
        self.check_room(1, now_ms)
        secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
        sql = (
            f"INSERT INTO {words.table} (id, name, {self._row.REALM}, hash, created_ms, expires_ms) "
            "VALUES (?, ?, ?, ?, ?, ?) RETURNING id"
        )
        values = (name, realm, hashed(secret), now_ms, expires_ms)
        ((number,),) = self._state.execute(sql, (self._draw() if words.drawn else None, *values))
        made = self._all[number] = self._row(number, *values)
        self._noted[number] = 0
        self._trim(now_ms)
        return made, f"{words.prefix}_{number}_{secret}"

    def check_room(self, more: int, now_ms: int) -> None:
        """Return if so many more may work.

        Raises:
            BadRequest: ``too_many_…``.
        """
        most, noun = self.words.most, self.words.noun
        if len(self.living(now_ms)) + more > most:
            raise BadRequest(f"too_many_{noun}s", f"at most {most} {noun}s work", "revoke those nobody uses")

    def _draw(self) -> int:
        while (number := 10**8 + secrets.randbelow(9 * 10**8)) in self._all:
            pass
        return number

    def _trim(self, now_ms: int) -> None:
        dead = [one.number for one in reversed(self.all()) if one.state(now_ms) != "active"]
        for number in dead[:-KEEP]:
            self._state.execute(f"DELETE FROM {self.words.table} WHERE id = ?", (number,))
            del self._all[number], self._noted[number]

    def _same(self, name: str, realm: str, now_ms: int) -> Sequence[Row]:
        """Those that keep another from being called so."""
        return [one for one in self.living(now_ms) if one.name == name]

    def meant(self, which: str, now_ms: int) -> Sequence[Row]:
        """Those that work, by a number or a name.

        Raises:
            BadRequest: ``no_…``: none; ``bad_arguments``: it is the secret itself.
        """
        noun = self.words.noun
        if secret := _TEXT.match(which):
            number, text = secret[1].split("_")[1], f"{veiled(which)[:80]} is a {noun} itself"
            raise BadRequest("bad_arguments", text, f"say its number, {number}; your shell's history may have it now")
        if which.isascii() and which.isdigit() and len(which) < 16:
            found = [one for one in self.living(now_ms) if one.number == int(which)]
        else:
            found = [one for one in self.living(now_ms) if one.name == which]
        if not found:
            hint = f"`{self.words.tool} list` shows those there are"
            raise BadRequest(f"no_{self.words.noun}", f"no {self.words.noun} {which[:80]} works", hint)
        return found


def hashed(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()
