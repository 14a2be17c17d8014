"""Room for a ring file: reserved whole, before anybody relies on it.

A sparse file on a full disk is no exception but a SIGBUS, at the first store into a block that cannot
be had. So every block is allocated (``posix_fallocate`` says ENOSPC in a civil way) and written once.
On file systems that write changed blocks elsewhere neither is a promise: they get a warning.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import sys
from pathlib import Path

from trackflowd.errors import DataDirError

log = logging.getLogger(__name__)

#: f_type of file systems that live in memory.
_IN_MEMORY = {0x01021994: "tmpfs", 0x858458F6: "ramfs"}
#: f_type of copy-on-write file systems (statfs(2), and the sources of those outside the kernel).
_COPY_ON_WRITE = {0x9123683E: "btrfs", 0x2FC12FC1: "zfs", 0xCA451A4E: "bcachefs"}
_STEP = 1024 * 1024


def allocate(fd: int, directory: Path, size: int) -> None:
    """Give an empty file size bytes of zeroes, each block its own.

    Raises:
        DataDirError: there is not that much room.
        OSError: anything else.
    """
    kind = copy_on_write(directory)
    if kind:
        log.warning("%s is on %s, which cannot reserve space: keep %d bytes of it free", directory, kind, size)
    if shutil.disk_usage(directory).free < size:
        raise _no_room(directory, size)  # at once, not after taking all there is from everybody
    try:
        if not kind:
            os.posix_fallocate(fd, 0, size)
        zeros = bytes(_STEP)
        for at in range(0, size, _STEP):
            os.pwrite(fd, zeros[: size - at], at)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _no_room(directory, size) from error


def _no_room(directory: Path, size: int) -> DataDirError:
    free = shutil.disk_usage(directory).free
    return DataDirError(
        f"{directory}: no room for a ring of {size:,} bytes, {free:,} are free",
        "free some, move daemon.data_dir, or set ring.size smaller",
    )


def copy_on_write(directory: Path) -> str:
    """Name of the file system a directory is on, if it is a copy-on-write one; else ""."""
    return _COPY_ON_WRITE.get(_file_system(directory), "")


def doubt_of_durability(directory: Path) -> str:
    """Why durability "disk" may keep less than it says in this directory, or ""."""
    kind = _file_system(directory)
    if kind in _IN_MEMORY:
        return f"{directory} is on {_IN_MEMORY[kind]}, which is memory: nothing there outlives a power cut"
    if kind in _COPY_ON_WRITE:
        return (
            f"{directory} is on {_COPY_ON_WRITE[kind]}, where every sync needs new blocks: "
            "when they run out a ring fails and requests are answered 503"
        )
    return ""


def _file_system(directory: Path) -> int:
    """Its f_type; 0 when it cannot be told."""
    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None).statfs(os.fsencode(directory), buffer):
        return 0
    return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder)
