"""What is laid over a tab and takes the keys: a notice, a question, a line to type.

A dialog is drawn as lines, like everything; the line that is typed is edited by urwid's ``Edit``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import urwid

from trackflowd.console.lines import Line, Segment, columns_of, fill, framed, pad, wrap
from trackflowd.errors import TrackflowError

#: Columns of the widest dialog.
_WIDEST = 88
#: Options of a prompt that are shown at a time.
_OPTIONS = 8


class Dialog(ABC):
    """See above.

    Args:
        title: in its upper edge.
    """

    attr = "key"

    def __init__(self, title: str) -> None:
        self.title = title
        self.done = False

    def draw(self, columns: int, rows: int) -> list[Line]:
        """The box, to be laid over a screen of that size."""
        wide = min(columns - 4, _WIDEST)
        body = self.body(wide - 4, rows - 3)
        widest = max([columns_of(line) for line in body] + [len(self.title) + 2, 30])
        return framed(body, min(widest + 4, wide), self.title, self.attr)

    @abstractmethod
    def body(self, columns: int, rows: int) -> list[Line]:
        """What is in the box."""

    @abstractmethod
    def press(self, key: str) -> None:
        """A key."""


class Notice(Dialog):
    """A text to be read; any closing key closes it, others scroll.

    Args:
        title: in its upper edge.
        text: its lines, for so many columns.
        attr: of the edge.
    """

    def __init__(self, title: str, text: Callable[[int], Sequence[Line]], attr: str = "key") -> None:
        super().__init__(title)
        self.attr = attr
        self._text = text
        self._top = 0
        self._rows = 1

    def body(self, columns: int, rows: int) -> list[Line]:
        lines = list(self._text(columns))
        self._rows = max(rows - 2, 1)
        self._top = max(min(self._top, len(lines) - self._rows), 0)
        shown = lines[self._top : self._top + self._rows]
        below = len(lines) - self._top - len(shown)
        told = f"▼ {below} more lines   " if below else ""
        return [
            *shown,
            [],
            [Segment(told, "dim"), Segment(" Close ", "button on", "dialog esc"), Segment("  esc", "dim")],
        ]

    def press(self, key: str) -> None:
        by = {"up": -1, "down": 1, "page up": -self._rows, "page down": self._rows, "home": -10_000, "end": 10_000,
              "wheel up": -3, "wheel down": 3}.get(key)  # fmt: skip
        if by is not None:
            self._top += by
        elif key in ("esc", "enter", " ", "q", "?"):
            self.done = True


def refused(title: str, error: TrackflowError) -> Notice:
    """A notice that something was not done, and what to do about it."""

    def text(columns: int) -> list[Line]:
        return [*wrap(error.text, columns), *wrap(error.hint, columns, "dim")]

    return Notice(title, text, "bad")


class Question(Dialog):
    """A question that is answered by yes or no; no where in doubt.

    Args:
        title: in its upper edge.
        text: what would be done.
        yes: what the button says that does it.
        then: does it.
        grave: it is not undone by another key: the edge is red, and enter alone means no.
    """

    def __init__(
        self, title: str, text: Sequence[Line] | str, yes: str, then: Callable[[], None], grave: bool = False
    ) -> None:
        super().__init__(title)
        self.attr = "bad" if grave else "key"
        self._text = text
        self._yes = yes
        self._then = then
        self._on_yes = not grave

    def body(self, columns: int, rows: int) -> list[Line]:
        text = wrap(self._text, columns) if isinstance(self._text, str) else list(self._text)
        buttons: Line = [
            Segment(f" {self._yes} ", "button on" if self._on_yes else "button", "dialog y"),
            Segment("  y", "dim"),
            Segment("      "),
            Segment(" No ", "button" if self._on_yes else "button on", "dialog n"),
            Segment("  n, esc", "dim"),
        ]
        return [*text[: rows - 2], [], buttons]

    def press(self, key: str) -> None:
        if key in ("left", "right", "tab", "shift tab"):
            self._on_yes = not self._on_yes
        elif key in ("y", "Y") or (key in ("enter", " ") and self._on_yes):
            self.done = True
            self._then()
        elif key in ("n", "N", "esc", "q", "enter", " "):
            self.done = True


class Prompt(Dialog):
    """A line to type, with options to choose from.

    Args:
        title: in its upper edge.
        about: what is to be typed.
        text: what stands there at first.
        options: texts to choose from with the arrow keys.
        then: takes what was typed or chosen.
    """

    def __init__(self, title: str, about: str, text: str, options: Sequence[str], then: Callable[[str], None]) -> None:
        super().__init__(title)
        self._about = about
        self._edit = urwid.Edit(edit_text=text)
        self._options = options
        self._chosen = -1
        self._then = then

    def body(self, columns: int, rows: int) -> list[Line]:
        at = self._edit.edit_pos
        text = self._edit.edit_text
        start = max(at - columns + 4, 0)
        typed: Line = [
            Segment("> ", "key"),
            Segment(text[start:at], "bold"),
            Segment(text[at : at + 1] or " ", "select"),
            Segment(text[at + 1 :], "bold"),
        ]
        shown = min(_OPTIONS, max(rows - 6, 1))
        first = max(min(self._chosen - shown + 1, len(self._options) - shown), 0)
        options = [self._option(number, columns) for number in range(len(self._options))][first : first + shown]
        keys = "enter takes it, esc leaves" + (", ↑ ↓ choose" if self._options else "")
        return [*wrap(self._about, columns, "dim"), [], fill(typed, columns), *options, [], [Segment(keys, "dim")]]

    def _option(self, number: int, columns: int) -> Line:
        text = f"  {self._options[number] or '(all)'}"
        return [Segment(pad(text, columns), "select" if number == self._chosen else "", f"option {number}")]

    def press(self, key: str) -> None:
        if key == "esc":
            self.done = True
        elif key == "enter":
            self.done = True
            self._then(self._edit.edit_text.strip())
        elif key in ("up", "down") and self._options:
            self._choose((self._chosen + 1 if key == "down" else max(self._chosen, 0) - 1) % len(self._options))
        elif key.startswith("option "):
            self._choose(int(key.removeprefix("option ")))
        elif key == "ctrl u":
            self._edit.set_edit_text("")
        else:
            self._edit.keypress((1000,), key)

    def _choose(self, number: int) -> None:
        self._chosen = number
        self._edit.set_edit_text(self._options[number])
        self._edit.set_edit_pos(len(self._options[number]))
