"""A bounded cache for the hot path: two generations instead of a queue.

A hit is one ``dict.get``, with no bookkeeping: ``Generations.get`` *is* the young dict's own
method, so callers keep it bound. Only a miss asks ``promote``, which looks into the old
generation. When the young one is full it becomes the old one and the old one is forgotten; what
is still in use comes back by promotion, what is not is gone after two turns. An LRU would move
a list node at each hit (functools.lru_cache: fine for functions, but it cannot be emptied by
half, asked without computing, or refuse large entries).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """At most ``2 * limit`` entries.

    Args:
        limit: entries of one generation, ≥ 1.
    """

    __slots__ = ("_limit", "_old", "_young", "get")

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("a cache holds at least one entry")
        self._limit = limit
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        #: ``get(key) -> value | None`` of the young generation. Stays valid for the cache's life:
        #: generations turn by copying, never by replacing the young dict.
        self.get: Callable[[K], V | None] = self._young.get

    def promote(self, key: K) -> V | None:
        """Value of key from the old generation, made young again; None: nowhere, compute it."""
        value = self._old.pop(key, None)
        if value is not None:
            self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember value (never None) under key."""
        if len(self._young) >= self._limit:
            self.turn()
        self._young[key] = value

    def turn(self) -> None:
        """Start a new generation; entries not asked for until the next turn are forgotten."""
        self._old = self._young.copy()
        self._young.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._old = {}
        self._young.clear()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
