"""Client half of the control socket, for tools: blocking, no event loop.

::

    with Client.connect(find_socket(None, os.environ)) as client:
        print(client.call("status")["health"])
        for row in client.stream("tail", site="shop"):
            ...
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from trackflowd import config
from trackflowd.errors import ConfigError, ControlError, QueryError, TrackflowError
from trackflowd.proto.control import Decoder, check_hello, encode

#: Where the packaged service has its socket.
SYSTEM_SOCKET = "/run/trackflow/control.sock"
#: Where `make run` has it.
LOCAL_SOCKET = ".data/control.sock"
#: Seconds to wait for a connection and for the daemon's hello: both are instant where it is well.
CONNECT_TIMEOUT = 5.0
#: Seconds to wait for an answer. The daemon bounds what takes long (``query.max_seconds``) itself;
#: this is for one that is stopped.
CALL_TIMEOUT = 3700.0


def candidates(env: Mapping[str, str]) -> list[str]:
    """Paths where a daemon's socket is looked for when no flag names one, best first.

    ``$TRACKFLOW_SOCKET`` is the only one when it is set. Else: .data of the working directory, what
    environment and defaults say of data directory and socket, the system's.
    """
    if named := env.get("TRACKFLOW_SOCKET"):
        return [named]
    found = [LOCAL_SOCKET]
    try:
        found.append(config.load(None, (), env).control.socket)
    except ConfigError:
        pass  # the environment is somebody else's mistake; the socket may be named by a flag
    return [*found, SYSTEM_SOCKET]


def find_socket(flag: str | None, env: Mapping[str, str], data_dir: str | None = None) -> str:
    """Path of the control socket of a daemon that is there.

    Args:
        flag: ``--socket``, taken as it is.
        env: the environment.
        data_dir: ``--data-dir``: the socket in there. Without it and flag: look at ``candidates``.

    Raises:
        ControlError: nobody listens at any of them.
    """
    if data_dir and not flag:
        flag = os.path.join(data_dir, "control.sock")
    paths = [flag] if flag else candidates(env)
    if len(paths) == 1:
        return paths[0]
    for path in paths:
        if _answers(path):
            return path
    hint = "start it with `trackflowd run`, or name its socket with --socket or $TRACKFLOW_SOCKET"
    raise ControlError(f"no running trackflowd found; looked at {', '.join(paths)}", hint)


def _answers(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT)
            probe.connect(path)
    except PermissionError:
        return True  # it is there; connecting to it will say what is wrong
    except OSError:
        return False
    return True


class Client:
    """A connection to the daemon. For one thread.

    Args:
        sock: connected.
        version: the daemon's.
    """

    def __init__(self, sock: socket.socket, decoder: Decoder, version: str) -> None:
        self._sock = sock
        self._decoder = decoder
        self._number = 0
        self.version = version

    @classmethod
    def connect(cls, path: str) -> Client:
        """Connect and hear the daemon's hello.

        Raises:
            ControlError: nobody there, not allowed, or not our daemon.
        """
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(CONNECT_TIMEOUT)
        decoder = Decoder()
        try:
            sock.connect(path)
            greeting = _receive(sock, decoder)
            if "hello" not in greeting:
                raise _error(greeting.get("error") or {})
            version = check_hello(greeting)
        except OSError as error:
            sock.close()
            raise _refused(path, error) from error
        except ControlError:
            sock.close()
            raise
        return cls(sock, decoder, version)

    def call(self, command: str, /, *, timeout: float = CALL_TIMEOUT, **args: Any) -> Any:
        """Run a command and return its value.

        Args:
            command: one of ``proto.control.COMMANDS``.
            timeout: s.
            args: its arguments.

        Raises:
            QueryError: the statement was refused.
            ControlError: anything else that went wrong; ``code`` says what.
        """
        self._sock.settimeout(timeout)
        number = self._request(command, args)
        while (message := self._next()).get("id") != number or "event" in message:
            pass  # events of a stream that was left
        return _value(message)

    def stream(self, command: str, /, **args: Any) -> Iterator[dict[str, Any]]:
        """Events of a command that streams, for as long as they are asked for.

        Leaving the loop ends the stream; it may also end by itself (``log`` without ``follow``). An event
        ``{"dropped": n}`` says that n others were left out because this side reads too slowly.

        Raises:
            ControlError: the command was refused, or the daemon went away.
        """
        self._sock.settimeout(CALL_TIMEOUT)
        number = self._request(command, args)
        while (message := self._next()).get("id") != number or "ok" not in message:
            pass
        _value(message)
        return self._events(number)

    def _events(self, number: int) -> Iterator[dict[str, Any]]:
        self._sock.settimeout(None)  # silence is what a quiet site sounds like
        try:
            while True:
                message = self._next()
                if message.get("id") != number:
                    continue
                if message.get("end") is True:
                    return
                if "event" in message:
                    yield message["event"]
        finally:
            try:
                self._sock.sendall(encode({"id": number, "cancel": True}))
            except OSError:
                pass  # closed: the stream has ended anyway

    def _request(self, name: str, args: Mapping[str, Any]) -> int:
        self._number += 1
        try:
            self._sock.sendall(encode({"id": self._number, "name": name, "args": dict(args)}))
        except OSError as error:
            raise _gone(error) from error
        return self._number

    def _next(self) -> dict[str, Any]:
        try:
            message = _receive(self._sock, self._decoder)
        except OSError as error:
            raise _gone(error) from error
        if message.get("id") == 0 and message.get("ok") is False:
            raise _error(message.get("error") or {})  # said before the daemon closes the connection
        return message

    def abort(self) -> None:
        """End what another thread waits for on this connection: there it raises ControlError."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # gone already

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _receive(sock: socket.socket, decoder: Decoder) -> dict[str, Any]:
    """Next message of the connection."""
    while (message := decoder.maybe_next()) is None:
        raw = sock.recv(65536)
        if not raw:
            raise ControlError("the daemon closed the connection", "it may be stopping; see its log")
        decoder.receive(raw)
    return message


def _value(message: Mapping[str, Any]) -> Any:
    if message.get("ok"):
        return message.get("value")
    raise _error(message.get("error") or {})


def _error(error: Mapping[str, Any]) -> TrackflowError:
    """The daemon's error as an exception that keeps its code."""
    kind = QueryError if error.get("code") == QueryError.code else ControlError
    found = kind(str(error.get("text", "no reason given")), str(error.get("hint", "")))
    found.code = str(error.get("code", kind.code))
    return found


def _gone(error: OSError) -> ControlError:
    if isinstance(error, TimeoutError):
        return ControlError(
            "the daemon does not answer", "see whether it is stopped: ps -o pid,stat,args -C trackflowd"
        )
    return ControlError(f"the connection to the daemon broke: {error.strerror or error}", "see its log")


def _refused(path: str, error: OSError) -> ControlError:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return ControlError(
            f"no trackflowd listens on {path}", "start it with `trackflowd run`, or name another socket"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ControlError(f"{path}: this user may not talk to the daemon", "run as its user, or as one of its group")
    if isinstance(error, TimeoutError):
        return ControlError(f"the daemon behind {path} does not answer", "see whether it is stopped or overloaded")
    return ControlError(f"{path}: {error.strerror or error}")
