"""Frames of the control socket and of the channels to children. The commands are in ``command_table``.

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
client closes or sends ``{"id": 1, "cancel": true}``, or until ``{"id": 1, "end": true}`` says that there is no more.
Requests of one connection may be answered in another order than they were sent; ``id`` (an integer the client
chooses) tells which is which.

A channel between supervisor and child carries the same frames with a ``type`` in each: ``call``
(id, name, args) downwards; ``reply`` (id, ok, value or error), ``ready``, ``drained`` and ``event``
(rows) upwards.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from trackflowd.errors import ControlError
from trackflowd.proto.command_table import COMMANDS, Arg, Command

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
    wrong = isinstance(value, bool) != (arg.kind == "flag") or not isinstance(value, _KINDS[arg.kind])
    if wrong or (arg.kind == "number" and not math.isfinite(value)):
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
