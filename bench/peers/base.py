"""What a peer is, and what a running server is."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.load import EVENT, SERVER_CORE, BenchFailed, cpu_s, load, on_core

#: Seconds a server may take to listen, and to end.
_START_WITHIN, _END_WITHIN = 60.0, 60.0


@dataclass(frozen=True)
class Turn:
    """One server's turn.

    Args:
        requests: answered well.
        rate: requests a second.
        cpu_us: CPU µs a request of the processes that answer, while they are sent to.
        stored_us: CPU µs a request of all processes of the server, until it has nothing left to do.
    """

    requests: int
    rate: float
    cpu_us: float
    stored_us: float


@dataclass
class Server:
    """A running server.

    Args:
        url: where it takes requests, ending with "/".
        roots: processes that are the server, with all below them.
        answering: those of them that answer; none: all.
        settle: returns when what was answered is where the server keeps it.
    """

    url: str
    roots: Sequence[psutil.Process]
    answering: Sequence[psutil.Process] = ()
    settle: Callable[[], None] = field(default=lambda: None)

    def turn(self, work: Path, seconds: int, connections: int, request: str = EVENT) -> Turn:
        """One turn of load. Raises BenchFailed."""
        answering = self.answering or self.roots
        began, all_began = cpu_s(answering), cpu_s(self.roots)
        requests, rate = load(work, self.url, seconds, connections, request)
        used = cpu_s(answering) - began
        self.settle()
        whole = cpu_s(self.roots) - all_began
        return Turn(requests, rate, used / requests * 1e6, whole / requests * 1e6)


Serve = Callable[[Path, Path], AbstractContextManager[Server]]


def _nothing(cache: Path) -> str:
    return ""


@dataclass(frozen=True)
class Peer:
    """A server to compare with.

    Args:
        name: as typed and printed.
        about: what it is and how it is configured.
        durability: what of the answered events survives what.
        serve: (work, cache) → the server, ended when the context ends. Raises BenchFailed.
        lacks: (cache) → what is missing with the command that brings it; "": nothing.
        version: (cache) → of the server, as it says itself; asked when nothing is lacking.
        install: (cache) → brings what ``--install`` may bring. Raises BenchFailed.
        request: Lua for wrk, where it takes another wire format.
    """

    name: str
    about: str
    durability: str
    serve: Serve
    lacks: Callable[[Path], str] = _nothing
    version: Callable[[Path], str] = _nothing
    install: Callable[[Path], None] | None = None
    request: str = EVENT


@contextmanager
def started(
    command: Sequence[str], work: Path, name: str, port: int, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server that is one command, on the server's core, until the context ends.

    Args:
        work: its directory, where its words go too.
        port: of 127.0.0.1, where it listens when it is ready.
        env: its whole environment; None: this one.

    Raises:
        BenchFailed: it ends, or does not listen in time; with its words.
    """
    log = work / f"{name}.log"
    with log.open("ab") as out, on_core(SERVER_CORE):
        process = subprocess.Popen(command, cwd=work, stdout=out, stderr=out, env=env, start_new_session=True)
    try:
        _await_listening(process, port, name, log)
        yield Server(f"http://127.0.0.1:{port}/", [psutil.Process(process.pid)])
    finally:
        end(process)


def _await_listening(process: subprocess.Popen[bytes], port: int, name: str, log: Path) -> None:
    until = time.monotonic() + _START_WITHIN
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    why = "does not listen" if process.poll() is None else f"ended with code {process.returncode}"
    raise BenchFailed(f"{name} {why}:\n{log.read_text(errors='replace').strip()[-2000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and end it and all below it if it does not."""
    if process.poll() is not None:
        return
    below = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in below:
        try:
            left.kill()
        except psutil.NoSuchProcess:
            continue
        until = time.monotonic() + _END_WITHIN  # not a child of this process: nobody says when it has ended
        while runs(left) and time.monotonic() < until:
            time.sleep(0.01)


def runs(process: psutil.Process) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def until_idle(roots: Sequence[psutil.Process], quiet_s: float, most_s: float = 20.0) -> None:
    """Return when these processes have used no CPU time for so long, or after most_s."""
    until = time.monotonic() + most_s
    seen, since = cpu_s(roots), time.monotonic()
    while time.monotonic() < min(since + quiet_s, until):
        time.sleep(0.1)
        if (used := cpu_s(roots)) - seen > 0.011:  # the kernel counts in steps of 10 ms; one is housekeeping
            seen, since = used, time.monotonic()


def installing(command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a command that installs. Raises BenchFailed with its last words."""
    try:
        subprocess.run(
            command, cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise BenchFailed(f"{command[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        words = (error.stdout or "").strip()[-600:]
        raise BenchFailed(f"{' '.join(command[:4])} … failed: {words}") from error


def said(command: Sequence[str]) -> str:
    """First line of what a command prints, on either stream; "" if it cannot be run."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0]
