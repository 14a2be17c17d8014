"""Who did what to the daemon, when, and with what outcome: ``audit.log`` in the data directory, one JSON object a line.

::

    {"at_ms": 1795873205123, "uid": 0, "user": "root", "pid": 4711, "command": "flush", "args": {"wait": 10},
     "ok": true, "code": ""}

Only acting commands are noted, when their outcome is known. The file is the owner's only (0600) and bounded: at
``MAX_BYTES`` it becomes ``audit.log.1``, which replaces the one before. Passwords, what names a person (``Arg.noted``:
the file outlives an erasure) and keys and tokens pasted where a name belongs are masked. A disk that refuses a line
does not refuse the command.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trackflowd.bearer import veiled
from trackflowd.proto.command_table import Arg, Command
from trackflowd.sink.base import masked

log = logging.getLogger(__name__)

#: Bytes of the file at which the next is begun: some ten thousand commands, and as many in the one before.
MAX_BYTES = 4 * 2**20
#: Characters of an argument's text that are noted.
MAX_TEXT = 512
#: Seconds between two refusals of one user that are noted: who may not act shall not be able to push out what was done.
REFUSALS_EVERY = 60.0

#: Keys of a selection that name a person.
_PEOPLE = frozenset({"user", "visitor", "id"})
_HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line.

    Args:
        at_ms: when it was asked for, ms since 1970 UTC.
        uid, pid: who asked over the control socket; None: not by a process of this machine.
        user: name of the user, or what else says who it was ("token grafana").
        command, args: what; arguments as ``noted`` makes them.
        ok: it was done.
        code: of the error; "": none.
    """

    at_ms: int
    uid: int | None
    user: str
    pid: int | None
    command: str
    args: Mapping[str, Any]
    ok: bool
    code: str


class Audit:
    """The audit log.

    Args:
        directory: where the file is.

    Attributes:
        missed: commands that were given and could not be noted.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "audit.log"
        self._before = directory / "audit.log.1"
        self._refused: dict[int | None, float] = {}
        self._trouble = ""
        self.missed = 0

    def note(self, entry: Entry) -> None:
        """Write a line, and say in the log that a command was given."""
        if entry.code == "not_permitted" and not self._refusal_due(entry.uid):
            return
        level = logging.INFO if entry.ok else logging.WARNING
        outcome = "done" if entry.ok else f"not done ({entry.code})"
        log.log(level, "%s by %s: %s", entry.command, entry.user or f"user {entry.uid}", outcome)
        try:
            self._append(json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            self.missed += 1
            if self._trouble != str(error):  # said once, not at each command
                self._trouble = str(error)
                log.error("%s: a command is not noted: %s", self._path, error.strerror)
        else:
            self._trouble = ""

    def _refusal_due(self, uid: int | None) -> bool:
        now = time.monotonic()
        if now - self._refused.get(uid, -REFUSALS_EVERY) < REFUSALS_EVERY:
            return False
        self._refused[uid] = now
        return True

    def _append(self, line: bytes) -> None:
        if self._path.exists() and self._path.stat().st_size + len(line) > MAX_BYTES:
            self._path.rename(self._before)
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            if os.write(fd, line) < len(line):
                os.ftruncate(fd, size)  # or the next line would begin in the middle of this one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(fd)

    def last(self, limit: int) -> Sequence[dict[str, Any]]:
        """The last entries, newest first. A line cut short by a full disk or a kill is passed over."""
        found: list[dict[str, Any]] = []
        for path in (self._path, self._before):
            for line in reversed(_lines(path)):
                if len(found) == limit:
                    return found
                found += _entry(line)
        return found


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _entry(line: bytes) -> Iterator[dict[str, Any]]:
    try:
        value = json.loads(line)
    except ValueError:
        return
    if isinstance(value, dict):
        yield value


def noted(command: Command, args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the log may keep them; those that have their default are left out."""
    return {arg.name: _noted(arg, args[arg.name]) for arg in command.args if args[arg.name] != arg.default}


def _noted(arg: Arg, value: Any) -> Any:
    if arg.noted == "hidden":
        return _HIDDEN
    if arg.noted == "url":
        value = masked(value)
    elif isinstance(value, dict):
        hides = value.keys() if arg.noted == "keys" else _PEOPLE
        return {str(key)[:MAX_TEXT]: _HIDDEN if key in hides else _short(each) for key, each in value.items()}
    elif isinstance(value, list | tuple):
        return [_short(item) for item in value[:100]]
    return _short(value)


def _short(value: Any) -> Any:
    if isinstance(value, str):
        value = veiled(value)
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + _HIDDEN
    return value if value is None or isinstance(value, bool | int | float) else _HIDDEN
