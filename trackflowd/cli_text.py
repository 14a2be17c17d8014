"""How the commands write: tables, colours, bars, figures for people, and nothing that drives a terminal.

Names, pages and properties come from whoever sent the event. ``clean`` takes control characters
out of them before they are shown, or a sender could recolour, retitle or type into the terminal
of who looks.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

_BLOCKS = " ▏▎▍▌▋▊▉"
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")

#: Unicode categories a terminal acts on or does not draw: controls, bidi and other format marks, surrogates.
_ACTING = {"Cc", "Cf", "Cs"}


@dataclass(frozen=True, slots=True)
class Style:
    """Colours of a stream, or none.

    Args:
        on: whether to use them.
    """

    on: bool = False

    @classmethod
    def of(cls, stream: TextIO, env: Mapping[str, str] = os.environ) -> Style:
        """Colours where a person looks: a terminal, unless $NO_COLOR is set (no-color.org) or it is dumb."""
        return cls(stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb")

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and text else text

    def bold(self, text: str) -> str:
        return self._wrap("1", text)

    def dim(self, text: str) -> str:
        return self._wrap("2", text)

    def good(self, text: str) -> str:
        return self._wrap("32", text)

    def odd(self, text: str) -> str:
        return self._wrap("33", text)

    def bad(self, text: str) -> str:
        return self._wrap("31", text)

    def name(self, text: str) -> str:
        return self._wrap("36", text)


def clean(value: object, keep: str = "") -> str:
    """Value as text without characters a terminal would act on; keep names those to leave in."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or unicodedata.category(character) not in _ACTING else "�" for character in text
    )


def width(text: str) -> int:
    """Columns text takes on a terminal; colours take none."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    columns, skipping = 0, False
    for character in text:
        if skipping:
            skipping = character != "m"
        elif character == "\x1b":
            skipping = True
        elif unicodedata.category(character) not in ("Mn", "Me"):
            columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return columns


def pad(text: str, columns: int, right: bool = False) -> str:
    """Text filled with spaces to so many columns."""
    fill = " " * (columns - width(text))
    return fill + text if right else text + fill


def fit(text: str, columns: int) -> str:
    """Text without colours, cut to so many columns, the cut marked."""
    if width(text) <= columns:
        return text
    kept = 0
    for index, character in enumerate(text):
        kept += width(character)
        if kept >= columns:
            return text[:index] + "…"
    return text


def table(
    rows: Iterable[Sequence[str]], head: Sequence[str] = (), right: Iterable[int] = (), gap: str = "  "
) -> list[str]:
    """Lines of a table without rules.

    Args:
        rows: cells, clean and perhaps coloured; every row as long as the first.
        head: names of the columns; none: no head line.
        right: indexes of the columns set to the right, where figures stand.
        gap: what stands between columns.
    """
    lines = [list(row) for row in rows]
    if head:
        lines.insert(0, list(head))
    if not lines:
        return []
    widths = [max(width(line[column]) for line in lines) for column in range(len(lines[0]))]
    rights = set(right)
    return [
        gap.join(pad(cell, widths[column], column in rights) for column, cell in enumerate(line)).rstrip()
        for line in lines
    ]


def bar(share: float, columns: int) -> str:
    """A bar that fills share (0 to 1) of so many columns, to an eighth of a column."""
    eighths = round(min(max(share, 0.0), 1.0) * columns * 8)
    if share > 0:
        eighths = max(eighths, 1)  # something is never nothing
    return "█" * (eighths // 8) + (_BLOCKS[eighths % 8] if eighths % 8 else "")


def count(number: float) -> str:
    """A figure with its thousands apart: 12,345; below 100 with a decimal if it has one."""
    return f"{number:,.1f}" if number % 1 and abs(number) < 100 else f"{number:,.0f}"


def size(number: float) -> str:
    """Bytes as people read them: 64 MiB, 1.5 KiB."""
    value = float(number)
    for unit in _SIZES:
        if value < 1024 or unit == _SIZES[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 100 or value % 1 < 0.05 else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """A span of time by its two largest units: 350 ms, 4.2 s, 3 m 12 s, 2 d 5 h."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, length, small, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // part} {small}"
    return f"{whole} s"


def to_json(value: object, indent: int | None = None) -> str:
    """Value as JSON; bytes as hex."""

    def other(item: object) -> Any:
        return item.hex() if isinstance(item, bytes) else str(item)

    return json.dumps(value, ensure_ascii=False, indent=indent, default=other)


def say(text: str = "") -> None:
    """One line (or several) on standard output, at once: a reader behind a pipe follows line by line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
