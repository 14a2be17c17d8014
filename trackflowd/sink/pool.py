"""One connection of a client to a ClickHouse server, by urllib3: never retried by itself, watched by the kernel."""

from __future__ import annotations

import socket
from typing import Any

from urllib3 import PoolManager

#: Keepalive (tcp(7)): a host that is gone is noticed within 25 s, also by a statement that has no timeout.
_SOCKET = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


class Pool(PoolManager):
    """Keeps the body of the last answer, which the driver does not look at."""

    answer = b""

    def __init__(self) -> None:
        super().__init__(num_pools=1, maxsize=1, retries=0, socket_options=_SOCKET)

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """As urllib3's."""
        self.answer = b""
        response = super().request(*args, **kwargs)
        if kwargs.get("preload_content", True):
            self.answer = response.data
        return response
