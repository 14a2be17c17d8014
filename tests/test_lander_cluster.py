"""Batches on their way to a cluster in memory: what becomes of one whose host goes away, wherever the flusher dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flusher_bench import Bench, Killed, MemoryStore
from tests.rows import event_id, row
from trackflowd.errors import DataDirError, StoreAway, StoreDoubt
from trackflowd.flusher import Flusher
from trackflowd.journal import Journal
from trackflowd.lander_cluster import ClusterLander, hosts_of
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID

ROWS = 20


class MemoryHost(MemoryStore):
    """A host; a replica shares the batches of another."""

    vouches = True

    def __init__(self, name: str, shard: int, twin: MemoryHost | None = None) -> None:
        super().__init__()
        self.identity = name
        self.shard = shard
        self.down = False
        if twin is not None:
            self.batches, self.partitions = twin.batches, twin.partitions

    def reach(self, ping: bool) -> None:
        if self.down:
            raise StoreAway(f"{self.identity} does not answer")


class MemoryCluster(MemoryStore):
    """Two shards of one host, or one of two replicas."""

    identity = "cluster:"
    vouches = True

    def __init__(self, replicated: bool) -> None:
        super().__init__()
        first = MemoryHost("a", 0)
        second = MemoryHost("b", 0, first) if replicated else MemoryHost("b", 1)
        self.hosts = {"a": first, "b": second}
        self.shards = ("shard 1",) if replicated else ("shard 1", "shard 2")
        self.replicated = replicated


def cluster_of(bench: Bench, replicated: bool = False) -> MemoryCluster:
    cluster = MemoryCluster(replicated)
    bench.store = cluster
    return cluster


def own_of(cluster: MemoryCluster) -> tuple[MemoryHost, MemoryHost]:
    """The host that rows of the bench's site go to, and the other."""
    shard = row(0)[1] % len(cluster.shards)
    return cluster.hosts["ab"[shard]], cluster.hosts["ba"[shard]]


def lost(host: MemoryHost) -> None:
    """The next insert is kept, its answer lost, and the host down from then on."""

    def trouble(when: str) -> None:
        if when == "after":
            host.trouble = lambda when: None
            host.down = True
            raise StoreDoubt("no answer")

    host.trouble = trouble


def turn(one: Flusher, until: Callable[[], object]) -> None:
    """Turns of the flusher's loop until something is so."""
    for _ in range(20_000):
        if until():
            return
        one._step()
    raise AssertionError("it did not come to that")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("trackflowd.flusher.POLL", 0.001)
    return Bench(tmp_path, monkeypatch, "spool.keep_free=0")


def started(one: Flusher) -> None:
    one._feeds.scan()
    one._lander.recover()
    one._sender.start()


def rows_of(*hosts: MemoryHost) -> Counter[bytes]:
    return sum((host.ids for host in hosts), Counter())


def test_a_batch_in_doubt_waits_and_others_go_elsewhere_over_a_restart(bench: Bench) -> None:
    own, other = own_of(cluster := cluster_of(bench))
    lost(own)
    bench.write(*[row(n) for n in range(ROWS)])
    with bench.flusher() as one:
        started(one)
        turn(one, lambda: own.down)
        bench.write(*[row(ROWS + n) for n in range(ROWS)])
        turn(one, lambda: sum(other.ids.values()) == ROWS)
        turn(one, lambda: bench.slot.get("batches_bound") == bench.slot.get("spool_segments") == 1)
        assert bench.slot.get("rows_bound") == ROWS
    with bench.flusher() as one:
        started(one)
        turn(one, lambda: bench.slot.get("batches_bound") == 1)
        assert {host["host"]: host["batches"] for host in hosts_of(one._lander)} == {own.identity: 1, other.identity: 0}
        own.down = False
        turn(one, lambda: one._lander.empty)
    assert rows_of(*cluster.hosts.values()) == Counter(event_id(n) for n in range(2 * ROWS))
    assert sum(own.ids.values()) == ROWS


