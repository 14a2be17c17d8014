"""The whole screen: header, tabs, the tab in front, footer, a dialog over them; keys and clicks find their way here.

::

     TrackFlow  host  0.1.0  up 3 d 4 h                    ready   12:34:56
     1 Overview  2 Pipeline  3 Audience  4 Live  5 Processes  6 Tasks  7 Log
     no connection for 12 s: …                       (only while that is so)
     …the tab…
     / filter  space hold  ? help  q quit  F flush  P pause …
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from trackflowd.cli_text import duration
from trackflowd.console import actions, words
from trackflowd.console.audience import Audience
from trackflowd.console.dialog import Dialog, Notice
from trackflowd.console.jobs import Tasks
from trackflowd.console.knowledge import Knowledge
from trackflowd.console.lines import Line, Segment, columns_of, fill, finish, over, pad, wrap
from trackflowd.console.live import Live
from trackflowd.console.logs import Log
from trackflowd.console.tab import Answer, Following, Key, Overview, Pipeline, Processes, Tab
from trackflowd.errors import ControlError, TrackflowError

#: The smallest screen: what every tab is laid out for.
LEAST = (80, 24)
#: Rows from which there is an empty line below the tabs.
_ROOMY = 28
#: Seconds a text stays in the footer.
_SAID = 12.0

NAMES = ("overview", "pipeline", "audience", "live", "processes", "tasks", "log")

GENERAL = (
    Key("?", "?", "help", "this help"),
    Key("q", "q", "quit", "leave, as Ctrl-C does; the daemon goes on"),
)
_MOVES = (
    Key("tab", "1 … 7, tab, ← →", "tabs", "go to a tab"),
    Key("mouse", "mouse", "mouse", "click tabs, keys, lines, buttons; shift selects text"),
    Key("down", "↑ ↓, page up, …", "scroll", "scroll, or select a line (home and end, too)"),
)


class Source(Protocol):
    """Where answers come from: ``reader``."""

    def ask(self, command: str, then: Callable[[Answer], None], args: Mapping[str, Any], acting: bool) -> None:
        """See ``tab.Desk.ask`` and ``act``."""

    def follow(
        self,
        command: str,
        heard: Callable[[Mapping[str, Any]], None],
        told: Callable[[TrackflowError | None], None],
        args: Mapping[str, Any],
    ) -> Following:
        """See ``tab.Desk.follow``."""


class Console:
    """See above; a ``tab.Desk``.

    Args:
        know: what is known; the reader fills it.
        source: of answers.
        tab: name of the tab in front.
        site: the tab Audience's, to begin with.
        ascii_only: draw with ASCII characters.

    Attributes:
        ended: it is to be left.
    """

    def __init__(
        self, know: Knowledge, source: Source, tab: str = NAMES[0], site: str = "", ascii_only: bool = False
    ) -> None:
        self.know = know
        self.ended = False
        self._source = source
        self._ascii = ascii_only
        self._host = os.uname().nodename.partition(".")[0]
        self._dialog: Dialog | None = None
        self._said: tuple[str, str, float] = ("", "", 0.0)
        self.tabs: Sequence[Tab] = (
            Overview(self), Pipeline(self), Audience(self, site), Live(self), Processes(self), Tasks(self), Log(self)
        )  # fmt: skip
        self._front = NAMES.index(tab)
        self.tabs[self._front].show()

    @property
    def tab(self) -> Tab:
        """The one in front."""
        return self.tabs[self._front]

    def close(self) -> None:
        """End what the tab in front follows."""
        self.tab.hide()

    # --------------------------------------------------------- what tabs may ask

    def ask(self, command: str, then: Callable[[Answer], None], **args: Any) -> None:
        self._source.ask(command, lambda answer: then(_plain(command, answer)), args, False)

    def act(self, command: str, then: Callable[[Answer], None], **args: Any) -> None:
        self._source.ask(command, lambda answer: then(_plain(command, answer)), args, True)

    def follow(
        self,
        command: str,
        heard: Callable[[Mapping[str, Any]], None],
        told: Callable[[TrackflowError | None], None],
        **args: Any,
    ) -> Following:
        return self._source.follow(command, heard, told, args)

    def open(self, dialog: Dialog) -> None:
        self._dialog = dialog

    def say(self, text: str, attr: str = "") -> None:
        self._said = (text, attr, time.monotonic() + _SAID)

    # ---------------------------------------------------------------------- keys

    def press(self, key: str) -> None:
        """A key, as urwid names it; or "wheel up" and "wheel down"."""
        if self._dialog is not None:
            dialog = self._dialog
            dialog.press(key)
            if dialog.done and self._dialog is dialog:  # what it did may have opened the next
                self._dialog = None
        elif not self.tab.press(key):
            self._press(key)

    def _press(self, key: str) -> None:
        if key in ("q", "Q"):
            self.ended = True
        elif key in ("?", "f1", "h"):
            self.open(Notice("Keys", self._help))
        elif key.isdigit() and 1 <= int(key) <= len(self.tabs):
            self.go(int(key) - 1)
        elif key in ("tab", "right"):
            self.go((self._front + 1) % len(self.tabs))
        elif key in ("shift tab", "left"):
            self.go((self._front - 1) % len(self.tabs))
        else:
            actions.start(self, key)

    def click(self, does: str) -> None:
        """A click on a segment that does something."""
        verb, _, what = does.partition(" ")
        if self._dialog is not None:
            if verb == "dialog":
                self.press(what)
            elif verb == "option":
                self.press(does)
        elif verb == "front":
            self.go(int(what))
        elif verb == "key":
            self.press(what)
        else:
            self.tab.click(does)

    def go(self, number: int) -> None:
        """Bring a tab to the front."""
        if number != self._front:
            self.tab.hide()
            self._front = number
            self.tab.show()

    def tick(self, now: float) -> bool:
        """Called some times a second; whether there is something new to show.

        Args:
            now: monotonic clock, s.
        """
        fresh = self.tab.tick(now)
        if self._said[0] and now >= self._said[2]:
            self._said = ("", "", 0.0)
            return True
        return fresh

    # ------------------------------------------------------------------- drawing

    def draw(self, columns: int, rows: int) -> list[Line]:
        """The screen."""
        if columns < LEAST[0] or rows < LEAST[1]:
            return finish(_too_small(columns, rows), columns, rows, self._ascii)
        now = time.time()
        drawn: list[Line] = [self._header(columns, now), self._tab_line(columns)]
        drawn += [fill(line, columns, "head bad") for line in words.away(self.know, now, columns)]
        drawn += [[]] if rows >= _ROOMY else []
        room = rows - len(drawn) - 1
        body = self.tab.draw(columns - 2, room, now)[:room]
        drawn += [[Segment(" "), *fill(line, columns - 2)] for line in body]
        drawn += [[]] * (rows - 1 - len(drawn))
        if self._dialog is not None:
            drawn = over(drawn, self._dialog.draw(columns, rows), columns)
        return finish([*drawn, self._footer(columns)], columns, rows, self._ascii)

    def _header(self, columns: int, now: float) -> Line:
        status = self.know.status
        version = str(status.get("version") or self.know.version)
        uptime = status.get("uptime_s")
        attr, text = words.state(self.know, now)
        left: list[Segment] = [Segment(" TrackFlow", "head name"), Segment(f"  {self._host}  ", "head")]
        left.append(Segment(version, "head dim"))
        if uptime is not None:
            left.append(Segment(f"  up {duration(uptime)}", "head dim"))
        clock = time.strftime("  %H:%M:%S ", time.localtime(now))
        right: list[Segment] = [Segment(f" {text} ", f"head {attr}", "front 0"), Segment(clock, "head")]
        if badge := words.badge(self.know):
            right = [Segment(f" {badge[1]} ", f"head {badge[0]}", "front 0"), Segment(" ", "head"), *right]
        return [*fill(left, columns - columns_of(right), "head"), *right]

    def _tab_line(self, columns: int) -> Line:
        line: list[Segment] = []
        for number, tab in enumerate(self.tabs):
            attr = "tab on" if number == self._front else "tab"
            line.append(Segment(f" {number + 1} {tab.name} ", attr, f"front {number}"))
        return line

    def _footer(self, columns: int) -> Line:
        text, attr, _ = self._said
        if text:
            return [Segment(pad(f" {text}", columns), attr or "bold")]
        line: list[Segment] = [Segment(" ")]
        for key in (*self.tab.keys, *GENERAL, *actions.KEYS):
            name = "resume" if key.name == "pause" and self.know.paused() else key.name
            more = [Segment(key.shown, "key", f"key {key.key}"), Segment(f" {name}  ", "", f"key {key.key}")]
            if columns_of(line) + columns_of(more) - 2 > columns:
                break
            line += more
        return line

    def _help(self, columns: int) -> list[Line]:
        groups: tuple[tuple[str, Sequence[Key]], ...] = (
            (f"In {self.tab.name}", self.tab.keys),
            ("Everywhere", (*_MOVES, *GENERAL[1:])),
            ("Act on the daemon; each asks first", actions.KEYS),
        )
        wide = max(len(key.shown) for _, keys in groups for key in keys) + 2
        drawn: list[Line] = []
        for name, keys in groups:
            if keys:
                drawn += [[], [Segment(name, "title")]] if drawn else [[Segment(name, "title")]]
            for key in keys:
                for number, row in enumerate(wrap(key.about, columns - wide)):
                    drawn.append([Segment(pad(key.shown if not number else "", wide), "key"), *row])
        return drawn


def _plain(command: str, answer: Answer) -> Answer:
    """The answer; that the daemon does not know the command is said in other words."""
    if answer.error is None or answer.error.code != "unknown_command":
        return answer
    error = ControlError(f"this daemon, of an older version, has no command {command}", "bring it up to date")
    error.code = answer.error.code
    return Answer(error=error)


def _too_small(columns: int, rows: int) -> list[Line]:
    text = f"This terminal has {columns}×{rows}; the console needs {LEAST[0]}×{LEAST[1]}. Make it larger, or q to quit."
    return wrap(text, columns)
