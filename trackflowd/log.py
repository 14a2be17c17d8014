"""What the processes say to people: one line per thing worth saying, on standard error.

``debug`` how it went, ``info`` what changed, ``warning`` odd but nothing lost, ``error`` data lost
or a person is needed. Nothing is logged per event, not even at ``debug``.

Under systemd (standard error is the journal, named by ``$JOURNAL_STREAM``) lines carry the
journal's own level mark and no time, since the journal adds one. A line break inside a message
would be a line of the journal without a level, so each line gets its mark.

No client address is ever logged. The code never passes one; should a library do so (in the text of
an exception, say), worker processes, the only ones that see clients, write ``[address]`` for
anything that reads as an address outside of loopback.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from types import TracebackType

#: sd-daemon(3) level marks.
_MARKS = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
    logging.CRITICAL: "<2>",
}

#: Dotted quads, and runs of hex digits and colons with at least two colons; ``ipaddress`` decides.
_MAYBE_ADDRESS = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\d)|(?<![\w:])[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*"
)


def scrub(text: str) -> str:
    """Text with every address outside of loopback replaced by ``[address]``."""
    return _MAYBE_ADDRESS.sub(_hidden, text)


def _hidden(match: re.Match[str]) -> str:
    text = match.group()
    for end in range(len(text), 1, -1):  # "2001:db8::1:" and "::1." end in punctuation
        if end < len(text) and text[end] not in ":.":
            break
        try:
            address = ipaddress.ip_address(text[:end])
        except ValueError:
            continue
        return text if address.is_loopback or address.is_unspecified else "[address]" + text[end:]
    return text


class _Formatter(logging.Formatter):
    """Base of the two forms: the finished text of a record, its traceback included."""

    def __init__(self, process: str, hide: bool) -> None:
        super().__init__()
        self.process = process
        self.hide = hide

    def text(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return scrub(text) if self.hide else text


class _Lines(_Formatter):
    """``2026-11-23T09:30:00.123Z warning worker 0: text``; to the journal ``<4>worker 0: text``."""

    def __init__(self, process: str, hide: bool, journal: bool) -> None:
        super().__init__(process, hide)
        self.journal = journal

    def format(self, record: logging.LogRecord) -> str:
        mark = _MARKS.get(record.levelno, "<6>") if self.journal else ""
        text = f"{self.process}: {self.text(record)}"
        if self.journal:
            return "\n".join(mark + line for line in text.splitlines())
        return f"{_when(record)} {record.levelname.lower()} {text}"


class _Json(_Formatter):
    """One object per line: time, level, process, logger, text."""

    def format(self, record: logging.LogRecord) -> str:
        value = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "text": self.text(record),
        }
        return json.dumps(value, ensure_ascii=False)


def _when(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def to_journal(env: Mapping[str, str], fd: int) -> bool:
    """True if fd is the journal's stream, as systemd.exec(5) says to find out ("device:inode")."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return env.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def setup(level: str, form: str, process: str) -> None:
    """Send this process's logging to standard error; a second call replaces the first.

    Args:
        level: "debug", "info", "warning" or "error" (``log.level``). Other libraries' loggers are
            held at "warning" at least.
        form: "text" or "json" (``log.format``).
        process: opens each line: "supervisor", "flusher", "worker 0", … A process whose name begins
            with "worker" has addresses hidden, see above.
    """
    hide = process.startswith("worker")
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(_Json(process, hide))
    else:
        handler.setFormatter(_Lines(process, hide, to_journal(os.environ, 2)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    logging.raiseExceptions = False  # a closed standard error must not end a process that takes events
    logging.captureWarnings(True)
    sys.excepthook = _unhandled


def set_level(level: str) -> None:
    """Change the least level that is written ("debug", "info", "warning" or "error")."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(number, logging.WARNING))
    logging.getLogger("trackflowd").setLevel(number)


def _unhandled(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("trackflowd").critical("ends by an error nobody caught", exc_info=(kind, error, trace))