@pytest.mark.parametrize("step", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_at_any_binding_each_row_is_stored_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    own, other = own_of(cluster_of(bench))
    lost(own)
    left = [number]
    attempt = Journal.attempt

    def dying(self: Journal, batch_id: int, number: int, store: str = "") -> None:
        left[0] -= 1
        if left[0] == 0 and step == "before":
            raise Killed
        attempt(self, batch_id, number, store)
        if left[0] == 0:
            raise Killed

    monkeypatch.setattr(Journal, "attempt", dying)
    for n in range(4):
        bench.write(*[row(n * ROWS + k) for k in range(ROWS)])
        try:
            with bench.flusher() as one:
                started(one)
                turn(one, lambda: (one._cutter.idle and not one._feeds.fill) or bench.slot.get("batches_bound"))
        except Killed:
            continue
    own.down, left[0] = False, 0  # no more deaths
    with bench.flusher() as one:
        started(one)
        turn(one, lambda: one._cutter.idle and one._lander.empty and sum(rows_of(own, other).values()) >= 4 * ROWS)
    assert rows_of(own, other) == Counter(event_id(n) for n in range(4 * ROWS))


def test_a_replica_tells_while_the_host_of_a_batch_in_doubt_is_away(bench: Bench) -> None:
    cluster = cluster_of(bench, replicated=True)
    first, second = cluster.hosts["a"], cluster.hosts["b"]
    lost(first)
    counted: list[str] = []
    second.trouble = counted.append
    bench.write(*[row(n) for n in range(ROWS)])
    with bench.flusher() as one:
        started(one)
        turn(one, lambda: first.down)
        turn(one, lambda: one._lander.empty)
    assert counted == ["count"], "asked, and not sent again"
    assert first.ids == Counter(event_id(n) for n in range(ROWS))


def test_a_released_batch_is_sent_to_another_host(bench: Bench) -> None:
    own, other = own_of(cluster_of(bench))
    lost(own)
    bench.write(*[row(n) for n in range(ROWS)])
    with bench.flusher() as one:
        started(one)
        turn(one, lambda: bench.slot.get("spool_segments") == 1)
        lander = one._lander
        assert isinstance(lander, ClusterLander)
        turn(one, lambda: one._sender.idle)
        (path,) = (bench.path / "spool").glob("*.segment")
        assert one.shelf.release([path.name]) == {"released": 1, "rows": ROWS}
        turn(one, lambda: lander.empty)
        assert bench.slot.get("rows_released") == ROWS
    assert own.ids == other.ids == Counter(event_id(n) for n in range(ROWS)), "the price that is said"


def test_a_batch_that_is_bound_to_no_host_is_not_released(bench: Bench) -> None:
    cluster = cluster_of(bench)
    for host in cluster.hosts.values():
        host.down = True
    bench.write(*[row(n) for n in range(ROWS)])
    with bench.flusher() as one:
        started(one)
        turn(one, lambda: bench.slot.get("batches_open") == 1 and one._sender.idle)
        (batch_id,) = one._journal.state.open
        assert isinstance(one._lander, ClusterLander)
        with pytest.raises(DataDirError, match="bound to no host"):
            one._lander.release(batch_id)


def test_rows_that_are_to_be_looked_up_wait_in_the_spool_behind_a_batch_in_doubt(bench: Bench) -> None:
    own, other = own_of(cluster_of(bench))
    lost(own)
    bench.write(*[row(n) for n in range(ROWS)])
    with bench.flusher() as one:
        started(one)
        turn(one, lambda: bench.slot.get("batches_bound") == 1)
        bench.write(row(ROWS, flags=CLIENT_ID | ATTEMPT))
        turn(one, lambda: bench.slot.get("spool_segments") == 2)
        own.down = False
        turn(one, lambda: one._lander.empty)
    assert rows_of(own, other) == Counter(event_id(n) for n in range(ROWS + 1))
