"""The desk on a terminal, by urwid: lines out, keys and clicks in, a frame when there is something to show."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Hashable, Mapping
from types import FrameType
from typing import Any, Literal

import urwid

from trackflowd.console.desk import Console
from trackflowd.console.lines import Line
from trackflowd.console.palette import PALETTE
from trackflowd.console.reader import Reader, pipe_waker

#: Seconds between two looks whether there is something to show. A look costs some microseconds.
LOOK = 0.25
#: Times as long as a status should take to come, after which the screen is drawn without one.
_LATE = 1.5


class Sheet(urwid.Widget):
    """The one widget: the desk's lines."""

    _sizing = frozenset([urwid.BOX])
    _selectable = True

    def __init__(self, desk: Console) -> None:
        super().__init__()
        self._desk = desk
        self._lines: list[Line] = []
        self.drawn = 0.0

    # Of the sizes that urwid has for widgets, a box has this one only.
    def render(self, size: tuple[int, int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]
        """Draw the desk."""
        columns, rows = size
        self.drawn = time.monotonic()
        self._lines = self._desk.draw(columns, rows)
        texts: list[bytes] = []
        attrs: list[list[tuple[Hashable, int]]] = []
        for line in self._lines:
            pieces = [(segment.attr or None, segment.text.encode()) for segment in line if segment.text]
            texts.append(b"".join(piece for _, piece in pieces))
            attrs.append([(attr, len(piece)) for attr, piece in pieces])
        # Every line is of the screen's width already, as urwid counts or nearly so: not to be measured again.
        return urwid.TextCanvas(texts, attrs, maxcol=columns, check_width=False)

    def keypress(self, size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]
        """Hand a key to the desk."""
        self._desk.press(key)
        self._done()
        return None

    def mouse_event(  # type: ignore[override]
        self, size: tuple[int, int], event: str, button: int, col: int, row: int, focus: bool
    ) -> bool:
        """Hand a click, or a turn of the wheel, to the desk."""
        if event != "mouse press":
            return False
        if button in (4, 5):
            self._desk.press("wheel up" if button == 4 else "wheel down")
        elif button == 1 and (does := self._does(col, row)):
            self._desk.click(does)
        self._done()
        return True

    def _does(self, col: int, row: int) -> str:
        at = 0
        for segment in self._lines[row] if row < len(self._lines) else ():
            at += urwid.calc_width(segment.text, 0, len(segment.text))
            if col < at:
                return segment.does
        return ""

    def _done(self) -> None:
        if self._desk.ended:
            raise urwid.ExitMainLoop
        self._invalidate()

    def refresh(self) -> None:
        """Draw it anew."""
        self._invalidate()


def colours(mono: bool, env: Mapping[str, str]) -> Literal[1, 16, 256]:
    """How many colours to use: 1 where a person asked for none (no-color.org) or the terminal has none."""
    term = env.get("TERM", "")
    if mono or env.get("NO_COLOR") or term in ("dumb", "vt100", "vt220"):
        return 1
    return 256 if "256color" in term or env.get("COLORTERM") else 16


def utf8(env: Mapping[str, str]) -> bool:
    """Whether the locale's characters are UTF-8.

    Started in the locale C, Python sets LC_CTYPE to C.UTF-8 for itself (PEP 538), which says nothing of the terminal.
    """
    ctype = env.get("LC_CTYPE", "")
    own = ctype == "C.UTF-8" and not env.get("LC_ALL")
    named = env.get("LC_ALL") or ("" if own else ctype) or env.get("LANG", "")
    return "utf" in named.lower()


def show(desk: Console, reader: Reader, mono: bool, mouse: bool) -> None:
    """Show the desk until it is left.

    Args:
        mono: without colours.
        mouse: take the mouse's clicks, which then needs shift to select text.

    Raises:
        KeyboardInterrupt: Ctrl-C, or SIGTERM.
    """
    urwid.set_encoding("utf-8")
    screen = urwid.display.raw.Screen()
    screen.set_terminal_properties(colors=colours(mono, os.environ))
    sheet = Sheet(desk)
    loop = urwid.MainLoop(sheet, PALETTE, screen, handle_mouse=mouse)

    def heard(_: bytes) -> bool:
        if reader.take():
            sheet.refresh()
        return True

    def look(loop: urwid.MainLoop, _: Any) -> None:
        now = time.monotonic()
        came = reader.take()  # what came before the pipe was there
        if desk.tick(now) or came or now - sheet.drawn >= _idle(desk):
            sheet.refresh()
        loop.set_alarm_in(LOOK, look)

    reader.wake = pipe_waker(loop.watch_pipe(heard))
    loop.set_alarm_in(0, look)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        loop.run()
    finally:
        signal.signal(signal.SIGTERM, before)


def _idle(desk: Console) -> float:
    """Seconds after which the screen is drawn although nothing came: for the clock, and how long the daemon is away.

    While statuses come, each brings a frame and none is drawn without.
    """
    return desk.know.every * (1.0 if desk.know.told is not None else _LATE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
