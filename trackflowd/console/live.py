"""The tab Live: events as they are accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from trackflowd.cli_text import to_json
from trackflowd.console.lines import Line, Segment, pad
from trackflowd.console.rolltab import Item, RollTab, fields
from trackflowd.console.tab import Desk
from trackflowd.event import FIELDS

#: Hex digits of a visitor that are shown: enough to tell apart who is on the site now.
_VISITOR_DIGITS = 6
_GAP = 2
#: Columns of a page, at least; what is left beyond the others is its.
_PAGE = 14


class Cell(NamedTuple):
    """A column of the list.

    Args:
        name: its head.
        columns: its width; 0: what is left.
        least: columns of the list from which it is shown.
        of: its text and attribute.
    """

    name: str
    columns: int
    least: int
    of: Callable[[Item], tuple[str, str]]


def _time(event: Item) -> tuple[str, str]:
    return time.strftime("%H:%M:%S", time.localtime((event.get("received") or 0) / 1000)), "dim"


def _name(event: Item) -> tuple[str, str]:
    name = str(event.get("name") or "")
    if event.get("bot"):
        return name, "odd"
    return name, "name" if name == "pageview" else "bold"


def _page(event: Item) -> tuple[str, str]:
    query = event.get("query")
    return f"{event.get('path') or ''}{f'?{query}' if query else ''}", ""


def _place(event: Item) -> tuple[str, str]:
    return " ".join(str(event[name]) for name in ("country", "city") if event.get(name)) or "--", ""


def _browser(event: Item) -> tuple[str, str]:
    if event.get("bot"):
        return f"bot: {event['bot']}", "odd"
    return " ".join(str(event[name]) for name in ("browser", "browser_version") if event.get(name)), ""


def _visitor(event: Item) -> tuple[str, str]:
    return f"{int(event.get('visitor') or 0):016x}"[:_VISITOR_DIGITS], "dim"


def _money(event: Item) -> tuple[str, str]:
    amount = float(event.get("revenue") or 0)
    return (f"{amount:,.2f} {event.get('currency') or ''}", "good") if amount else ("", "")


def _field(name: str, attr: str = "") -> Callable[[Item], tuple[str, str]]:
    return lambda event: (str(event.get(name) or ""), attr)


_CELLS = (
    Cell("time", 8, 0, _time),
    Cell("site", 14, 0, _field("site")),
    Cell("event", 10, 0, _name),
    Cell("page", 0, 0, _page),
    Cell("place", 14, 0, _place),
    Cell("browser", 18, 96, _browser),
    Cell("source", 12, 112, _field("source")),
    Cell("system", 10, 128, _field("os")),
    Cell("device", 8, 138, _field("device")),
    Cell("visitor", _VISITOR_DIGITS + 1, 118, _visitor),
    Cell("money", 14, 150, _money),
    Cell("language", 8, 184, _field("language")),
    Cell("title", 30, 214, _field("title", "dim")),
)


class Live(RollTab):
    """See above."""

    name = "Live"
    what = "events"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, "tail")

    def heads(self, columns: int) -> Line:
        return _joined([(pad(cell.name, wide), "dim") for cell, wide in _widths(columns)])

    def line(self, item: Item, columns: int) -> Line:
        made = []
        for cell, wide in _widths(columns):
            text, attr = cell.of(item)
            made.append((pad(text, wide), attr))
        return _joined(made)

    def details(self, item: Item, columns: int) -> Sequence[Line]:
        names = [field.name for field in FIELDS if field.name in item]
        names += [name for name in item if name not in names]
        return fields(
            [(name, _value(name, item[name])) for name in names if item[name] not in ("", 0, {}, None)], columns
        )


def _widths(columns: int) -> list[tuple[Cell, int]]:
    shown = [cell for cell in _CELLS if columns >= cell.least]
    fixed = sum(cell.columns for cell in shown) + _GAP * (len(shown) - 1)
    return [(cell, cell.columns or max(columns - fixed, _PAGE)) for cell in shown]


def _joined(cells: Sequence[tuple[str, str]]) -> Line:
    between = " " * _GAP
    return [Segment(text + (between if number < len(cells) - 1 else ""), attr)
            for number, (text, attr) in enumerate(cells)]  # fmt: skip


def _value(name: str, value: Any) -> str:
    """A field's value as the details show it."""
    if name in ("received", "time"):
        whole, rest = divmod(int(value), 1000)
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole)) + f".{rest:03d}"
    if name == "visitor":
        return f"{int(value):016x}"
    return to_json(value) if isinstance(value, Mapping) else str(value)
