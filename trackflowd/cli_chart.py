"""Charts of characters: a line of braille dots, a row of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from trackflowd.cli_text import count, pad

_BLOCKS = "▁▂▃▄▅▆▇█"

#: Bits of a braille character's dots, by column and row (Unicode, from U+2800 on).
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def row(values: Sequence[float]) -> str:
    """A character for each value, as high as it is of the greatest; what is not 0 is never drawn as nothing."""
    most = max(values, default=0)
    last = len(_BLOCKS) - 1
    return "".join(
        _BLOCKS[max(round(value / most * last), 1 if value else 0)] if most else _BLOCKS[0] for value in values
    )


def line(values: Sequence[float], columns: int, rows: int) -> list[str]:
    """A line through the values, with its scale, from 0, at the left.

    Args:
        values: at even distances; of more than there are dots for, the greatest of neighbours.
        columns: characters of all of it.
        rows: characters it is high.
    """
    most = max(values, default=0)
    marks = [count(most), "0"]
    margin = max(map(len, marks))
    wide = max(columns - margin - 2, 1)
    heights = _heights(_fitted(values, wide * 2), wide * 2, rows * 4, most)
    cells = [[0] * wide for _ in range(rows)]
    before = heights[0] if heights else 0
    for x, height in enumerate(heights):
        low, high = sorted((height, before if abs(height - before) > 1 else height))
        for y in range(low, high + 1):
            cells[rows - 1 - y // 4][x // 2] |= _DOTS[x % 2][3 - y % 4]
        before = height
    labels = {0: marks[0], rows - 1: marks[1]}
    drawn = ["".join(chr(0x2800 + cell) for cell in cell_row) for cell_row in cells]
    return [f"{pad(labels.get(y, ''), margin, right=True)} ┤{text}" for y, text in enumerate(drawn)]


def _fitted(values: Sequence[float], most: int) -> list[float]:
    """The values, or the greatest of neighbours if they are more than most."""
    if len(values) <= most:
        return list(values)
    edges = [round(n * len(values) / most) for n in range(most + 1)]
    return [max(values[a:b]) for a, b in pairwise(edges)]


def _heights(values: Sequence[float], dots: int, high: int, most: float) -> list[int]:
    """Height in dots at each dot from left to right, straight between two values."""
    if not values:
        return []
    found = []
    for x in range(dots):
        at = x * (len(values) - 1) / max(dots - 1, 1)
        left = int(at)
        right = min(left + 1, len(values) - 1)
        value = values[left] + (values[right] - values[left]) * (at - left)
        found.append(round(value / most * (high - 1)) if most else 0)
    return found
