"""Listening unix sockets: made with their rights from the first moment, a dead one in the way replaced, removed again.

A file left by a daemon that was killed is told from one in use by knocking: nobody answers at a dead one. It is
removed only if it is a socket.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat

from trackflowd.errors import ConfigError


class InUse(ConfigError):
    """Somebody listens at the path already."""


def bind(path: str, option: str, backlog: int, mode: int = 0o660, group: str = "") -> socket.socket:
    """A listening socket at path, non-blocking.

    Args:
        option: name of the option it comes from, for messages.
        backlog: connections the kernel queues.
        mode, group: of its file; "": the process's own group.

    Raises:
        InUse: somebody listens there.
        ConfigError: something else is there, or path, mode or group cannot be had.
    """
    _clear(path, option)
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    mask = os.umask(0o177)  # nobody else gets in before mode and group are right
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        hint = f"set {option} to another path"
        if "too long" in str(error):  # the kernel's limit is 107 bytes
            raise ConfigError(f"{option}: {path} is too long for a socket", hint) from error
        raise ConfigError(f"{option}: {path}: {error.strerror or error}", hint) from error
    finally:
        os.umask(mask)
    try:
        if group:
            _give(path, option, group)
        os.chmod(path, mode)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        os.unlink(path)
        raise
    return sock


def _give(path: str, option: str, group: str) -> None:
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        raise ConfigError(f"{option}: {path}: there is no group {group}", "see: getent group") from None
    except PermissionError as error:
        hint = "make it a member of the group (systemd: SupplementaryGroups=)"
        raise ConfigError(f"{option}: {path}: this user may not give it to group {group}", hint) from error


def _clear(path: str, option: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{option}: {path} is there and is not a socket", "remove it, or choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
            alive = True
        except OSError as error:
            alive = error.errno == errno.EAGAIN  # a full queue is somebody's queue
    if alive:
        raise InUse(f"{option}: another daemon listens on {path}", "stop it, or choose another path")
    os.unlink(path)


class Trace:
    """The file of a socket that was bound, to be removed later; not another's that took its place.

    Args:
        path: where it is.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._look()

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def remove(self) -> None:
        """Remove it if it is still there.

        Raises:
            OSError: it cannot be removed.
        """
        if self._file is not None and self._look() == self._file:
            os.unlink(self._path)
        self._file = None
