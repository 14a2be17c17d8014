"""What a command that streams is given to send with, and what it gives back.

::

    opener(**args)  checks the arguments, may refuse them        ──▶ the client is answered ok
      begin(outlet) begins to send, from the event loop          ──▶ events
        close()     the client has cancelled or is gone          ──▶ no more

Nothing in here waits for a client: one that does not read gets less, and what it misses is counted or, for a stream
of states such as ``watch``, not even made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Event = Mapping[str, Any]


class Outlet(Protocol):
    """One stream of one client."""

    def send(self, event: Event) -> bool:
        """Send an event; False: the client lags too far behind, and it was not sent."""

    @property
    def clear(self) -> bool:
        """Whether the client has taken all that was sent, as far as it can be seen from here."""

    def end(self) -> None:
        """Say that no more comes."""


Close = Callable[[], None]
Begin = Callable[[Outlet], Close]
Opener = Callable[..., Begin]
