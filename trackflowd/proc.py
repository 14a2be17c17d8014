"""What a process is to the system: its name in ``ps``, that it dies with its supervisor, how it keeps memory.

A child must never outlive the supervisor: it would go on owning a ring or the store beside the
children of the next one. The kernel sends it SIGKILL (``PR_SET_PDEATHSIG``, prctl(2)) when its
parent ends, however it ends. If the parent was gone before the call there is no signal to come, so
the child looks after the call: the other end of its channel names the process that made it
(``SO_PEERCRED``, unix(7)), and that must still be the parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct

import setproctitle

from trackflowd.errors import TrackflowError

_PR_SET_PDEATHSIG = 1
#: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX (malloc.h).
_MALLOC = ((-3, 32 * 2**20), (-1, 128 * 2**20), (-8, 1))


#: What the flusher yields to the workers where they share a core: answers are waited for, a batch is not. At half of
#: the most a core takes, p99 of an answer was 4.5 to 4.7 ms with 10, 5.6 to 9.4 with 5, 16 to 214 without.
FLUSHER_NICE = 10


class Orphaned(TrackflowError):
    """The supervisor that started this child is gone; the child must end."""

    code = "orphaned"


def become(title: str, channel: int | None = None, nice: int = 0) -> None:
    """Take a name and, in a child, tie this process to its supervisor.

    Args:
        title: as ``ps`` is to show it: "trackflowd: worker 0".
        channel: in a child, the descriptor of its end of the socketpair the supervisor made. The
            child then dies with the supervisor and leaves Ctrl-C to it.
        nice: added to its niceness (sched(7)), also for the threads it will have.

    Raises:
        Orphaned: the supervisor is already gone.
    """
    setproctitle.setproctitle(title)
    os.nice(nice)
    if channel is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    maker = socketpair_maker(channel)
    if os.getppid() != maker:
        raise Orphaned(f"the supervisor (process {maker}) ended before this child was up")


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when the thread that started it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "PR_SET_PDEATHSIG")


def keep_freed_memory() -> bool:
    """Have the C library keep the megabytes a batch needs, instead of giving them back for the next to fault in.

    mallopt(3): blocks of up to 32 MiB from the heap, one heap for all threads, up to 128 MiB of it kept when
    free. With the same settings from the environment a
    flusher spent 3 µs of 22 a row less. Call it before threads are started.

    Returns:
        Whether the C library knows these settings (glibc does, musl does not).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(name, value) for name, value in _MALLOC)


def socketpair_maker(fd: int) -> int:
    """Process id of whoever made the unix socketpair fd is an end of."""
    with socket.socket(fileno=os.dup(fd)) as end:
        raw = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", raw)[0]
    return pid
