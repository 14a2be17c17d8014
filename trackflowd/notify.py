"""What is said to the service manager, as sd_notify(3) has it: datagrams of ``NAME=value`` lines to ``$NOTIFY_SOCKET``.

Written here instead of taken from a library: it is one datagram, and python-systemd wants systemd's headers to build.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

#: Characters of a status line: ``systemctl status`` shows one.
MAX_STATUS = 400


class Notifier:
    """The way to the service manager; one that leads nowhere where there is none.

    Args:
        address: of its socket: a path, or an abstract name that begins with ``@``; "": nobody is told.
        watchdog: seconds within which it wants a sign of life; 0: it does not ask.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self.watchdog = watchdog
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._failed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None

    @classmethod
    def take(cls, env: MutableMapping[str, str]) -> Notifier:
        """The one the environment names, which is taken out of it: children have nothing to say.

        Args:
            env: ``os.environ``; ``WATCHDOG_USEC`` counts where ``WATCHDOG_PID`` is absent or this process.
        """
        address = env.pop("NOTIFY_SOCKET", "")
        micros, pid = env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", "")
        if address and address[0] not in "/@":
            log.warning("NOTIFY_SOCKET=%s: no unix socket; the service manager is told nothing", address)
            return cls()
        mine = pid in ("", str(os.getpid()))
        return cls(address, int(micros) / 1e6 if address and mine and micros.isdecimal() else 0.0)

    def say(self, *lines: str) -> bool:
        """Send lines as ``READY=1``; False: they could not be sent now, which is logged once."""
        if self._socket is None:
            return True
        data = "\n".join(line.replace("\n", " ") for line in lines).encode("utf-8", "replace")
        try:
            self._socket.sendto(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, self._address)
            self._failed = False
            return True
        except OSError as error:
            if not self._failed:
                log.warning("the service manager cannot be told: %s (said once)", error.strerror)
            self._failed = True
            return False

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
