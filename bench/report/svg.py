"""Charts as inline SVG. Colours come from the page's custom properties, so that they follow light and dark.

A chart is 460 units wide: in two columns on a desk and in one on a telephone its text is of about the
same size as the page's. Every mark has a title with its figures; the tables beside hold them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from bench.report.words import number, spread

WIDTH = 460
_BAR, _ROW = 14, 40
#: Colours that are told apart in their order, also by the colour-blind; --s1 … --s8 in the page.
COLOURS = 8


@dataclass(frozen=True)
class Bar:
    """A bar with its spread.

    Args:
        label: above it.
        value, low, high: median, and the range of the repetitions.
        note: after the value, muted.
        strong: in the colour of what the chart is about; else grey.
    """

    label: str
    value: float
    low: float
    high: float
    note: str = ""
    strong: bool = True


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(height: float, label: str, body: Iterable[str]) -> str:
    inside = "\n".join(body)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}"'
        f' preserveAspectRatio="xMinYMin meet">\n{inside}\n</svg>'
    )


def _end_rounded(x: float, y: float, width: float, height: float) -> str:
    """Path of a bar that is square at its base and round at its end."""
    r = min(4.0, width, height / 2)

    def corner(across: float, down: float) -> str:
        return f"a{r:.1f} {r:.1f} 0 0 1 {across:.1f} {down:.1f}"

    side = f"v{height - 2 * r:.1f}"
    return f"M{x:.1f} {y:.1f}h{width - r:.1f}{corner(r, r)}{side}{corner(-r, r)}h-{width - r:.1f}z"


def bars(label: str, rows: Sequence[Bar], mark: float | None = None) -> str:
    """Horizontal bars from zero, each with its label above and a line for its spread.

    Args:
        label: for who cannot see it.
        mark: a value that all are held against, drawn as a line across each.
    """
    most = max([row.high for row in rows] + [mark or 0]) or 1.0
    room = WIDTH - 118.0
    body = []
    for index, row in enumerate(rows):
        top = index * _ROW
        length = max(row.value / most * room, 1.0)
        kind = "strong" if row.strong else "other"
        words = f"{row.label}: {number(row.value)}{f' ({spread(row.low, row.high)})' if row.low != row.high else ''}"
        body.append(_text(0, top + 11, row.label, "name" if row.strong else "name quiet"))
        body.append(
            f'<path class="{kind}" d="{_end_rounded(0, top + 16, length, _BAR)}"><title>{escape(words)}</title></path>'
        )
        end = length
        if row.high > row.low:
            low, high, y = row.low / most * room, row.high / most * room, top + 16 + _BAR / 2
            ends = "".join(f"M{at:.1f} {y - 3:.1f}v6" for at in (low, high))
            body.append(f'<path class="spread" d="M{low:.1f} {y:.1f}H{high:.1f}{ends}"/>')
            end = max(end, high)
        body.append(
            f'<text x="{end + 7:.1f}" y="{top + 27:.1f}" class="value">{escape(number(row.value))}'
            f'<tspan class="muted" dx="5">{escape(row.note)}</tspan></text>'
        )
    height = len(rows) * _ROW
    if mark is not None:
        x = mark / most * room
        ways = "".join(f"M{x:.1f} {index * _ROW + 13}v{_BAR + 6}" for index in range(len(rows)))
        body.append(f'<path class="mark" d="{ways}"/>')
    return _svg(height, label, body)


def stacks(label: str, rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], order: Sequence[str]) -> str:
    """Horizontal stacks: (label, [(part, value), …]); a part has the colour of its place in the order."""
    most = max((sum(value for _, value in parts) for _, parts in rows), default=0) or 1.0
    room = WIDTH - 70.0
    body = []
    for index, (name, parts) in enumerate(rows):
        top, x = index * _ROW, 0.0
        body.append(_text(0, top + 11, name, "name"))
        for part, value in parts:
            length = value / most * room
            if length >= 0.5:
                shown = max(length - 2, 0.5)  # the gap tells neighbours apart
                body.append(
                    f'<rect class="s{order.index(part) % COLOURS + 1}" x="{x:.1f}" y="{top + 16}" width="{shown:.1f}"'
                    f' height="{_BAR}" rx="2"><title>{escape(f"{name}, {part}: {number(value)}")}</title></rect>'
                )
            x += length
        body.append(_text(x + 5, top + 27, number(sum(value for _, value in parts)), "value"))
    return _svg(len(rows) * _ROW, label, body)


@dataclass(frozen=True)
class Axis:
    """How values get onto a line.

    Args:
        low, high: ends, in values.
        at: value → place, linear in what is drawn.
        ticks: (value, words).
    """

    low: float
    high: float
    at: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]

    def place(self, value: float, start: float, end: float) -> float:
        """Where a value is between two coordinates."""
        low, high = self.at(self.low), self.at(self.high)
        return start + (self.at(value) - low) / ((high - low) or 1.0) * (end - start)


def linear(values: Iterable[float]) -> Axis:
    """From zero to a round number above all, with three to six ticks."""
    most = max(values, default=0) or 1.0
    step: float = 10.0 ** math.floor(math.log10(most))
    step = next((part for part in (step / 5, step / 2, step, step * 2) if most / part <= 5), step)
    count = math.ceil(most / step - 1e-9)
    return Axis(0.0, count * step, lambda value: value, [(i * step, number(i * step)) for i in range(count + 1)])


def logarithmic(values: Iterable[float]) -> Axis:
    """Whole powers of ten around all; what is not above zero is at the low end."""
    found = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(found)) + 1e-9), math.ceil(math.log10(max(found)) - 1e-9)
    high = max(high, low + 1)
    least = 10.0**low
    return Axis(
        least, 10.0**high, lambda value: math.log10(max(value, least)),
        [(10.0**power, number(10.0**power)) for power in range(low, high + 1)],
    )  # fmt: skip


def nines(percentiles: Iterable[float]) -> Axis:
    """Percentiles by how rare what is above them is: each nine has the same room. 100 stands beyond the last."""
    found = list(percentiles)
    ends = (90.0, 99.0, 99.9, 99.99, 99.999)
    below = max((value for value in found if value < 100), default=0.0)
    last = next((end for end in ends if end >= below - 1e-9), ends[-1])
    ticks = [(value, f"p{value:g}") for value in (50.0, *ends) if value <= last]
    if 100 in found:
        ticks.append((100.0, "max"))

    def at(value: float) -> float:
        return -math.log10(1 - last / 100) + 0.9 if value >= 100 else -math.log10(1 - min(value, last) / 100)

    return Axis(0.0, ticks[-1][0], at, ticks)


def lines(
    label: str, curves: Sequence[tuple[str, Sequence[tuple[float, float]]]], x: Axis, y: Axis, x_name: str
) -> str:
    """Lines with a grid; each curve (name, points) has the colour of its place."""
    left, right, top, bottom = 44.0, WIDTH - 12.0, 8.0, 214.0
    body = []
    for value, words in y.ticks:
        at = y.place(value, bottom, top)
        body += [f'<path class="grid" d="M{left} {at:.1f}H{right}"/>', _text(left - 6, at + 4, words, "muted", "end")]
    for value, words in x.ticks:
        at = x.place(value, left, right)
        anchor = "end" if at > right - 16 else "middle"
        body.append(_text(at, bottom + 17, words, "muted", anchor))
    for index, (name, points) in enumerate(curves):
        places = [(x.place(a, left, right), y.place(b, bottom, top), a, b) for a, b in points]
        kind = f"s{index % COLOURS + 1}"
        way = "L".join(f"{a:.1f} {b:.1f}" for a, b, *_ in places)
        body.append(f'<path class="line {kind}" d="M{way}"><title>{escape(name)}</title></path>')
        for across, up, a, b in places:
            words = f"{name}: {number(b)} at {a:g}"
            dot = f'<circle class="{kind}" cx="{across:.1f}" cy="{up:.1f}" r="3.5"/>' if len(places) <= 12 else ""
            touch = f'<circle class="touch" cx="{across:.1f}" cy="{up:.1f}" r="9"/>'
            body.append(f"<g>{dot}{touch}<title>{escape(words)}</title></g>")
    body.append(_text((left + right) / 2, bottom + 35, x_name, "muted", "middle"))
    return _svg(bottom + 40, label, body)
