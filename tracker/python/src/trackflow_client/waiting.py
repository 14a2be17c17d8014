"""The events that wait for their answer, within bounds. Not safe by itself: the client's lock guards it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from trackflow_client.event import Pending

#: Room for age_ms and attempt, and the comma.
_TAIL = 64


class Waiting:
    """A queue that also counts what was taken out of it and is not settled yet.

    Args:
        most: events, and ...
        most_bytes: ... bytes of them.

    Attributes:
        last: number of the event that came last; they are numbered from 1.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._queue: deque[Pending] = deque()
        #: By number, oldest first: the queue, and what is under way.
        self._held: dict[int, Pending] = {}
        self._bytes = 0
        self.last = 0

    def __len__(self) -> int:
        """Events that are not settled."""
        return len(self._held)

    @property
    def queued(self) -> int:
        """Those that are not under way."""
        return len(self._queue)

    @property
    def retried(self) -> bool:
        """The next one was sent before."""
        return bool(self._queue) and self._queue[0].attempt > 0

    def up_to(self, number: int) -> bool:
        """One that came no later than the one of this number is not settled."""
        return bool(self._held) and next(iter(self._held)) <= number

    def push(self, body: bytes, age: float) -> bool:
        """Add an event; False: there is no room."""
        if len(self._held) >= self._most or self._bytes + len(body) > self._most_bytes:
            return False
        self.last += 1
        pending = Pending(self.last, body, age)
        self._queue.append(pending)
        self._held[pending.number] = pending
        self._bytes += len(body)
        return True

    def take(self, most: int, most_bytes: int) -> list[Pending]:
        """The next request's events: at least one, if there is one."""
        batch: list[Pending] = []
        size = 0
        while self._queue and len(batch) < most:
            pending = self._queue[0]
            size += len(pending.body) + _TAIL
            if batch and (size > most_bytes or pending.alone):
                break
            batch.append(self._queue.popleft())
            if pending.alone:
                break
        return batch

    def settle(self, pending: Pending) -> bool:
        """It is done; False: it was not held any more."""
        if self._held.pop(pending.number, None) is None:
            return False
        self._bytes -= len(pending.body)
        return True

    def put_back(self, batch: Iterable[Pending], behind: bool) -> None:
        """Queue again what was taken, before or behind the others."""
        batch = [pending for pending in batch if pending.number in self._held]
        if behind:
            self._queue.extend(batch)
        else:
            self._queue.extendleft(reversed(batch))

    def clear(self) -> Iterator[Pending]:
        """Take all that is not settled out."""
        left = iter(list(self._held.values()))
        self._held.clear()
        self._queue.clear()
        self._bytes = 0
        return left
