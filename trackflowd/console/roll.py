"""The newest of what comes in without end: followed, held, filtered, walked through with a cursor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")

#: Items kept: minutes of a busy site, and a megabyte or two.
KEPT = 1000


class Entry(Generic[Item]):
    """An item, its number, and the text it is searched in, once it was."""

    __slots__ = ("item", "number", "text")

    def __init__(self, number: int, item: Item) -> None:
        self.number = number
        self.item = item
        self.text: str | None = None


class Roll(Generic[Item]):
    """See above.

    ``offer`` may be called by another thread; the rest belongs to one.

    Args:
        text: what a filter looks at of an item, in lower case.
        found: whether an item has what a word of a filter asks for (word, text, item).
    """

    def __init__(self, text: Callable[[Item], str], found: Callable[[str, str, Item], bool]) -> None:
        self._text = text
        self._found = found
        self._fresh: deque[Item] = deque(maxlen=KEPT)
        self._entries: deque[Entry[Item]] = deque(maxlen=KEPT)
        self._held: list[Entry[Item]] | None = None
        self._number = 0
        self._bottom = -1
        self._words: Sequence[str] = ()
        self.cursor: int | None = None
        self.unseen = 0

    def offer(self, item: Item) -> None:
        """An item has come."""
        self._fresh.append(item)

    def settle(self) -> bool:
        """Take in what was offered; whether there is something new."""
        count = len(self._fresh)
        for _ in range(count):
            self._number += 1
            self._entries.append(Entry(self._number, self._fresh.popleft()))
        if self.held:
            self.unseen += count
        return bool(count)

    @property
    def held(self) -> bool:
        """Whether what is shown stands still."""
        return self._held is not None

    @property
    def filter(self) -> str:
        """The words of the filter."""
        return " ".join(self._words)

    def set_filter(self, text: str) -> None:
        """Show only items in which every word of the text is found."""
        self._words = text.lower().split()
        self._bottom = -1
        self.cursor = None

    def hold(self) -> None:
        """Let what is shown stand still; what comes is kept."""
        if self._held is None:
            self.settle()
            self._held = list(self._entries)
            self.unseen = 0

    def release(self) -> None:
        """Follow again."""
        self._held, self.cursor, self._bottom, self.unseen = None, None, -1, 0

    def clear(self) -> None:
        """Forget everything."""
        self._fresh.clear()
        self._entries.clear()
        self.release()

    def shown(self) -> list[Entry[Item]]:
        """Everything the filter lets through, oldest first."""
        entries = self._entries if self._held is None else self._held
        if not self._words:
            return list(entries)
        return [entry for entry in entries if self._passes(entry)]

    def _passes(self, entry: Entry[Item]) -> bool:
        if entry.text is None:
            entry.text = self._text(entry.item)
        return all(self._found(word, entry.text, entry.item) for word in self._words)

    def window(self, rows: int) -> Sequence[Entry[Item]]:
        """Those that are on a screen of so many rows: the newest, or those around the cursor."""
        shown = self.shown()
        at = self._place(shown)
        if at is None:
            return shown[-rows:]
        last = len(shown) - 1
        bottom = last if self._bottom < 0 else min(self._bottom, last)
        self._bottom = min(max(bottom, at), at + rows - 1)
        end = max(min(self._bottom, last), min(rows, len(shown)) - 1)
        return shown[max(end - rows + 1, 0) : end + 1]

    def _place(self, shown: Sequence[Entry[Item]]) -> int | None:
        """Index of the cursor's item, or of the one nearest to it."""
        if self.cursor is None or not shown:
            return None
        return min(range(len(shown)), key=lambda index: abs(shown[index].number - (self.cursor or 0)))

    def move(self, by: int) -> None:
        """Move the cursor, from the newest if there is none; what is shown stands still from then on."""
        self.hold()
        shown = self.shown()
        if not shown:
            return
        at = self._place(shown)
        at = len(shown) - 1 if at is None else min(max(at + by, 0), len(shown) - 1)
        self.cursor = shown[at].number

    def select(self, number: int) -> None:
        """Put the cursor on an item."""
        self.hold()
        self.cursor = number

    def selected(self) -> Item | None:
        """The item under the cursor."""
        if self.cursor is None:
            return None
        shown = self.shown()
        at = self._place(shown)
        return None if at is None else shown[at].item
