"""Stands on the wire between two programs that speak HTTP, and breaks it on order.

It knows no HTTP but this: a client waits for its answer before it sends the next request, so the first bytes
after an answer begin a request, and its first line says what it is. ``bench.faults.proxy`` spoils requests for a
share of the time, for anybody's store; this one strikes an exact request at an exact byte, for tests.

    with TcpProxy(front.port) as proxy:
        proxy.order("cut", size=700)        # the next INSERT: 700 bytes of it pass, then both sides are reset
        ...
        assert proxy.struck == 1
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import cast

KINDS = ("cut", "hang", "lost", "slow")
#: Seconds between two looks whether something was ordered or ended meanwhile.
_LOOK = 0.02
_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Fault:
    """What happens to the next requests whose first line holds ``match``.

    Kinds: ``cut`` (``size`` bytes of it are passed on, then both sides are reset), ``hang`` (nothing of it is passed
    on, no answer comes, until its client gives up or the fault is cleared), ``lost`` (passed on whole; the first byte
    of its answer resets the client), ``slow`` (``size`` bytes a second, both ways).

    Args:
        times: how many requests it strikes.
        nth: it strikes only the nth request of a connection, or one behind it.
        shuts: once it has struck, connections are refused until ``accept``.
    """

    kind: str
    match: bytes = b"INSERT"
    times: int = 1
    size: int = 0
    nth: int = 1
    shuts: bool = False


class TcpProxy:
    """The proxy, on 127.0.0.1.

    Args:
        upstream: port it passes on to.

    Attributes:
        port: where it listens.
        struck: requests that met a fault.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = 0
        self.struck = 0
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._listener: socket.socket | None = None
        self.accept()

    def order(self, kind: str, **args: object) -> None:
        """Order a fault; args as ``Fault`` has them."""
        assert kind in KINDS
        with self._lock:
            self._faults.append(Fault(kind, **args))  # type: ignore[arg-type]

    def clear(self) -> None:
        """Forget faults that are left; what hangs is reset, what is slow goes on as fast as it can."""
        with self._lock:
            self._faults.clear()
            under_way = list(self._open)
        for connection in under_way:
            connection.over = True

    def refuse(self) -> None:
        """Refuse connections and reset those there are."""
        with self._lock:
            listener, self._listener = self._listener, None
            under_way, self._open = self._open, set()
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
            listener.close()
        for connection in under_way:
            connection.doomed = True

    def accept(self) -> None:
        """Take connections, on the same port as before."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._listen, args=[self._listener], daemon=True).start()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.refuse()

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection = Connection(self, listener.accept()[0])
                with self._lock:
                    self._open.add(connection)
                threading.Thread(target=connection.run, daemon=True).start()

    def fault_for(self, line: bytes, number: int) -> Fault | None:
        """The fault that a connection's request of that number meets."""
        with self._lock:
            for fault in self._faults:
                if fault.match in line and number >= fault.nth:
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                    self.struck += 1
                    return fault
        return None

    def forget(self, connection: Connection) -> None:
        """It has ended."""
        with self._lock:
            self._open.discard(connection)


class Connection:
    """A client's connection and the one behind it, in one thread.

    Attributes:
        over: the fault it is in has ended.
        doomed: it is to be reset.
    """

    def __init__(self, proxy: TcpProxy, client: socket.socket) -> None:
        self.over = self.doomed = False
        self._proxy = proxy
        self._client = client
        self._server = socket.socket()
        self._fault: Fault | None = None
        self._requests = 0
        self._answering = True  # what comes next from the client begins a request
        self._left = 0

    def run(self) -> None:
        """Pass on what comes until a side closes or a fault ends it."""
        try:
            self._server.connect(("127.0.0.1", self._proxy.upstream))
            while not self.doomed and self._turn():
                pass
        except OSError:
            self.doomed = True
        finally:
            self._proxy.forget(self)
            for side in (self._client, self._server):
                if self.doomed:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                side.close()

    def _turn(self) -> bool:
        """What comes next; False when it is over."""
        with selectors.PollSelector() as waiter:  # not select: a process of many tests may have over 1,024 files open
            for side in (self._client, self._server):
                waiter.register(side, selectors.EVENT_READ)
            ready = [cast("socket.socket", key.fileobj) for key, _ in waiter.select(_LOOK)]
        if self._fault and self._fault.kind == "hang" and self.over:
            return self._reset()
        for side in ready:
            data = side.recv(max(self._pace() // 20, 1) if self._pace() else _PIECE)
            if not data:
                return False
            if not (self._ask(data) if side is self._client else self._answer(data)):
                return False
        return True

    def _ask(self, data: bytes) -> bool:
        if self._answering:
            self._answering = False
            self._requests += 1
            fault = self._proxy.fault_for(data.split(b"\r\n", 1)[0], self._requests)
            if fault is not None:
                self._fault, self._left, self.over = fault, fault.size, False
        kind = self._fault.kind if self._fault else ""
        if kind == "hang":
            return True
        if kind == "cut":
            self._server.sendall(data[: self._left])
            self._left -= len(data)
            return self._left > 0 or self._reset()
        return self._pass(self._server, data)

    def _answer(self, data: bytes) -> bool:
        self._answering = True
        if self._fault and self._fault.kind == "lost":
            return self._reset()
        return self._pass(self._client, data)

    def _pass(self, to: socket.socket, data: bytes) -> bool:
        to.sendall(data)
        if pace := self._pace():
            time.sleep(len(data) / pace)
        return True

    def _pace(self) -> int:
        """Bytes a second, or 0."""
        return self._fault.size if self._fault and self._fault.kind == "slow" and not self.over else 0

    def _reset(self) -> bool:
        self.doomed = True
        if self._fault and self._fault.shuts:
            self._proxy.refuse()
        return False
