"""What a daemon says, and a source of answers that needs none: for tests of the console's parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from trackflowd.console.desk import Console
from trackflowd.console.knowledge import Knowledge
from trackflowd.console.lines import Line, text_of
from trackflowd.console.tab import Answer
from trackflowd.errors import ControlError, TrackflowError

MIB = 2**20

_PROCESS = {"uptime_s": 4000.0, "restarts": 0, "cpu_s": 12.0, "rss": 80 * MIB, "fds": 31, "heartbeat_age_s": 0.1}
_RING = {"uuid": "u", "capacity": 32 * MIB, "head": 0, "tail": 0, "synced": 0, "failed": False, "damage": ""}

STATUS: Mapping[str, Any] = {
    "version": "0.1.0",
    "pid": 100,
    "uptime_s": 4000.0,
    "health": {"alive": True, "ready": True, "reason": ""},
    "processes": [
        {**_PROCESS, "role": "supervisor", "slot": 0, "pid": 100, "state": "ready", "cpu_share": 0.02},
        {**_PROCESS, "role": "worker", "slot": 0, "pid": 101, "state": "ready", "cpu_share": 0.41},
        {**_PROCESS, "role": "worker", "slot": 1, "pid": 102, "state": "ready", "cpu_share": 0.39, "restarts": 2},
        {**_PROCESS, "role": "flusher", "slot": 0, "pid": 103, "state": "ready", "cpu_share": None},
    ],
    "rates": {"requests_s": 1201.0, "events_s": 1234.0, "stored_s": 1230.0},
    "latency": {"p50_ms": 0.42, "p99_ms": 3.1},
    "alerts": [],
    "machine": {
        "load": [1.21, 0.9, 0.7],
        "cpus": 2,
        "cpu_share": 0.61,
        "memory": {"total": 8192 * MIB, "available": 4096 * MIB},
        "swap_used": 0,
    },
    "totals": {
        "requests": 1_000_000,
        "events_accepted": 1_234_567,
        "events_refused": 42,
        "rows_stored": 1_234_000,
        "duplicates": 7,
        "bots": 99,
        "connections_open": 64,
        "batches_open": 1,
        "rows_open": 567,
        "batches_retried": 0,
        "batches_spooled": 3,
        "records_quarantined": 0,
    },
    "rings": [
        {**_RING, "file": "0.ring", "slot": 0, "used": 4 * MIB, "fill": 0.125},
        {**_RING, "file": "1.ring", "slot": 1, "used": 20 * MIB, "fill": 0.625},
    ],
    "sink": {"url": "clickhouse://u:***@db.example:8123/t", "warning": "", "state": "ok", "text": "", "paused": False},
    "oldest_pending_s": 0.8,
    "refusals": {"bad_json": 30, "missing_key": 12, "malformed": 0},
    "batches": {
        "confirmed": 900,
        "retried": 0,
        "doubted": 1,
        "open": 1,
        "last": {"rows": 1200, "ms": 35, "at_ms": 1_800_000_000_000},
    },
    "window": {"ids": 500_000, "span_s": 400.0, "duplicates": 7},
    "spool": {"segments": 0, "bytes": 0, "limit": 1024 * MIB, "free": 1024 * MIB, "oldest_s": None, "text": ""},
    "quarantine": {"files": 0, "rows": 0},
    "buffer": {"room": 1064 * MIB, "bytes_s": 400_000.0, "full_in_s": 2700.0},
    "disk": {"total": 2**36, "free": 2**35, "rings": 64 * MIB, "spool": 0, "store": 2**30, "days_to_full": 20.0},
    "data_dir": "/var/lib/trackflow",
    "listen": {"http": ["127.0.0.1:8080"], "admin": "127.0.0.1:8081", "control": "/run/trackflow/control.sock"},
    "geo": {"database": "/var/lib/trackflow/geo/city.mmdb", "built": 1_790_000_000, "type": "DBIP-City-Lite"},
}


def status(**changes: Any) -> dict[str, Any]:
    """A status; a map among the changes is laid over the one that is there."""
    value: dict[str, Any] = deepcopy(dict(STATUS))
    for name, change in changes.items():
        if isinstance(change, Mapping) and isinstance(value.get(name), dict):
            value[name].update(change)
        else:
            value[name] = change
    return value


def older(*keys: str) -> dict[str, Any]:
    """A status of a daemon that does not have some keys yet."""
    return {name: value for name, value in status().items() if name not in keys}


def known(*statuses: Mapping[str, Any], at: float = 1_800_000_000.0) -> Knowledge:
    """What is known after these statuses, one a second; the last comes at ``at``."""
    know = Knowledge()
    for number, value in enumerate(statuses):
        know.take(value, at - len(statuses) + 1 + number)
    return know


def texts(lines: Sequence[Line]) -> list[str]:
    """Lines without attributes and without spaces at the end."""
    return [text_of(line).rstrip() for line in lines]


def attr_of(lines: Sequence[Line], text: str) -> str:
    """The attribute of the first segment in which a text stands."""
    return next(segment.attr for line in lines for segment in line if text in segment.text)


class Stream:
    """A stream that somebody follows."""

    def __init__(
        self,
        command: str,
        args: Mapping[str, Any],
        heard: Callable[[Mapping[str, Any]], None],
        told: Callable[[TrackflowError | None], None],
    ) -> None:
        self.command, self.args, self.heard, self.told = command, dict(args), heard, told
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


class Answers:
    """A ``desk.Source``: values by command; a (code, text, hint) is an error, a function gets the arguments.

    Attributes:
        asked: commands and arguments, as they came.
        acted: whether each was to change something.
        streams: that were followed.
    """

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.acted: list[bool] = []
        self.streams: list[Stream] = []
        self._due: list[Callable[[], None]] = []

    def ask(self, command: str, then: Callable[[Answer], None], args: Mapping[str, Any], acting: bool) -> None:
        self.asked.append((command, dict(args)))
        self.acted.append(acting)
        value = self.values.get(command, ("unknown_command", f"there is no command {command!r}", "commands: …"))
        value = value(**args) if callable(value) else value
        answer = Answer(error=_error(*value)) if isinstance(value, tuple) else Answer(value)
        self._due.append(lambda: then(answer))

    def follow(
        self,
        command: str,
        heard: Callable[[Mapping[str, Any]], None],
        told: Callable[[TrackflowError | None], None],
        args: Mapping[str, Any],
    ) -> Stream:
        self.streams.append(Stream(command, args, heard, told))
        return self.streams[-1]

    def settle(self) -> None:
        """Give every answer that is due, and those that come of them."""
        while self._due:
            self._due.pop(0)()


def _error(code: str, text: str, hint: str = "") -> ControlError:
    error = ControlError(text, hint)
    error.code = code
    return error


def desk(answers: Answers, *statuses: Mapping[str, Any], tab: str = "overview", **options: Any) -> Console:
    """A console that knows these statuses, the last of which is fresh."""
    return Console(known(*(statuses or (status(),)), at=time.time()), answers, tab, **options)


def screen(console: Console, columns: int = 80, rows: int = 24) -> list[str]:
    """What it shows."""
    return texts(console.draw(columns, rows))
