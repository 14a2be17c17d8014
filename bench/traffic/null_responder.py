"""A server that does nothing: what a generator can do, and what loopback itself costs.

Answers each request with the same bytes, on one core. A read of less than ``_SHORT`` bytes is taken as one
whole request, as it is when a generator awaits each answer; only longer ones are looked into (arrays,
pipelines). For ``python -m bench traffic --null`` and tests; it checks nothing.

It asks for news without ever sleeping: whoever sends to a sleeper pays for waking it, and on a virtual
machine that is more than the sending (12 against 10 µs a request of the generator).
"""

from __future__ import annotations

import re
import select
import socket
import sys

_SHORT = 4096
#: Bytes of a read. From 128 KiB on malloc maps pages for each and gives them back: 12 µs a request.
_READ = 65_536
_BODY = b'{"accepted":1,"refused":[]}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")


def whole(data: bytes) -> tuple[int, bytes]:
    """How many whole requests are at the beginning of data, and the rest of it."""
    count = 0
    while (end := data.find(b"\r\n\r\n")) >= 0:
        length = _LENGTH.search(data, 0, end + 4)
        stop = end + 4 + (int(length[1]) if length else 0)
        if stop > len(data):
            break
        count, data = count + 1, data[stop:]
    return count, data


def serve(listener: socket.socket, closing: bool) -> None:
    """Answer until killed.

    Args:
        closing: answer one request a connection.
    """
    answer = _HEAD % (len(_BODY), b"Connection: close\r\n" if closing else b"") + _BODY
    epoll = select.epoll()
    listener.setblocking(False)
    epoll.register(listener, select.EPOLLIN)
    peers: dict[int, socket.socket] = {}
    rests: dict[int, bytes] = {}
    while True:
        for fd, _ in epoll.poll(0, 512):
            peer = peers.get(fd)
            if peer is None:
                _accept(listener, epoll, peers)
                continue
            try:
                data = peer.recv(_READ)
                if 0 < len(data) < _SHORT and not rests:
                    peer.send(answer)
                elif data:
                    count, rests[fd] = whole(rests.pop(fd, b"") + data)
                    if not rests[fd]:
                        del rests[fd]
                    peer.sendall(answer * count)
                if data and not closing:
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            del peers[fd]
            rests.pop(fd, None)
            peer.close()


def _accept(listener: socket.socket, epoll: select.epoll, peers: dict[int, socket.socket]) -> None:
    try:
        while True:
            peer, _ = listener.accept()
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peers[peer.fileno()] = peer
            epoll.register(peer, select.EPOLLIN | select.EPOLLET)
    except BlockingIOError:
        pass


def main() -> None:
    """Listen on any port of 127.0.0.1, say which, and serve; ``--closing`` as in ``serve``."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print(listener.getsockname()[1], flush=True)
        serve(listener, "--closing" in sys.argv[1:])


if __name__ == "__main__":
    main()
