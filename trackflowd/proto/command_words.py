"""What a row of the table of commands of the control socket is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: How an argument is noted in the audit log: as it is; the password of a url masked; the ids of people in a
#: selection masked; only the keys of a map; not at all.
Noted = Literal["whole", "url", "what", "keys", "hidden"]


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument of a command.

    Args:
        name: its key in ``args``.
        kind: ``text``, ``number``, ``flag``, ``map`` or ``list`` (of texts).
        help: one line.
        default: used where it is not given; ``...``: it must be given.
        noted: see ``Noted``.
    """

    name: str
    kind: str
    help: str
    default: Any = ...
    noted: Noted = "whole"


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table.

    Args:
        name: as requests name it.
        help: one line.
        args: arguments; no others are taken.
        answer: what comes back, as docs/control.md says it (Markdown).
        tool: words of the subcommand of ``trackflow`` that asks for it.
        acting: it changes what the daemon does: for the daemon's user and root only, and noted in the audit log.
        streams: it answers with events until cancelled.
    """

    name: str
    help: str
    args: tuple[Arg, ...] = ()
    answer: str = ""
    tool: str = ""
    acting: bool = False
    streams: bool = False
