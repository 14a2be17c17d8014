"""Deadlines of many connections, kept by a wheel.

A timer per request costs more than the request's parsing and leaks when one is forgotten (uvicorn
#824, #832). Here a connection sits in the slot of the wheel that its deadline falls into. Most
deadlines only move away (each answered request puts off the idle deadline): the item's ``deadline``
is overwritten and nothing else happens; when its slot comes up the item is put where it belongs
now. Only a deadline that comes nearer needs ``place``.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """Something with a deadline.

    Args:
        deadline: monotonic seconds; 0: none, forget it.
        slot: where the wheel has it; -1: nowhere. Written by the wheel only.
    """

    deadline: float
    slot: int


T = TypeVar("T", bound=Timed)


class Wheel(Generic[T]):
    """Items by deadline.

    Args:
        now: monotonic seconds.
        step: seconds a slot stands for; how late ``expire`` may be.
        slots: number of them. Items further away than all slots are looked at once a turn.
    """

    def __init__(self, now: float, step: float = 0.1, slots: int = 1024) -> None:
        self._step = step
        self._slots: list[set[T]] = [set() for _ in range(slots)]
        self._done = int(now / step)

    def place(self, item: T) -> None:
        """Put item where its deadline says, wherever it was."""
        self.forget(item)
        turn = max(int(item.deadline / self._step) + 1, self._done + 1)
        turn = min(turn, self._done + len(self._slots) - 1)
        item.slot = turn % len(self._slots)
        self._slots[item.slot].add(item)

    def forget(self, item: T) -> None:
        """Take item out."""
        if item.slot >= 0:
            self._slots[item.slot].discard(item)
            item.slot = -1

    def expire(self, now: float) -> list[T]:
        """Items whose deadline has passed, taken out of the wheel.

        Args:
            now: monotonic seconds.
        """
        turn = int(now / self._step)
        late: list[T] = []
        for due in range(max(self._done + 1, turn - len(self._slots) + 1), turn + 1):
            self._done = due
            index = due % len(self._slots)
            items, self._slots[index] = self._slots[index], set()
            for item in items:
                item.slot = -1
                if not item.deadline:
                    continue
                if item.deadline <= now:
                    late.append(item)
                else:
                    self.place(item)
        return late
