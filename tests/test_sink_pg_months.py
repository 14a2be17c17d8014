"""sink.pg_months: partitions by month."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.batches import PARTITION, batch, columns
from tests.postgres import Cluster
from trackflowd.sink import pg_months
from trackflowd.sink.base import Batch, SinkOptions
from trackflowd.sink.pg_link import Link, address
from trackflowd.sink.postgres import PostgresSink

JANUARY_2020 = 1_577_836_800_000
Sinks = Callable[..., PostgresSink]


@pytest.fixture
def opened(postgres: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sinks]:
    """Makes an open sink on a database of the test's own."""
    url = postgres.database(request.node.name[:50])
    sinks: list[PostgresSink] = []

    def make(**options: Any) -> PostgresSink:
        sink = PostgresSink(url, SinkOptions(tmp_path, timeout_s=10, **options))
        sink.open()
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close()


def rows_in(postgres: Cluster, request: pytest.FixtureRequest) -> dict[str, int]:
    """Rows by partition."""
    found = postgres.sql(
        request.node.name[:50], "SELECT tableoid::regclass::text AS part, count(*) AS n FROM facts GROUP BY 1"
    )
    return {row["part"]: row["n"] for row in found}


def partitions(postgres: Cluster, request: pytest.FixtureRequest) -> set[str]:
    sql = "SELECT inhrelid::regclass::text AS part FROM pg_inherits WHERE inhparent = 'facts'::regclass"
    return {row["part"] for row in postgres.sql(request.node.name[:50], sql)}


def received_in(batch_id: int, month: int, moment: int, rows: int = 5) -> Batch:
    made = columns(range(rows), batch_id)
    return Batch(batch_id, 1, month, rows, {**made, "received": [moment] * rows})


@pytest.mark.parametrize(("month", "after"), [(202611, 202612), (202612, 202701), (202601, 202602)])
def test_a_month_follows_a_month(month: int, after: int) -> None:
    assert pg_months.following(month) == after


def test_a_batch_finds_its_month_and_two_ahead(
    opened: Sinks, postgres: Cluster, request: pytest.FixtureRequest
) -> None:
    sink = opened()
    sink.insert(batch(1, range(5)))
    assert rows_in(postgres, request) == {"facts_202511": 5}
    now = int(datetime.now(UTC).strftime("%Y%m"))
    ahead = {now, pg_months.following(now), pg_months.following(pg_months.following(now))}
    expected = {f"facts_{month}" for month in ahead | {202511, 202512, 202601}}
    assert partitions(postgres, request) == {"facts_default", *expected}


def test_while_the_table_is_in_use_a_new_month_waits_and_its_rows_go_to_the_default_until_it_is_made(
    opened: Sinks, postgres: Cluster, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_months, "_LOCK", "50ms")
    sink = opened()
    with postgres.holding(request.node.name[:50], "SELECT count(*) FROM facts"):
        sink.insert(received_in(1, 202001, JANUARY_2020))
    assert rows_in(postgres, request) == {"facts_default": 5}
    assert sink.count(1, 202001) == 5
    sink._made.clear()
    sink.insert(received_in(2, 202001, JANUARY_2020))
    assert rows_in(postgres, request) == {"facts_202001": 10}
    assert sink.count(1, 202001) == 5


def test_retention_drops_months_that_are_wholly_too_old_with_their_batches(
    opened: Sinks, postgres: Cluster, request: pytest.FixtureRequest
) -> None:
    sink = opened()
    sink.insert(received_in(1, 202001, JANUARY_2020))
    today = int(datetime.now(UTC).strftime("%Y%m"))
    now = int(datetime.now(UTC).timestamp() * 1000)
    sink.insert(received_in(2, today, now))
    sink.close()
    sink = opened(retention_days=30)
    assert rows_in(postgres, request) == {f"facts_{today}": 5}
    assert "facts_202001" not in partitions(postgres, request)
    left = postgres.sql(request.node.name[:50], "SELECT month FROM batches")
    assert [row["month"] for row in left] == [today]


def test_a_month_stays_until_its_last_moment_is_too_old(
    opened: Sinks, postgres: Cluster, request: pytest.FixtureRequest
) -> None:
    sink = opened()
    sink.insert(batch(1, range(5)))
    link = Link(address(postgres.database(request.node.name[:50])), {}, 10)
    try:
        kept = link.run(lambda one: pg_months.drop(one, datetime(2025, 11, 30, 23, 59, 59, tzinfo=UTC)))
        gone = link.run(lambda one: pg_months.drop(one, datetime(2025, 12, 1, tzinfo=UTC)))
    finally:
        link.close()
    assert (kept, gone) == ([], [PARTITION])
    assert sink.count(1, PARTITION) == 0
