"""Too little of something: descriptors of a worker, memory of the flusher, memory of a worker."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.process.harness import PATIENCE, Daemon, gone, until
from tests.process.judge import judge, settle
from tests.process.sender import event_of

_GROUPS = Path("/sys/fs/cgroup")
MIB = 2**20


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A control group that gets no more bytes than that from now on; a process joins by its id in this file."""
    old = (_GROUPS / "memory").is_dir()
    base, file = (_GROUPS / "memory", "memory.limit_in_bytes") if old else (_GROUPS, "memory.max")
    group = base / f"trackflow-test-{os.getpid()}"
    try:
        if not old:
            (base / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / file).write_text(str(limit))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"this machine cannot limit memory by control groups: {error}")
    try:
        yield group / "cgroup.procs"
    finally:
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def connect(daemon: Daemon) -> socket.socket:
    host, _, port = daemon.http.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def taken(daemon: Daemon, n: int) -> bool:
    """Whether an event is answered 200 now."""
    try:
        return daemon.post(event_of(n, 0))[0] == 200
    except OSError:  # a connection that is closed for want of descriptors
        return False


def test_a_worker_without_descriptors_keeps_what_it_has_and_takes_connections_again_when_some_are_free(
    tmp_path: Path,
) -> None:
    with Daemon(tmp_path, "store.url=chdb:", "daemon.workers=1") as daemon:
        worker, flusher = daemon.pid("worker 0"), daemon.pid("flusher")
        with ExitStack() as stack:
            held = stack.enter_context(connect(daemon))
            open_now = len(os.listdir(f"/proc/{worker}/fd"))
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (open_now + 20, open_now + 20))
            for _ in range(100):
                stack.enter_context(connect(daemon))  # into the listener's queue at least
            until(lambda: len(os.listdir(f"/proc/{worker}/fd")) >= open_now + 19)
            held.sendall(b"GET /t.js HTTP/1.1\r\nHost: a\r\n\r\n")
            assert held.recv(12) == b"HTTP/1.1 200", "a connection it has is served"
            daemon.flush()
        until(lambda: taken(daemon, 0))
        settle(daemon)
        verdict = judge(daemon, 1, {0})
        assert verdict.kept, verdict
        assert (daemon.pid("worker 0"), daemon.pid("flusher")) == (worker, flusher)


def test_a_flusher_killed_for_want_of_memory_is_replaced_and_everything_is_stored_once(tmp_path: Path) -> None:
    events = 12_000
    sets = ("store.url=chdb:", "ring.size=8MiB", "batch.max_age=1h", "daemon.stall_after=5")
    with memory_group(16 * MIB) as group, Daemon(tmp_path, *sets) as daemon:
        flusher = daemon.pid("flusher")
        group.write_text(str(flusher))  # what it has already is not counted
        for first in range(0, events, 500):
            assert daemon.post([event_of(n, 0) for n in range(first, first + 500)])[0] == 200
        settle(daemon)
        assert gone(flusher), "it had enough: nothing was tried"
        verdict = judge(daemon, events, set(range(events)))
        assert verdict.kept, verdict


def test_more_unfinished_bodies_than_memory_are_refused_and_the_worker_lives(tmp_path: Path) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % MIB
    body = bytes(MIB * 9 // 10)
    sets = ("store.url=null:", "daemon.workers=1", "http.max_inflight=8MiB")
    with memory_group(64 * MIB) as group, Daemon(tmp_path, *sets) as daemon, ExitStack() as stack:
        worker = daemon.pid("worker 0")
        group.write_text(str(worker))
        for _ in range(100):
            flood = stack.enter_context(connect(daemon))
            with contextlib.suppress(ConnectionError):  # refused under way
                flood.sendall(head + body)
        until(lambda: daemon.status()["refusals"].get("too_busy", 0) >= 80)
        assert daemon.status()["totals"]["inflight_bytes"] <= 8 * MIB
        stack.close()
        until(lambda: taken(daemon, 0))
        assert daemon.pid("worker 0") == worker
