"""Who is at the other end of a unix socket, and what that user may do.

The socket's mode (0660) decides who may look; acting is for the user the daemon runs as and for root. The kernel
says who connected (``SO_PEERCRED``, unix(7)): user and process at the time of ``connect``, which no client can
choose.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from typing import NamedTuple

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Peer(NamedTuple):
    """A client of the control socket.

    Args:
        uid: its user.
        pid: its process; 0: in a namespace that cannot be seen from here.
    """

    uid: int
    pid: int

    @property
    def acts(self) -> bool:
        """Whether it may change what the daemon does."""
        return self.uid in (0, os.geteuid())


def peer_of(sock: socket.socket) -> Peer:
    """Who connected to a unix socket."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(uid, pid)


def user_name(uid: int) -> str:
    """Name of a user; "" where the system knows none. May ask a directory service: not for an event loop."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
