"""A tab that shows a stream: what ``live`` and ``logs`` have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from trackflowd.cli_text import count
from trackflowd.console.dialog import Notice, Prompt
from trackflowd.console.lines import Line, Segment, clip, width
from trackflowd.console.roll import Roll
from trackflowd.console.tab import WHEEL, Desk, Following, Key, Tab
from trackflowd.errors import TrackflowError

Item = Mapping[str, Any]

#: Seconds between two frames that only show new items: a faster list cannot be read, and costs.
FRESH = 1.0

KEYS = (
    Key("/", "/", "filter", "only what has all these words, or field=text"),
    Key(" ", "space", "hold", "let the list stand still, and go on"),
    Key("enter", "enter", "inspect", "everything of the selected line"),
)


class RollTab(Tab):
    """See above.

    Args:
        desk: what it stands on.
        command: the command that streams.
        args: its arguments.
    """

    keys: Sequence[Key] = KEYS
    what = "items"

    def __init__(self, desk: Desk, command: str, **args: Any) -> None:
        super().__init__(desk)
        self.roll: Roll[Item] = Roll(self.haystack, self.found)
        self._command = command
        self._args = args
        self._following: Following | None = None
        self._told: TrackflowError | None = None
        self._dropped = 0
        self._rows = 1
        self._drawn = 0.0

    # ------------------------------------------------------- for those who derive

    def haystack(self, item: Item) -> str:
        """The text of an item that a filter looks at, in lower case."""
        return "\n".join(str(value) for value in item.values() if value).lower()

    def found(self, word: str, text: str, item: Item) -> bool:
        """Whether an item has what a word asks for."""
        name, equals, value = word.partition("=")
        if equals and name in item:
            return value in str(item.get(name) or "").lower()
        return word in text

    @abstractmethod
    def heads(self, columns: int) -> Line:
        """The line above the items."""

    @abstractmethod
    def line(self, item: Item, columns: int) -> Line:
        """An item as a line."""

    @abstractmethod
    def details(self, item: Item, columns: int) -> Sequence[Line]:
        """Everything of an item."""

    def hear(self, item: Item) -> None:
        """An event of the stream; in another thread."""
        if "dropped" in item:
            self._dropped += int(item["dropped"])
        else:
            self.roll.offer(item)

    # ----------------------------------------------------------------- the tab's

    def show(self) -> None:
        self._told = None
        self._following = self.desk.follow(self._command, self.hear, self._tell, **self._args)

    def hide(self) -> None:
        if self._following is not None:
            self._following.stop()
            self._following = None

    def _tell(self, error: TrackflowError | None) -> None:
        self._told = error

    def tick(self, now: float) -> bool:
        fresh = self.roll.settle()
        if fresh and now - self._drawn >= max(FRESH, self.desk.know.every):
            self._drawn = now
            return True
        return False

    def draw(self, columns: int, rows: int, now: float) -> list[Line]:
        self._rows = max(rows - 2, 1)
        self.roll.settle()
        window = self.roll.window(self._rows)
        drawn: list[Line] = [self._state(columns), self.heads(columns)]
        for entry in window:
            line = self.line(entry.item, columns)
            attr = "select" if entry.number == self.roll.cursor else ""
            drawn.append([piece._replace(attr=attr or piece.attr, does=f"row {entry.number}") for piece in line])
        if not window:
            drawn += [[], [Segment(self._nothing(), "dim")]]
        return drawn

    def _nothing(self) -> str:
        if self.roll.filter:
            return f"nothing that came since this tab is open has: {self.roll.filter}"
        return "" if self._told else f"no {self.what} yet"

    def _state(self, columns: int) -> Line:
        """What the list is doing, in a line."""
        if self._told is not None:
            if self._told.code == "unknown_command":
                return [Segment(f"this daemon, of an older version, has no command {self._command}", "odd")]
            return [Segment(clip(f"no {self.what}: {self._told.text}", columns), "bad")]
        parts: list[Segment] = []
        if self.roll.held:
            parts.append(Segment(f"held, {count(self.roll.unseen)} came since", "odd", "key  "))
        else:
            parts.append(Segment("as they come, the newest below", "dim", "key  "))
        if self.roll.filter:
            parts += [Segment("   filter ", "dim", "key /"), Segment(self.roll.filter, "bold", "key /")]
        if self._dropped:
            parts.append(Segment(f"   {count(self._dropped)} passed unseen", "odd"))
        return parts

    def press(self, key: str) -> bool:
        moves = {"up": -1, "down": 1, "page up": 1 - self._rows, "page down": self._rows - 1, "home": -(10**6),
                 "wheel up": -WHEEL, "wheel down": WHEEL}  # fmt: skip
        if key in moves and (self.roll.held or moves[key] < 0):
            self.roll.move(moves[key])
        elif key == "end" or (key == " " and self.roll.held) or (key == "esc" and self.roll.held):
            self.roll.release()
        elif key == " ":
            self.roll.hold()
        elif key == "esc" and self.roll.filter:
            self.roll.set_filter("")
        elif key == "/":
            hint = "words that must all be there; field=text looks into one field; empty: everything"
            self.desk.open(Prompt("Filter", hint, self.roll.filter, (), self.roll.set_filter))
        elif key == "enter":
            self._inspect()
        else:
            return False
        return True

    def click(self, does: str) -> None:
        number = int(does.removeprefix("row "))
        if self.roll.cursor == number:
            self._inspect()
        else:
            self.roll.select(number)

    def _inspect(self) -> None:
        if (item := self.roll.selected()) is None:
            self.roll.move(0)
            item = self.roll.selected()
        if item is not None:
            one = item
            self.desk.open(Notice(self.what.removesuffix("s").capitalize(), lambda columns: self.details(one, columns)))

    @property
    def waits(self) -> bool:
        return not self.roll.shown() and self._told is None


def fields(rows: Sequence[tuple[str, str]], columns: int) -> list[Line]:
    """Names and values, the values broken into as many lines as they need."""
    wide = max((width(name) for name, _ in rows), default=0) + 2
    drawn: list[Line] = []
    for name, value in rows:
        room = max(columns - wide, 8)
        pieces = [value[at : at + room] for at in range(0, len(value), room)] or [""]
        for number, piece in enumerate(pieces):
            drawn.append([Segment((name if not number else "").ljust(wide), "dim"), Segment(piece)])
    return drawn
