"""Quantities drawn with characters: gauges, rows of bars, areas over time with their scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from trackflowd.cli_text import bar
from trackflowd.console.lines import Line, Segment, clip, fill, pad, width

Values = Sequence[float | None]

_BLOCKS = "▁▂▃▄▅▆▇█"
#: Columns of a scale at the left: "1.2M" and the axis.
SCALE = 6
#: Steps of a scale, times a power of ten: round, and so few that it seldom changes.
_STEPS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
#: Columns of the longest bar of a ranking.
_BAR = 40
#: Shares from which on a buffer wants a look, and a person.
_ODD, _BAD = 0.5, 0.9


def short(number: float | None) -> str:
    """A figure in at most five characters: 0.4, 950, 1.2k, 35k, 1.2M; "-" where there is none."""
    if number is None:
        return "-"
    if number < 10 and number % 1:
        return f"{number:.1f}"
    for unit in ("", "k", "M", "G"):
        if number < 999.5:
            return f"{number:.0f}{unit}" if number >= 10 or not unit else f"{number:.1f}{unit}"
        number /= 1000
    return f"{number:.0f}T"


def milliseconds(number: float | None) -> str:
    """A latency: 0.42 ms, 3.1 ms, 120 ms, 2.4 s."""
    if number is None:
        return "-"
    if number >= 1000:
        return f"{number / 1000:.1f} s"
    return f"{number:.2f} ms" if number < 1 else f"{number:.1f} ms" if number < 100 else f"{number:.0f} ms"


def level(share: float, odd: float = _ODD, bad: float = _BAD) -> str:
    """The colour of something that fills up, and wants a look, or a person, from these shares on."""
    return "good" if share < odd else "odd" if share < bad else "bad"


def gauge(share: float, columns: int, attr: str = "") -> list[Segment]:
    """A bar on its track.

    Args:
        share: 0 to 1.
        attr: of the bar; "": the colour of its level.
    """
    filled = clip(bar(share, columns), columns)
    return [Segment(filled, attr or level(share)), Segment("·" * (columns - width(filled)), "rule")]


def spark(values: Values, attr: str = "chart") -> list[Segment]:
    """A character for each value, as high as it is of the greatest; nothing where there is none."""
    return list(area(values, 1, max((value for value in values if value), default=0.0), attr)[0])


def ceiling(values: Values) -> float:
    """A round number that no value exceeds; 1 for nothing but zeros."""
    most = max((value for value in values if value is not None), default=0.0)
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in _STEPS if step * power >= most * (1 - 1e-9))


def area(values: Values, rows: int, most: float, attr: str = "chart") -> list[Line]:
    """An area over time, so many rows high, a column for each value; what is not 0 is never drawn as nothing.

    Args:
        values: from left to right; None: not known, which stays empty.
        most: the value that fills the height.
    """
    heights = [-1 if value is None else _eighths(value, rows, most) for value in values]
    drawn: list[Line] = []
    for row in range(rows):
        under = (rows - 1 - row) * 8
        cells = [_cell(height, under) for height in heights]
        drawn.append(
            [
                Segment("".join(text for text, _ in run), attr if painted else "rule")
                for painted, run in groupby(cells, key=lambda cell: cell[1])
            ]
        )
    return drawn


def _eighths(value: float, rows: int, most: float) -> int:
    if value <= 0 or most <= 0:
        return 0
    return min(max(round(value / most * rows * 8), 1), rows * 8)


def _cell(height: int, under: int) -> tuple[str, bool]:
    """A character, and whether it is of the area (else of the ground it stands on)."""
    if height == 0 and under == 0:
        return "▁", False
    return (" ", True) if height <= under else (_BLOCKS[min(height - under, 8) - 1], True)


def plot(
    name: str, now: str, values: Values, columns: int, rows: int, aside: str = "", most: float = 0.0
) -> list[Line]:
    """An area with its name, its present value and its scale.

    Args:
        name: what it shows.
        now: the present value, in words.
        values: one for each column right of the scale, the newest last.
        rows: of all of it, the line with the name included.
        aside: said at the right of the name, where there is room.
        most: the value that fills the height; 0: a round one that fits.
    """
    head: list[Segment] = [Segment(name, "title"), Segment(f"  {now}", "bold")]
    room = columns - width(name) - width(now) - 2
    if aside and room >= width(aside) + 2:
        head.append(Segment(pad(aside, room, right=True), "dim"))
    most = most or ceiling(values)
    drawn: list[Line] = [fill(head, columns)]
    for row, line in enumerate(area(values, rows - 1, most)):
        mark = short(most) if row == 0 and rows > 2 else "0" if row == rows - 2 and rows > 2 else ""
        drawn.append([Segment(pad(mark, SCALE - 2, right=True), "dim"), Segment(" ┤" if mark else " │", "rule"), *line])
    return drawn


def ranking(rows: Sequence[tuple[str, float]], columns: int, figures: Sequence[str] = ()) -> list[Line]:
    """Names with bars for their values.

    Args:
        rows: name and value.
        columns: of all of it.
        figures: the values in words; none: as ``short`` has them.
    """
    if not rows:
        return []
    told = list(figures) or [short(value) for _, value in rows]
    right = max(map(width, told))
    most = max(value for _, value in rows) or 1.0
    room = max(columns - right - 4, 2)
    names = min(max(width(name) for name, _ in rows), room - room // 3)
    wide = min(room - names, _BAR)
    return [
        [
            Segment(pad(name, names)),
            Segment("  "),
            Segment(pad(bar(value / most, wide), room - names), "chart"),
            Segment("  "),
            Segment(pad(figure, right, right=True), "bold"),
        ]
        for (name, value), figure in zip(rows, told, strict=True)
    ]
