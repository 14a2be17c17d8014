"""Batches a store says it holds, until it has shown that it wrote them (``Sink.vouches``, ``Sink.confirm``).

One confirmation is good for all that was answered before it, so it comes when nothing else is to be sent, at the
latest ``SOON`` after the oldest answer that waits for it. It costs 1 to 2 ms of CPU. What a store writes by itself
(merges) is looked at each ``WATCH``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from trackflowd.openbatch import Open
from trackflowd.sender import Sender
from trackflowd.sink.base import Sink

#: Seconds a batch may wait for its confirmation while others are sent.
SOON = 0.25
#: Seconds between two confirmations of a store at rest: well under the 8 minutes an engine keeps a merge's sources.
WATCH = 60.0


class Confirmer:
    """Holds the batches, in the order of their answers. In the flusher's loop.

    Args:
        sink: asked through the sender only.
        sender: idle whenever ``step`` is called.
        settled: told each batch that is confirmed.
        trouble: told why a confirmation could not be had (what waited for it goes on waiting), and None when the next
            one could.
    """

    def __init__(
        self, sink: Sink, sender: Sender, settled: Callable[[Open], None], trouble: Callable[[Exception | None], None]
    ) -> None:
        self._sink = sink
        self._sender = sender
        self._settled = settled
        self._trouble = trouble
        self._waiting: list[Open] = []
        self._since = 0.0
        self._watched = time.monotonic()
        self._failed = False

    def add(self, one: Open) -> None:
        """The store says that it holds this one: settled at once where that is proof."""
        if self._sink.vouches:
            self._settled(one)
            return
        one.held = True
        one.let_go()
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(one)

    def step(self, at_rest: bool) -> bool:
        """Ask for a confirmation if one is due; whether it was asked for.

        Args:
            at_rest: nothing else can be sent now.
        """
        now = time.monotonic()
        if self._waiting:
            due = at_rest or now - self._since >= SOON
        else:
            due = at_rest and not self._sink.vouches and now - self._watched >= WATCH
        if due:
            self._watched = now
            taken, self._waiting = self._waiting, []
            self._sender.submit(self._sink.confirm, lambda _, error: self._answered(taken, error))
        return due

    def _answered(self, taken: list[Open], error: Exception | None) -> None:
        failed_before, self._failed = self._failed, error is not None
        if error is not None:
            self._waiting[:0] = taken
        for one in taken if error is None else ():
            self._settled(one)
        if error is not None or failed_before:
            self._trouble(error)
