"""One event as one line, as ``trackflow tail`` and ``trackflowd run --follow`` show it.

::

    23:32:01  demo  pageview  /?page=pricing  GB London · Chrome 140 · Linux  visitor 3f9a1c  from Google
    time      site  name      path            place, browser, system          who             what else
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from trackflowd.cli_text import Style, clean, fit, pad

#: Columns that what repeats is padded to, so that lines stand under each other; longer texts push on.
_SITE, _NAME, _PATH, _WHERE = 12, 10, 24, 32
_LONGEST = 60  # of any one text: a line should stay a line

#: Hex digits of a visitor that are shown: enough to tell apart who is on the site now.
_VISITOR_DIGITS = 6


def event_line(event: Mapping[str, Any], style: Style) -> str:
    """The line for a row as the tail delivers it (``enrich.finish.as_dict``)."""

    def text(name: str) -> str:
        return fit(clean(event.get(name) or ""), _LONGEST)

    when = time.strftime("%H:%M:%S", time.localtime((event.get("received") or 0) / 1000))
    name = pad(text("name"), _NAME)
    cells = [
        style.dim(when),
        pad(text("site"), _SITE),
        style.name(name) if event.get("name") == "pageview" else style.bold(name),
        pad(_page(event), _PATH),
        pad(_where(event), _WHERE),
        style.dim(f"visitor {int(event.get('visitor') or 0):016x}"[: len("visitor ") + _VISITOR_DIGITS]),
    ]
    return "  ".join(cells + _else(event, style)).rstrip()


def _page(event: Mapping[str, Any]) -> str:
    query = clean(event.get("query") or "")
    return fit(clean(event.get("path") or "") + (f"?{query}" if query else ""), _LONGEST)


def _where(event: Mapping[str, Any]) -> str:
    place = " ".join(clean(event.get(name) or "") for name in ("country", "city") if event.get(name))
    browser = " ".join(clean(event.get(name) or "") for name in ("browser", "browser_version") if event.get(name))
    parts = [place or "--", browser, clean(event.get("os") or "")]
    return fit(" · ".join(part for part in parts if part), _LONGEST)


def _else(event: Mapping[str, Any], style: Style) -> list[str]:
    """What only some events have: a source, money, properties, a bot's mark."""
    cells = []
    if source := event.get("source"):
        cells.append(f"from {fit(clean(source), _LONGEST)}")
    if revenue := float(event.get("revenue") or 0):
        cells.append(style.good(f"{revenue:,.2f} {clean(event.get('currency') or '')}".rstrip()))
    if props := event.get("props"):
        listed = " ".join(f"{clean(name)}={clean(value)}" for name, value in props.items())
        cells.append(style.dim(fit(listed, _LONGEST)))
    if bot := event.get("bot"):
        cells.append(style.odd(f"bot: {clean(bot)}"))
    return cells
