"""The tab Log: what the daemon's processes say."""

from __future__ import annotations

import time
from collections.abc import Sequence

from trackflowd.console.dialog import Prompt, refused
from trackflowd.console.lines import Line, Segment, pad
from trackflowd.console.rolltab import KEYS, Item, RollTab, fields
from trackflowd.console.tab import Answer, Desk, Key

#: Lines from before that are asked for.
_LINES = 500
#: Levels, the least first; the tab shows those from one on.
LEVELS = ("debug", "info", "warning", "error")
_ATTR = {"debug": "dim", "info": "", "warning": "odd", "error": "bad", "critical": "bad"}
_LEVEL, _PROCESS = 8, 12


class Log(RollTab):
    """See above."""

    name = "Log"
    what = "lines"
    keys: Sequence[Key] = (
        *KEYS,
        Key("l", "l", "level", "show only lines of this level and above"),
        Key("L", "L", "daemon's level", "have the daemon itself log from this level on"),
    )

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, "log", lines=_LINES, follow=True)
        self._least = 0

    def show(self) -> None:
        self.roll.clear()  # the stream begins with the last lines again
        super().show()

    def hear(self, item: Item) -> None:
        level = str(item.get("level") or "").lower()
        if "dropped" in item or level not in LEVELS or LEVELS.index(level) >= self._least:
            super().hear(item)

    def press(self, key: str) -> bool:
        if key == "l":
            self._least = (self._least + 1) % len(LEVELS)
            self.hide()
            self.show()
        elif key == "L":
            self.desk.open(self._level_question())
        else:
            return super().press(key)
        return True

    def heads(self, columns: int) -> Line:
        least = f"   from {LEVELS[self._least]} on (l)" if self._least else ""
        return [Segment(f"{pad('time', 10)}{pad('level', _LEVEL)}{pad('process', _PROCESS)}text{least}", "dim")]

    def line(self, item: Item, columns: int) -> Line:
        level = str(item.get("level") or "").lower()
        return [
            Segment(pad(_clock(item, "%H:%M:%S"), 10), "dim"),
            Segment(pad(level, _LEVEL), _ATTR.get(level, "")),
            Segment(pad(str(item.get("process") or ""), _PROCESS), "name"),
            Segment(pad(str(item.get("text") or ""), columns - 10 - _LEVEL - _PROCESS), _ATTR.get(level, "")),
        ]

    def details(self, item: Item, columns: int) -> Sequence[Line]:
        rows = [("time", _clock(item, "%Y-%m-%d %H:%M:%S"))]
        return fields([*rows, *((name, str(item.get(name) or "")) for name in ("level", "process", "text"))], columns)

    def _level_question(self) -> Prompt:
        about = "the daemon and its children log from this level on, until it is changed or they start again"
        return Prompt("Log level of the daemon", about, "info", LEVELS, self._set_level)

    def _set_level(self, level: str) -> None:
        def then(answer: Answer) -> None:
            if answer.error is not None:
                self.desk.open(refused("The level was not changed", answer.error))
            else:
                self.desk.say(f"the daemon logs from {level} on", "good")

        self.desk.act("loglevel", then, level=level)


def _clock(item: Item, form: str) -> str:
    return time.strftime(form, time.localtime((item.get("at_ms") or 0) / 1000))
