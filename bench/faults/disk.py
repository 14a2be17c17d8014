"""A small disk of its own for the daemon's data, so that it can be filled: a tmpfs in a private mount namespace.

The namespace belongs to this process and its children: nobody else sees the mount, and it is gone with them, however
they end. Without root a user namespace is made as well, where the kernel allows that.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_REMOUNT, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x20, 0x4000, 0x4_0000, 2

#: Bytes of one step of filling up; the last steps are halved until not a page is left.
_STEP = 64 * 2**20
_PAGE = 4096


class NoDisk(Exception):
    """This machine does not let us mount; the text says why."""


class Disk:
    """A mounted tmpfs.

    Args:
        path: an empty directory.
        size: bytes.

    Raises:
        NoDisk: it cannot be mounted.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._ballast = path / "ballast"
        self._enter_namespace()
        self._call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
        options = f"size={size},mode=0700".encode()
        self._call("mount", b"trackflow-faults", os.fsencode(path), b"tmpfs", ctypes.c_ulong(0), options)

    def _enter_namespace(self) -> None:
        uid, gid = os.geteuid(), os.getegid()
        if uid == 0:
            self._call("unshare", _CLONE_NEWNS)
            return
        self._call("unshare", _CLONE_NEWNS | _CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")

    def _call(self, name: str, *args: object) -> None:
        if getattr(self._libc, name)(*args) != 0:
            number = ctypes.get_errno()
            raise NoDisk(f"{name}: {os.strerror(number)}; run as root, or allow user namespaces")

    def fill(self, leave: int = 0) -> int:
        """Take all the space that is left, but for so many bytes; bytes taken."""
        fd = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            step = _STEP
            while step >= _PAGE:
                try:
                    os.posix_fallocate(fd, os.fstat(fd).st_size, step)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 2
            os.ftruncate(fd, max(os.fstat(fd).st_size - leave, 0))
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)

    def close_off(self) -> bool:
        """Make the disk as small as what is on it, at once; whether nobody was quicker in writing."""
        space = os.statvfs(self.path)
        try:
            self._resize((space.f_blocks - space.f_bfree) * space.f_frsize)
        except NoDisk:
            return False
        return True

    def open_up(self) -> None:
        """Its first size again."""
        self._resize(self._size)

    def _resize(self, size: int) -> None:
        options = f"size={size}".encode()
        self._call("mount", b"none", os.fsencode(self.path), b"tmpfs", ctypes.c_ulong(_MS_REMOUNT), options)

    def close(self) -> None:
        """Unmount."""
        self._libc.umount2(os.fsencode(self.path), _MNT_DETACH)
