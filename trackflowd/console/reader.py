"""What the daemon says, gathered by threads and handed over in one place: the screen never waits for a socket.

::

    watcher    status, each second          ─┐
    followers  tail, log: while they show    ├─▶ inbox ─▶ take(), in the screen's thread
    askers     questions; acting commands   ─┘

Each thread has a connection of its own and makes it again when it is gone.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from trackflowd.client import Client
from trackflowd.console.knowledge import Knowledge
from trackflowd.console.tab import Answer, Following
from trackflowd.errors import ControlError, TrackflowError

#: Seconds between two tries to connect.
RETRY = 1.0
#: Seconds of history that are asked for: what the widest chart shows.
HISTORY = 900
#: Seconds a question or an acting command may take before the connection counts as dead; the daemon's own limits are
#: below it.
PATIENCE = 120.0
#: Errors that another try does not mend.
_FINAL = ("unknown_command", "bad_arguments", "not_permitted")

Thunk = Callable[[], None]


class Reader:
    """See above.

    Args:
        path: of the control socket.
        know: filled with what comes; says how often it should.

    Attributes:
        wake: called, in any thread, when there is something to take.
    """

    def __init__(self, path: str, know: Knowledge) -> None:
        self.path = path
        self.wake: Thunk = lambda: None
        self._know = know
        self._inbox: queue.SimpleQueue[Thunk] = queue.SimpleQueue()
        self._watcher = _Watcher(self, know.every)
        self._looker, self._actor = _Asker(self), _Asker(self)

    def start(self) -> None:
        """Begin to listen."""
        for thread in (self._watcher, self._looker, self._actor):
            thread.start()

    def close(self) -> None:
        """Stop listening; what is under way is left."""
        self.wake = lambda: None
        self._watcher.stop()

    def take(self, wait: float = 0.0) -> bool:
        """Take in what has come; whether anything has.

        Args:
            wait: seconds to wait for it.
        """
        taken = False
        while True:
            try:
                thunk = self._inbox.get(timeout=wait) if wait and not taken else self._inbox.get_nowait()
            except queue.Empty:
                return taken
            taken = True
            thunk()

    def post(self, thunk: Thunk) -> None:
        """Have something run in the screen's thread; callable by any."""
        self._inbox.put(thunk)
        self.wake()

    def ask(self, command: str, then: Callable[[Answer], None], args: Mapping[str, Any], acting: bool) -> None:
        """Have a command run; then gets its answer, in the screen's thread."""
        (self._actor if acting else self._looker).put(command, then, args)

    def follow(
        self,
        command: str,
        heard: Callable[[Mapping[str, Any]], None],
        told: Callable[[TrackflowError | None], None],
        args: Mapping[str, Any],
    ) -> Following:
        """Follow a stream until it is stopped; see ``tab.Desk.follow``."""
        follower = _Follower(self, command, heard, told, args)
        follower.start()
        return follower

    # ------------------------------------------------------ by the watcher's hand

    def connected(self, version: str, history: Mapping[str, Any] | None) -> None:
        """A connection is there."""
        self._know.version = version
        if history:
            self._know.history.recall(history)

    def came(self, status: Mapping[str, Any], now: float) -> None:
        """A status is there (wall clock, s)."""
        self._know.take(status, now)

    def lost(self, error: TrackflowError, now: float) -> None:
        """The connection is not there; those for questions are not, either."""
        self._know.lose(error, now)
        self._looker.forget()
        self._actor.forget()


