"""A table of events over a real engine that is asked with sums of days and without (see ``stats.pieces``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.stats_events import BEGIN, DAY, DAYS, HOUR, Event, land, made_events
from trackflowd import stats
from trackflowd.enrich.visitor import of_day
from trackflowd.sink.base import QueryLimits, SinkOptions, open_sink
from trackflowd.sink.clickhouse import ClickHouseSink
from trackflowd.stats.compose import Scope, compose

#: All days; of one site, from the middle of an hour; until a midnight; parts of two days, of one; from one midnight on,
#: bots too.
PERIODS: dict[str, dict[str, Any]] = {
    "all": {"from": BEGIN, "to": BEGIN + DAYS * DAY},
    "from and to the middle of an hour": {"site": "one", "from": BEGIN + 90_001, "to": BEGIN + 7 * DAY + 7 * HOUR + 1},
    "a head": {"from": BEGIN + 2 * DAY - HOUR, "to": BEGIN + 4 * DAY},
    "a night": {"from": BEGIN + 2 * DAY - 6 * HOUR - 1, "to": BEGIN + 2 * DAY + 7 * HOUR},
    "a morning": {"site": "one", "from": BEGIN + 2 * DAY + HOUR, "to": BEGIN + 2 * DAY + 12 * HOUR},
    "a tail": {"bots": True, "from": BEGIN + 2 * DAY, "to": BEGIN + 5 * DAY + 12 * HOUR},
}


@contextmanager
def opened(data: Path) -> Iterator[ClickHouseSink]:
    """An embedded store with 8,000 events, whose visitors have numbers as workers make them."""
    sink = open_sink("chdb:", SinkOptions(data, memory=2**30))
    assert isinstance(sink, ClickHouseSink)
    sink.open()
    land(sink, numbered(made_events(8000)))
    yield sink
    sink.close()


class Table:
    """A table of events, and how often it was asked.

    Attributes:
        asked: statements since the last answer.
    """

    def __init__(self, sink: ClickHouseSink) -> None:
        self.sink = sink
        self.sums = stats.Sums()
        self.asked: list[str] = []
        self.before: list[Any] = []

    def run(self, sql: str, params: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        self.asked.append(sql)
        found = stats.rows(self.sink.query(sql, "json", QueryLimits(), params))
        if self.before and "FROM events" in sql and "AS stamp" not in sql:
            self.before.pop()()
        return found

    def both(self, name: str, args: Mapping[str, Any]) -> None:
        """Ask with sums and without: the same."""
        self.asked.clear()
        summed = stats.answer(self.run, name, args, sums=self.sums)
        asked = list(self.asked)
        assert summed == stats.answer(self.run, name, args)
        self.asked = asked

    def do(self, sql: str) -> None:
        """Change it, and wait until that is done."""
        self.sink._clients()[0].command(f"{sql} SETTINGS mutations_sync = 2")

    def agrees(self) -> bool:
        """Whether the projection says what the rows say."""
        sql, params = compose("clickhouse", "stamps", Scope(0, BEGIN + 99 * DAY))
        client = self.sink._clients()[0]
        answers = [
            client.raw_query(
                sql, parameters=params, settings={"optimize_use_projections": use, "force_optimize_projection": use}
            )
            for use in (0, 1)
        ]
        return answers[0] == answers[1] != b""


def numbered(events: Sequence[Event]) -> list[Event]:
    """Events whose visitors have numbers as workers make them, and none so late that a period does not look for it."""
    return [
        event | {"visitor": of_day(event["visitor"], at), "received": min(event["received"], at + 3 * DAY)}
        for event in events
        for at in [event["time"]]
    ]
