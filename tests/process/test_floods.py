"""Floods: bodies without end, heads that trickle, connections by the thousand; who behaves is served all the while.

All of it to loopback, from addresses of its own for the flood (127.0.0.2) and for who behaves (127.0.0.1).
"""

from __future__ import annotations

import gzip
import resource
import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.process.harness import Daemon, until
from tests.process.judge import flush

FLOODER = "127.0.0.2"
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Descriptors for the sockets of a flood; the daemon inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
    if wanted < 8192:
        pytest.skip(f"a process may open {hard} files here: a flood needs 8192 (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Good:
    """Who behaves: an event at a time, each on a connection of its own."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.sent = 0

    def posts(self, number: int) -> None:
        """Every one of so many events is taken."""
        for _ in range(number):
            assert self.daemon.post({"site": "good", "name": "n"})[0] == 200
            self.sent += 1

    def stored(self) -> None:
        """Each is in the store, and nothing of the flood."""
        flush(self.daemon)
        rows = self.daemon.rows("SELECT site, count() AS n FROM events GROUP BY site")
        assert rows == [{"site": "good", "n": self.sent}]


class Flood:
    """Sockets of who does not behave."""

    def __init__(self, daemon: Daemon) -> None:
        host, _, port = daemon.http.removeprefix("http://").rpartition(":")
        self._server = (host, int(port))
        self.open: list[socket.socket] = []
        self.answers: list[bytes] = []

    def connect(self, number: int) -> None:
        """Open so many more."""
        for _ in range(number):
            one = socket.create_connection(self._server, timeout=30, source_address=(FLOODER, 0))
            one.setblocking(False)
            self.open.append(one)

    def send(self, data: bytes) -> None:
        """Send on each what it takes now."""
        for one in self.open:
            try:
                one.send(data)
            except BlockingIOError:
                pass  # its buffers are full: the server reads no more of it
            except OSError:
                pass  # closed by the server; ``reap`` sees it

    def reap(self) -> int:
        """Close what the server has ended, keeping what it answered; how many are still open."""
        with selectors.DefaultSelector() as selector:
            for one in self.open:
                selector.register(one, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(0.02)}
            for one in [one for one in self.open if one.fileno() in ready]:
                try:
                    data = one.recv(65536)
                except OSError:
                    data = b""
                if data:
                    self.answers.append(data)
                else:
                    one.close()
                    self.open.remove(one)
        return len(self.open)

    def close(self) -> None:
        """Give up."""
        for one in self.open:
            one.close()


@contextmanager
def flooded(tmp_path: Path, *sets: str) -> Iterator[tuple[Daemon, Good, Flood]]:
    """A daemon, who behaves and who does not."""
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(tmp_path, *sets))
        flood = Flood(daemon)
        stack.callback(flood.close)
        good = Good(daemon)
        good.posts(5)
        yield daemon, good, flood


def memory(daemon: Daemon) -> int:
    """Bytes of the workers that are their own; the ring's pages are shared."""
    infos = [psutil.Process(daemon.pid(f"worker {slot}")).memory_info() for slot in range(2)]
    return sum(info.rss - info.shared for info in infos)


def test_bodies_without_end_take_bounded_memory_and_who_behaves_is_served(tmp_path: Path) -> None:
    with flooded(tmp_path, "http.max_inflight=8MiB", "http.body_timeout=3s") as (daemon, good, flood):
        before = memory(daemon)
        flood.connect(200)
        flood.send(HEAD % MIB)
        for _ in range(15):  # none of them comes to its end
            flood.send(b"[" * 65536)  # 200 bodies of 1 MiB are begun, 16 MiB may be held
            good.posts(5)
            flood.reap()
        assert memory(daemon) - before < 64 * MIB
        until(lambda: flood.reap() == 0)
        refusals = daemon.status()["refusals"]
        assert refusals["too_busy"] > 100
        assert refusals["too_busy"] + refusals.get("timeout", 0) == 200  # the rest was late
        daemon.await_status(lambda status: status["totals"]["inflight_bytes"] == 0)
        good.posts(5)
        good.stored()


def test_what_says_more_than_it_may_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with flooded(tmp_path) as (daemon, good, flood):
        flood.connect(100)
        flood.send(HEAD % (MIB + 1))
        bomb = gzip.compress(b"[" * (64 * MIB))  # 64 KiB that would be 64 MiB
        for _ in range(20):
            status, answer = daemon.request("/v1/events", bomb, Content_Encoding="gzip")
            assert (status, answer["error"]) == (413, "inflated_too_large")
            good.posts(1)
        until(lambda: flood.reap() == 0)
        assert sum(answer.startswith(b"HTTP/1.1 413 ") for answer in flood.answers) == 100
        assert daemon.status()["refusals"]["body_too_large"] == 100
        good.stored()


def test_two_thousand_heads_that_trickle_end_at_their_deadline(tmp_path: Path) -> None:
    with flooded(tmp_path, "http.header_timeout=2s", "http.max_connections_per_address=4000") as (daemon, good, flood):
        flood.connect(2000)
        drip = iter(HEAD % 10 + b"[" * 10_000)
        while flood.open:
            flood.send(bytes([next(drip)]))  # a byte a round moves no deadline
            good.posts(2)
            flood.reap()
        status = daemon.await_status(lambda status: status["totals"]["deadline_closed"] >= 2000)
        assert status["refusals"]["timeout"] == status["totals"]["deadline_closed"] == 2000
        good.stored()


def test_a_flood_of_connections_is_turned_away_by_address(tmp_path: Path) -> None:
    with flooded(tmp_path, "http.max_connections_per_address=100") as (daemon, good, flood):
        for _ in range(15):
            flood.connect(100)
            good.posts(2)
            flood.reap()
        until(lambda: flood.reap() <= 200)
        turned_away = 1500 - len(flood.open)
        status = daemon.await_status(lambda status: status["totals"]["refused_connections"] >= turned_away)
        assert status["totals"]["refused_connections"] == turned_away == status["refusals"]["too_many_connections"]
        good.posts(5)
        good.stored()
