"""The listening sockets: bound once by the supervisor, inherited by every worker.

Each address has K sockets sharing its port (``SO_REUSEPORT``); the kernel spreads connections over
them by hash. All of them live as long as the supervisor, so a connection queued at one whose worker
died is answered by the worker that is dealt it (see ``fleet.deal``). A unix socket cannot share its
path: its K are one, K times, and whichever worker takes a connection first has it.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Sequence

from trackflowd import unixsocket
from trackflowd.endpoint import UNIX, Endpoint, read_endpoint
from trackflowd.errors import ConfigError
from trackflowd.shared import MAX_LISTENERS

log = logging.getLogger(__name__)

#: Seconds between two tries at a port that is taken.
RETRY = 0.1
#: Sockets of each address at least: shares stay equal when 1, 2, 3, 4 or 6 workers become another of these numbers.
EVEN = 12


def shares(workers: int, cores: int) -> int:
    """How many sockets each address gets: as many to each worker, and enough for one to each core later."""
    return -(-max(EVEN, cores) // workers) * workers


class Listeners:
    """K sockets for each address.

    Attributes:
        sockets: all, in the order of their numbers in the shared page: worker 0's of each address…
        addresses: the addresses served, "host:port", with the real port, or "unix:/path".
        each: K, sockets of an address.
        lent: by the service manager, which keeps them open.
    """

    def __init__(self, sockets: list[socket.socket], addresses: list[str], lent: bool = False) -> None:
        self.sockets = sockets
        self.lent = lent
        self.addresses = addresses
        self.each = len(sockets) // max(len(addresses), 1)
        paths = (address.removeprefix(UNIX) for address in addresses if address.startswith(UNIX) and not lent)
        self._files = [unixsocket.Trace(path) for path in paths]

    @classmethod
    def open(cls, addresses: Sequence[str], count: int, backlog: int, patience: float = 0.0) -> Listeners:
        """Bind and listen.

        Args:
            addresses: as ``http.listen`` has them; port 0: any free one.
            count: sockets for each address; fewer if all together would be above 64.
            backlog: connections the kernel queues at each socket.
            patience: seconds a taken port is tried again.

        Raises:
            ConfigError: an address is taken, not this machine's, not allowed, or makes no sense.
        """
        count = max(1, min(count, MAX_LISTENERS // max(len(addresses), 1)))
        groups: list[list[socket.socket]] = []
        try:
            for address in addresses:
                groups.append(_awaited(read_endpoint(address), count, backlog, time.monotonic() + patience))
        except BaseException:
            cls._of(groups).close()
            raise
        return cls._of(groups)

    @classmethod
    def _of(cls, groups: Sequence[Sequence[socket.socket]]) -> Listeners:
        # Number i is at home with worker i % count, whichever address it is of.
        return cls([sock for group in groups for sock in group], [address_of(group[0]) for group in groups])

    @classmethod
    def borrow(cls, sockets: Sequence[socket.socket], listen: Sequence[str] = ()) -> Listeners:
        """Use sockets that are open and listen already.

        Args:
            sockets: as ``activation.take`` has them; several of one address share its port.
            listen: addresses as ``http.listen`` has them, in whose order they are put; others follow.

        Raises:
            ConfigError: too many, or not as many of each address.
        """
        order = {read_endpoint(text).address: place for place, text in enumerate(listen)}
        groups: dict[str, list[socket.socket]] = {}
        for sock in sorted(sockets, key=lambda sock: order.get(address_of(sock), len(order))):
            groups.setdefault(address_of(sock), []).append(sock)
        most = max(map(len, groups.values()), default=0)
        for address, group in groups.items():
            if address.startswith(UNIX):  # one, many times, as where we make it
                group += [group[0].dup() for _ in range(most - len(group))]
        counts = {address: len(group) for address, group in groups.items()}
        if sum(counts.values()) > MAX_LISTENERS or len(set(counts.values())) > 1:
            told = ", ".join(f"{count} of {address}" for address, count in counts.items())
            raise ConfigError(
                f"the service manager hands over sockets that do not fit: {told}",
                f"as many ListenStream= lines for each address, at most {MAX_LISTENERS} together",
            )
        return cls([sock for group in groups.values() for sock in group], list(groups), lent=True)

    @property
    def fds(self) -> list[int]:
        """Their descriptors, for the children."""
        return [sock.fileno() for sock in self.sockets]

    def close(self) -> None:
        """Refuse connections from now on, also for processes that inherited the sockets; who lent them keeps them."""
        for sock in self.sockets:
            if not self.lent:
                _refuse_more(sock)
            sock.close()
        for file in self._files:
            try:
                file.remove()
            except OSError as error:
                log.warning("a unix socket of http.listen cannot be removed: %s", error)
        self.sockets, self._files = [], []


def _awaited(endpoint: Endpoint, count: int, backlog: int, until: float) -> list[socket.socket]:
    while True:
        try:
            return _group(endpoint, count, backlog)
        except PortTaken:
            if time.monotonic() >= until:
                raise
            time.sleep(RETRY)


def _refuse_more(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:  # nothing to do on a system that leaves this to close()
            raise


def _group(endpoint: Endpoint, count: int, backlog: int) -> list[socket.socket]:
    """Count sockets on one address."""
    if not endpoint.path:
        return _tcp(endpoint.address, count, backlog)
    try:
        first = unixsocket.bind(endpoint.path, "http.listen", backlog, endpoint.mode, endpoint.group)
    except unixsocket.InUse as error:
        raise PortTaken(error.text, error.hint) from error
    return [first, *(first.dup() for _ in range(count - 1))]


def _tcp(address: str, count: int, backlog: int) -> list[socket.socket]:
    """The same of "host:port".

    The first is bound without SO_REUSEPORT, or a port that another daemon of this user shares would
    be taken for free and half of the connections would go there. The option set after the bind lets
    the others join.
    """
    first = bind(address, "http.listen")
    sockets = [first]
    try:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(count - 1):
            other = socket.socket(first.family, socket.SOCK_STREAM)
            sockets.append(other)
            _prepare(other)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(first.getsockname())
        for sock in sockets:
            sock.listen(backlog)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _refused(address, "http.listen", error) from error
    return sockets


def bind(address: str, option: str) -> socket.socket:
    """A socket listening on "host:port" that shares it with nobody, non-blocking.

    Args:
        address: port 0: any free one.
        option: name of the option it comes from, for messages.

    Raises:
        ConfigError: as ``Listeners.open``.
    """
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option}: {address}: no such host: {error}", "give an address of this machine") from error
    family, kind, _, _, where = found[0]
    sock = socket.socket(family, kind)
    try:
        _prepare(sock)
        sock.bind(where)
        # On Linux a bind alone passes where nobody listens yet; listen is what claims the port.
        sock.listen(1)
    except OSError as error:
        sock.close()
        raise _refused(address, option, error) from error
    return sock


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    # A port whose last connections are in TIME_WAIT may be bound again; one that is listened on may not.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


class PortTaken(ConfigError):
    """Somebody listens on the address already."""


def _refused(address: str, option: str, error: OSError) -> ConfigError:
    where = f"{option}: {address}"
    port = address.rpartition(":")[2]
    if error.errno == errno.EADDRINUSE:
        hint = f"see who has it: ss -ltnp 'sport = :{port}'; or use another: --set {option}=127.0.0.1:PORT"
        return PortTaken(f"{where}: port {port} is taken", hint)
    if error.errno == errno.EACCES:
        return ConfigError(f"{where}: this user may not listen on port {port}", "use a port above 1023")
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{where}: not an address of this machine", "see: ip address")
    return ConfigError(f"{where}: {error.strerror or error}")


def address_of(sock: socket.socket) -> str:
    """Where a socket is bound, as "host:port", "[host]:port" or "unix:/path"."""
    if sock.family == socket.AF_UNIX:
        return f"{UNIX}{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"
