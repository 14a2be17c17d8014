"""Frames of the control socket and of the channels to children, and the table of commands.

A frame::

     0        1        2        3        4
    ┌────────┬────────┬────────┬────────┬─────────────────────┐
    │ length of what follows, u32, big  │ one msgpack map     │
    └────────┴────────┴────────┴────────┴─────────────────────┘

The control socket, S = server, C = client::

    S  {"hello": "trackflow", "version": "0.1.0", "protocol": 1}
    C  {"id": 1, "name": "status", "args": {}}
    S  {"id": 1, "ok": true, "value": …}     or
    S  {"id": 1, "ok": false, "error": {"code": …, "text": …, "hint": …}}

A command that streams is answered ``ok`` once and then sends ``{"id": 1, "event": …}`` until the
client closes or sends ``{"id": 1, "cancel": true}``. Requests of one connection may be answered in
another order than they were sent; ``id`` (an integer the client chooses) tells which is which.

A channel between supervisor and child carries the same frames with a ``type`` in each: ``call``
(id, name, args) downwards; ``reply`` (id, ok, value or error), ``ready``, ``drained`` and ``event``
(rows) upwards.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from trackflowd.errors import ControlError

PROTOCOL = 1

#: Most bytes of a query's answer: what a terminal or a script's memory takes without a thought.
MAX_RESULT = 8 * 2**20
#: Most bytes of a frame: a full result and room for what is around it.
MAX_FRAME = MAX_RESULT + 64 * 1024
#: Most bytes of a frame a client may send; a query is text that people write.
MAX_REQUEST = 2**20

_LENGTH = struct.Struct(">I")


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a frame.

    Raises:
        ControlError: longer than ``MAX_FRAME``, or holding what msgpack cannot say.
    """
    try:
        body: bytes = msgpack.packb(message, use_bin_type=True)
    except (ValueError, TypeError, OverflowError) as error:
        raise ControlError(f"a message that cannot be sent: {error}") from error
    if len(body) > MAX_FRAME:
        raise ControlError(f"a message of {len(body)} bytes; the most is {MAX_FRAME}", "ask for less")
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Bytes in any pieces → messages.

    Args:
        limit: most bytes of a frame; a longer one is refused by its length alone, unread.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Messages completed by data, maybe none.

        Raises:
            ControlError: not our frames. The other side must be closed: nothing later makes sense.
        """
        self.receive(data)
        found: list[dict[str, Any]] = []
        while (message := self.maybe_next()) is not None:
            found.append(message)
        return found

    def receive(self, data: bytes) -> None:
        """Take in bytes; ask ``maybe_next`` for what they complete."""
        self._buffer += data

    def maybe_next(self) -> dict[str, Any] | None:
        """Next whole message; None: more bytes are needed.

        Raises:
            ControlError: see ``feed``.
        """
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > self._limit:
            raise ControlError(f"a frame of {length} bytes; the most is {self._limit}")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]  # bytearray moves its start, it does not copy the rest
        return _message(body)


def _message(body: bytes) -> dict[str, Any]:
    try:
        value = msgpack.unpackb(body, strict_map_key=True)
    except (ValueError, TypeError, RecursionError) as error:
        raise ControlError(f"a frame that is not msgpack: {error or type(error).__name__}") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ControlError("a frame that is not a map with text keys")
    return value


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument of a command.

    Args:
        name: its key in ``args``.
        kind: ``text``, ``number``, ``flag``, ``map`` or ``list`` (of texts).
        help: one line.
        default: used where it is not given; ``...``: it must be given.
    """

    name: str
    kind: str
    help: str
    default: Any = ...


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table.

    Args:
        name: as requests name it.
        help: one line.
        args: arguments; no others are taken.
        acting: it changes what the daemon does; others only look.
        streams: it answers with events until cancelled.
    """

    name: str
    help: str
    args: tuple[Arg, ...] = ()
    acting: bool = False
    streams: bool = False


_TASK_ID = Arg("id", "number", "number of the task; `tasks` lists them")
_WHAT = "which: site, name, user, visitor, id, from, to (ms since 1970 UTC)"
_NAMES = Arg("names", "list", "names of files, as the list command of the tool shows them")

_COMMANDS = (
    Command("version", "versions of the daemon and of this protocol"),
    Command("status", "everything `trackflow status` shows"),
    Command("processes", "the processes, with memory, CPU and restarts"),
    Command("rings", "the ring files and how full they are"),
    Command("config", "the options in effect; passwords masked"),
    Command(
        "tail",
        "rows as they are accepted, without the visitor's address",
        (
            Arg("site", "text", "only this site", ""),
            Arg("name", "text", "only events of this name", ""),
        ),
        streams=True,
    ),
    Command(
        "query",
        "answer of one read-only SQL statement, bounded in time, rows, memory and size",
        (
            Arg("sql", "text", "the statement"),
            Arg("format", "text", "table, json or csv", "table"),
            Arg("params", "map", "values for {name:Type} in the statement", None),
        ),
    ),
    Command(
        "stats",
        "a named statistic (docs/statistics.md)",
        (
            Arg("name", "text", "which", "overview"),
            Arg("site", "text", "which site; empty: all", ""),
            Arg("from", "number", "begin of the period, ms since 1970 UTC; 0: as the statistic has it", 0),
            Arg("to", "number", "end of the period, ms since 1970 UTC; 0: now", 0),
            Arg("zone", "text", "IANA zone in which days begin", "UTC"),
            Arg("where", "list", "filters, as in: page is /pricing", ()),
            Arg("bots", "flag", "count bots too", False),
            Arg("limit", "number", "rows of each list; 0: 10", 0),
            Arg("interval", "text", "minute, hour, day, week or month; empty: what suits the period", ""),
            Arg("property", "text", "of properties: the one whose values are asked for", ""),
            Arg("steps", "list", "of funnels: filters, a step each; none: a page, a second page, an event", ()),
            Arg("window", "number", "of funnels: seconds from the first step to the last; 0: a day", 0),
        ),
    ),
    Command(
        "events",
        "events of a selection, a page of them, by the time they happened",
        (
            Arg("what", "map", _WHAT, None),
            Arg("limit", "number", "at most so many, 1 to 1000", 100),
            Arg("after", "text", "`next` of the page before; empty: the first", ""),
            Arg("newest", "flag", "begin with the newest", True),
        ),
    ),
    Command(
        "event_correct",
        "change properties of one event",
        (
            Arg("id", "text", "its id"),
            Arg("site", "text", "whose; empty: the only one that has it", ""),
            Arg("put", "map", "properties to be set", None),
            Arg("drop", "list", "names of properties to be taken away", ()),
        ),
        acting=True,
    ),
    Command("erase_count", "what an erasure would delete", (Arg("what", "map", _WHAT),)),
    Command(
        "erase",
        "delete events for good and keep copies of them out: starts a task, answers it",
        (Arg("what", "map", _WHAT),),
        acting=True,
    ),
    Command("erasures", "the tombstones of erasures, newest first"),
    Command(
        "erasure_forget",
        "remove a tombstone: what it kept out may come back with a replay",
        (Arg("number", "number", "its number; `erasures` lists them"),),
        acting=True,
    ),
    Command(
        "flush",
        "store what the rings hold now, without waiting for batch.max_age",
        (Arg("wait", "number", "seconds to wait until it is stored; 0: do not wait", 10),),
        acting=True,
    ),
    Command(
        "replay",
        "send again what the store has lost, as far back as the rings reach: starts a task, answers it",
        (
            Arg("since", "number", "seconds back from now"),
            Arg("dry_run", "flag", "only look, change nothing", False),
        ),
        acting=True,
    ),
    Command(
        "migrate",
        "move all events to another kind of store while others come in: starts a task, answers it",
        (
            Arg("source", "text", "url of the store to move from; empty: the daemon's own", ""),
            Arg("target", "text", "url of the store to move to", ""),
            Arg("cutover", "flag", "switch the daemon to the target in the end", False),
            Arg("plan", "flag", "only say what it would take", False),
        ),
        acting=True,
    ),
    Command("tasks", "the long jobs, newest first"),
    Command("task", "one long job, with its history", (_TASK_ID,)),
    Command("task_cancel", "have a long job end after its present step", (_TASK_ID,), acting=True),
    Command("task_resume", "have an ended long job go on where it was", (_TASK_ID,), acting=True),
    Command(
        "spool_drop", "give up batches that wait in the spool: their rows are lost for good", (_NAMES,), acting=True
    ),
    Command("spool_release", "free batches in doubt of their host: doubled if that has them", (_NAMES,), acting=True),
    Command(
        "quarantine_retry",
        "send rows the store refused again",
        (Arg("names", "list", "files; none: all that can be", ()),),
        acting=True,
    ),
    Command("quarantine_drop", "delete quarantine files: what is in them is lost for good", (_NAMES,), acting=True),
    Command("drain", "stop as SIGTERM does: answer what is in flight, store everything, end", acting=True),
    Command("stop", "stop in about a second; what is not stored stays in the rings", acting=True),
)

COMMANDS: Mapping[str, Command] = {command.name: command for command in _COMMANDS}

_KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "flag": (bool,),
    "map": (dict, type(None)),
    "list": (list, tuple),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be acted on: known command, every argument present and of its kind."""

    id: int
    command: Command
    args: dict[str, Any]


