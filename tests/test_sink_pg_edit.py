"""sink.pg_edit: pieces by blocks, and dimensions swept beside landings."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.batches import PARTITION, batch
from tests.postgres import Cluster
from tests.process.harness import until
from tests.rows import NOW
from trackflowd.errors import StoreAway
from trackflowd.selection import Selection, Tombstone
from trackflowd.sink import pg_edit
from trackflowd.sink.base import Batch, SinkOptions
from trackflowd.sink.pg_tables import DIMENSIONS
from trackflowd.sink.postgres import PostgresSink

BATCH_IDS = count(5 << 100 | 7)
DATABASE = "swept"
EVER = NOW + 10**9


@pytest.fixture(scope="module")
def sinks(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[tuple[PostgresSink, PostgresSink]]:
    """Two daemons' sinks on one database."""
    made = []
    for _ in range(2):
        sink = PostgresSink(postgres.database(DATABASE), SinkOptions(tmp_path_factory.mktemp("data"), timeout_s=20))
        sink.open()
        made.append(sink)
    yield made[0], made[1]
    for sink in made:
        sink.close()


def made(site: str, rows: int = 10, **columns: Any) -> Batch:
    plain = batch(next(BATCH_IDS), range(rows), site=site)
    return Batch(plain.batch_id, 1, PARTITION, rows, {**plain.columns, **{n: [v] * rows for n, v in columns.items()}})


def erase(sink: PostgresSink, what: Selection) -> list[int]:
    """Rows of each piece."""
    rows, at = [], 0
    while True:
        piece = sink.edit.erase(Tombstone(what, EVER), PARTITION, at)
        rows.append(piece.rows)
        if piece.next is None:
            return rows
        at = piece.next


def test_a_month_is_deleted_in_pieces_by_blocks(
    sinks: tuple[PostgresSink, PostgresSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks[0].insert(made("pieces", 500))
    monkeypatch.setattr(pg_edit, "BLOCKS", 2)
    pieces = erase(sinks[0], Selection(site="pieces"))
    assert sum(pieces) == 500
    assert len(pieces) > 3
    assert max(pieces) < 200


def used(postgres: Cluster, site: str) -> dict[str, int]:
    """How many rows of each dimension belong to a site's name, as ``made`` puts it into their texts."""
    found = {}
    for dimension in DIMENSIONS:
        texts = " || ' ' || ".join(name + "::text" for name in dimension.fields)
        found[dimension.table] = postgres.sql(
            DATABASE, f"SELECT count(*) FROM {dimension.table} WHERE {texts} LIKE $1", f"%{site}%"
        )[0][0]
    return found


def told(site: str) -> dict[str, Any]:
    """A text of the site's own in every dimension."""
    return {
        "url": f"https://x/{site}", "referrer": f"https://r/{site}", "utm_term": site, "browser": site, "city": site,
        "timezone": site,
    }  # fmt: skip


def test_what_only_erased_events_used_goes_from_every_dimension_and_the_rest_stays(
    sinks: tuple[PostgresSink, PostgresSink], postgres: Cluster
) -> None:
    sink = sinks[0]
    sink.insert(made("gone", **told("gone")))
    sink.insert(made("kept", **told("kept")))
    assert all(used(postgres, "gone").values())
    erase(sink, Selection(site="gone"))
    assert sink.edit.sweep() >= 7
    assert not any(used(postgres, "gone").values())
    assert all(used(postgres, "kept").values())
    assert sink.edit.sweep() == 0
    sink.insert(made("gone", **told("gone")))
    assert all(used(postgres, "gone").values())


def test_a_landing_that_uses_a_page_again_beside_a_sweep_keeps_it(
    sinks: tuple[PostgresSink, PostgresSink], postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The landing begins behind the sweep's look and ends before its delete."""
    sink, other = sinks
    sink.insert(made("raced", **told("raced")))
    erase(sink, Selection(site="raced"))
    alone = pg_edit._alone
    landed: list[int] = []

    async def after_the_look(connection: Any, work: Any) -> Any:
        landed.append(1)
        if len(landed) == 2:  # the ids that no fact uses are known by now
            await asyncio.to_thread(other.insert, made("raced", **told("raced")))
        return await alone(connection, work)

    monkeypatch.setattr(pg_edit, "_alone", after_the_look)
    thread = threading.Thread(target=sink.edit.sweep)
    thread.start()
    thread.join(30)
    assert len(landed) > 1
    assert all(used(postgres, "raced").values())
    rows = postgres.sql(DATABASE, "SELECT url, browser FROM events WHERE site = 'raced'")
    assert [tuple(row) for row in rows] == [("https://x/raced", "raced")] * 10


def test_a_sweep_waits_for_a_landing_that_is_under_way(
    sinks: tuple[PostgresSink, PostgresSink], postgres: Cluster
) -> None:
    sink, other = sinks
    with postgres.holding(DATABASE, "LOCK TABLE pages IN EXCLUSIVE MODE"):
        landing = threading.Thread(target=lambda: other.insert(made("under way", **told("under way"))))
        landing.start()
        until(lambda: len(postgres.backends(DATABASE, "wait_event_type = 'Lock'")) == 1)
        swept: list[int] = []
        sweeping = threading.Thread(target=lambda: swept.append(sink.edit.sweep()))
        sweeping.start()
        until(lambda: len(postgres.backends(DATABASE, "wait_event = 'advisory'")) == 1)
        assert swept == []
    landing.join(20)
    sweeping.join(20)
    assert len(swept) == 1
    assert all(used(postgres, "under way").values())


def test_the_events_of_a_user_are_found_by_an_index(
    sinks: tuple[PostgresSink, PostgresSink], postgres: Cluster
) -> None:
    sinks[0].insert(made("indexed", 1000, user_id=""))
    postgres.sql(DATABASE, "ANALYZE facts")
    sql = "EXPLAIN SELECT * FROM facts WHERE user_id = 'somebody' AND user_id <> ''"
    assert "facts_user" in str(postgres.sql(DATABASE, sql)) or "user_id_idx" in str(postgres.sql(DATABASE, sql))


def test_a_sweep_of_a_store_that_is_not_open_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    sink = PostgresSink("postgresql://x@127.0.0.1:9/y", SinkOptions(tmp_path_factory.mktemp("data")))
    with pytest.raises(StoreAway):
        sink.edit.sweep()
