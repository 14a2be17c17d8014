"""The data directory: private, and one supervisor's at a time.

``lock`` is held (flock) by the supervisor for its life and holds its process id; the kernel lets go
of it however the supervisor ends. A clean stop empties the file, so an id left in it says that the
supervisor before was killed: its children, killed by the kernel right after it, may hold rings, the
store and the port for a moment longer, and ``await_children`` waits for them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trackflowd.errors import DataDirError

log = logging.getLogger(__name__)

#: Directories made in it.
INSIDE = ("rings", "journal", "window", "spool", "quarantine", "geo", "tmp")
#: Seconds to wait for the children of a killed supervisor: the kernel sends them SIGKILL at once,
#: but unmapping gigabytes of an embedded store takes a while.
CHILDREN_WAIT = 10.0
_STEP = 0.02


class DataDir:
    """An opened data directory.

    Args:
        path: absolute; made if it is not there (its parents too).

    Attributes:
        unclean: the supervisor before this one was killed or crashed.

    Raises:
        DataDirError: it cannot be made or used, or another daemon works in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _make(path)
        self._lock = self._take_lock()
        self.unclean = bool(_read_pid(self._lock))
        self._sign()
        for name in INSIDE:
            try:
                (path / name).mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                os.close(self._lock)
                raise DataDirError(f"{path / name} cannot be made: {error.strerror}", "free space there") from error

    def _sign(self) -> None:
        """Write our process id into the lock file; on a full disk we go on without: what is locked is locked."""
        text = f"{os.getpid()}\n".encode()
        try:
            os.pwrite(self._lock, text, 0)
            os.ftruncate(self._lock, len(text))
        except OSError as error:
            log.warning("%s does not name this process: %s", self.path / "lock", error.strerror)

    def _take_lock(self) -> int:
        path = self.path / "lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = _read_pid(fd)
            os.close(fd)
            raise DataDirError(
                f"another trackflowd{f' (process {pid})' if pid else ''} works in {self.path}",
                f"stop it{f' with: kill {pid}' if pid else ''}, or give this one its own daemon.data_dir",
            ) from error
        return fd

    def await_children(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until no child of an earlier supervisor holds the store or a ring.

        Raises:
            DataDirError: one still does after ``CHILDREN_WAIT`` seconds.
        """
        waited = 0.0
        while held := next(self._held(), None):
            if waited >= CHILDREN_WAIT:
                raise DataDirError(
                    f"{held} is still held by a child of an earlier trackflowd",
                    f"see who: fuser -v {held}; end that process, then start again",
                )
            sleep(_STEP)
            waited += _STEP

    def _held(self) -> Iterator[Path]:
        """Files of children that somebody has locked."""
        for path in [self.path / "flusher.lock", *sorted((self.path / "rings").glob("*.ring"))]:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise DataDirError(f"{path} cannot be opened: {error.strerror}") from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield path
            finally:
                os.close(fd)

    def close(self) -> None:
        """Let go of it, saying in ``lock`` that this was a clean end."""
        os.ftruncate(self._lock, 0)
        os.close(self._lock)


def own(path: Path) -> int:
    """Lock a file of a child for this process; the lock goes with the process.

    Raises:
        DataDirError: another has it, or it cannot be made.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise DataDirError(f"{path} is held by another flusher", "wait for it to end, or end it") from error
    return fd


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.stat()
    except FileExistsError as error:
        raise DataDirError(f"{error.filename} is not a directory", "set daemon.data_dir to one") from error
    except OSError as error:
        hint = "set daemon.data_dir, or give --data-dir, to a place this user may write to"
        raise DataDirError(f"{path} cannot be made: {error.strerror}", hint) from error
    if status.st_uid != os.geteuid():
        raise DataDirError(
            f"{path} belongs to user {status.st_uid}, this process runs as {os.geteuid()}",
            f"run as its owner, or: chown -R {os.geteuid()} {path}",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o700)  # salts and events are nobody else's


def _read_pid(fd: int) -> str:
    text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    return text if text.isdigit() else ""