class BadRequest(ControlError):
    """A request that is answered with an error; the connection goes on."""

    def __init__(self, code: str, text: str, hint: str = "") -> None:
        super().__init__(text, hint)
        self.code = code


def read_id(message: Mapping[str, Any]) -> int:
    """The id of a client's message.

    Raises:
        ControlError: none, so that not even an error could be answered: close the client.
    """
    number = message.get("id")
    if isinstance(number, bool) or not isinstance(number, int):
        raise ControlError("a message without an integer id")
    return number


def read_request(message: Mapping[str, Any]) -> Request:
    """A client's message as a request.

    Raises:
        BadRequest: ``unknown_command`` or ``bad_arguments``.
        ControlError: it has no id.
    """
    number = read_id(message)
    name = message.get("name")
    command = COMMANDS.get(name) if isinstance(name, str) else None
    if command is None:
        raise BadRequest("unknown_command", f"there is no command {name!r}", "commands: " + ", ".join(COMMANDS))
    return Request(number, command, read_args(command.name, command.args, message.get("args") or {}))


def read_args(owner: str, args: Sequence[Arg], given: Any) -> dict[str, Any]:
    """Arguments by name, every one present and of its kind.

    Args:
        owner: whose arguments, for messages.
        args: the ones there are.
        given: what came from outside.

    Raises:
        BadRequest: ``bad_arguments``.
    """
    if not isinstance(given, dict):
        raise BadRequest("bad_arguments", f"{owner}: args must be a map")
    names = [arg.name for arg in args]
    if strange := sorted(set(given) - set(names), key=str):
        raise BadRequest(
            "bad_arguments",
            f"{owner} takes no argument {strange[0]!r}",
            f"it takes {', '.join(names)}" if names else "it takes none",
        )
    return {arg.name: _value(owner, arg, given) for arg in args}


