"""Lines of a screen: texts with an attribute each, fitted to columns. Nothing here knows a terminal.

An attribute is a name of ``palette``; "" is plain. Lines are drawn with whatever characters look best; what a
terminal cannot show is exchanged in the last step, ``finish``, one character for one.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from trackflowd import cli_text
from trackflowd.cli_text import clean


class Segment(NamedTuple):
    """A piece of a line.

    Args:
        text: what is shown.
        attr: how, a name of the palette.
        does: what a click on it does: a name that the desk or the tab understands; "": nothing.
    """

    text: str
    attr: str = ""
    does: str = ""


Line = Sequence[Segment]

#: What stands for the characters we draw with, where only ASCII can be shown. What is not in here becomes "?".
ASCII = str.maketrans(
    {
        **dict(zip("▁▂▃▄▅▆▇█", "__..-=+#", strict=True)),
        **dict(zip("▏▎▍▌▋▊▉", "---===#", strict=True)),
        **dict(zip("─│┌┐└┘├┤┬┴┼╭╮╰╯", "-|+++++++++++++", strict=True)),
        **dict(zip("▶◀▲▼→←↑↓", "><^v><^v", strict=True)),
        **dict(zip("·…●○✖×–‑", ".~*oXx--", strict=True)),
    }
)


@lru_cache(8192)
def width(text: str) -> int:
    """Columns text takes; most texts come again and again. An escape is one of its characters, no colour."""
    return cli_text.width(text.replace("\x1b", "?"))


def columns_of(line: Line) -> int:
    """Columns a line takes."""
    return sum(width(segment.text) for segment in line)


def text_of(line: Line) -> str:
    """A line without attributes."""
    return "".join(segment.text for segment in line)


def clip(text: str, columns: int) -> str:
    """Text cut to so many columns, the cut marked."""
    if columns <= 0:
        return ""
    return text if width(text) <= columns else text_of(part([Segment(text)], 0, columns - 1)) + "…"


def pad(text: str, columns: int, right: bool = False) -> str:
    """Text cut or filled to exactly so many columns."""
    kept = clip(text, columns)
    spaces = " " * (columns - width(kept))
    return spaces + kept if right else kept + spaces


def part(line: Line, start: int, end: int) -> list[Segment]:
    """The columns of a line from start up to end; half a wide character becomes a space."""
    found: list[Segment] = []
    at = 0
    for segment in line:
        wide = width(segment.text)
        if at + wide > start and at < end and start < end:
            found.append(segment if start <= at and at + wide <= end else _cut(segment, start - at, end - at))
        at += wide
    return found


def _cut(segment: Segment, start: int, end: int) -> Segment:
    if segment.text.isascii():
        return segment._replace(text=segment.text[max(start, 0) : end])
    kept, at = "", 0
    for character in segment.text:
        wide = width(character)
        if start <= at and at + wide <= end:
            kept += character
        elif at < end and at + wide > max(start, 0):
            kept += " "
        at += wide
    return segment._replace(text=kept)


def fill(line: Line, columns: int, attr: str = "") -> list[Segment]:
    """The line at exactly so many columns: filled with spaces, or cut and the cut marked.

    Args:
        attr: of the spaces.
    """
    used = columns_of(line)
    if columns <= 0:
        return []
    if used <= columns:
        return [*line, Segment(" " * (columns - used), attr)] if used < columns else list(line)
    if width(text_of(line).rstrip(" ")) <= columns:
        return part(line, 0, columns)
    kept = part(line, 0, columns - 1)
    last = kept[-1] if kept else Segment("", attr)
    return [*kept, last._replace(text="…")]


def beside(blocks: Sequence[tuple[Sequence[Line], int]], gap: int = 2) -> list[Line]:
    """Blocks of lines next to each other.

    Args:
        blocks: lines, and the columns they are given.
        gap: columns between two.
    """
    high = max((len(lines) for lines, _ in blocks), default=0)
    drawn: list[Line] = []
    for row in range(high):
        line: list[Segment] = []
        for lines, columns in blocks:
            line += [*([Segment(" " * gap)] if line else []), *fill(lines[row] if row < len(lines) else [], columns)]
        drawn.append(line)
    return drawn


def shares(columns: int, count: int, gap: int = 2) -> list[int]:
    """Columns of so many blocks beside each other, as equal as they can be."""
    room = columns - gap * (count - 1)
    return [room // count + (1 if index < room % count else 0) for index in range(count)]


def table(
    rows: Iterable[Sequence[Segment]],
    head: Sequence[str] = (),
    right: Iterable[int] = (),
    columns: int = 0,
    flexible: int = -1,
    gap: int = 2,
) -> list[Line]:
    """Lines of a table without rules.

    Args:
        rows: cells, each row as long as the first.
        head: names of the columns; none: no head line.
        right: columns set to the right, where figures stand.
        columns: what it has to fit into; 0: anything.
        flexible: the column that gives way where that is too little.
        gap: columns between two.
    """
    lines = [list(row) for row in rows]
    if head:
        lines.insert(0, [Segment(text, "dim") for text in head])
    if not lines:
        return []
    widths = [max(width(line[column].text) for line in lines) for column in range(len(lines[0]))]
    over = sum(widths) + gap * (len(widths) - 1) - columns
    if columns and over > 0 and flexible >= 0:
        widths[flexible] = max(widths[flexible] - over, 1)
    rights = set(right)
    between = Segment(" " * gap)
    drawn: list[Line] = []
    for line in lines:
        made: list[Segment] = []
        for column, cell in enumerate(line):
            made += [between] if made else []
            made.append(cell._replace(text=pad(cell.text, widths[column], column in rights)))
        drawn.append(made)
    return drawn


def wrap(text: str, columns: int, attr: str = "") -> list[Line]:
    """A text as lines of at most so many columns, broken between words where that can be."""
    return [[Segment(row, attr)] for row in textwrap.wrap(text, max(columns, 1))]


def title(text: str, columns: int, aside: str = "") -> Line:
    """The heading of a section: its name, a rule, and what is said at the right."""
    room = max(columns - width(text) - (width(aside) + 1 if aside else 0) - 1, 0)
    return [
        Segment(text, "title"),
        Segment(" " + "─" * room, "rule"),
        *([Segment(f" {aside}", "dim")] if aside else []),
    ]


def framed(lines: Sequence[Line], columns: int, name: str, attr: str = "rule") -> list[Line]:
    """Lines in a box of so many columns with a name in its upper edge; attr paints the edge."""
    inner = columns - 4
    rest = columns - width(name) - 5
    top: Line = [Segment("┌─ ", attr), Segment(name, "title"), Segment(" " + "─" * rest + "┐", attr)]
    body: list[Line] = [[Segment("│ ", attr), *fill(line, inner), Segment(" │", attr)] for line in lines]
    return [fill(top, columns), *body, [Segment("└" + "─" * (columns - 2) + "┘", attr)]]


def over(lines: Sequence[Line], box: Sequence[Line], columns: int) -> list[Line]:
    """The lines with a box laid over their middle."""
    wide = max((columns_of(line) for line in box), default=0)
    left, above = max((columns - wide) // 2, 0), max((len(lines) - len(box)) // 2, 0)
    drawn: list[Line] = list(lines)
    for number, line in enumerate(box[: len(lines)]):
        under = fill(drawn[above + number], columns)
        drawn[above + number] = [*part(under, 0, left), *fill(line, wide), *part(under, left + wide, columns)]
    return drawn


def finish(lines: Sequence[Line], columns: int, rows: int, ascii_only: bool = False) -> list[Line]:
    """A whole screen: every line at its full width, nothing in it that a terminal would act on.

    Args:
        ascii_only: show other characters by ASCII ones, or as "?".
    """
    empty: Line = []
    padded = [*lines[:rows], *[empty] * (rows - len(lines))]
    return [[_shown(segment, ascii_only) for segment in fill(line, columns)] for line in padded]


def _shown(segment: Segment, ascii_only: bool) -> Segment:
    text = clean(segment.text)
    if ascii_only and not text.isascii():
        text = "".join(
            character if character.isascii() else "?" * width(character) for character in text.translate(ASCII)
        )
    return segment if text == segment.text else segment._replace(text=text)
