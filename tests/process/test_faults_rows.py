"""The flusher on real engines, chDB in this process and one behind HTTP: rows they refuse, and repeats of long ago."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.flusher_bench import Bench
from tests.front_process import FrontProcess
from tests.rows import NOW, SITE, event_id, row, site_hash
from tests.test_replayer import while_running
from trackflowd import flusher as flusher_module
from trackflowd import quarantine
from trackflowd.flusher import Flusher
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID
from trackflowd.sink.base import QueryLimits, SinkOptions, open_sink
from trackflowd.sink.clickhouse import ClickHouseSink

DAYS = 86_400_000
DATABASES = count()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontProcess]:
    with FrontProcess(tmp_path_factory.mktemp("front")) as front:
        yield front


@pytest.fixture(params=["chdb", "server"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    url = "chdb:"
    if request.param == "server":
        url = request.getfixturevalue("front").url.replace("/trackflow", f"/rows{next(DATABASES)}")
    bench = Bench(tmp_path, monkeypatch, f"store.url={url}", "dedup.max_ids=1000", workers=1)
    monkeypatch.setattr(flusher_module, "open_sink", open_sink)  # the real one again
    return bench


def in_store(bench: Bench, *statements: str) -> Counter[bytes]:
    """Run statements in the store, between two flushers; then its event ids."""
    sink = open_sink(bench.cfg.store.url, SinkOptions(bench.path, memory=2**30))
    assert isinstance(sink, ClickHouseSink)
    sink.open()
    try:
        for statement in statements:
            sink._clients()[1].command(statement)
        limits = QueryLimits(max_rows=100_000)
        answer = sink.query("SELECT hex(event_id) AS id, count() AS n FROM events GROUP BY id", "json", limits)
        rows = map(json.loads, answer.splitlines())
        return Counter({bytes.fromhex(one["id"]): int(one["n"]) for one in rows})
    finally:
        sink.close()


def ids(numbers: Iterable[int], *but: int) -> Counter[bytes]:
    return Counter(event_id(n) for n in numbers if n not in but)


def test_rows_a_constraint_refuses_land_by_a_retry_when_it_is_gone(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(10)])
    bench.drain()
    in_store(bench, "ALTER TABLE events ADD CONSTRAINT no_such CHECK scroll NOT IN (13, 20)")
    bench.write(*[row(n) for n in range(10, 22)])
    bench.drain()
    found = quarantine.look(bench.path / "quarantine")
    assert [(one["kind"], one["rows"], one["retry"]) for one in found] == [("row", 1, True)] * 2
    assert all("no_such" in one["reason"] for one in found)
    assert in_store(bench, "ALTER TABLE events DROP CONSTRAINT no_such") == ids(range(22), 13, 20)
    assert while_running(bench, lambda one: one.quarantine_retry(())) == {"retried": 2, "rows": 2, "skipped": []}
    assert quarantine.look(bench.path / "quarantine") == []
    assert in_store(bench) == ids(range(22))


def test_a_repeat_three_days_later_is_found_in_the_store_though_the_window_has_rolled_if_it_says_that_it_is_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [NOW]
    monkeypatch.setattr(flusher_module, "_now_ms", lambda: clock[0])
    bench.write(row(1))
    bench.drain()
    clock[0] += 3 * DAYS
    later = clock[0]
    writer = bench.writers[0]

    def others(one: Flusher) -> None:
        for n in range(1000, 2200, 20):
            while writer.capacity - writer.used < 16 * 1024:
                threading.Event().wait(0.005)
            bench.write(*[row(m, later) for m in range(n, n + 20)])

    while_running(bench, others)

    def forgotten(one: Flusher) -> None:
        assert not one._window.has(event_id(1), site_hash(SITE))
        assert one._window.ids <= 1000

    while_running(bench, forgotten)
    marked = CLIENT_ID | ATTEMPT
    bench.write(row(1, later, marked), row(2, later, marked), row(3, later))
    bench.drain()
    found = in_store(bench)
    assert (found[event_id(1)], found[event_id(2)], found[event_id(3)]) == (1, 1, 1)
    assert bench.slot.get("duplicates") == 1
    bench.write(row(4, later))
    bench.drain()
    assert in_store(bench) == ids(range(1, 5)) + ids(range(1000, 2200))
