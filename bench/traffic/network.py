"""Real sockets for the loop: connects, and waits for what comes, to 50 µs."""

from __future__ import annotations

import select
import socket
import struct

#: epoll's own unit is a ms: below so many seconds it is asked without waiting, after a finer sleep.
_FINE = 0.002
#: The kernel wakes a sleeper so much later than asked (timer slack, and the way back onto a core).
_SLACK = 0.00008

#: struct linger: on, 0 s.
_RESET = struct.pack("ii", 1, 0)


class Connection(socket.socket):
    """A socket that does not block."""

    def drop(self) -> None:
        """Close it.

        Where the server has not closed it first the kernel would keep its port for a minute (TIME_WAIT), and a
        generator that closes 500 a second would run out of ports: such a one is reset.
        """
        try:
            if self.recv(1):
                self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()


class Network:
    """Sockets of one target.

    Args:
        address: as ``socket.connect`` takes it; an IP address, so that nothing is looked up later.
        most: events that one ``wait`` gives at most. Few where something else is due soon.
    """

    def __init__(self, address: tuple[str, int], most: int) -> None:
        self._address = address
        self._family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._most = most
        self._epoll = select.epoll()
        self._fd = self._epoll.fileno()

    def connect(self) -> Connection:
        """A connection that is being made; what is the matter with it shows at its first use.

        Edge-triggered: the kernel does not look again at a socket that was read.
        """
        made = Connection(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect_ex(self._address)
        self._epoll.register(made.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        return made

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """Descriptors of which there is news, as soon as there is any, at the latest after so many seconds."""
        if seconds >= _FINE:
            return self._epoll.poll(seconds, self._most)
        if seconds > _SLACK:
            select.select((self._fd,), (), (), seconds - _SLACK)
        return self._epoll.poll(0, self._most)

    def close(self) -> None:
        """Forget all."""
        self._epoll.close()
