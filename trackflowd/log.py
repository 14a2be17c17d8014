"""What the processes say to people: one line per thing worth saying, on standard error.

``debug`` how it went, ``info`` what changed, ``warning`` odd but nothing lost, ``error`` data lost
or a person is needed. Nothing is logged per event, not even at ``debug``.

Under systemd (standard error is the journal, named by ``$JOURNAL_STREAM``) lines carry the
journal's own level mark, which it takes off again, and no time, since the journal adds one (JSON keeps
it: it is read as it is). A line break inside a message would be a line of the journal without a level,
so each line gets its mark.

A line may also be handed on to the supervisor (``hand_on``), which keeps the last ones for ``trackflow log``.

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
import socket
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

#: Characters of a line that are handed on, and the most bytes they become with what is around them.
MAX_TEXT = 4096
MAX_DATAGRAM = 8 * MAX_TEXT

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
    """One object per line: time, level, process, logger, text; to the journal behind its mark."""

    def __init__(self, process: str, hide: bool, journal: bool) -> None:
        super().__init__(process, hide)
        self.journal = journal

    def format(self, record: logging.LogRecord) -> str:
        value = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "text": self.text(record),
        }
        mark = _MARKS.get(record.levelno, "<6>") if self.journal else ""
        return mark + json.dumps(value, ensure_ascii=False)


class _HandOn(logging.Handler):
    """Sends each line as a datagram: ``[at_ms, level, process, text, lines left out before]``, as JSON."""

    def __init__(self, fd: int, process: str) -> None:
        super().__init__()
        self.formatter: _Formatter = _Formatter(process, _hides(process))
        self._socket = socket.socket(fileno=os.dup(fd))
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = self.formatter.text(record)
        text = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
        line = [int(record.created * 1000), record.levelname.lower(), self.formatter.process, text, self._left_out]
        # Names of files may hold bytes that are no UTF-8, which Python keeps as surrogates.
        raw = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace")
        try:
            self._socket.send(raw, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            self._left_out = 0
        except OSError:  # it is full, or the supervisor is gone
            self._left_out += 1

    def close(self) -> None:
        self._socket.close()
        super().close()


def _hides(process: str) -> bool:
    return process.startswith("worker")


def _formatter(form: str, process: str) -> _Formatter:
    kind = _Json if form == "json" else _Lines
    return kind(process, _hides(process), to_journal(os.environ, 2))


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


def error_mark() -> str:
    """What a line for standard error that is no log line begins with for the journal to know it for an error; or ""."""
    return _MARKS[logging.ERROR] if to_journal(os.environ, 2) else ""


def setup(level: str, form: str, process: str, handed_on: int | None = None) -> None:
    """Send this process's logging to standard error; a second call replaces the first.

    Args:
        level: "debug", "info", "warning" or "error" (``log.level``). Other libraries' loggers are
            held at "warning" at least.
        form: "text" or "json" (``log.format``).
        process: opens each line: "supervisor", "flusher", "worker 0", … A process whose name begins
            with "worker" has addresses hidden, see above.
        handed_on: a socket for ``hand_on``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(form, process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    if handed_on is not None:
        hand_on(handed_on, process)
    set_level(level)
    logging.raiseExceptions = False  # a closed standard error must not end a process that takes events
    logging.captureWarnings(True)
    sys.excepthook = _unhandled


def hand_on(fd: int, process: str) -> logging.Handler:
    """Hand what this process logs on to ``logbook`` as well, through a datagram socket.

    Args:
        fd: the socket; it is duplicated.
        process: as ``setup``'s.

    Returns:
        The handler, in place; to be removed before the socket is closed.
    """
    handler = _HandOn(fd, process)
    logging.getLogger().addHandler(handler)
    return handler


def set_form(form: str) -> None:
    """Change the form lines are written in ("text" or "json")."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Formatter) and not isinstance(handler, _HandOn):
            handler.setFormatter(_formatter(form, handler.formatter.process))


def set_level(level: str) -> None:
    """Change the least level that is written ("debug", "info", "warning" or "error")."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(number, logging.WARNING))
    logging.getLogger("trackflowd").setLevel(number)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its "Retrying" lines: that the store is away is said by us


def _unhandled(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("trackflowd").critical("ends by an error nobody caught", exc_info=(kind, error, trace))
