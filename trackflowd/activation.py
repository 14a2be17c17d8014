"""Sockets that the service manager opened and hands over, as sd_listen_fds(3) has it (``trackflowd.socket``).

They stay open in the service manager while the daemon restarts: who connects meanwhile waits instead of being refused.
What one is for is said by its name (``FileDescriptorName=``): ``admin``, ``control``, and under any other name events.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from collections.abc import MutableMapping, Sequence

from trackflowd.config import Config
from trackflowd.endpoint import read_endpoint
from trackflowd.errors import ConfigError
from trackflowd.listeners import address_of

log = logging.getLogger(__name__)

#: Descriptor of the first one.
FIRST = 3
_HINT = "see ListenStream= of the .socket unit (systemctl cat trackflowd.socket)"


@dataclasses.dataclass(slots=True)
class Handed:
    """What was handed over: listening stream sockets, non-blocking and not inherited.

    Args:
        events: where events are taken, in their order; none: we have to open them.
        admin: of the admin listener, TCP; None: likewise.
        control: the control socket; None: likewise.
    """

    events: list[socket.socket] = dataclasses.field(default_factory=list)
    admin: socket.socket | None = None
    control: socket.socket | None = None

    def check(self, cfg: Config) -> None:
        """Raise ConfigError where admin or control are not as the options have them, which tell others of them."""
        if self.admin is not None and not cfg.admin.listen:
            raise ConfigError("the service manager hands over an admin socket, but admin.listen is off", _HINT)
        if self.admin is not None and (where := address_of(self.admin)) != cfg.admin.listen:
            log.warning("the admin listener is the service manager's socket, %s: admin.listen is not looked at", where)
        path = os.path.abspath(cfg.control.socket)
        if self.control is not None and (name := self.control.getsockname()) != path:
            raise ConfigError(
                f"control.socket is {path}, but the service manager hands over one at {name!r}",
                "have control.socket and ListenStream= of the .socket unit name the same",
            )


def take(env: MutableMapping[str, str], cfg: Config) -> Handed:
    """The sockets handed over to this process, none as a rule.

    Args:
        env: ``os.environ``; what names them is taken out of it, so that no child takes them for its own.
        cfg: has the addresses others are told of.

    Raises:
        ConfigError: one of them is something else or elsewhere, or there are two for one purpose.
    """
    pid, count, names = (env.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isdecimal():
        return Handed()
    sockets: list[socket.socket] = []
    try:
        sockets += map(_one, range(FIRST, FIRST + int(count)))
        handed = _sorted(sockets, names.split(":"))
        handed.check(cfg)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return handed


def _sorted(sockets: Sequence[socket.socket], names: Sequence[str]) -> Handed:
    handed = Handed()
    for place, sock in enumerate(sockets):
        name = names[place] if place < len(names) else ""
        local = sock.family == socket.AF_UNIX
        if name in ("admin", "control") and local != (name == "control"):
            kind = "is a unix socket, not TCP" if local else "is TCP, not a unix socket"
            raise ConfigError(f"the service manager hands over a socket as {name} that {kind}", _HINT)
        if name not in ("admin", "control"):
            handed.events.append(sock)
        elif getattr(handed, name) is not None:
            raise ConfigError(f"the service manager hands over two sockets as {name}", _HINT)
        else:
            setattr(handed, name, sock)
    return handed


def _one(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise ConfigError(f"descriptor {fd} that the service manager hands over: {error.strerror}", _HINT) from error
    listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        sock.close()
        raise ConfigError(f"descriptor {fd} that the service manager hands over is no listening stream socket", _HINT)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def fitting(cfg: Config, addresses: Sequence[str], each: int) -> Config:
    """The options as they fit the sockets handed over.

    Args:
        cfg: as configured.
        addresses: of the sockets, in their order.
        each: sockets of each address.

    Returns:
        With ``http.listen`` as these addresses, each with the words it has there, and no more workers than each has
        sockets.

    Raises:
        ConfigError: words (``tls``, ``proxy``, …) stand behind an address that has no socket: another has none.
    """
    told = {read_endpoint(text).address: text for text in cfg.http.listen}
    if lost := [text for address, text in told.items() if text != address and address not in addresses]:
        text = f"http.listen: {lost[0]}: the service manager hands over no socket of this address"
        raise ConfigError(f"{text}, but {', '.join(addresses)}", "have http.listen and ListenStream= name the same")
    if told.keys() != set(addresses):
        log.warning("events are taken at the service manager's sockets, %s: http.listen is not looked at (%s); "
                    "change ListenStream= of the .socket unit, or http.listen",
                    ", ".join(addresses), ", ".join(told))  # fmt: skip
    http = dataclasses.replace(cfg.http, listen=tuple(told.get(address, address) for address in addresses))
    workers = cfg.daemon.workers
    if workers > each:
        log.warning("%d of %d workers: the service manager hands over %d sockets for each address; for more, repeat "
                    "ListenStream= of the .socket unit, with ReusePort=yes", each, workers, each)  # fmt: skip
    daemon = dataclasses.replace(cfg.daemon, workers=min(workers, each))
    return dataclasses.replace(cfg, http=http, daemon=daemon)