class _Keeper(threading.Thread, ABC):
    """A thread with a connection that is made again for as long as it is wanted."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(daemon=True)
        self.reader = reader
        self.closed = threading.Event()
        self._client: Client | None = None

    def run(self) -> None:
        while not self.closed.is_set():
            try:
                with Client.connect(self.reader.path) as client:
                    self._client = client
                    if not self.closed.is_set():
                        self.session(client)
            except TrackflowError as error:
                if self.closed.is_set():
                    return
                self.broke(error)
                if error.code in _FINAL:
                    return
            self.closed.wait(RETRY)

    @abstractmethod
    def session(self, client: Client) -> None:
        """Use a connection until it breaks."""

    @abstractmethod
    def broke(self, error: TrackflowError) -> None:
        """It has, or could not be made."""

    def stop(self) -> None:
        """End it; what it waits for on its connection ends, too."""
        self.closed.set()
        if self._client is not None:
            self._client.abort()


class _Watcher(_Keeper):
    """Statuses: the stream ``watch``, or of an older daemon ``status`` again and again."""

    def __init__(self, reader: Reader, every: float) -> None:
        super().__init__(reader)
        self._every = every

    def session(self, client: Client) -> None:
        history = _if_known(client, "history", seconds=HISTORY)
        self.reader.post(partial(self.reader.connected, client.version, history))
        try:
            for event in client.stream("watch", interval=self._every):
                if "dropped" not in event:
                    self._came(event)
        except ControlError as error:
            if error.code != "unknown_command":
                raise
        while not self.closed.is_set():
            self._came(client.call("status", timeout=PATIENCE))
            self.closed.wait(self._every)

    def _came(self, status: Mapping[str, Any]) -> None:
        self.reader.post(partial(self.reader.came, status, time.time()))

    def broke(self, error: TrackflowError) -> None:
        self.reader.post(partial(self.reader.lost, error, time.time()))


def _if_known(client: Client, command: str, **args: Any) -> Any:
    """The value of a command, or None where the daemon does not have it."""
    try:
        return client.call(command, timeout=PATIENCE, **args)
    except ControlError as error:
        if error.code != "unknown_command":
            raise
        return None


class _Follower(_Keeper):
    """A stream that a tab shows."""

    def __init__(
        self,
        reader: Reader,
        command: str,
        heard: Callable[[Mapping[str, Any]], None],
        told: Callable[[TrackflowError | None], None],
        args: Mapping[str, Any],
    ) -> None:
        super().__init__(reader)
        self._command = command
        self._heard = heard
        self._told = told
        self._args = args

    def session(self, client: Client) -> None:
        events = client.stream(self._command, **self._args)
        self._tell(None)
        for event in events:
            if self.closed.is_set():
                return
            self._heard(event)

    def broke(self, error: TrackflowError) -> None:
        self._tell(error)

    def _tell(self, error: TrackflowError | None) -> None:
        def run() -> None:
            if not self.closed.is_set():  # left meanwhile: nobody wants to know
                self._told(error)

        self.reader.post(run)


class _Asker(threading.Thread):
    """One command after another."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(daemon=True)
        self._reader = reader
        self._jobs: queue.SimpleQueue[tuple[str, Callable[[Answer], None], Mapping[str, Any]]] = queue.SimpleQueue()
        self._client: Client | None = None
        self._gone = False

    def forget(self) -> None:
        """Make a new connection for what is asked next."""
        self._gone = True

    def put(self, command: str, then: Callable[[Answer], None], args: Mapping[str, Any]) -> None:
        """Ask this when what was asked before is answered."""
        self._jobs.put((command, then, args))

    def run(self) -> None:
        while True:
            command, then, args = self._jobs.get()
            self._reader.post(partial(then, self._answer(command, args)))

    def _answer(self, command: str, args: Mapping[str, Any]) -> Answer:
        try:
            if self._client is not None and self._gone:
                self._client.close()
                self._client = None
            if self._client is None:
                self._client, self._gone = Client.connect(self._reader.path), False
            return Answer(self._client.call(command, timeout=PATIENCE, **args))
        except TrackflowError as error:
            if error.code == ControlError.code and self._client is not None:  # the connection's own, not the command's
                self._client.close()
                self._client = None
            return Answer(error=error)


def pipe_waker(descriptor: int) -> Thunk:
    """A ``wake`` that writes a byte into a pipe."""

    def wake() -> None:
        try:
            os.write(descriptor, b".")
        except OSError:
            pass  # full: who reads it is awake anyway; closed: the screen is gone

    return wake
