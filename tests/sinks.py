"""An opened store of every kind, for tests of what all of them do alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.stores import Stores
from trackflowd.sink.base import QueryLimits, Sink, SinkOptions, open_sink

LIMITS = QueryLimits(max_seconds=20)


def of_every_kind(name: str) -> Any:
    """A fixture for one module: chDB, a ClickHouse server, PostgreSQL, one after the other, each empty at first.

    Args:
        name: of its database, no other module's.
    """

    @pytest.fixture(scope="module", params=["chdb", "clickhouse", "postgresql"])
    def sink(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, stores: Stores
    ) -> Iterator[Sink]:
        url = stores.url(request.param, name)
        store = open_sink(url, SinkOptions(tmp_path_factory.mktemp("data"), timeout_s=20, memory=2**30))
        store.open()
        yield store
        store.close()

    return sink
