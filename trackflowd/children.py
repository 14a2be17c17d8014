"""Child processes: started by exec, spoken to over a socketpair, reaped here and nowhere else.

::

    supervisor ──── config (memfd), shared page (memfd), listeners ────▶ child
               ◀─── channel: frames of proto.control, both ways ──────▶

A child is a fresh interpreter (``python -m trackflowd.worker``), never a bare fork: it inherits the
descriptors named on its command line and no locks, threads or engine of ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import psutil

from trackflowd.counters import Role
from trackflowd.errors import ControlError, QueryError, TrackflowError
from trackflowd.fleet import Seat, Sight
from trackflowd.proto.control import Decoder, encode
from trackflowd.shared import Slot, State

log = logging.getLogger(__name__)

#: Unread bytes in a channel after which its child is not asked anything more: it has stopped reading.
MAX_UNREAD = 4 * 2**20

#: Command line of a child, by role; ``{slot}`` is filled in. Tests put their own children here.
COMMANDS: dict[Role, list[str]] = {
    "worker": [sys.executable, "-m", "trackflowd.worker", "--slot", "{slot}"],
    "flusher": [sys.executable, "-m", "trackflowd.flusher"],
}

Receive = Callable[["Child", dict[str, Any]], None]


class Unavailable(ControlError):
    """A child that cannot answer now."""

    code = "unavailable"


class Channel(asyncio.Protocol):
    """Our end of a child's socketpair. Nothing in here blocks, whatever the child does.

    Args:
        name: of the child, for messages.
        receive: called with every message that is not a reply.
    """

    def __init__(self, name: str, receive: Callable[[dict[str, Any]], None]) -> None:
        self._name = name
        self._receive = receive
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes from the child."""
        try:
            messages = self._decoder.feed(data)
        except ControlError as error:
            log.error("%s: its channel is closed: %s", self._name, error)
            self.close()
            return
        for message in messages:
            if message.get("type") == "reply":
                self._reply(message)
            else:
                self._receive(message)

    def _reply(self, message: Mapping[str, Any]) -> None:
        future = self._waiting.pop(message.get("id", 0), None)
        if future is None or future.done():
            return  # whoever asked has stopped waiting
        if message.get("ok"):
            future.set_result(message.get("value"))
        else:
            future.set_exception(_error(message.get("error") or {}))

    def connection_lost(self, exc: Exception | None) -> None:
        """The child is gone, or closed its end."""
        self._transport = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable(f"{self._name} ended before it answered", "try again"))
        self._waiting.clear()

    def tell(self, name: str, /, **args: Any) -> None:
        """Call without waiting for the answer; nothing happens when the child is gone."""
        self._send({"type": "call", "id": 0, "name": name, "args": args})

    async def call(self, name: str, timeout: float, /, **args: Any) -> Any:
        """Call and wait for the answer.

        Args:
            timeout: s.

        Raises:
            Unavailable: no child, no answer in time.
            TrackflowError: whatever the child answered.
        """
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            if not self._send({"type": "call", "id": number, "name": name, "args": args}):
                raise Unavailable(f"{self._name} cannot be asked now", "see `trackflow status`; try again")
            return await asyncio.wait_for(future, timeout)
        except TimeoutError as error:
            raise Unavailable(f"{self._name} did not answer within {timeout:g} s") from error
        finally:
            self._waiting.pop(number, None)

    def _send(self, message: Mapping[str, Any]) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MAX_UNREAD:
            return False
        transport.write(encode(message))
        return True

    def close(self) -> None:
        """Close our end."""
        if self._transport is not None:
            self._transport.close()


def _error(error: Mapping[str, Any]) -> TrackflowError:
    """A child's error as an exception that keeps its code."""
    kind = QueryError if error.get("code") == QueryError.code else ControlError
    found = kind(str(error.get("text", "no reason given")), str(error.get("hint", "")))
    found.code = str(error.get("code", kind.code))
    return found


class Child:
    """One running child.

    Args:
        seat: the seat it fills.
        slot: its part of the shared page.
        process: just started.
        channel: connected.
    """

    def __init__(self, seat: Seat, slot: Slot, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.seat = seat
        self.slot = slot
        self.process = process
        self.channel = channel
        self.started = time.monotonic()
        self.told: set[str] = set()

    @property
    def name(self) -> str:
        """As people read it."""
        return self.seat.name

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def state(self) -> State:
        """What it says it is doing; STARTING until it has taken its slot."""
        return self.slot.state if self.slot.pid == self.pid else State.STARTING

    def look(self) -> Sight:
        """What is seen of it now; this reaps it if it has ended."""
        code = self.process.poll()
        if self.slot.pid != self.pid:
            return Sight(0.0, False, code)
        return Sight(self.slot.heartbeat / 1e9, self.state >= State.READY, code)

    def tell_once(self, name: str) -> None:
        """Call name, the first time only."""
        if name not in self.told:
            self.told.add(name)
            self.channel.tell(name)

    def kill(self) -> None:
        """SIGKILL; ``look`` will see it end."""
        self.process.kill()


def figures(pid: int) -> dict[str, Any]:
    """CPU seconds, resident bytes and open descriptors of a process; None each when it is just ending."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return {
                "cpu_s": round(times.user + times.system, 2),
                "rss": process.memory_info().rss,
                "fds": process.num_fds(),
            }
    except psutil.Error:
        return {"cpu_s": None, "rss": None, "fds": None}


class Inherited(NamedTuple):
    """Descriptors that children are given.

    Args:
        page: the shared page.
        log: socket they hand their log lines on to.
        buckets: of the limits (workers only).
        listeners: all listening sockets, in order (workers only).
    """

    page: int
    log: int
    buckets: int
    listeners: Sequence[int]


async def spawn(seat: Seat, slot: Slot, config: str, fds: Inherited, receive: Receive) -> Child:
    """Start a child in a seat.

    Args:
        config: what ``config.dump`` made.
        fds: what it inherits.
        receive: called with the child and each message of it that is not a reply.

    Raises:
        OSError: the system has no process, memory or descriptor to give.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        config_fd = _memory(config)
        try:
            command = [part.format(slot=seat.index) for part in COMMANDS[seat.role]]
            command += ["--config-json", str(config_fd), "--page", str(fds.page), "--channel", str(theirs.fileno())]
            command += ["--log", str(fds.log)]
            passed = [config_fd, fds.page, theirs.fileno(), fds.log]
            if seat.role == "worker":
                command += ["--buckets", str(fds.buckets), "--listen", ",".join(map(str, fds.listeners))]
                passed += [fds.buckets, *fds.listeners]
            # A process group of its own: Ctrl-C in a terminal reaches the supervisor only, from the
            # first moment on, before the child can say that it ignores it.
            process = subprocess.Popen(command, pass_fds=passed, process_group=0, stdin=subprocess.DEVNULL)
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(config_fd)
    ours.setblocking(False)
    children: list[Child] = []
    channel = Channel(seat.name, lambda message: receive(children[0], message))
    children.append(Child(seat, slot, process, channel))
    await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=ours)
    return children[0]


def _memory(text: str) -> int:
    """A descriptor from which text can be read: no file, since it may hold a password."""
    fd = os.memfd_create("trackflowd-config", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(text.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def describe_exit(code: int) -> str:
    """An exit code in words: "ended with code 1", "was killed by SIGKILL"."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
