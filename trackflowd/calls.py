"""The flusher's end of its channel to the supervisor.

One thread reads requests and answers the quick ones itself; queries go to threads of their own,
so that neither a slow query nor a slow store keeps the other waiting. Whatever must happen in the
flusher's loop (flush, drain) is an errand or a flag there, and wakes it.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from trackflowd.errors import ControlError, TrackflowError
from trackflowd.proto.control import Decoder, encode

log = logging.getLogger(__name__)

#: Queries at one time; more wait their turn.
QUERY_THREADS = 2

#: Seconds between two looks whether the loop still runs that is to answer.
LOOK_AROUND = 0.5

Handler = Callable[..., Any]
#: Something to be done in the loop, given where its answer goes.
Action = Callable[[Future[Any]], object]


class Stopped(TrackflowError):
    """The process is to end now; open batches stay in the journal."""

    code = "stopped"


class Errands:
    """What other threads want done in the loop, where everything is decided and written.

    Args:
        wake: has the loop look at them.

    Attributes:
        over: to be set once the loop has ended.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: queue.SimpleQueue[tuple[Action, Future[Any]]] = queue.SimpleQueue()
        self.over = threading.Event()

    def ask(self, action: Action) -> Future[Any]:
        """Have something done soon; where its answer will be."""
        answer: Future[Any] = Future()
        self._waiting.put((action, answer))
        self._wake()
        return answer

    def do(self, action: Action) -> Any:
        """Have something done and wait for its answer. Raises Stopped."""
        answer = self.ask(action)
        while not wait([answer], LOOK_AROUND).done:
            if self.over.is_set():  # a thread that waited for ever would keep the process from ending
                raise Stopped("the flusher has ended", "ask again once the daemon runs")
        return answer.result()

    def serve(self) -> None:
        """Do what was asked for (called by the loop)."""
        while not self._waiting.empty():
            action, answer = self._waiting.get()
            try:
                action(answer)
            except TrackflowError as error:
                answer.set_exception(error)


class Calls:
    """Serves the calls of the supervisor.

    Args:
        channel: this process's end of the socketpair.
        quick: handlers that answer at once, by name; they take the call's arguments by keyword.
        slow: handlers that may take seconds; each runs in a thread.
        lost: called when the supervisor's end is closed.
    """

    def __init__(
        self,
        channel: socket.socket,
        quick: Mapping[str, Handler],
        slow: Mapping[str, Handler],
        lost: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._quick = quick
        self._slow = slow
        self._lost = lost
        self._sending = threading.Lock()
        self._pool = ThreadPoolExecutor(QUERY_THREADS, "query")
        self._thread = threading.Thread(target=self._read, name="calls", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message; silent when the supervisor is gone (this process follows it soon)."""
        try:
            raw = encode(message)
            with self._sending:
                self._channel.sendall(raw)
        except OSError as error:
            log.debug("channel: %s", error)

    def _read(self) -> None:
        decoder = Decoder()
        try:
            while raw := self._channel.recv(65536):
                for message in decoder.feed(raw):
                    self._serve(message)
        except (OSError, ControlError) as error:
            log.warning("channel: %s", error)
        self._lost()

    def _serve(self, message: Mapping[str, Any]) -> None:
        if message.get("type") != "call":
            return
        number, name, args = message.get("id"), message.get("name", ""), message.get("args") or {}
        if name in self._slow:
            self._pool.submit(self._answer, number, self._slow[name], args)
        elif name in self._quick:
            self._answer(number, self._quick[name], args)
        else:
            self._refuse(number, "unknown_command", f"the flusher knows no {name!r}", "")

    def _answer(self, number: object, handler: Handler, args: Mapping[str, Any]) -> None:
        try:
            self.say({"type": "reply", "id": number, "ok": True, "value": handler(**args)})
        except TrackflowError as error:
            self._refuse(number, error.code, error.text, error.hint)
        except TypeError as error:
            self._refuse(number, "bad_arguments", str(error), "")
        except Exception as error:
            log.exception("a call failed")
            self._refuse(number, "internal", f"{type(error).__name__}: {error}", "see the daemon's log")

    def _refuse(self, number: object, code: str, text: str, hint: str) -> None:
        error = {"code": code, "text": text, "hint": hint}
        self.say({"type": "reply", "id": number, "ok": False, "error": error})


def reply_to(answer: Future[Any]) -> Callable[[Any, Exception | None], None]:
    """What gives a future its value, or the error there was."""

    def reply(value: Any, error: Exception | None) -> None:
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    return reply
