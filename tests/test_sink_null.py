"""sink.null: it confirms and answers for what it confirmed."""

from __future__ import annotations

import pytest

from tests.batches import PARTITION, batch
from trackflowd.errors import QueryError
from trackflowd.sink.base import QueryLimits, Sink
from trackflowd.sink.null import REMEMBERED, NullSink


def test_a_batch_it_confirmed_is_counted_until_it_is_deleted() -> None:
    sink: Sink = NullSink()
    sink.open()
    sink.insert(batch(1, range(3)))
    assert sink.count(1, PARTITION) == 3
    assert sink.count(2, PARTITION) == 0
    sink.kill(batch(1, range(3)))
    sink.delete(1, PARTITION)
    assert sink.count(1, PARTITION) == 0
    sink.close()


def test_it_forgets_the_oldest_batches_but_not_the_rows() -> None:
    sink = NullSink()
    one = batch(0, range(1))
    for n in range(REMEMBERED + 1):
        sink.insert(type(one)(n, 1, PARTITION, 1, one.columns))
    assert (sink.count(0, PARTITION), sink.count(1, PARTITION), sink.rows) == (0, 1, REMEMBERED + 1)


def test_it_knows_no_event_and_answers_no_query() -> None:
    assert NullSink().present([("s", bytes(16))]) == set()
    with pytest.raises(QueryError, match="keeps no rows"):
        NullSink().query("SELECT 1", "csv", QueryLimits())
