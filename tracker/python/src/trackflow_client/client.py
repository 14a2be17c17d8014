"""The client: a queue, and a thread that empties it.

``track()`` only encodes and queues. The thread sends what is queued as arrays and keeps every event until an answer
settles it (``answer``): with the same id, ``attempt`` raised, after a growing wait. The daemon stores an id once, so
an event that is sent again because its answer was lost is not stored twice.

The queue is bounded by count and bytes, what is under way included. When it is full, new events are dropped, not old
ones: those may be stored already, and their ids were given out.
"""

from __future__ import annotations

import atexit
import http.client
import logging
import os
import random
import ssl
import threading
import time as clock
import uuid
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any, Callable

from trackflow_client.answer import Refusal, Verdict, judge
from trackflow_client.event import Age, Pending, Revenue, Time, age_of, decode, encode, revenue_of
from trackflow_client.stats import Stats
from trackflow_client.waiting import Waiting
from trackflow_client.wire import NotSent, Wire

log = logging.getLogger("trackflow_client")

#: Seconds between two warnings of one kind.
_QUIET = 60.0
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0

#: Called with (event, error, reason) for an event that will not be stored.
OnRefused = Callable[["dict[str, Any]", str, str], None]


class Client:
    """Sends events of one site. Safe to use from any thread, and after a fork.

    Args:
        url: where the daemon is, such as ``https://stats.example.com`` or ``https://example.com/stats``.
        site: the site events belong to.
        key: secret server key, sent as ``Authorization: Bearer``.
        path: route of events below url (``http.event_path`` of the daemon).
        max_batch: most events of a request; at most the daemon's ``http.max_events``.
        max_batch_bytes: most bytes of a request before it is packed; a single event may have more.
        max_wait: seconds an event waits for others.
        max_queue: most events that wait for their answer.
        max_queue_bytes: most bytes of those.
        timeout: seconds connecting, a write or a read may take.
        exit_timeout: seconds the end of the program waits for what is queued; 0: not at all.
        compress: pack larger requests with gzip.
        ssl_context: for https; None: the system's certificates.
        on_refused: called with (event, error, reason) for each event that will not be stored: from the background
            thread with the daemon's code, from ``track()`` with ``bad_json``, ``queue_full`` or ``closed``, from
            ``close()`` with ``closed``.

    Raises:
        ValueError: url is none.
    """

    def __init__(
        self,
        url: str,
        site: str,
        key: str | None = None,
        *,
        path: str = "/v1/events",
        max_batch: int = 100,
        max_batch_bytes: int = 256 * 1024,
        max_wait: float = 0.5,
        max_queue: int = 10_000,
        max_queue_bytes: int = 16 * 1024 * 1024,
        timeout: float = 10.0,
        exit_timeout: float = 5.0,
        compress: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        on_refused: OnRefused | None = None,
    ) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "trackflow-client"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._make_wire = partial(Wire, url.rstrip("/") + path, headers, timeout, compress, ssl_context)
        self._site = site
        self._max_batch = max_batch
        self._max_batch_bytes = max_batch_bytes
        self._max_wait = max_wait
        self._max_queue = max_queue
        self._max_queue_bytes = max_queue_bytes
        self._exit_timeout = exit_timeout
        self._on_refused = on_refused
        self._closed = False
        self._begin()
        _clients.add(self)
        atexit.register(self._at_exit)

    def _begin(self) -> None:
        """State of this process: nothing queued, no thread, no connection."""
        self._wire = self._make_wire()
        #: Guards all below; notified when there is something to do and when something is settled.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._waiting = Waiting(self._max_queue, self._max_queue_bytes)
        self._limit = self._max_batch
        self._failures = 0
        self._due = self._not_before = self._asked_until = 0.0
        #: ``on_refused`` is being called; ``flush`` waits for that too.
        self._telling = False
        self._hurry = self._stopped = False
        self._accepted = self._refused = self._dropped = self._requests = 0
        self._trouble = ""
        self._said: dict[str, float] = {}

    # ------------------------------------------------------------------ use

    def track(
        self,
        name: str,
        *,
        url: str | None = None,
        referrer: str | None = None,
        title: str | None = None,
        props: Mapping[str, Any] | None = None,
        revenue: Revenue | None = None,
        user: str | None = None,
        id: str | None = None,
        time: Time | None = None,
        age: Age | None = None,
        lang: str | None = None,
        tz: str | None = None,
        screen: str | None = None,
        viewport: str | None = None,
        engaged_ms: int | None = None,
        scroll: int | None = None,
        ip: str | None = None,
        agent: str | None = None,
        site: str | None = None,
    ) -> str | None:
        """Queue an event; it is sent in the background.

        Never blocks and never raises for a value: what cannot be sent is counted and reported to ``on_refused``.

        Args:
            name: ``pageview``, or a name of your own.
            props: properties of your own: texts, numbers, booleans.
            revenue: ``(amount, currency)``, such as ``(Decimal("19.99"), "EUR")``.
            user: your own id of a known person.
            id: the event's id, if you have one that is the same when the same thing is tracked again (an order's
                number, say); by default a new UUID.
            time, age: when it happened, or how long ago (seconds or timedelta), if not now.
            ip, agent: the visitor's; the daemon takes them with a server key only.
            site: another than the client's.

        Returns:
            The event's id, or None if it was not queued.
        """
        event_id = str(uuid.uuid4()) if id is None else id
        fields: dict[str, Any] = {"url": url, "referrer": referrer, "title": title, "user": user, "lang": lang}
        fields.update(tz=tz, screen=screen, viewport=viewport, engaged_ms=engaged_ms, scroll=scroll, ip=ip, agent=agent)
        try:
            fields.update(props=None if props is None else dict(props), revenue=revenue_of(revenue))
            body = encode(self._site if site is None else site, name, event_id, fields)
            seconds = age_of(time, age)
        except (ValueError, TypeError, ArithmeticError, OSError, RecursionError) as error:
            with self._changed:
                self._refused += 1
            self._report({"name": name, "id": event_id}, "bad_json", str(error))
            return None
        lost = self._push(body, seconds)
        if lost is None:
            return event_id
        self._report(decode(body), *lost)
        return None

    def flush(self, timeout: float | None = None) -> bool:
        """Send what is queued now, and wait until each of those events is settled.

        Args:
            timeout: most seconds to wait; None: as long as it takes.

        Returns:
            True if they are; False: some still wait, and go on being sent. From ``on_refused`` it does not wait.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        with self._changed:
            last = self._waiting.last
            self._hurry = True
            self._not_before = self._asked_until  # our own wait is cut short, the server's wish is not
            self._start()
            self._changed.notify_all()
            while self._waiting.up_to(last) or self._telling:
                left = None if deadline is None else deadline - clock.monotonic()
                if (left is not None and left <= 0) or self._thread in (None, threading.current_thread()):
                    return False
                self._changed.wait(left)
            return True

    def close(self, timeout: float | None = 5.0) -> bool:
        """``flush``, then end the thread. What is left is dropped, counted and reported.

        Returns:
            True if nothing was left.
        """
        with self._changed:
            self._closed = True
        self.flush(timeout)
        with self._changed:
            self._stopped = True
            left = list(self._waiting.clear())
            self._dropped += len(left)
            self._changed.notify_all()
        atexit.unregister(self._at_exit)
        for pending in left:
            self._report(decode(pending.body), "closed", "the client was closed before the event was answered")
        return not left

    def stats(self) -> Stats:
        """The counters."""
        with self._changed:
            return Stats(
                len(self._waiting), self._accepted, self._refused, self._dropped, self._requests, self._trouble
            )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -------------------------------------------------------------- queueing

    def _push(self, body: bytes, age: float) -> tuple[str, str] | None:
        """Queue an event; else error and reason."""
        with self._changed:
            if self._closed:
                self._dropped += 1
                return "closed", "the client is closed"
            if not self._waiting.queued:
                self._due = clock.monotonic() + self._max_wait
            if not self._waiting.push(body, age):
                self._dropped += 1
                return "queue_full", f"{len(self._waiting)} events wait for the daemon"
            self._start()
            if self._waiting.queued == 1 or self._waiting.queued >= self._limit:
                self._changed.notify_all()
        return None

    def _start(self) -> None:
        """Have a thread, if there is something to send."""
        if self._thread is None and self._waiting:
            thread = threading.Thread(target=self._run, name="trackflow-client", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is ending: no new threads
                self._trouble = str(error)
                return
            self._thread = thread

    # --------------------------------------------------------------- sending

    def _run(self) -> None:
        """The thread."""
        while True:
            with self._changed:
                while not self._stopped and (left := self._idle()) != 0:
                    self._changed.wait(left)
                if self._stopped:
                    self._wire.close()
                    return
                batch = self._waiting.take(self._limit, self._max_batch_bytes)
            self._send(batch)

    def _idle(self) -> float | None:
        """Seconds until the next request is due; 0: now; None: nothing to send."""
        if not self._waiting.queued:
            self._hurry = False
            return None
        ready = self._hurry or self._waiting.queued >= self._limit or self._waiting.retried
        when = self._not_before if ready else max(self._due, self._not_before)
        return max(when - clock.monotonic(), 0.0)

    def _send(self, batch: list[Pending]) -> None:
        """One request, and what its answer means. Whatever happens, each event is settled or queued again."""
        sent = True
        try:
            answer = self._wire.post(b"[" + b",".join([pending.wire() for pending in batch]) + b"]")
            verdict = judge(answer.status, answer.headers, answer.body, len(batch))
        except NotSent as error:
            sent, verdict = False, Verdict(False, trouble=f"no connection: {error}")
        except (OSError, http.client.HTTPException) as error:
            verdict = Verdict(False, trouble=f"no answer: {error or type(error).__name__}")
        except Exception as error:
            log.exception("trackflow: a request failed")
            verdict = Verdict(False, behind=True, trouble=repr(error))
        refused: list[tuple[Pending, Refusal]] = []
        with self._changed:
            self._requests += sent
            if verdict.settled:
                refused = self._settle(batch, verdict)
            else:
                self._again(batch, verdict, sent)
            self._telling = bool(refused)
            self._changed.notify_all()
        if refused:
            for pending, refusal in refused:
                self._report(decode(pending.body), refusal.error, refusal.reason)
            with self._changed:
                self._telling = False
                self._changed.notify_all()

    def _settle(self, batch: list[Pending], verdict: Verdict) -> list[tuple[Pending, Refusal]]:
        """Count; the refused ones that were still held."""
        self._failures, self._trouble = 0, ""
        self._not_before = self._asked_until = 0.0
        reasons = {refusal.at: refusal for refusal in verdict.refused}
        refused = []
        for index, pending in enumerate(batch):
            if not self._waiting.settle(pending):
                continue  # closed meanwhile: counted as dropped
            if index in reasons:
                self._refused += 1
                refused.append((pending, reasons[index]))
            else:
                self._accepted += 1
        return refused

    def _again(self, batch: list[Pending], verdict: Verdict, sent: bool) -> None:
        """Queue them once more, and wait before the next request."""
        for pending in batch:
            pending.attempt += sent
            pending.alone = pending.alone or verdict.alone
        if verdict.fewer:
            self._limit = max(1, len(batch) // 2)
        self._waiting.put_back(batch, verdict.behind)
        self._trouble = verdict.trouble
        if verdict.fewer or (verdict.alone and not verdict.behind):
            return  # the daemon is there: what it did not take as a whole goes at once, in parts
        self._failures += 1
        wait = min(_FIRST_WAIT * 2 ** min(self._failures - 1, 20), _LONGEST_WAIT) * random.uniform(0.5, 1.0)
        now = clock.monotonic()
        # Jitter on top of what the server asks: all its clients were told the same.
        self._asked_until = now + verdict.wait * random.uniform(1.0, 1.1) if verdict.wait else 0.0
        self._not_before = max(now + wait, self._asked_until)
        self._warn("away", f"{verdict.trouble}; {len(self._waiting)} events wait")

    # ------------------------------------------------------------- reporting

    def _report(self, event: dict[str, Any], error: str, reason: str) -> None:
        """Tell about an event that will not be stored. A callback that fails harms nobody."""
        self._warn(error, f"an event will not be stored: {error}: {reason}")
        if self._on_refused is None:
            return
        try:
            self._on_refused(event, error, reason)
        except Exception:
            log.exception("trackflow: on_refused failed")

    def _warn(self, kind: str, text: str) -> None:
        now = clock.monotonic()
        if now - self._said.get(kind, -_QUIET) >= _QUIET:
            self._said[kind] = now
            log.warning("trackflow: %s", text)

    def _at_exit(self) -> None:
        if self._exit_timeout > 0 and self._waiting:
            self.close(self._exit_timeout)

    def _after_fork(self) -> None:
        """In the child: what was queued is the parent's to send, and so is the connection."""
        self._begin()


#: Clients of this process, for the hook below.
_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_clients):
        client._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