def _value(owner: str, arg: Arg, given: Mapping[str, Any]) -> Any:
    value: Any = given.get(arg.name, arg.default)
    if value is ...:
        raise BadRequest("bad_arguments", f"{owner} needs the argument {arg.name}", arg.help)
    if isinstance(value, bool) != (arg.kind == "flag") or not isinstance(value, _KINDS[arg.kind]):
        raise BadRequest("bad_arguments", f"{owner}: {arg.name} must be a {arg.kind}", arg.help)
    items: Any = value if arg.kind == "list" else ()
    if not all(isinstance(item, str) for item in items):
        raise BadRequest("bad_arguments", f"{owner}: {arg.name} must be a list of texts", arg.help)
    return value


def hello(version: str) -> dict[str, Any]:
    """The server's first message."""
    return {"hello": "trackflow", "version": version, "protocol": PROTOCOL}


def check_hello(message: Mapping[str, Any]) -> str:
    """Version of the daemon that said hello.

    Raises:
        ControlError: it is not ours, or speaks another protocol.
    """
    if message.get("hello") != "trackflow":
        raise ControlError("whoever listens on this socket is not trackflowd")
    if message.get("protocol") != PROTOCOL:
        raise ControlError(
            f"the daemon speaks protocol {message.get('protocol')}, this tool {PROTOCOL}",
            "use the `trackflow` of the daemon's own version",
        )
    return str(message.get("version", ""))


def ok(number: int, value: Any) -> dict[str, Any]:
    """Answer of a request that went well."""
    return {"id": number, "ok": True, "value": value}


def failed(number: int, code: str, text: str, hint: str = "") -> dict[str, Any]:
    """Answer of a request that did not."""
    return {"id": number, "ok": False, "error": {"code": code, "text": text, "hint": hint}}
