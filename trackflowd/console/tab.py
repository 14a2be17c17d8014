"""What a tab is, what it may ask of the desk it stands on, and the tabs that only show what is known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from trackflowd.console import overview, pipeline, processes
from trackflowd.console.dialog import Dialog
from trackflowd.console.knowledge import Knowledge
from trackflowd.console.lines import Line, Segment
from trackflowd.errors import TrackflowError

#: Rows that a turn of the mouse's wheel moves.
WHEEL = 3


class Key(NamedTuple):
    """A key, for the footer and the help.

    Args:
        key: as the terminal names it; a click on its name presses it.
        shown: how people write it.
        name: one word.
        about: one line.
    """

    key: str
    shown: str
    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question to the daemon: a value, or an error."""

    value: Any = None
    error: TrackflowError | None = None


class Following(Protocol):
    """A stream that is followed."""

    def stop(self) -> None:
        """End it."""


class Desk(Protocol):
    """What tabs stand on."""

    know: Knowledge

    def ask(self, command: str, then: Callable[[Answer], None], **args: Any) -> None:
        """Ask the daemon; then is called once the answer is there, never before this returns."""

    def act(self, command: str, then: Callable[[Answer], None], **args: Any) -> None:
        """The same for commands that change something: they do not wait behind questions."""

    def follow(
        self,
        command: str,
        heard: Callable[[Mapping[str, Any]], None],
        told: Callable[[TrackflowError | None], None],
        **args: Any,
    ) -> Following:
        """Follow a stream.

        Args:
            heard: takes its events; called in another thread.
            told: called with an error when the stream breaks or is refused, with None when it is there.
        """

    def open(self, dialog: Dialog) -> None:
        """Show a dialog; keys are its until it closes."""

    def say(self, text: str, attr: str = "") -> None:
        """Show a text in the footer for a while."""


class Tab(ABC):
    """One tab. Keys come here first, then to the desk.

    Args:
        desk: what it stands on.
    """

    name = ""
    keys: Sequence[Key] = ()

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @abstractmethod
    def draw(self, columns: int, rows: int, now: float) -> list[Line]:
        """Its lines, at most rows.

        Args:
            now: wall clock, s.
        """

    def press(self, key: str) -> bool:
        """A key; whether it means something here."""
        return False

    def click(self, does: str) -> None:  # noqa: B027  (most have nothing to do then)
        """A click on a segment that does something."""

    def show(self) -> None:  # noqa: B027  (most have nothing to do then)
        """It comes to the front."""

    def hide(self) -> None:  # noqa: B027  (most have nothing to do then)
        """It goes to the back: what costs the daemon something ends."""

    def tick(self, now: float) -> bool:
        """Called some times a second while it is in front; whether it has something new to show.

        Args:
            now: monotonic clock, s.
        """
        return False

    @property
    def waits(self) -> bool:
        """Whether it has asked for something without which there is nothing to show."""
        return not self.desk.know.status


class Overview(Tab):
    """See ``overview``."""

    name = "Overview"

    def draw(self, columns: int, rows: int, now: float) -> list[Line]:
        return overview.draw(self.desk.know, columns, rows, now)


class Pipeline(Tab):
    """See ``pipeline``."""

    name = "Pipeline"

    def draw(self, columns: int, rows: int, now: float) -> list[Line]:
        return pipeline.draw(self.desk.know, columns, rows)


class Processes(Tab):
    """See ``processes``; as many rows as there are processes, so it can be scrolled."""

    name = "Processes"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._top = 0
        self._rows = 1

    def draw(self, columns: int, rows: int, now: float) -> list[Line]:
        lines = processes.draw(self.desk.know, columns)
        self._rows = rows
        self._top = max(min(self._top, len(lines) - rows), 0)
        shown = lines[self._top : self._top + rows]
        if len(lines) > self._top + rows:
            shown[-1] = [Segment(f"▼ {len(lines) - self._top - rows + 1} more lines: ↓, page down", "dim")]
        return shown

    def press(self, key: str) -> bool:
        by = {"up": -1, "down": 1, "page up": -self._rows, "page down": self._rows, "home": -10_000, "end": 10_000,
              "wheel up": -WHEEL, "wheel down": WHEEL}.get(key)  # fmt: skip
        if by is None:
            return False
        self._top = max(self._top + by, 0)
        return True
