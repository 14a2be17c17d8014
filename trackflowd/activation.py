"""Sockets that the service manager opened and hands over, as sd_listen_fds(3) has it (``trackflowd.socket``).

They stay open in the service manager while the daemon restarts: who connects meanwhile waits instead of being refused.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from collections.abc import MutableMapping, Sequence

from trackflowd.config import Config
from trackflowd.errors import ConfigError

log = logging.getLogger(__name__)

#: Descriptor of the first one.
FIRST = 3
_HINT = "see ListenStream= of the .socket unit (systemctl cat trackflowd.socket)"


def take(env: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets handed over to this process, none as a rule.

    Args:
        env: ``os.environ``; what names them is taken out of it, so that no child takes them for its own.

    Returns:
        Listening TCP sockets, non-blocking and not inherited, in their order.

    Raises:
        ConfigError: one of them is something else.
    """
    pid, count = env.pop("LISTEN_PID", ""), env.pop("LISTEN_FDS", "")
    env.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_one(fd) for fd in range(FIRST, FIRST + int(count))]


def _one(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise ConfigError(f"descriptor {fd} that the service manager hands over: {error.strerror}", _HINT) from error
    listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise ConfigError(f"descriptor {fd} that the service manager hands over is no listening TCP socket", _HINT)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def fitting(cfg: Config, addresses: Sequence[str], each: int) -> Config:
    """The options as they fit the sockets handed over: no more workers than each address has sockets.

    Args:
        cfg: as configured.
        addresses: of the sockets, "host:port".
        each: sockets of each address.
    """
    if list(addresses) != list(cfg.http.listen):
        where = ", ".join(addresses)
        log.info("events are taken at the service manager's sockets, %s: http.listen is not looked at", where)
    workers = cfg.daemon.workers
    if workers <= each:
        return cfg
    log.warning("%d of %d workers: the service manager hands over %d sockets for each address; for more, repeat "
                "ListenStream= of the .socket unit, with ReusePort=yes", each, workers, each)  # fmt: skip
    return dataclasses.replace(cfg, daemon=dataclasses.replace(cfg.daemon, workers=each))
