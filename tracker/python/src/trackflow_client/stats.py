"""What a client has counted."""

from __future__ import annotations

from typing import NamedTuple


class Stats(NamedTuple):
    """Counters of a client in this process.

    Args:
        queued: events that wait for their answer.
        accepted: events the daemon took.
        refused: events the daemon, or this client before it, will never take.
        dropped: events for which the queue had no room, or that were left when the client was closed.
        requests: requests that were answered, or begun.
        trouble: why the last request settled nothing; "" if it did.
    """

    queued: int
    accepted: int
    refused: int
    dropped: int
    requests: int
    trouble: str
