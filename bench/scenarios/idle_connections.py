"""Thousands of connections that are open and silent, beside traffic.

The traffic is measured without them first. Each has had one answer (the script's head) before it falls silent, as a
browser's has.
"""

from __future__ import annotations

import fcntl
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

from bench.scenarios.frame import Scenario, Skipped, Stage
from bench.scenarios.server import Server, server
from bench.traffic.target import TargetFailed

#: Descriptors beside those of the connections: files, the generator's own connections, the daemon's sockets.
_SPARE = 1000
#: They are silent for longer than any run takes.
_SILENCE_S = 3600
_REQUEST = b"HEAD /t.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_WITHIN = 10.0
_FD_SETSIZE = 1024


def measure(stage: Stage) -> None:
    """See the module's text."""
    wanted = stage.options.idle
    sets = {"http.max_connections": str(wanted + _SPARE), "http.idle_timeout": str(_SILENCE_S)}
    with files(wanted + stage.options.connections + _SPARE), server(stage, sets) as one:
        one.warm_up()
        for _ in stage.repetitions("without them"):
            one.turn(label="without")
        before = _resident(one)
        with ExitStack() as held:
            stage.say(f"opening {wanted:,} connections")
            silent = [held.enter_context(_connect(one.daemon.target.address)) for _ in range(wanted)]
            each = {"kb.worker": (_resident(one) - before) / wanted / 1e3}
            for _ in stage.repetitions(f"beside {wanted:,} idle connections"):
                one.turn(more=lambda: {**each, "held": float(sum(map(_open, silent)))})


@contextmanager
def files(wanted: int) -> Iterator[None]:
    """So many open files are allowed to this process and to what it starts.

    Raises:
        Skipped: they are not, and it names the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Skipped(
            f"{wanted:,} open files are needed, and the hard limit is {hard:,} (RLIMIT_NOFILE): raise it with "
            f"`ulimit -Hn {wanted}` as root or in /etc/security/limits.conf, or ask for fewer with --idle"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _connect(address: tuple[str, int]) -> socket.socket:
    """A connection that has had its answer. Raises TargetFailed."""
    try:
        made = socket.create_connection(address, timeout=_WITHIN)
        made.sendall(_REQUEST)
        answer = made.recv(4096)
    except OSError as error:
        raise TargetFailed(f"an idle connection could not be made: {error}") from error
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"\r\n\r\n"):
        raise TargetFailed(f"an idle connection was answered {answer[:80]!r}")
    # select(2), which the generator waits with, knows descriptors below 1024 only: they are left to it.
    silent = socket.socket(fileno=fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _FD_SETSIZE))
    made.close()
    silent.setblocking(False)
    return silent


def _open(silent: socket.socket) -> bool:
    """Whether the server still holds it."""
    try:
        return bool(silent.recv(1))  # anything but silence is not what was asked for: so much for this one
    except BlockingIOError:
        return True
    except OSError:
        return False


def _resident(one: Server) -> int:
    """Bytes of all workers."""
    return sum(psutil.Process(pid).memory_info().rss for pid in one.pids["worker"])


SCENARIO = Scenario(
    "idle-connections", "single events as fast as answers come, beside 10,000 silent connections (--idle)", measure,
)  # fmt: skip
